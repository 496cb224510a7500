"""Incremental tables: files of the current snapshot stay while others are added and replaced."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.manifest import ManifestEntryStatus
from pyiceberg.table import Table

from brewhouse.iceberg.lake_catalog import NAME
from brewhouse.iceberg.snapshots import MANY_MANIFESTS
from brewhouse.iceberg.table_spec import DUCKDB_TYPES, Column, Publication, TableSpec
from brewhouse.iceberg.tables import Tables
from brewhouse.ids import new_id
from brewhouse.lake.duckdb_access import identifier, literal
from brewhouse.lake.lake import Lake
from brewhouse.query.views import table_sql

RUN = Column("snapshot_run", "string", "Run")
N = Column("n", "long", "Number")
GROWING = TableSpec("silver.growing", "A row a number.", (RUN, N), (), ("snapshot_run", "n"))
Row = tuple[object, ...]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def write(tables: Tables, spec: TableSpec, rows: Sequence[Row]) -> str:
    """Write rows of one partition as the engine does."""
    file = str(tables.data_folder(spec.name) / f"{uuid.uuid4()}.parquet")
    ids = ", ".join(f"{identifier(name)}: {number}" for name, number in tables.field_ids(spec).items())
    typed = ", ".join(f"CAST(? AS {DUCKDB_TYPES[c.type]}) AS {identifier(c.name)}" for c in spec.columns)
    select = " UNION ALL ".join(f"SELECT {typed}" for _ in rows)
    with duckdb.connect() as connection:
        copy = f"COPY ({select}) TO {literal(file)} (FORMAT parquet, FIELD_IDS {{{ids}}})"
        connection.execute(copy, [value for row in rows for value in row])
    return file


def append(tables: Tables, *rows: Row, spec: TableSpec = GROWING) -> None:
    known = spec.name in tables.names()
    kept = tuple(tables.files(spec.name)) if known else ()
    tables.publish([Publication(spec, (write(tables, spec, rows),), kept)], {"brewhouse.run": str(rows[0][0])})


def load(lake: Lake) -> Table:
    catalog = SqlCatalog(NAME, uri=f"sqlite:///{lake.catalog_file}")
    table = catalog.load_table(GROWING.name)
    catalog.close()
    return table


def rows_of(lake: Lake, snapshot_id: int | None = None) -> list[Row]:
    """Read with PyIceberg, and with DuckDB by the table's files; both must agree."""
    arrow = load(lake).scan(snapshot_id=snapshot_id).to_arrow()
    rows = [tuple(row.values()) for row in arrow.to_pylist()]
    tables = Tables(lake)
    sql = table_sql(tables.describe(GROWING.name, snapshot_id), tables.files(GROWING.name, snapshot_id))
    with duckdb.connect() as connection:
        theirs = connection.execute(sql).fetchall()
    assert Counter(theirs) == Counter(rows)
    return sorted(rows, key=repr)


def operations(lake: Lake) -> list[str]:
    return [snapshot.operation for snapshot in Tables(lake).history(GROWING.name)]


def sequences(lake: Lake) -> dict[str, int | None]:
    """The data sequence number of each file, by its name."""
    table = load(lake)
    now = table.current_snapshot()
    assert now is not None
    entries = [e for m in now.manifests(table.io) for e in m.fetch_manifest_entry(table.io)]
    return {Path(entry.data_file.file_path).name: entry.sequence_number for entry in entries}


