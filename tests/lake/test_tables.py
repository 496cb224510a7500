"""Tables: published together or not at all, with a history that can be read and returned to."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.lake.catalog import NAME, SQLiteCatalog
from brewhouse.lake.lake import Lake
from brewhouse.lake.spec import Column, TableSpec
from brewhouse.lake.tables import Publication, Tables

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
def test_what_is_published_is_read_by_pyicebergs_own_catalog(lake: Lake, country: str | None) -> None:
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


def test_a_failure_in_the_middle_leaves_every_table_as_it_was(lake: Lake) -> None:
    tables = publish(lake, [(1, "x")])
    good = publication(tables, ONE, [(2, "x")])
    missing = Publication(TWO, (str(tables.data_folder("gold.two") / "nowhere.parquet"),))
    with pytest.raises(FileNotFoundError):
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


def test_rollback_shows_an_earlier_snapshot_and_forgets_none(lake: Lake) -> None:
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


def test_the_catalog_reads_what_pyicebergs_own_wrote(lake: Lake) -> None:
    publish(lake, [(1, "x")])
    theirs = SqlCatalog(NAME, uri=f"sqlite:///{lake.catalog_file}", warehouse=f"file://{lake.warehouse}")
    theirs.create_table("silver.theirs", schema=theirs.load_table("silver.one").schema())
    theirs.close()
    ours = SQLiteCatalog(lake.catalog_file, f"file://{lake.warehouse}")
    assert ours.load_table("silver.theirs").name() == ("silver", "theirs")


def test_the_tables_need_no_sqlalchemy() -> None:
    code = "import sys, brewhouse.lake.tables; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_lake_whose_path_no_table_location_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot hold #"):
        Tables(Lake(tmp_path / "beer #1"))


def test_a_catalog_somebody_else_changed_meanwhile_is_one_clear_error(lake: Lake) -> None:
    tables = publish(lake, [(1, "x")])
    other = sqlite3.connect(lake.catalog_file, isolation_level=None)
    replacement = publication(tables, ONE, [(2, "x")])
    tables._catalog._connection.execute("PRAGMA busy_timeout = 50")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(BrewhouseError, match="Nothing was published"):
        tables.publish([replacement], {})
    other.close()
    assert read(lake, "silver.one") == [(1, "x")]
