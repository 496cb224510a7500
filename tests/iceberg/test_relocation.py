"""A lake that was moved or copied reads its own files, is not written before it is relocated, and works afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.iceberg.lake_catalog import NAME
from brewhouse.iceberg.table_spec import Column, Publication, TableSpec
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake, recorded_root, require_relocated

SPEC = TableSpec(
    "silver.a", "A row per number.", (Column("zone", "string", ""), Column("n", "long", "")), ("zone",), ("n",)
)
OTHER = TableSpec("gold.b", "A row per number.", (Column("n", "long", ""),))
State = dict[str, Any]


def publish(lake: Lake, number: int) -> None:
    """Publish two tables: one keeps its earlier files, the other replaces them."""
    tables, publications = Tables(lake), []
    for spec, select in (
        (SPEC, f"SELECT 'é/{number}' AS zone, {number}::BIGINT AS n"),
        (OTHER, f"SELECT {number}::BIGINT AS n"),
    ):
        ids = ", ".join(f"{name}: {field}" for name, field in tables.field_ids(spec).items())
        file = tables.data_folder(spec.name) / f"{number}.parquet"
        duckdb.execute(f"COPY ({select}) TO '{file}' (FORMAT parquet, FIELD_IDS {{{ids}}})")
        kept = tuple(tables.files(spec.name)) if spec is SPEC and number > 1 else ()
        publications.append(Publication(spec, (str(file),), kept))
    tables.publish(publications, {"brewhouse.run": f"R{number}"})


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with three snapshots of two tables; tests only read it."""
    lake = Lake(tmp_path_factory.mktemp("published") / "lake")
    for number in (1, 2, 3):
        publish(lake, number)
    return lake


@pytest.fixture
def lake(published: Lake, tmp_path: Path) -> Lake:
    """A copy of the lake, which is still in its place."""
    copy = Lake(tmp_path / "new place" / "lake")
    shutil.copytree(published.root, copy.root)
    return copy


def state(lake: Lake) -> State:
    """Describe all that readers see of the tables, with paths relative to the lake."""
    tables = Tables(lake)
    return {
        name: [
            (s, sorted(os.path.relpath(f, lake.root) for f in tables.files(name, s.snapshot_id)))
            for s in tables.history(name)
        ]
        for name in tables.names()
    }


def content(root: Path) -> dict[str, tuple[bytes, int]]:
    return {str(f.relative_to(root)): (f.read_bytes(), f.stat().st_mtime_ns) for f in root.rglob("*") if f.is_file()}


def read_elsewhere(lake: Lake) -> list[tuple[object, ...]]:
    """Read all snapshots of a table with PyIceberg, which follows the recorded locations."""
    with closing(SqlCatalog(NAME, uri=f"sqlite:///{lake.catalog_file}")) as catalog:
        table = catalog.load_table("silver.a")
        return [
            (s.snapshot_id, *sorted(table.scan(snapshot_id=s.snapshot_id).to_arrow()["n"].to_pylist(), key=str))
            for s in table.snapshots()
        ]


def test_a_lake_in_its_place_has_nothing_to_relocate(published: Lake) -> None:
    assert recorded_root(published) is None
    require_relocated(published)
    assert Tables(published).relocate() == []


def test_a_lake_is_in_its_place_however_its_locations_are_written(tmp_path: Path) -> None:
    """Hadoop's paths, which Iceberg's Java clients write, have one slash after the scheme."""
    lake = Lake(tmp_path / "lake")
    publish(lake, 1)
    with closing(sqlite3.connect(lake.catalog_file)) as catalog, catalog:
        catalog.execute(
            "UPDATE iceberg_tables SET metadata_location = replace(metadata_location, 'file:///', 'file:/')"
        )
    assert recorded_root(lake) is None
    publish(lake, 2)
    copy = Lake(shutil.copytree(lake.root, tmp_path / "copy"))
    assert recorded_root(copy) == str(lake.root)
    for _ in range(2):
        assert state(copy) == state(lake)
        Tables(copy).relocate()
    assert recorded_root(copy) is None


def test_a_moved_lake_reads_its_own_files(lake: Lake, published: Lake) -> None:
    assert recorded_root(lake) == str(published.root)
    assert state(lake) == state(published)
    tables = Tables(lake)
    assert tables.files("gold.b") == [str(lake.warehouse / "gold" / "b" / "data" / "3.parquet")]
    assert tables.files_by_value("silver.a", "zone", "é/1")[0] == [str(tables.data_folder("silver.a") / "1.parquet")]
    assert {file.path for file in tables.current_files("silver.a")} == set(tables.files("silver.a"))
    assert tables.folders() == {"gold.b": "warehouse/gold/b", "silver.a": "warehouse/silver/a"}
    assert all((lake.root / file).exists() for file in tables.referenced())


def test_a_moved_lake_is_not_written(lake: Lake, published: Lake) -> None:
    with pytest.raises(BrewhouseError, match=r"was moved or copied from .*nothing was written") as refused:
        lake.store  # noqa: B018 - opening it for writing is what is refused
    assert f"brewhouse relocate --lake '{lake.root}'" in refused.value.hint
    before, original = state(lake), content(published.root)
    with pytest.raises(BrewhouseError, match="must be relocated first"):
        Tables(lake).expire({"gold.b": [before["gold.b"][0][0].snapshot_id]})
    assert state(lake) == before
    assert content(published.root) == original


