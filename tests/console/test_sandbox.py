"""A query in the sandbox reads the published tables and reaches nothing else, whatever it tries."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from pyarrow import parquet

from brewhouse.console.sandbox import RESULT, Limits, QueryRequest, QueryResult, Sandbox, answer, confined
from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.errors import BrewhouseError
from brewhouse.iceberg.table_spec import Column, TableSpec
from brewhouse.iceberg.tables import Publication, Tables
from brewhouse.lake.lake import Lake

Ask = Callable[..., QueryResult]
Given = Callable[..., DuckDBEngine]
SPEC = TableSpec("gold.t", "A row.", (Column("n", "long", "a number"),))


@pytest.fixture
def ask(console_lake: Lake, tmp_path: Path) -> Ask:
    """Run a query behind DuckDB's walls, in this process."""

    def run(sql: str, **limits: float) -> QueryResult:
        question = QueryRequest(lake=str(console_lake.root), sql=sql, folder=str(tmp_path), limits=Limits(**limits))  # type: ignore[arg-type]
        return answer(question)

    return run


@pytest.fixture
def ask_process(console_lake: Lake, tmp_path: Path) -> Ask:
    """Run a query behind all walls, in a process of its own."""

    def run(sql: str, **limits: float) -> QueryResult:
        question = QueryRequest(lake=str(console_lake.root), sql=sql, folder=str(tmp_path), limits=Limits(**limits))  # type: ignore[arg-type]
        return Sandbox().ask(question)

    return run


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT name FROM silver.breweries WHERE name LIKE '<%'", [{"c1": "<script>alert('x')</script>"}]),
        ("SELECT 'a' AS x, 'b' AS x", [{"c1": "a", "c2": "b"}]),
        ("SELECT count(*), sum(1) FROM silver.breweries", [{"c1": 400, "c2": 400}]),
        ("SELECT INTERVAL 1 DAY, NULL, '101'::BIT, {'a': INTERVAL 1 DAY}", None),
        ("SELECT count(*) FROM bronze.breweries", [{"c1": 400}]),
        ("SELECT count(*) FROM monitoring.runs", [{"c1": 2}]),
        ("FROM range(3) ORDER BY 1 DESC", [{"c1": 2}, {"c1": 1}, {"c1": 0}]),
        ("SELECT 1 WHERE false", []),
        ("SHOW TABLES", []),
    ],
)
def test_a_select_gives_its_rows_as_a_file(
    ask: Ask, tmp_path: Path, sql: str, rows: list[dict[str, object]] | None
) -> None:
    got = ask(sql)
    assert got.error is None
    written = parquet.read_table(tmp_path / RESULT).to_pylist()
    assert rows is None or written == rows
    assert got.rows == len(written)


def test_the_columns_keep_their_names_and_types(ask: Ask) -> None:
    got = ask("SELECT 1 AS n, 'x' AS \"sum(t.x)\", [1] AS l")
    assert (got.names, got.types) == (["n", "sum(t.x)", "l"], ["INTEGER", "VARCHAR", "INTEGER[]"])


@pytest.mark.parametrize(
    "sql",
    [
        "FROM read_text('/etc/passwd')",
        "FROM '/etc/passwd'",
        "FROM read_text('{root}/run.lock')",
        "FROM read_blob('{root}/catalog.db')",
        "FROM '{root}/warehouse/../catalog.db'",
        "FROM glob('{root}/**')",
        "COPY (SELECT 1) TO '{root}/out.csv'",
        "COPY silver.breweries TO '{root}/out.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{root}/out.csv'",
        "WITH x AS (COPY (SELECT 1) TO '{root}/out.csv') FROM x",
        "WITH x AS (DELETE FROM silver.breweries RETURNING *) FROM x",
        "ATTACH '{root}/catalog.db' AS c (TYPE sqlite)",
        "ATTACH '{root}/other.duckdb' AS c",
        "INSTALL httpfs",
        "LOAD httpfs",
        "PRAGMA database_list",
        "SET memory_limit = '100GB'",
        "RESET lock_configuration",
        "SELECT 1; SELECT 2",
        "SELECT 1; COPY silver.breweries TO '{root}/out.csv'",
        "FROM query('FROM silver.breweries')",
        "FROM query_table('silver.breweries')",
        "FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
        "FROM duckdb_secrets()",
        "FROM duckdb_settings()",
        "SELECT getenv('HOME')",
        "FROM read_parquet('http://127.0.0.1:9/x.parquet')",
        "FROM 'https://example.org/x.csv'",
        "SELECT list_transform([1], lambda x: (SELECT content FROM read_text('/etc/passwd')))",
        "SELECT 1 -- \nFROM read_text('/etc/passwd')",
        "SELECT /* FROM silver.breweries */ * FROM/**/read_text/**/('/etc/passwd')",
        "CREATE TABLE t AS SELECT 1",
        "CREATE MACRO f() AS 1",
        "EXPORT DATABASE '{root}/out'",
        "CALL enable_logging()",
    ],
)
def test_what_tries_to_get_out_is_refused_and_leaves_nothing(
    ask: Ask, console_lake: Lake, tmp_path: Path, sql: str
) -> None:
    before = {file: file.stat().st_size for file in console_lake.root.rglob("*")}
    got = ask(sql.format(root=console_lake.root))
    assert got.error is not None
    assert "root:" not in got.error
    assert {file: file.stat().st_size for file in console_lake.root.rglob("*")} == before
    assert not (tmp_path / RESULT).exists()


