"""A reader's statement is accepted if its parsed tree only reads tables."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brewhouse.errors import UsageError
from brewhouse.query.statements import files_read_by_views, reading_statement


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        opened.execute("CREATE TABLE t AS SELECT 1 AS a, 2 AS b")
        yield opened


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "FROM t;",
        "VALUES (1)",
        "TABLE t",
        "/* ; DROP TABLE t; */ SELECT 1 -- ; COPY t TO 'x'",
        "SELECT ';', $$; COPY t TO 'x'$$",
        "WITH x AS (FROM t) FROM x",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) FROM r",
        "SELECT a FROM t UNION SELECT b FROM t ORDER BY 1 LIMIT 1",
        "PIVOT t ON a IN (1, 2) USING sum(b)",
        "UNPIVOT t ON a, b",
        "DESCRIBE t",
        "SUMMARIZE t",
        "SHOW TABLES",
        "FROM range(3), unnest([1, 2])",
        "SELECT list_transform([1, 2], lambda x: x + 1), (SELECT max(a) FROM t)",
        "SELECT 'read_text', \"read_text\" FROM (SELECT 1 AS read_text)",
    ],
)
def test_a_statement_that_reads_tables_is_accepted_and_runs(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    assert connection.execute(reading_statement(connection, sql)).fetchall()


@pytest.mark.parametrize(
    "inner",
    [
        "COPY (SELECT 1) TO '{file}'",
        "COPY t TO '{file}' (FORMAT parquet)",
        "INSERT INTO t VALUES (1, 2) RETURNING *",
        "UPDATE t SET a = 3 RETURNING *",
        "DELETE FROM t RETURNING *",
    ],
)
@pytest.mark.parametrize(
    "outer",
    [
        "WITH x AS ({}) FROM x",
        "WITH x AS MATERIALIZED ({}) SELECT 1",
        "SELECT (WITH x AS ({}) SELECT 1)",
        "SELECT 1 UNION ALL (WITH x AS ({}) SELECT 1)",
        "FROM (WITH y AS (WITH x AS ({}) FROM x) FROM y)",
        "DESCRIBE WITH x AS ({}) FROM x",
    ],
)
def test_a_with_clause_that_changes_something_is_rejected(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, outer: str, inner: str
) -> None:
    file = tmp_path / "written"
    with pytest.raises((UsageError, duckdb.ParserException), match=r"not (COPY|INSERT|UPDATE|DELETE) in a WITH|syntax"):
        connection.execute(reading_statement(connection, outer.format(inner.format(file=file)))).fetchall()
    assert not file.exists()
    assert connection.execute("FROM t").fetchall() == [(1, 2)]


@pytest.mark.parametrize(
    "source",
    [
        "read_text('/etc/passwd')",
        "READ_TEXT('/etc/passwd')",
        "main.read_blob('/etc/passwd')",
        "system.main.read_csv('/etc/passwd')",
        "read_parquet(['x.parquet'])",
        "parquet_metadata('x.parquet')",
        "glob('/**')",
        "query('FROM t')",
        "query_table('t')",
        "json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
        "duckdb_secrets()",
        "duckdb_settings()",
        "duckdb_logs()",
        "truncate_duckdb_logs()",
        "checkpoint()",
        "sniff_csv('/etc/passwd')",
        "'/etc/passwd'",
        '"/etc/passwd"',
        "'x.parquet'",
        "'../catalog.db'",
        "'s3://bucket/key'",
        "'*'",
    ],
)
@pytest.mark.parametrize(
    "around",
    [
        "FROM {}",
        "SELECT 1 WHERE EXISTS (FROM {})",
        "WITH x AS (FROM {}) FROM t",
        "FROM t, LATERAL (FROM {})",
        "SELECT list_transform([1], lambda x: (SELECT 1 FROM {} LIMIT 1))",
        "SUMMARIZE (FROM {})",
        "DESCRIBE FROM {}",
        "FROM t ORDER BY (SELECT count(*) FROM {})",
    ],
)
def test_reading_anything_but_tables_is_rejected(
    connection: duckdb.DuckDBPyConnection, around: str, source: str
) -> None:
    with pytest.raises((UsageError, duckdb.ParserException), match=r"only tables are read|syntax error"):
        reading_statement(connection, around.format(source))


@pytest.mark.parametrize(
    "sql",
    [
        *("", ";", "-- nothing", "SELECT 1; SELECT 2", "EXPLAIN SELECT 1", "EXPLAIN ANALYZE COPY t TO 'x'"),
        *("CALL pragma_version()", "PRAGMA version", "SET threads = 1", "RESET threads", "USE main", "BEGIN"),
        *("PREPARE p AS SELECT 1", "EXECUTE p", "PIVOT t ON a", "CHECKPOINT", "VACUUM", "ANALYZE"),
        *("ATTACH ':memory:' AS x", "INSTALL httpfs", "LOAD httpfs", "EXPORT DATABASE 'x'", "IMPORT DATABASE 'x'"),
    ],
)
def test_anything_but_a_single_select_is_rejected(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    with pytest.raises(UsageError, match=r"Only one SELECT can be run here, not "):
        reading_statement(connection, sql)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="later Pythons read any depth that DuckDB parses")
def test_a_query_nested_too_deeply_is_rejected_with_a_hint(connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(UsageError, match="nested too deeply"):
        reading_statement(connection, f"SELECT {'[1] || ' * 900}[1]")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                *("SELECT", "FROM", "WITH", "x", "AS", "(", ")", ",", "t", "COPY", "TO", "'f'", "INSERT", "INTO", "1"),
                *("VALUES", "UNION", "ALL", "query", "read_text", ";", "--\n", "/*", "*/", "DELETE", "RETURNING", "*"),
            ]
        ),
        max_size=14,
    )
)
def test_no_accepted_statement_changes_anything(words: list[str]) -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS x")
        connection.execute("SET enable_external_access = false")
        with contextlib.suppress(UsageError, duckdb.Error):
            connection.execute(reading_statement(connection, " ".join(words))).fetchall()
        assert connection.execute("SELECT x FROM t").fetchall() == [(1,)]


def test_the_files_that_views_read_are_listed(tmp_path: Path) -> None:
    with duckdb.connect() as connection:
        paths = [str(tmp_path / name) for name in ("a AS SELECT 'b.parquet", "c.parquet")]
        for path in paths:
            connection.execute(f"COPY (SELECT 1 AS n, 'x.parquet' AS s) TO '{path.replace(chr(39), chr(39) * 2)}'")
        quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
        hidden = "s <> 'read_parquet(''/etc/passwd'')'"
        connection.execute(f"CREATE VIEW v AS SELECT n FROM read_parquet([{quoted}]) WHERE {hidden}")
        connection.execute("""CREATE VIEW w AS SELECT n + 1 AS "read_json('/etc/hosts')" FROM v""")
        lines = tmp_path / "[a] day" / "e.json"
        lines.parent.mkdir()
        lines.write_text("{}\n")
        pattern = str(lines).replace("[", "[[]")
        connection.execute(f"CREATE VIEW x AS SELECT * FROM read_json('{pattern}', columns = {{a: 'VARCHAR'}})")
        assert sorted(files_read_by_views(connection)) == sorted([*paths, pattern])
