"""A query in the sandbox reads the published tables and nothing else, within its limits."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import msgspec
import pytest
from pyarrow import parquet

from brewhouse.console import sandbox as sandbox_module
from brewhouse.console.sandbox import (
    RESULT_FILE,
    QueryLimits,
    QueryRequest,
    QueryResult,
    ResultColumn,
    Sandbox,
    confined_connection,
    execute,
)
from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.errors import BrewhouseError
from brewhouse.iceberg.table_spec import Column, Publication, TableSpec
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake

Run = Callable[..., QueryResult]
Given = Callable[..., DuckDBEngine]
SPEC = TableSpec("gold.t", "A row.", (Column("n", "long", "a number"),))
ENDLESS = "SELECT count(*) FROM range(100000000) a, range(100000) b"


@pytest.fixture
def run(console_lake: Lake, tmp_path: Path) -> Run:
    """Run a query on a confined connection in this process."""

    def run(sql: str, at: str | None = None, **limits: float) -> QueryResult:
        return execute(request_for(console_lake, tmp_path, sql, at, **limits))

    return run


@pytest.fixture
def run_process(console_lake: Lake, tmp_path: Path) -> Run:
    """Run a query in a process of its own."""

    def run(sql: str, at: str | None = None, **limits: float) -> QueryResult:
        return Sandbox().run(request_for(console_lake, tmp_path, sql, at, **limits))

    return run


def request_for(lake: Lake, folder: Path, sql: str, at: str | None = None, **limits: float) -> QueryRequest:
    limit = msgspec.convert(limits, QueryLimits)
    return QueryRequest(lake=str(lake.root), shared=lake.shared, at=at, sql=sql, folder=str(folder), limits=limit)


def rows_of(folder: Path) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = parquet.read_table(folder / RESULT_FILE).to_pylist()
    return rows


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT name FROM silver.breweries WHERE name LIKE '<%'", [{"c1": "<script>alert('x')</script>"}]),
        ("SELECT 'a' AS x, 'b' AS x", [{"c1": "a", "c2": "b"}]),
        ("SELECT count(*), sum(1) FROM silver.breweries", [{"c1": 400, "c2": "400"}]),
        ("SELECT count(*) FROM bronze.breweries", [{"c1": 400}]),
        ("SELECT count(*) FROM monitoring.runs", [{"c1": 2}]),
        ("FROM range(3) ORDER BY 1 DESC", [{"c1": 2}, {"c1": 1}, {"c1": 0}]),
        ("WITH a AS (SELECT 1 AS n) SELECT n + 1 FROM a;", [{"c1": 2}]),
        ("VALUES (1, 'x'), (2, 'y')", [{"c1": 1, "c2": "x"}, {"c1": 2, "c2": "y"}]),
        ("SELECT 1 WHERE false", []),
        ("SHOW TABLES", []),
        ("-- a comment\nSELECT 1 /* another */", [{"c1": 1}]),
    ],
)
def test_the_rows_of_a_select_are_written_to_a_file(
    run: Run, tmp_path: Path, sql: str, rows: list[dict[str, object]]
) -> None:
    result = run(sql)
    assert result.error is None
    assert rows_of(tmp_path) == rows
    assert (result.rows, result.is_cut) == (len(rows), False)


@pytest.mark.parametrize(
    "sql", ["DESCRIBE silver.breweries", "SUMMARIZE gold.breweries_by_location", "SHOW ALL TABLES"]
)
def test_statements_about_tables_are_allowed(run: Run, sql: str) -> None:
    result = run(sql)
    assert result.error is None
    assert result.rows > 3


def test_columns_keep_their_names_and_types(run: Run) -> None:
    result = run("SELECT 1 AS n, 'x' AS \"sum(t.x)\", [1] AS l, 2 AS n")
    assert result.columns == [
        ResultColumn("n", "INTEGER"),
        ResultColumn("sum(t.x)", "VARCHAR"),
        ResultColumn("l", "INTEGER[]"),
        ResultColumn("n", "INTEGER"),
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("INTERVAL 1 DAY", "1 day"),
        ("NULL", None),
        ("'101'::BIT", "101"),
        ("{'a': INTERVAL 1 DAY}", {"a": "1 day"}),
        ("[INTERVAL 1 DAY]", ["1 day"]),
        ("union_value(n := 1)", "1"),
        ("'12:00:00+02'::TIMETZ", "12:00:00+02"),
    ],
)
def test_types_that_parquet_lacks_are_written_as_text(run: Run, tmp_path: Path, value: str, text: object) -> None:
    result = run(f"SELECT {value} AS v, 7 AS n")
    assert result.error is None
    assert rows_of(tmp_path) == [{"c1": text, "c2": 7}]


def test_a_query_reads_as_of_an_earlier_run(run: Run, tmp_path: Path) -> None:
    run("SELECT run FROM monitoring.runs ORDER BY started_at LIMIT 1")
    earlier = str(rows_of(tmp_path)[0]["c1"])
    assert run("SELECT count(*) FROM silver.breweries", at=earlier).error is None
    assert rows_of(tmp_path) == [{"c1": 399}]
    missing = run("SELECT 1", at="2001-01-01")
    assert "2001-01-01" in str(missing.error)
    assert missing.hint


@pytest.mark.parametrize(
    "sql",
    [
        "FROM read_text('/etc/passwd')",
        "FROM '/etc/passwd'",
        'FROM "/etc/passwd"',
        "FROM read_text('{root}/run.lock')",
        "FROM read_blob('{root}/catalog.db')",
        "FROM '{root}/warehouse/../catalog.db'",
        "FROM glob('{root}/**')",
        "FROM read_csv_auto('/etc/passwd')",
        "FROM parquet_metadata('{root}/catalog.db')",
        "FROM sniff_csv('/etc/passwd')",
        "FROM sqlite_scan('{root}/catalog.db', 'iceberg_tables')",
        "COPY (SELECT 1) TO '{root}/out.csv'",
        "COPY silver.breweries TO '{root}/out.csv'",
        "COPY silver.breweries FROM '/etc/passwd'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{root}/out.csv'",
        "WITH x AS (COPY (SELECT 1) TO '{root}/out.csv') FROM x",
        "WITH x AS (DELETE FROM silver.breweries RETURNING *) FROM x",
        "WITH x AS (SELECT 1 UNION ALL FROM read_text('/etc/passwd')) FROM x",
        "SELECT (SELECT content FROM read_text('/etc/passwd'))",
        "SELECT 1 ORDER BY (SELECT content FROM read_text('/etc/passwd'))",
        "ATTACH '{root}/catalog.db' AS c (TYPE sqlite)",
        "ATTACH '{root}/other.duckdb' AS c",
        "DETACH published",
        "USE memory",
        "INSTALL httpfs",
        "LOAD httpfs",
        "PRAGMA database_list",
        "PRAGMA enable_profiling='json'",
        "SET memory_limit = '100GB'",
        "SET VARIABLE x = 1",
        "RESET lock_configuration",
        "SELECT 1; SELECT 2",
        "SELECT 1; COPY silver.breweries TO '{root}/out.csv'",
        "FROM query('FROM silver.breweries')",
        "FROM query_table('silver.breweries')",
        "FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
        "FROM duckdb_secrets()",
        "FROM duckdb_settings()",
        "CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
        "SELECT getenv('HOME')",
        "FROM read_parquet('http://127.0.0.1:9/x.parquet')",
        "FROM 'https://example.org/x.csv'",
        "FROM 's3://bucket/x.parquet'",
        "SELECT list_transform([1], lambda x: (SELECT content FROM read_text('/etc/passwd')))",
        "SELECT 1 -- \nFROM read_text('/etc/passwd')",
        "SELECT /* FROM silver.breweries */ * FROM/**/read_text/**/('/etc/passwd')",
        "CREATE TABLE t AS SELECT 1",
        "CREATE TEMP VIEW v AS SELECT 1",
        "CREATE MACRO f() AS 1",
        "INSERT INTO silver.breweries SELECT * FROM silver.breweries",
        "UPDATE silver.breweries SET name = ''",
        "DROP VIEW silver.breweries",
        "EXPORT DATABASE '{root}/out'",
        "IMPORT DATABASE '{root}/out'",
        "CALL enable_logging()",
        "CHECKPOINT",
        "BEGIN",
        "",
        ";",
        "-- nothing",
    ],
)
def test_an_attempt_to_leave_the_tables_fails_and_changes_nothing(
    run: Run, console_lake: Lake, tmp_path: Path, sql: str
) -> None:
    before = {file: file.stat().st_size for file in console_lake.root.rglob("*")}
    result = run(sql.format(root=console_lake.root))
    assert result.error
    assert "root:" not in result.error
    assert {file: file.stat().st_size for file in console_lake.root.rglob("*")} == before
    assert not (tmp_path / RESULT_FILE).exists()


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "{root}/catalog.db", "{root}/run.lock", "{root}/warehouse/../catalog.db", "{root}/logs/x.jsonl"],
)
def test_duckdb_refuses_files_even_if_the_parser_admitted_them(console_lake: Lake, tmp_path: Path, path: str) -> None:
    file = path.format(root=console_lake.root)
    with confined_connection(request_for(console_lake, tmp_path, "")) as connection:
        for sql in (f"FROM read_blob('{file}')", f"COPY (SELECT 1) TO '{file}'", f"ATTACH '{file}' AS x"):
            with pytest.raises(duckdb.PermissionException):
                connection.execute(sql)


@pytest.mark.parametrize(
    "setting", ["enable_external_access = true", "memory_limit = '1TB'", "allowed_paths = ['/etc']"]
)
def test_the_configuration_is_locked(console_lake: Lake, tmp_path: Path, setting: str) -> None:
    with (
        confined_connection(request_for(console_lake, tmp_path, "")) as connection,
        pytest.raises(duckdb.InvalidInputException),
    ):
        connection.execute(f"SET {setting}")


def test_limits_are_set_on_the_connection(console_lake: Lake, tmp_path: Path) -> None:
    request = request_for(console_lake, tmp_path, "", memory_mb=300, threads=1, spill_mb=50)
    with confined_connection(request) as connection:
        settings = dict(connection.execute("SELECT name, value FROM duckdb_settings()").fetchall())
    assert settings["threads"] == "1"
    assert settings["memory_limit"] == "286.1 MiB"
    assert settings["max_temp_directory_size"] == "47.6 MiB"
    assert settings["temp_directory"].startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("SELECT n\nFROM gold.brewery", "LINE 2: FROM gold.brewery\n             ^^^^"),
        ("SELECT nowhere FROM silver.breweries", "LINE 1: SELECT nowhere FROM"),
        ("SELECT 1 +", "syntax error"),
        ("SELECT * FROM silver.breweries WHERE", "syntax error"),
        ("SELECT 'a'::INT", "Could not convert string 'a'"),
    ],
)
def test_an_error_includes_its_position_in_the_query(run: Run, sql: str, error: str) -> None:
    result = run(sql)
    assert error in str(result.error)
    assert result.hint
    assert (result.columns, result.rows) == ([], 0)


def test_an_error_in_a_later_row_is_reported(run: Run) -> None:
    result = run("SELECT CAST(CASE WHEN x = 90000 THEN 'a' ELSE '1' END AS INT) FROM range(100000) t(x)")
    assert "Could not convert string 'a'" in str(result.error)


@pytest.mark.parametrize(
    ("rows", "available", "is_cut"), [(100, 99, False), (100, 100, False), (100, 101, True), (1, 50_000, True)]
)
def test_a_result_is_truncated_after_its_limit_of_rows(
    run: Run, tmp_path: Path, rows: int, available: int, is_cut: bool
) -> None:
    result = run(f"FROM range({available})", rows=rows)
    assert (result.rows, result.is_cut) == (min(rows, available), is_cut)
    assert len(rows_of(tmp_path)) == result.rows


def test_a_result_is_truncated_at_its_file_size(run: Run, tmp_path: Path) -> None:
    result = run("SELECT hash(range) FROM range(1000000000)", result_mb=1)
    assert result.is_cut
    assert 0 < result.rows == parquet.read_metadata(tmp_path / RESULT_FILE).num_rows < 1_000_000_000
    assert (tmp_path / RESULT_FILE).stat().st_size < 8 * 1024 * 1024


def test_a_result_of_long_rows_is_truncated_before_its_file_is_too_large(run_process: Run, tmp_path: Path) -> None:
    result = run_process("SELECT md5(x::VARCHAR) FROM range(200000) t(x)", spill_mb=1, result_mb=1)
    assert (result.error, result.is_cut) == (None, True)
    assert 0 < result.rows == parquet.read_metadata(tmp_path / RESULT_FILE).num_rows < 200_000


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT len(list(x)) FROM range(100000000) t(x)",
        "SELECT sum(hash(x)) FROM (SELECT unnest(range(1000000000)) AS x)",
        "SELECT length(repeat('x', 2000000000))",
        "SELECT count(*) FROM (SELECT DISTINCT hash(x), hash(x + 1) FROM range(100000000) t(x))",
    ],
)
def test_a_query_is_stopped_at_its_memory_and_disk_limits(run_process: Run, sql: str) -> None:
    with_limits = {"memory_mb": 128, "spill_mb": 64}
    try:
        error = str(run_process(sql, **with_limits).error)
    except BrewhouseError as killed:
        error = str(killed)
    assert "limit of 128 MB of memory and 64 MB of disk" in error


def test_a_query_is_stopped_at_its_time_limit(run_process: Run) -> None:
    with pytest.raises(BrewhouseError, match=r"time limit of 0\.5 seconds"):
        run_process(ENDLESS, seconds=0.5)


def test_a_process_returns_the_same_result_as_a_call(run: Run, run_process: Run, tmp_path: Path) -> None:
    for sql in ("SELECT country_name, count(*) FROM silver.breweries GROUP BY ALL ORDER BY 1", "SELECT nowhere"):
        expected = run(sql)
        rows = rows_of(tmp_path)
        assert run_process(sql) == expected
        assert rows_of(tmp_path) == rows


def test_a_killed_process_raises(console_lake: Lake, tmp_path: Path) -> None:
    sandbox = Sandbox()
    sandbox.kill()
    with pytest.raises(BrewhouseError, match="was stopped"):
        sandbox.run(request_for(console_lake, tmp_path, "SELECT 1"))


def test_a_lake_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    result = execute(request_for(Lake(tmp_path / "nothing"), tmp_path, "SELECT 1"))
    assert "does not exist" in str(result.error)
    assert "brewhouse run" in result.hint


def test_the_process_prints_one_result_for_one_request(console_lake: Lake, tmp_path: Path) -> None:
    request = msgspec.json.encode(request_for(console_lake, tmp_path, "SELECT 'é'"))
    out = subprocess.run(
        [sys.executable, "-m", sandbox_module.__name__], input=request, capture_output=True, check=True
    ).stdout
    assert msgspec.json.decode(out, type=QueryResult).rows == 1
    assert rows_of(tmp_path) == [{"c1": "é"}]


def test_a_lake_on_s3_is_read_and_no_other_object(shared_lake: Lake, given: Given, tmp_path: Path) -> None:
    tables = Tables(shared_lake)
    engine = given(SPEC.name, {"n": "INT"}, [(7,)])
    files = engine.write(SPEC, tables.field_ids(SPEC), tables.data_folder(SPEC.name))
    tables.publish([Publication(SPEC, files)], {"brewhouse.run": "RUN1"})
    request = request_for(shared_lake, tmp_path, "FROM gold.t")
    assert execute(request).error is None
    assert rows_of(tmp_path) == [{"c1": 7}]
    (metadata,) = list(shared_lake.root.rglob("*.metadata.json"))[-1:]
    with confined_connection(request) as connection, pytest.raises(duckdb.PermissionException):
        connection.execute(f"FROM read_blob('{metadata}')")


def test_an_idle_sandbox_exits_with_its_parent() -> None:
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
