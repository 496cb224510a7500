"""A reader's SQL reads the published tables, current or earlier, and nothing else."""

from __future__ import annotations

import gzip
import secrets
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pyarrow
import pytest

from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.iceberg.table_reader import TableSnapshot
from brewhouse.iceberg.table_spec import Column, Publication, TableSpec
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.damage import DamagedFileError
from brewhouse.lake.lake import Lake
from brewhouse.pipeline.publishing import refresh_views
from brewhouse.query.connection import connect, open_views, published_tables, query, readable_errors
from brewhouse.query.views import views_copy, write_views

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
    write_views(lake, {SPEC.name: (tables.describe(SPEC.name), tables.files(SPEC.name))}, [], views_copy(lake))
    return lake


def answer(lake: Lake, sql: str, at: str | None = None) -> list[tuple[Any, ...]]:
    with connect(lake, at) as connection:
        rows: list[tuple[Any, ...]] = query(connection, sql)
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
def test_a_statement_that_inspects_the_schema_is_accepted(lake: Lake, sql: str) -> None:
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
def test_a_statement_that_does_not_only_read_is_rejected(lake: Lake, sql: str, at: str | None) -> None:
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


def test_a_python_variable_is_not_a_table(lake: Lake) -> None:
    frame = pyarrow.table({"a": [1]})
    with pytest.raises(UsageError, match="frame does not exist"):
        answer(lake, "FROM frame")
    del frame


def test_invalid_sql_is_a_usage_error_with_duckdbs_message(lake: Lake) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        answer(lake, "SELECT nowhere FROM gold.t")


@pytest.mark.parametrize(("at", "expected"), [("RUN1", 1), ("RAW1", 1), ("RUN2", 2), ("RAW2", 2)])
def test_a_run_id_reads_the_tables_of_that_run(lake: Lake, at: str, expected: int) -> None:
    assert answer(lake, "SELECT n FROM gold.t", at) == [(expected,)]


def test_a_snapshot_is_read_by_its_id(lake: Lake) -> None:
    assert [answer(lake, "FROM gold.t", str(s.snapshot_id)) for s in history(lake)] == [[(1,)], [(2,)]]


def test_a_time_reads_what_was_current_then(lake: Lake) -> None:
    first, second = history(lake)
    assert answer(lake, "FROM gold.t", first.committed_at.isoformat()) == [(1,)]
    assert answer(lake, "FROM gold.t", second.committed_at.isoformat()) == [(2,)]
    without_zone = (datetime.now(UTC) + timedelta(hours=1)).replace(tzinfo=None)
    assert answer(lake, "FROM gold.t", without_zone.isoformat()) == [(2,)]


def test_a_time_before_the_first_publication_has_no_tables(lake: Lake) -> None:
    with pytest.raises(BrewhouseError, match="No table was published at 2001-01-01"):
        connect(lake, "2001-01-01")


def test_anything_but_a_time_a_snapshot_or_a_run_is_rejected(lake: Lake) -> None:
    with pytest.raises(UsageError, match="'yesterday' is neither a time"):
        connect(lake, "yesterday")


def test_a_lake_without_tables_is_an_error_with_the_next_step(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("at", [None, "RUN1"])
@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT * FROM read_text('{outside}')", "disabled|Permission"),
        ("SELECT * FROM read_parquet('http://127.0.0.1:9/x.parquet')", "disabled|Permission"),
        ("COPY (SELECT 1) TO '{outside}.csv'", "disabled|Permission"),
        ("ATTACH '{outside}.db' AS x", "disabled|Permission"),
        ("EXPORT DATABASE '{outside}.export'", "disabled|Permission"),
        ("INSTALL httpfs", "disabled|Permission"),
        ("LOAD '{outside}.duckdb_extension'", "disabled|Permission|file system operations"),
        ("SET enable_external_access = true", "locked"),
        ("SET allowed_directories = ['/']", "locked"),
        ("SET threads = 1", "locked"),
        ("RESET lock_configuration", "locked"),
        ("PRAGMA memory_limit = '1GB'", "locked"),
        ("CREATE TABLE published.main.x (n INT)", "read-only|does not exist|Catalog"),
    ],
)
def test_the_connection_itself_blocks_what_the_validation_would_miss(
    lake: Lake, tmp_path: Path, sql: str, message: str, at: str | None
) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("secret")
    with connect(lake, at) as connection, pytest.raises(duckdb.Error, match=message):
        connection.execute(sql.format(outside=outside)).fetchall()
    assert [path.name for path in tmp_path.iterdir()] == ["outside.txt"]