def test_append_append_replace_rollback_and_time_travel(lake: Lake) -> None:
    tables = Tables(lake)
    for run, n in [("R1", 1), ("R2", 2), ("R3", 3)]:
        append(tables, (run, n), (run, n * 10))
    assert rows_of(lake) == [("R1", 1), ("R1", 10), ("R2", 2), ("R2", 20), ("R3", 3), ("R3", 30)]
    old, kept = tables.files_by_value(GROWING.name, "snapshot_run", "R2")
    assert (len(old), len(kept)) == (1, 2)
    tables.publish([Publication(GROWING, (write(tables, GROWING, [("R2", 22)]),), tuple(kept))], {})
    replaced = [("R1", 1), ("R1", 10), ("R2", 22), ("R3", 3), ("R3", 30)]
    assert rows_of(lake) == replaced
    assert operations(lake) == ["append", "append", "append", "overwrite"]
    history = tables.history(GROWING.name)
    assert [(s.rows, s.files) for s in history] == [(2, 1), (4, 2), (6, 3), (5, 3)]
    assert rows_of(lake, history[1].snapshot_id) == [("R1", 1), ("R1", 10), ("R2", 2), ("R2", 20)]
    tables.rollback(GROWING.name, history[0].snapshot_id)
    append(tables, ("R9", 9))
    assert rows_of(lake) == [("R1", 1), ("R1", 10), ("R9", 9)]
    assert rows_of(lake, history[3].snapshot_id) == replaced


def test_an_append_writes_one_manifest_and_reuses_the_others(lake: Lake) -> None:
    tables, seen = Tables(lake), []
    for n in range(3):
        append(tables, (f"R{n}", n))
        table = load(lake)
        now = table.current_snapshot()
        assert now is not None
        seen.append({manifest.manifest_path for manifest in now.manifests(table.io)})
    assert [len(manifests) for manifests in seen] == [1, 2, 3]
    assert seen[0] < seen[1] < seen[2]


def test_many_manifests_are_merged_by_the_publication_that_adds_one_more(lake: Lake) -> None:
    tables = Tables(lake)
    counts = []
    for n in range(MANY_MANIFESTS + 3):
        append(tables, (f"R{n:02}", n))
        counts.append(tables.manifests(GROWING.name))
    assert counts == [*range(1, MANY_MANIFESTS + 1), 2, 3, 4]
    assert rows_of(lake) == [(f"R{n:02}", n) for n in range(MANY_MANIFESTS + 3)]
    assert set(sequences(lake).values()) == set(range(1, MANY_MANIFESTS + 4))
    now = tables.current(GROWING.name)
    assert now is not None
    assert (now.operation, now.rows, now.files) == ("append", MANY_MANIFESTS + 3, MANY_MANIFESTS + 3)


def test_kept_files_keep_their_sequence_number(lake: Lake) -> None:
    tables = Tables(lake)
    both = (write(tables, GROWING, [("R1", 1)]), write(tables, GROWING, [("R1", 2)]))
    tables.publish([Publication(GROWING, both)], {})
    append(tables, ("R2", 2))
    stays = [file for file in tables.files(GROWING.name) if file != both[0]]
    new = write(tables, GROWING, [("R3", 3)])
    tables.publish([Publication(GROWING, (new,), tuple(stays))], {})
    (other,) = set(stays) - set(both)
    assert sequences(lake) == {Path(both[1]).name: 1, Path(other).name: 2, Path(new).name: 3}
    table = load(lake)
    now = table.current_snapshot()
    assert now is not None
    entries = [e for m in now.manifests(table.io) for e in m.fetch_manifest_entry(table.io, discard_deleted=False)]
    states = Counter(entry.status for entry in entries)
    assert states == {
        ManifestEntryStatus.ADDED: 2,  # R2's manifest was reused
        ManifestEntryStatus.EXISTING: 1,
        ManifestEntryStatus.DELETED: 1,
    }
    assert rows_of(lake) == [("R1", 2), ("R2", 2), ("R3", 3)]


def test_a_file_that_is_not_the_tables_cannot_be_kept(lake: Lake) -> None:
    tables = Tables(lake)
    append(tables, ("R1", 1))
    with pytest.raises(ValueError, match="nowhere cannot be kept"):
        tables.publish([Publication(GROWING, (), ("/nowhere",))], {})
    with pytest.raises(ValueError, match="cannot be kept"):
        tables.publish([Publication(replace(GROWING, name="silver.new"), (), ("/nowhere",))], {})
    assert operations(lake) == ["append"]