def test_a_relocated_lake_is_read_by_others_and_written(lake: Lake, published: Lake) -> None:
    before, original = state(published), content(published.root)
    assert Tables(lake).relocate() == ["gold.b", "silver.a"]
    assert recorded_root(lake) is None
    assert state(lake) == before
    snapshots = [s.snapshot_id for s, _ in before["silver.a"]]
    assert read_elsewhere(lake) == [(snapshots[0], 1), (snapshots[1], 1, 2), (snapshots[2], 1, 2, 3)]
    publish(lake, 4)
    assert [row[1:] for row in read_elsewhere(lake)] == [(1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)]
    assert all((lake.root / file).exists() for file in Tables(lake).referenced())
    assert content(published.root) == original


def test_a_lake_without_its_original_moves_again(lake: Lake, published: Lake, tmp_path: Path) -> None:
    for number in (1, 2):
        again = Lake(tmp_path / f"again {number}")
        Tables(lake).relocate()
        lake.root.rename(again.root)
        assert recorded_root(again) == str(lake.root)
        assert state(again) == state(published)
        lake = again
    lake = Lake(lake.root.rename(tmp_path / "third"))  # moved once more before it is relocated
    Tables(lake).relocate()
    assert [row[1:] for row in read_elsewhere(lake)] == [(1,), (1, 2), (1, 2, 3)]


@pytest.mark.parametrize("kind", ["data/1.parquet", "metadata/snap-*", "metadata/*-m0.*.avro", "metadata/*.json"])
def test_a_missing_or_damaged_file_is_named_and_changes_nothing(lake: Lake, kind: str) -> None:
    referenced = sorted(
        lake.root / file for file in Tables(lake).referenced() if file.startswith("warehouse/silver/a/")
    )
    lost = [file for file in referenced if file.match(kind)][-1]
    whole, catalog = lost.read_bytes(), lake.catalog_file.read_bytes()
    lost.unlink()
    with pytest.raises(BrewhouseError, match=r"a file of silver\.a is missing or damaged") as refused:
        Tables(lake).relocate()
    assert "brewhouse rebuild" in refused.value.hint
    if not kind.startswith("data"):
        lost.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(BrewhouseError, match=r"a file of silver\.a is missing or damaged"):
            Tables(lake).relocate()
    assert lake.catalog_file.read_bytes() == catalog
    lost.write_bytes(whole)
    assert Tables(lake).relocate() == ["gold.b", "silver.a"]


def test_a_table_with_missing_files_can_be_forgotten(lake: Lake) -> None:
    (lake.warehouse / "silver" / "a" / "data" / "1.parquet").unlink()
    assert Tables(lake).relocate(forget_incomplete=True) == ["gold.b", "silver.a"]
    assert Tables(lake).names() == ["gold.b"]
    require_relocated(lake)


def test_a_table_stored_elsewhere_stays_there(lake: Lake, tmp_path: Path) -> None:
    schema = Tables(lake)._catalog.load_table("gold.b").schema()
    with closing(SqlCatalog(NAME, uri=f"sqlite:///{lake.catalog_file}")) as catalog:
        catalog.create_table("gold.theirs", schema, location=f"file://{tmp_path}/theirs")
    Tables(lake).relocate()
    require_relocated(lake)
    table = Tables(lake)._catalog.load_table("gold.theirs")
    assert table.location() == f"file://{tmp_path}/theirs"


def test_a_lake_on_s3_is_not_relocated(shared_lake: Lake) -> None:
    assert recorded_root(shared_lake) is None
    with pytest.raises(UsageError, match=r"its catalog is shared.*BREWHOUSE_CATALOG_DATABASE_PREFIX"):
        Tables(shared_lake).relocate()


RELOCATE = """
import sys
from pathlib import Path
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake
import brewhouse.iceberg.file_io as file_io
from brewhouse.iceberg.sqlite_catalog import SQLiteCatalog
def announced(step):
    def run(self, location):
        print(location, flush=True)
        sys.stdin.readline()
        return step(self, location)
    return run
file_io.ObjectIO.new_output = announced(file_io.ObjectIO.new_output)
SQLiteCatalog._write_hint = announced(SQLiteCatalog._write_hint)  # right after the commit
Tables(Lake(Path(sys.argv[1]))).relocate()
"""


def killed(lake: Lake, writes: int) -> bool:
    """Relocate in a process that is killed before it writes a file; returns whether it was."""
    command = [sys.executable, "-c", RELOCATE, str(lake.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(writes):
            if not process.stdout.readline():
                return False
            if number < writes - 1:
                process.stdin.write(b"\n")
                process.stdin.flush()
        process.send_signal(signal.SIGKILL)
    return True


def _survives(lake: Lake, writes: int) -> bool:
    before = state(lake)
    was_killed = killed(lake, writes)
    assert state(lake) == before
    if recorded_root(lake) is not None:
        Tables(lake).relocate()
        assert state(lake) == before
    assert len(read_elsewhere(lake)) == 3
    return was_killed


def test_a_kill_leaves_the_lake_as_before(lake: Lake) -> None:
    assert _survives(lake, 10)


@pytest.mark.slow
def test_a_kill_before_any_file_leaves_the_lake_as_before(published: Lake, tmp_path: Path) -> None:
    original = content(published.root)
    for writes in range(1, 100):
        lake = Lake(tmp_path / "new place" / str(writes))
        shutil.copytree(published.root, lake.root)
        if not _survives(lake, writes):
            break
    assert writes > 15
    assert content(published.root) == original
