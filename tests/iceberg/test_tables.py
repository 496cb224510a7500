"""Tables: published in one transaction, with a history for time travel and rollback."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.iceberg.lake_catalog import NAME
from brewhouse.iceberg.sqlite_catalog import SQLiteCatalog
from brewhouse.iceberg.table_spec import DUCKDB_TYPES, Column, Publication, TableSpec
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.duckdb_access import identifier, literal
from brewhouse.lake.lake import Lake
from brewhouse.query.views import table_sql

ID = Column("id", "long", "Number")
COUNTRY = Column("country", "string", "Country")
ONE = TableSpec("silver.one", "One row a number.", (ID, COUNTRY), ("country",), ("id",))
TWO = TableSpec("gold.two", "The same again.", (ID, COUNTRY))

Rows = Sequence[tuple[int, str | None]]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "a läke with blanks")


def publication(tables: Tables, spec: TableSpec, rows: Rows) -> Publication:
    """Write rows of one partition into a file, as an engine does."""
    if not rows:
        return Publication(spec, ())
    ids = ", ".join(f"{name}: {number}" for name, number in tables.field_ids(spec).items())
    folder = tables.data_folder(spec.name)
    file = folder / f"{len(list(folder.iterdir()))}.parquet"
    extra = ", 'x' AS extra" if len(spec.columns) > 2 else ""
    values = ", ".join(f"({number}, {'NULL' if text is None else chr(39) + text + chr(39)})" for number, text in rows)
    duckdb.connect().execute(
        f"COPY (SELECT id::BIGINT AS id, country::VARCHAR AS country{extra} FROM (VALUES {values}) t(id, country)) "
        f"TO '{file}' (FORMAT parquet, FIELD_IDS {{{ids}}})"
    )
    return Publication(spec, (str(file),))


def publish(lake: Lake, rows: Rows, run: str = "RUN") -> Tables:
    tables = Tables(lake)
    tables.publish([publication(tables, spec, rows) for spec in (ONE, TWO)], {"brewhouse.run": run})
    return tables


def read(lake: Lake, name: str) -> list[tuple[int, str | None]]:
    """Read a table with another reader than the one that wrote it."""
    catalog = SqlCatalog(NAME, uri=f"sqlite:///{lake.catalog_file}")
    rows = [(row["id"], row["country"]) for row in catalog.load_table(name).scan().to_arrow().to_pylist()]
    catalog.close()
    return sorted(rows, key=repr)


@pytest.mark.parametrize("country", ["Germany", None, "Côte d`Ivoire/…=%20"])
def test_published_tables_are_read_by_pyicebergs_sql_catalog(lake: Lake, country: str | None) -> None:
    publish(lake, [(1, country), (2, country)])
    assert read(lake, "silver.one") == read(lake, "gold.two") == [(1, country), (2, country)]


def test_files_carry_the_field_ids_of_the_table(lake: Lake) -> None:
    tables = publish(lake, [(1, "x")])
    schema = pq.read_schema(tables.files("silver.one")[0])
    assert [(field.metadata or {})[b"PARQUET:field_id"] for field in schema] == [b"1", b"2"]


def test_publishing_replaces_the_content_and_keeps_the_history(lake: Lake) -> None:
    publish(lake, [(1, "x")], "FIRST")
    tables = publish(lake, [(2, "x"), (3, "x")], "SECOND")
    assert read(lake, "silver.one") == [(2, "x"), (3, "x")]
    history = tables.history("silver.one")
    assert [(s.rows, s.properties["brewhouse.run"], s.current) for s in history] == [
        (1, "FIRST", False),
        (2, "SECOND", True),
    ]
    assert len(tables.files("silver.one", history[0].snapshot_id)) == 1


def test_a_table_can_become_empty(lake: Lake) -> None:
    publish(lake, [(1, "x")])
    tables = publish(lake, [])
    assert read(lake, "silver.one") == []
    now = tables.current("silver.one")
    assert now is not None
    assert now.rows == 0


def test_a_failure_in_the_middle_changes_no_table(lake: Lake) -> None:
    tables = publish(lake, [(1, "x")])
    good = publication(tables, ONE, [(2, "x")])
    missing = Publication(TWO, (str(tables.data_folder("gold.two") / "nowhere.parquet"),))
    with pytest.raises(duckdb.IOException, match=r"nowhere\.parquet"):
        tables.publish([good, missing], {})
    assert read(lake, "silver.one") == read(lake, "gold.two") == [(1, "x")]
    assert len(Tables(lake).history("silver.one")) == 1


def test_a_reader_sees_both_tables_before_or_both_after(lake: Lake) -> None:
    publish(lake, [(0, "x")])
    done = threading.Event()
    seen: list[tuple[str, ...]] = []

    def watch() -> None:
        connection = sqlite3.connect(lake.catalog_file, timeout=30)
        while not done.is_set():
            rows = connection.execute("SELECT metadata_location FROM iceberg_tables ORDER BY table_namespace")
            seen.append(tuple(Path(location).name[:5] for (location,) in rows))
        connection.close()

    thread = threading.Thread(target=watch)
    thread.start()
    for number in range(1, 8):
        publish(lake, [(number, "x")])
    done.set()
    thread.join()
    assert {len(set(versions)) for versions in seen} == {1}
    assert len(set(seen)) > 1


def metadata_files(lake: Lake) -> set[str]:
    return {file.name for file in (lake.warehouse / "gold" / "two").rglob("*.metadata.json")}


def test_a_table_keeps_its_current_metadata_file_and_five_earlier_ones(lake: Lake) -> None:
    tables = Tables(lake)

    def publish_two() -> None:
        tables.publish([Publication(TWO, ())], {})

    def publish_and_fail() -> None:
        with tables.atomically():
            publish_two()
            raise ZeroDivisionError

    for _ in range(22):
        publish_two()
    assert len(metadata_files(lake)) == 6
    with tables.atomically():
        for _ in range(23):
            publish_two()
    assert len(metadata_files(lake)) == 6, "a transaction of many commits leaves one"
    before = metadata_files(lake)
    with pytest.raises(ZeroDivisionError):
        publish_and_fail()
    assert before == metadata_files(lake), "a commit that fails deletes nothing"
    tables = Tables(lake)
    publish_two()
    assert len(before - metadata_files(lake)) == 1
    catalog = SqlCatalog(NAME, uri=f"sqlite:///{lake.catalog_file}")
    table = catalog.load_table("gold.two")
    assert len(table.metadata.metadata_log) == 5
    assert {Path(entry.metadata_file).name for entry in table.metadata.metadata_log} <= metadata_files(lake)
    assert table.scan().to_arrow().num_rows == 0
    catalog.close()


def test_a_table_of_an_earlier_version_keeps_as_few_metadata_files(lake: Lake) -> None:
    tables = Tables(lake)
    tables.publish([Publication(TWO, ())], {})
    catalog = SqlCatalog(NAME, uri=f"sqlite:///{lake.catalog_file}")
    earlier = {"write.metadata.delete-after-commit.enabled": "false", "write.metadata.previous-versions-max": "100"}
    with catalog.load_table("gold.two").transaction() as transaction:
        transaction.set_properties(earlier)
    for number in range(25):
        with catalog.load_table("gold.two").transaction() as transaction:
            transaction.set_properties({"number": str(number)})
    catalog.close()
    assert len(metadata_files(lake)) == 27
    for _ in range(2):  # the first one sets the properties
        tables.publish([Publication(TWO, ())], {})
    assert len(metadata_files(lake)) == 6


def test_snapshots_expire_in_the_commit_that_publishes(lake: Lake) -> None:
    for number in range(4):
        tables = publish(lake, [(number, "x")])
    first, second, third, fourth = (snapshot.snapshot_id for snapshot in tables.history("silver.one"))
    expired = {"silver.one": [first, third, fourth]}
    last = publication(tables, ONE, [(9, "x")])
    tables.publish([last], {}, expired)
    left = [snapshot.snapshot_id for snapshot in tables.history("silver.one")]
    assert left[:-1] == [second, fourth], "the current snapshot was protected until the commit"
    assert read(lake, "silver.one") == [(9, "x")]
    catalog = SqlCatalog(NAME, uri=f"sqlite:///{lake.catalog_file}")
    assert [e.snapshot_id for e in catalog.load_table("silver.one").metadata.snapshot_log] == [fourth, left[-1]]
    catalog.close()


def test_rollback_restores_an_earlier_snapshot_and_keeps_later_ones(lake: Lake) -> None:
    publish(lake, [(1, "x")])
    tables = publish(lake, [(2, "x")])
    first, second = tables.history("silver.one")
    tables.rollback("silver.one", first.snapshot_id)
    assert read(lake, "silver.one") == [(1, "x")]
    assert [s.snapshot_id for s in tables.history("silver.one")] == [first.snapshot_id, second.snapshot_id]
    tables.rollback("silver.one", second.snapshot_id)
    assert read(lake, "silver.one") == [(2, "x")]


def test_rollback_to_an_unknown_snapshot_names_the_known_ones(lake: Lake) -> None:
    tables = publish(lake, [(1, "x")])
    with pytest.raises(BrewhouseError, match=str(tables.history("silver.one")[0].snapshot_id)):
        tables.rollback("silver.one", 7)


def test_an_unknown_table_is_an_error_that_names_the_known_ones(lake: Lake) -> None:
    tables = publish(lake, [(1, "x")])
    with pytest.raises(BrewhouseError, match=r"no table silver\.beer; it has: gold\.two, silver\.one"):
        tables.describe("silver.beer")


def test_a_table_is_described_as_its_model_does(lake: Lake) -> None:
    tables = publish(lake, [(1, "x")])
    assert tables.describe("silver.one") == ONE
    assert tables.names() == ["gold.two", "silver.one"]


def test_a_new_column_gets_a_new_field_id_and_old_snapshots_stay_readable(lake: Lake) -> None:
    tables = publish(lake, [(1, "x")])
    wider = replace(ONE, columns=(ID, COUNTRY, Column("extra", "string", "More")))
    assert tables.field_ids(wider) == {"id": 1, "country": 2, "extra": 3}
    tables.publish([publication(tables, wider, [(2, "x")])], {})
    assert [column.name for column in tables.describe("silver.one").columns] == ["id", "country", "extra"]
    tables.rollback("silver.one", tables.history("silver.one")[0].snapshot_id)
    assert read(lake, "silver.one") == [(1, "x")]


def test_the_catalog_reads_tables_of_pyicebergs_sql_catalog(lake: Lake) -> None:
    publish(lake, [(1, "x")])
    theirs = SqlCatalog(NAME, uri=f"sqlite:///{lake.catalog_file}", warehouse=f"file://{lake.warehouse}")
    theirs.create_table("silver.theirs", schema=theirs.load_table("silver.one").schema())
    theirs.close()
    ours = SQLiteCatalog(lake.catalog_file, f"file://{lake.warehouse}")
    assert ours.load_table("silver.theirs").name() == ("silver", "theirs")


def test_the_tables_need_no_sqlalchemy() -> None:
    code = "import sys, brewhouse.iceberg.tables; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


Row = dict[str, Any]


def spec(*partition: str, **columns: str) -> TableSpec:
    described = tuple(Column(name, kind, f"The {name}") for name, kind in columns.items())
    return TableSpec("silver.places", "Places", described, partition, ())


PLACES = spec("country", country="string", n="long")


def write(tables: Tables, of: TableSpec, rows: Sequence[Row], partition: Sequence[str] | None = None) -> Publication:
    """Write rows as the engine does, a file a partition."""
    ids = ", ".join(f"{identifier(name)}: {number}" for name, number in tables.field_ids(of).items())
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(n) for n in (of.partition if partition is None else partition)), []).append(row)
    typed = ", ".join(f"CAST(? AS {DUCKDB_TYPES[c.type]}) AS {identifier(c.name)}" for c in of.columns)
    files = []
    with duckdb.connect() as connection:
        for group in groups.values():
            file = str(tables.data_folder(of.name) / f"{uuid.uuid4()}.parquet")
            select = " UNION ALL ".join(f"SELECT {typed}" for _ in group)
            values = [row.get(c.name) for row in group for c in of.columns]
            connection.execute(f"COPY ({select}) TO {literal(file)} (FORMAT parquet, FIELD_IDS {{{ids}}})", values)
            files.append(file)
    return Publication(of, tuple(files))


def put(tables: Tables, of: TableSpec, *rows: Row) -> None:
    tables.publish([write(tables, of, rows)], {})


def load(lake: Lake, name: str = "silver.places") -> Table:
    catalog = SqlCatalog(NAME, uri=f"sqlite:///{lake.catalog_file}")
    table = catalog.load_table(name)
    catalog.close()
    return table


def rows_of(lake: Lake, snapshot_id: int | None = None) -> list[Row]:
    rows: list[Row] = load(lake).scan(snapshot_id=snapshot_id).to_arrow().to_pylist()
    return rows


@pytest.mark.parametrize("text", [None, "", "a/b=c?d#e%20f", 'it\'s "q"', "..", "🍺", " \t\n", "é" * 300, "x" * 20_000])
def test_any_partition_value(lake: Lake, text: str | None) -> None:
    put(Tables(lake), PLACES, {"country": text, "n": 1}, {"country": "AT", "n": 2})
    assert {row["partition"]["country"] for row in load(lake).inspect.files().to_pylist()} == {text, "AT"}
    if text is None:
        assert len(load(lake).scan(row_filter="country IS NULL").to_arrow()) == 1
    assert len(rows_of(lake)) == 2


@pytest.mark.parametrize(("kind", "value"), [("date", "2026-08-02"), ("long", 7), ("int", 7), ("boolean", True)])
def test_partitions_of_other_types(lake: Lake, kind: str, value: object) -> None:
    put(Tables(lake), spec("key", key=kind, n="long"), {"key": value, "n": 1}, {"key": None, "n": 2})
    assert len(rows_of(lake)) == 2


@pytest.mark.parametrize("texts", [("AT", "IE"), ("AT", None), ("x" * 300 + "a", "x" * 300 + "b")])
def test_a_file_with_rows_of_two_partitions_is_rejected(lake: Lake, texts: tuple[str, str | None]) -> None:
    tables = Tables(lake)
    mixed = write(tables, PLACES, [{"country": text, "n": 1} for text in texts], partition=())
    with pytest.raises(ValueError, match="2 partitions by country"):
        tables.publish([mixed], {})
    assert tables.names() == []


def test_every_type_keeps_its_values(lake: Lake) -> None:
    of = spec(**{f"c_{kind}": kind for kind in DUCKDB_TYPES})
    moment = datetime(2026, 8, 2, 12, tzinfo=UTC)
    values: list[Any] = ["Bräu", 1.5, 2**40, 3, True, moment, moment.date()]
    row = dict(zip((f"c_{kind}" for kind in DUCKDB_TYPES), values, strict=True))
    tables = Tables(lake)
    put(tables, of, row)
    assert tables.describe(of.name) == of
    assert rows_of(lake) == [row]


def test_a_dropped_column_comes_back_with_another_field_id(lake: Lake) -> None:
    tables = Tables(lake)
    put(tables, spec(country="string", old="string", n="long"), {"country": "AT", "old": "x", "n": 1})
    wanted = spec(n="long", country="string", new="double")
    put(tables, wanted, {"country": "AT", "n": 2, "new": 0.5})
    assert tables.field_ids(wanted) == {"n": 3, "country": 1, "new": 4}
    assert tables.describe(wanted.name) == wanted
    assert rows_of(lake) == [{"n": 2, "country": "AT", "new": 0.5}]
    put(tables, spec(old="string"), {"old": "again"})
    assert tables.field_ids(spec(old="string")) == {"old": 5}
    first = tables.history(wanted.name)[0].snapshot_id
    assert rows_of(lake, first) == [{"country": "AT", "old": "x", "n": 1}]
    assert duckdb.execute(table_sql(wanted, tables.files(wanted.name, first))).fetchall() == [(1, "AT", None)]
    then = tables.describe(wanted.name, first)
    assert [(column.name, column.field_id) for column in then.columns] == [("country", 1), ("old", 2), ("n", 3)]
    assert duckdb.execute(table_sql(then, tables.files(wanted.name, first))).fetchall() == [("AT", "x", 1)]


def test_a_type_is_promoted_or_becomes_another_column(lake: Lake) -> None:
    tables = Tables(lake)
    put(tables, spec(a="int", b="string"), {"a": 1, "b": "x"})
    wanted = spec(a="long", b="double")
    assert tables.field_ids(wanted) == {"a": 1, "b": 3}
    put(tables, wanted, {"a": 2**40, "b": 0.5})
    assert tables.describe(wanted.name) == wanted
    assert rows_of(lake) == [{"a": 2**40, "b": 0.5}]


def test_partition_sort_order_and_descriptions_evolve(lake: Lake) -> None:
    tables = Tables(lake)
    rows: list[Row] = [{"country": "AT", "n": 1}, {"country": None, "n": 2}]
    put(tables, PLACES, *rows)
    better = tuple(replace(column, description=f"{column.description}, better") for column in PLACES.columns)
    for partition, sort in [(("n",), ("country",)), ((), ()), (("country", "n"), ("n", "country")), (("country",), ())]:
        wanted = TableSpec(PLACES.name, f"By {partition}", better, partition, sort)
        put(tables, wanted, *rows)
        assert Tables(lake).describe(PLACES.name) == wanted
        assert len(rows_of(lake)) == 2


def test_the_partition_column_can_be_dropped(lake: Lake) -> None:
    tables = Tables(lake)
    put(tables, PLACES, {"country": "AT", "n": 1}, {"country": "IE", "n": 2})
    put(tables, spec(n="long"), {"n": 1})
    put(tables, spec(n="long"), {"n": 2})
    assert rows_of(lake) == [{"n": 2}]
    assert [s.rows for s in Tables(lake).history(PLACES.name)] == [2, 1, 1]


def test_a_publication_after_a_rollback_continues_from_there(lake: Lake) -> None:
    tables = Tables(lake)
    for number in (1, 2, 3):
        put(tables, PLACES, *[{"country": "AT", "n": number}] * number)
    tables.rollback(PLACES.name, tables.history(PLACES.name)[0].snapshot_id)
    put(tables, PLACES, *[{"country": "AT", "n": 9}] * 4)
    assert [s.rows for s in tables.history(PLACES.name)] == [1, 2, 3, 4]
    assert rows_of(lake) == [{"country": "AT", "n": 9}] * 4


def test_manifests_do_not_accumulate(lake: Lake) -> None:
    for number in range(4):
        put(Tables(lake), PLACES, {"country": "AT", "n": number})
    table = load(lake)
    now = table.current_snapshot()
    assert now is not None
    assert len(now.manifests(table.io)) == 2  # removed and added files


def test_all_tables_of_a_publication_have_one_time(lake: Lake) -> None:
    tables = publish(lake, [(1, "x")])
    one, two = tables.current("silver.one"), tables.current("gold.two")
    assert one is not None
    assert two is not None
    assert one.committed_at == two.committed_at
    assert tables.snapshot_at("silver.one", one.committed_at) == one
    assert tables.snapshot_at("gold.two", one.committed_at - timedelta(milliseconds=1)) is None


def test_tables_read_in_one_block_are_of_one_run(lake: Lake) -> None:
    publish(lake, [(0, "x")], "0")
    done = threading.Event()
    seen: list[set[str]] = []

    def watch() -> None:
        reader = Tables(lake)
        while not done.is_set():
            with reader.reading():
                states = [reader.current(name) for name in ("silver.one", "gold.two")]
            seen.append({state.properties["brewhouse.run"] for state in states if state})

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        for number in range(1, 9):
            publish(lake, [(number, "x")], str(number))
    finally:
        done.set()
        thread.join()
    assert {len(runs) for runs in seen} == {1}
    assert len(set.union(*seen)) > 2


def test_an_unknown_snapshot_has_no_files(lake: Lake) -> None:
    with pytest.raises(UsageError, match="no snapshot 7"):
        publish(lake, [(1, "x")]).files("silver.one", 7)


def test_publishing_again_writes_as_many_files_as_before(lake: Lake) -> None:
    """Publishing does not slow down with the length of a table's history."""
    tables = Tables(lake)
    publication = write(tables, PLACES, [{"country": f"c{number}", "n": number} for number in range(25)])
    written = []
    for _ in range(4):
        before = len(list(lake.warehouse.rglob("*")))
        tables.publish([publication], {})
        written.append(len(list(lake.warehouse.rglob("*"))) - before)
    assert len(set(written[1:])) == 1