def test_views_opened_without_restrictions_read_other_files(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("readable")
    with open_views(lake) as connection:
        (row,) = connection.execute(f"SELECT content FROM read_text('{tmp_path / 'outside.txt'}')").fetchall()
    assert row == ("readable",)


@pytest.mark.parametrize(
    ("sql", "message", "hint"),
    [
        ("INSERT INTO gold.t VALUES (3)", "Only one SELECT can be run here, not INSERT.", "brewhouse rollback"),
        ("SELECT 1; SELECT 2", "Only one SELECT can be run here, not SELECT, SELECT.", "write a model"),
        ("  ", "Only one SELECT can be run here, not an empty text.", "A PIVOT names its values"),
        (
            "FROM glob('/*')",
            "The query cannot be run: it reads glob(…), and only tables are read here.",
            "SHOW ALL TABLES",
        ),
        ("FROM '/x.csv'", "The query cannot be run: '/x.csv' is not a table, and only tables", "SHOW ALL TABLES"),
        ("SELEC 1", "The query cannot be run: Parser Error: syntax error at or near", "brewhouse tables"),
        (
            "SELECT n FROM gold.x",
            "The query cannot be run: Catalog Error: Table with name x does not exist",
            "LINE 1: ",
        ),
        ("SELECT 1 +", "The query cannot be run: Parser Error", "brewhouse tables"),
    ],
)
def test_an_error_has_its_cause_and_the_next_step(lake: Lake, sql: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        answer(lake, sql)
    assert caught.value.what.startswith(message)
    assert hint in str(caught.value)


def test_an_error_shows_the_line_of_the_query_with_a_caret_below_the_position(lake: Lake) -> None:
    with pytest.raises(UsageError) as caught:
        answer(lake, "SELECT\n  nowhere\nFROM gold.t")
    *_, line, caret = caught.value.hint.splitlines()
    assert line[caret.index("^") :].startswith("nowhere")


def test_a_query_is_repeated_once_if_a_file_disappears_while_it_is_read(lake: Lake) -> None:
    class Flaky:
        """A real connection on which the first execution of the query finds a file missing."""

        def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
            self.connection = connection
            self.failures = 1

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of the connection
            return getattr(self.connection, name)

        def sql(self, statement: Any, **options: Any) -> Any:  # noqa: ANN401 - as DuckDB's
            if self.failures:
                self.failures -= 1
                raise duckdb.IOException("No files found that match the pattern")
            return self.connection.sql(statement, **options)

        def execute(self, statement: Any, *rest: Any) -> Any:  # noqa: ANN401 - as DuckDB's
            if isinstance(statement, duckdb.Statement):
                raise duckdb.IOException("No files found that match the pattern")
            return self.connection.execute(statement, *rest)

    with connect(lake) as connection:
        flaky: Any = Flaky(connection)
        assert query(flaky, "FROM gold.t") == [(2,)]
        flaky.failures = 2
        with pytest.raises(UsageError, match="No files found"):
            query(flaky, "FROM gold.t")


def test_connections_do_not_share_settings_or_temporary_tables(lake: Lake) -> None:
    with open_views(lake) as one, open_views(lake) as other:
        one.execute("SET GLOBAL TimeZone = 'Asia/Tokyo'")
        one.execute("CREATE TEMP TABLE mine AS SELECT 1")
        assert other.execute("SELECT current_setting('TimeZone')").fetchall() == [("UTC",)]
        with pytest.raises(duckdb.CatalogException):
            other.execute("FROM mine")


def test_a_cursor_shows_times_in_utc(lake: Lake) -> None:
    with connect(lake) as connection, connection.cursor() as cursor:
        (row,) = query(cursor, "SELECT CAST(TIMESTAMPTZ '2026-08-02 10:00:00+02' AS VARCHAR)")
    assert row == ("2026-08-02 08:00:00+00",)


def test_a_reader_keeps_its_state_while_a_run_publishes(tmp_path: Path, given: Given) -> None:
    lake = Lake(tmp_path)
    tables = Tables(lake)

    def publish(number: int) -> None:
        files = given(SPEC.name, {"n": "INT"}, [(number,)]).write(
            SPEC, tables.field_ids(SPEC), tables.data_folder(SPEC.name)
        )
        tables.publish([Publication(SPEC, files)], {"brewhouse.raw-snapshot": f"RAW{number}"})
        write_views(lake, {SPEC.name: (tables.describe(SPEC.name), tables.files(SPEC.name))}, [], views_copy(lake))

    publish(1)
    with connect(lake) as reader:
        publish(2)
        assert query(reader, "FROM gold.t") == [(1,)]
    assert answer(lake, "FROM gold.t") == [(2,)]


HOLDER = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1])
print(connection.execute("FROM gold.t").fetchall(), flush=True)
sys.stdin.readline()
print(connection.execute("FROM gold.t").fetchall(), flush=True)
"""


def test_a_client_that_has_the_file_open_for_writing_blocks_neither_readers_nor_a_publication(
    tmp_path: Path, given: Given
) -> None:
    lake = Lake(tmp_path)
    tables = Tables(lake)

    def publish(number: int) -> None:
        engine = given(SPEC.name, {"n": "INT"}, [(number,)])
        tables.publish([Publication(SPEC, engine.write(SPEC, {"n": 1}, tables.data_folder(SPEC.name)))], {})
        refresh_views(lake, tables, pytest.fail)

    publish(1)
    command = [sys.executable, "-c", HOLDER, str(lake.views_file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        assert client.stdout.readline() == "[(1,)]\n"
        with pytest.raises(duckdb.IOException, match="lock"):
            duckdb.connect(str(lake.views_file), read_only=True)
        assert answer(lake, "FROM gold.t") == [(1,)]
        publish(2)
        assert answer(lake, "FROM gold.t") == [(2,)]
        with duckdb.connect(str(lake.views_file), read_only=True) as other:
            assert other.execute("FROM gold.t").fetchall() == [(2,)]
        assert client.communicate("\n", timeout=60)[0] == "[(1,)]\n", "the client keeps the file it opened"


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "flipped", "of another state"])
def test_views_are_made_from_the_catalog_if_their_copy_is_missing_or_damaged(lake: Lake, damage: str) -> None:
    copy = views_copy(lake)
    assert copy is not None
    content = copy.read_bytes()
    match damage:
        case "missing":
            copy.unlink()
        case "empty":
            copy.write_bytes(b"")
        case "cut":
            copy.write_bytes(content[: len(content) // 2])
        case "flipped":
            copy.write_bytes(content[:8192] + bytes(byte ^ 1 for byte in content[8192:]))
        case _:
            copy.rename(copy.with_name("0123456789abcdef.duckdb"))
    try:
        assert answer(lake, "FROM gold.t") == [(2,)]
    finally:
        for file in lake.own_views.iterdir():
            file.unlink()
        copy.write_bytes(content)


def test_the_file_for_other_clients_is_not_needed(lake: Lake) -> None:
    content = lake.views_file.read_bytes()
    lake.views_file.write_bytes(b"no database")
    try:
        assert answer(lake, "FROM gold.t") == [(2,)]
        assert not {"pyiceberg", "brewhouse.iceberg.tables"} & modules_of_a_query(lake)
    finally:
        lake.views_file.write_bytes(content)


def modules_of_a_query(lake: Lake) -> set[str]:
    code = (
        "import sys\nfrom pathlib import Path\nfrom brewhouse.lake.lake import Lake\n"
        "from brewhouse.query.connection import connect, query\n"
        "query(connect(Lake(Path(sys.argv[1]))), 'FROM gold.t')\nprint(*sys.modules)"
    )
    command = [sys.executable, "-c", code, str(lake.root)]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_a_publication_by_another_program_is_read_although_the_views_are_older(tmp_path: Path, given: Given) -> None:
    lake = Lake(tmp_path)
    tables = Tables(lake)
    for number in (1, 2):
        engine = given(SPEC.name, {"n": "INT"}, [(number,)])
        tables.publish([Publication(SPEC, engine.write(SPEC, {"n": 1}, tables.data_folder(SPEC.name)))], {})
        if number == 1:
            refresh_views(lake, tables, pytest.fail)
    assert answer(lake, "FROM gold.t") == [(2,)]


def test_no_catalog_is_created_by_reading(tmp_path: Path) -> None:
    for read in (published_tables, connect, open_views, lambda lake: connect(lake, "RUN1")):
        with pytest.raises(BrewhouseError, match=r"no published tables\. Run `brewhouse run` first\."):
            read(Lake(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_lake_with_events_only_has_empty_tables_and_its_events(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    folder = lake.events / "date=2026-08-02"
    folder.mkdir(parents=True)
    event = '{"id": "1", "detail-type": "x", "source": "s", "time": "2026-08-02T00:00:00Z", "detail": {"runId": "R"}}'
    (folder / "1.json").write_text(event)
    assert answer(lake, "SELECT run FROM monitoring.events") == [("R",)]
    assert answer(lake, "SELECT count(*) FROM bronze.breweries") == [(0,)]
    with pytest.raises(BrewhouseError, match="has no published tables"):
        connect(lake, "2026-08-02")


def test_of_several_snapshots_of_a_run_the_last_is_read_in_every_table(tmp_path: Path, given: Given) -> None:
    lake = Lake(tmp_path)
    tables = Tables(lake)
    other = TableSpec("silver.s", "A row.", SPEC.columns)

    def publish(number: int, raw: str, *specs: TableSpec) -> None:
        publications = []
        for spec in specs:
            engine = given(spec.name, {"n": "INT"}, [(number,)])
            publications.append(
                Publication(spec, engine.write(spec, tables.field_ids(spec), tables.data_folder(spec.name)))
            )
        tables.publish(publications, {"brewhouse.run": f"RUN{number}", "brewhouse.raw-snapshot": raw})

    publish(1, "RAW1", other)
    publish(2, "RAW1", SPEC)
    publish(3, "RAW1", SPEC, other)  # a later run rebuilt the tables from the same raw snapshot
    publish(4, "RAW4", SPEC)
    for at in ("RAW1", "RUN1", "RUN2", "RUN3"):
        assert answer(lake, "SELECT t.n, s.n FROM gold.t AS t, silver.s AS s", at) == [(3, 3)]
    assert answer(lake, "FROM gold.t", "RUN4") == [(4,)]
    with pytest.raises(UsageError, match="s does not exist"):
        answer(lake, "FROM silver.s", "RAW4")
    first = tables.history(other.name)[0].committed_at
    assert answer(lake, "FROM silver.s", first.isoformat()) == [(1,)]
    with pytest.raises(UsageError, match="t does not exist"):
        answer(lake, "FROM gold.t", first.isoformat())


@pytest.mark.parametrize("at", ["2026-13-01", "12", "RUN9", "", "2026-08-02T25:00", "now"])
def test_an_invalid_time_is_rejected_with_an_example(lake: Lake, at: str) -> None:
    with pytest.raises(UsageError, match=r"is neither a time \(2026-08-02T12:00:00Z\) nor a snapshot or run"):
        connect(lake, at)


@pytest.mark.parametrize("offset_hours", [-11, 0, 5.5, 14])
def test_a_time_has_any_offset(lake: Lake, offset_hours: float) -> None:
    first, _ = history(lake)
    there = first.committed_at.astimezone(timezone(timedelta(hours=offset_hours)))
    assert answer(lake, "FROM gold.t", there.isoformat()) == [(1,)]


def test_a_lake_on_s3_is_read_by_its_catalog(shared_lake: Lake, given: Given) -> None:
    with pytest.raises(BrewhouseError, match="no published tables"):
        connect(shared_lake)
    tables = Tables(shared_lake)
    for number in (1, 2):
        files = given(SPEC.name, {"n": "INT"}, [(number,)]).write(
            SPEC, tables.field_ids(SPEC), tables.data_folder(SPEC.name)
        )
        tables.publish([Publication(SPEC, files)], {"brewhouse.raw-snapshot": f"RAW{number}"})
    write_views(shared_lake, {}, [])
    assert answer(shared_lake, "FROM gold.t") == [(2,)]
    assert answer(shared_lake, "FROM gold.t", "RAW1") == [(1,)]
    assert not shared_lake.views_file.exists()


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_page_that_is_cut_short_is_named_wherever_it_ends(tmp_path: Path, kept: float) -> None:
    page = tmp_path / "bronze" / "page-00001.jsonl.gz"
    page.parent.mkdir()
    rows = b"".join(b'{"id": "%d", "name": "%s"}\n' % (n, secrets.token_hex(20).encode()) for n in range(500))
    content = gzip.compress(rows)
    page.write_bytes(content[: int(len(content) * kept)])
    with (
        duckdb.connect() as connection,
        pytest.raises(DamagedFileError, match=r"bronze/page-00001\.jsonl\.gz cannot be used"),
        readable_errors(connection),
    ):
        connection.execute("SELECT count(*) FROM read_json(?)", [str(page)])
