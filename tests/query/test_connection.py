"""A reader's SQL reads the published tables, as they are or were, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.iceberg.table_reader import TableSnapshot
from brewhouse.iceberg.table_spec import Column, TableSpec
from brewhouse.iceberg.tables import Publication, Tables
from brewhouse.lake.lake import Lake
from brewhouse.query.connection import connect, query
from brewhouse.query.views import write_views

SPEC = TableSpec("gold.t", "A row.", (Column("n", "long", "a number"),))
Given = Callable[..., DuckDBEngine]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, given: Given) -> Lake:
    """A lake whose table gold.t held 1 after RUN1 and holds 2 after RUN2."""
    lake = Lake(tmp_path_factory.mktemp("lake"))
    tables = Tables(lake)
    for number in (1, 2):
        engine = given(SPEC.name, {"n": "INT"}, [(number,)])
        files = engine.write(SPEC, tables.field_ids(SPEC), tables.data_folder(SPEC.name))
        properties = {"brewhouse.run": f"RUN{number}", "brewhouse.raw-snapshot": f"RAW{number}"}
        tables.publish([Publication(SPEC, files)], properties)
    write_views(lake, {SPEC.name: (tables.describe(SPEC.name), tables.files(SPEC.name))}, [])
    return lake


def answer(lake: Lake, sql: str, at: str | None = None) -> list[tuple[Any, ...]]:
    with connect(lake, at) as connection:
        rows: list[tuple[Any, ...]] = query(connection, sql).fetchall()
    return rows


def history(lake: Lake) -> list[TableSnapshot]:
    return Tables(lake).history(SPEC.name)


@pytest.mark.parametrize(
    "sql",
    ["SELECT n FROM gold.t", "FROM gold.t", "WITH x AS (FROM gold.t) SELECT n FROM x", "SELECT n FROM gold.t;"],
)
def test_a_select_reads_what_is_current(lake: Lake, sql: str) -> None:
    assert answer(lake, sql) == [(2,)]


@pytest.mark.parametrize("sql", ["DESCRIBE gold.t", "SHOW ALL TABLES", "SUMMARIZE gold.t"])
def test_a_statement_that_looks_around_is_answered(lake: Lake, sql: str) -> None:
    assert answer(lake, sql)


@pytest.mark.parametrize("at", [None, "RUN1"])
@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO gold.t VALUES (3)",
        "UPDATE gold.t SET n = 3",
        "DELETE FROM gold.t",
        "DROP VIEW gold.t",
        "CREATE TABLE x (n INT)",
        "CREATE TEMP TABLE x AS SELECT 1",
        "COPY (SELECT 1) TO '/tmp/brewhouse-test-copy.csv'",
        "ATTACH ':memory:' AS x",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET threads = 1",
        "PRAGMA database_list",
        "EXPORT DATABASE '/tmp/brewhouse-test-export'",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP VIEW gold.t",
        "",
    ],
)
def test_whatever_does_not_only_read_is_refused(lake: Lake, sql: str, at: str | None) -> None:
    with pytest.raises(UsageError, match=r"Only one SELECT|cannot be run"):
        answer(lake, sql, at)


def test_explaining_a_copy_does_not_write_into_the_lake(lake: Lake) -> None:
    file = lake.root / "explained.csv"
    try:
        with pytest.raises(UsageError):
            answer(lake, f"EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}'")
        assert not file.exists()
    finally:
        file.unlink(missing_ok=True)


@pytest.mark.parametrize("at", [None, "RUN1"])
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_text('{root}/../../../../../../etc/passwd')",
        "SELECT * FROM read_parquet('http://127.0.0.1:9/x.parquet')",
    ],
)
def test_nothing_outside_the_lake_can_be_read(lake: Lake, sql: str, at: str | None) -> None:
    with pytest.raises(UsageError, match="cannot be run"):
        answer(lake, sql.format(root=lake.root), at)


def test_a_copy_in_a_with_clause_does_not_write_into_the_lake(lake: Lake) -> None:
    file = lake.root / "copied.csv"
    with pytest.raises(UsageError, match="not COPY in a WITH"):
        answer(lake, f"WITH x AS (COPY (SELECT 1) TO '{file}') FROM x")
    assert not file.exists()


def test_a_variable_of_this_process_is_no_table(lake: Lake) -> None:
    frame = pyarrow.table({"a": [1]})
    with pytest.raises(UsageError, match="frame does not exist"):
        answer(lake, "FROM frame")
    del frame


def test_wrong_sql_is_a_usage_error_with_duckdbs_words(lake: Lake) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        answer(lake, "SELECT nowhere FROM gold.t")


@pytest.mark.parametrize(("at", "expected"), [("RUN1", 1), ("RAW1", 1), ("RUN2", 2), ("RAW2", 2)])
def test_a_run_is_read_as_it_left_the_tables(lake: Lake, at: str, expected: int) -> None:
    assert answer(lake, "SELECT n FROM gold.t", at) == [(expected,)]


def test_a_snapshot_is_read_by_its_id(lake: Lake) -> None:
    assert [answer(lake, "FROM gold.t", str(s.snapshot_id)) for s in history(lake)] == [[(1,)], [(2,)]]


def test_a_time_reads_what_was_current_then(lake: Lake) -> None:
    first, second = history(lake)
    assert answer(lake, "FROM gold.t", first.committed_at.isoformat()) == [(1,)]
    assert answer(lake, "FROM gold.t", second.committed_at.isoformat()) == [(2,)]
    without_zone = (datetime.now(UTC) + timedelta(hours=1)).replace(tzinfo=None)
    assert answer(lake, "FROM gold.t", without_zone.isoformat()) == [(2,)]


def test_a_time_before_the_first_publishing_has_no_tables(lake: Lake) -> None:
    with pytest.raises(BrewhouseError, match="No table was published at 2001-01-01"):
        connect(lake, "2001-01-01")


def test_what_is_neither_time_nor_snapshot_nor_run_is_refused(lake: Lake) -> None:
    with pytest.raises(UsageError, match="'yesterday' is neither a time"):
        connect(lake, "yesterday")


def test_a_lake_without_tables_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(BrewhouseError, match="brewhouse run"):
        connect(Lake(tmp_path))


def test_an_old_snapshot_is_read_with_the_columns_it_had(tmp_path: Path, given: Given) -> None:
    lake = Lake(tmp_path)
    tables = Tables(lake)
    shapes = ({"n": "long", "old": "string"}, {"old": "long"}, {"n": "string", "old": "long"})
    for number, columns in enumerate(shapes):
        spec = TableSpec(SPEC.name, "A row.", tuple(Column(name, kind, "") for name, kind in columns.items()))
        engine = given(SPEC.name, dict.fromkeys(columns, "INT"), [[7] * len(columns)])
        files = engine.write(spec, tables.field_ids(spec), tables.data_folder(spec.name))
        kept = tuple(tables.files(spec.name)) if tables.names() else ()
        tables.publish([Publication(spec, files, kept)], {"brewhouse.raw-snapshot": f"RAW{number}"})
    answers = [answer(lake, "FROM gold.t ORDER BY ALL", str(s.snapshot_id)) for s in history(lake)]
    assert answers == [[(7, "7")], [(7,), (None,)], [("7", 7), (None, 7), (None, None)]]
    with connect(lake, str(history(lake)[1].snapshot_id)) as connection:
        assert connection.execute("DESCRIBE gold.t").fetchall()[0][:2] == ("old", "BIGINT")