@pytest.mark.parametrize(
    "place",
    ["/etc/passwd", "{root}/catalog.db", "{root}/run.lock", "{root}/warehouse/../catalog.db", "{root}/logs/x.jsonl"],
)
def test_duckdb_refuses_files_even_when_the_parser_would_let_them_pass(
    console_lake: Lake, tmp_path: Path, place: str
) -> None:
    with confined(QueryRequest(lake=str(console_lake.root), sql="", folder=str(tmp_path))) as connection:
        path = place.format(root=console_lake.root)
        for sql in (f"FROM read_blob('{path}')", f"COPY (SELECT 1) TO '{path}'", f"ATTACH '{path}' AS x"):
            with pytest.raises(duckdb.PermissionException):
                connection.execute(sql)
        with pytest.raises(duckdb.InvalidInputException, match="locked"):
            connection.execute("SET enable_external_access = true")


def test_an_error_shows_where_in_the_query_it_is(ask: Ask) -> None:
    got = ask("SELECT n\nFROM gold.brewery")
    assert got.error is not None
    assert "Table with name brewery does not exist" in got.error
    assert "LINE 2: FROM gold.brewery\n             ^^^^" in got.error


def test_an_error_amid_the_rows_is_one_too(ask: Ask) -> None:
    got = ask("SELECT CAST(CASE WHEN x = 90000 THEN 'a' ELSE '1' END AS INT) FROM range(100000) t(x)")
    assert got.error is not None
    assert "Could not convert string 'a'" in got.error


@pytest.mark.parametrize("limits", [{"rows": 25_000}, {"result_mb": 0}])
def test_a_long_result_is_cut(ask: Ask, tmp_path: Path, limits: dict[str, float]) -> None:
    got = ask("FROM range(1000000000)", **limits)
    assert got.is_cut
    assert 0 < got.rows == parquet.read_metadata(tmp_path / RESULT).num_rows <= 25_000


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT len(list(x)) FROM range(100000000) t(x)",
        "SELECT sum(hash(x)) FROM (SELECT unnest(range(1000000000)) AS x)",
        "SELECT length(repeat('x', 2000000000))",
    ],
)
def test_a_query_that_needs_too_much_memory_is_stopped(ask_process: Ask, sql: str) -> None:
    got = ask_process(sql, memory_mb=128, spill_mb=64)
    assert got.error is not None
    assert "needs more than the 128 MB of memory" in got.error


def test_a_query_that_takes_too_long_is_stopped(ask_process: Ask) -> None:
    with pytest.raises(BrewhouseError, match=r"longer than 0\.5 seconds"):
        ask_process("SELECT count(*) FROM range(100000000) a, range(100000000) b", seconds=0.5)


def test_a_lake_on_s3_is_read_and_nothing_else_there(shared_lake: Lake, given: Given, tmp_path: Path) -> None:
    tables = Tables(shared_lake)
    engine = given(SPEC.name, {"n": "INT"}, [(7,)])
    files = engine.write(SPEC, tables.field_ids(SPEC), tables.data_folder(SPEC.name))
    tables.publish([Publication(SPEC, files)], {"brewhouse.run": "RUN1"})
    asked = QueryRequest(lake=str(shared_lake.root), shared=shared_lake.shared, sql="FROM gold.t", folder=str(tmp_path))
    assert answer(asked).error is None
    assert parquet.read_table(tmp_path / RESULT).to_pylist() == [{"c1": 7}]
    (metadata,) = list(shared_lake.root.rglob("*.metadata.json"))[-1:]
    with confined(asked) as connection, pytest.raises(duckdb.PermissionException):
        connection.execute(f"FROM read_blob('{metadata}')")


def test_a_sandbox_that_nobody_asks_ends_with_who_started_it() -> None:
    sandbox = Sandbox()
    process = sandbox._process
    assert process.stdin is not None
    process.stdin.close()
    deadline = time.monotonic() + 30
    while process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert process.returncode == 0
    process.stdin = None
    sandbox.close()