def test_keeping_everything_and_adding_nothing_is_a_snapshot_of_the_same_rows(lake: Lake) -> None:
    tables = Tables(lake)
    append(tables, ("R1", 1))
    tables.publish([Publication(GROWING, (), tuple(tables.files(GROWING.name)))], {"brewhouse.run": "R2"})
    assert rows_of(lake) == [("R1", 1)]
    assert operations(lake) == ["append", "append"]


def test_a_new_column_is_null_in_kept_files(lake: Lake) -> None:
    tables = Tables(lake)
    append(tables, ("R1", 1))
    wider = replace(GROWING, columns=(RUN, N, Column("more", "double", "More")))
    append(tables, ("R2", 2, 0.5), spec=wider)
    assert rows_of(lake) == [("R1", 1, None), ("R2", 2, 0.5)]


def test_a_column_dropped_and_added_again_is_another_column_in_kept_files(lake: Lake) -> None:
    tables = Tables(lake)
    append(tables, ("R1", 1))
    append(tables, ("R2",), spec=replace(GROWING, columns=(RUN,), sort=()))
    append(tables, ("R3", 0.5), spec=replace(GROWING, columns=(RUN, Column("n", "double", "Other")), sort=()))
    assert rows_of(lake) == [("R1", None), ("R2", None), ("R3", 0.5)]
    first, second, _ = tables.history(GROWING.name)
    assert rows_of(lake, first.snapshot_id) == [("R1", 1)]
    assert rows_of(lake, second.snapshot_id) == [("R1",), ("R2",)]


def test_kept_files_stay_in_the_partitions_they_were_written_in(lake: Lake) -> None:
    tables = Tables(lake)
    append(tables, ("R1", 1))
    by_run = replace(GROWING, partition=("snapshot_run",))
    append(tables, ("R2", 2), spec=by_run)
    append(tables, ("R3", 3), spec=replace(GROWING, partition=("n",)))
    assert rows_of(lake) == [("R1", 1), ("R2", 2), ("R3", 3)]
    assert load(lake).scan(row_filter="n = 2").to_arrow().num_rows == 1
    maybe, not_at_all = tables.files_by_value(GROWING.name, "n", 3)
    assert (len(maybe), len(not_at_all)) == (1, 2)


def test_files_partitioned_by_a_dropped_column_cannot_be_kept(lake: Lake) -> None:
    tables = Tables(lake)
    append(tables, ("R1", 1), spec=replace(GROWING, partition=("snapshot_run",)))
    with pytest.raises(ValueError, match="no longer has"):
        append(tables, (2,), spec=replace(GROWING, columns=(N,), sort=()))
    assert rows_of(lake) == [("R1", 1)]


def test_runs_are_distinguished_although_their_bounds_are_truncated(lake: Lake) -> None:
    tables = Tables(lake)
    runs = [new_id() for _ in range(3)]
    near = runs[0][:-1] + ("0" if runs[0][-1] != "0" else "1")  # the same in the first 25 characters
    for run in runs:
        append(tables, (run, 1))
    files = set(tables.files(GROWING.name))
    for run in (*runs, near, "", "~"):
        maybe, certainly_not = tables.files_by_value(GROWING.name, "snapshot_run", run)
        assert set(maybe) | set(certainly_not) == files
        assert len(maybe) + len(certainly_not) == 3
    assert tables.files_by_value(GROWING.name, "snapshot_run", "0" * 26)[0] == []


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=24)


@settings(max_examples=30, deadline=None)
@given(batches=st.lists(st.lists(TEXT | st.none(), min_size=1, max_size=3), min_size=1, max_size=3))
def test_a_file_that_contains_a_value_is_never_excluded(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[str | None]]
) -> None:
    tables = Tables(Lake(tmp_path_factory.mktemp("lake")))
    files = {write(tables, GROWING, [(text, 1) for text in batch]): batch for batch in batches}
    tables.publish([Publication(GROWING, tuple(files))], {})
    for text in {text for batch in batches for text in batch if text is not None}:
        _, certainly_not = tables.files_by_value(GROWING.name, "snapshot_run", text)
        assert all(text not in files[file] for file in certainly_not)
