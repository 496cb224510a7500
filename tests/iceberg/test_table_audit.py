"""An audit finds each file of a table that is missing, or is not what the metadata says."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.iceberg.parquet import publish, spec_of, write_rows

from brewhouse.iceberg.table_spec import Publication
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake, add_checksum

SPEC = spec_of(n="long", label="string")
WIDER = spec_of(n="long", label="string", more="double")
ROWS = [(number, f"name {number}") for number in range(200)]


def add(tables: Tables, *rows: tuple[object, ...], checksum: bool = True) -> Path:
    """Publish rows in one more file, and return it."""
    kept = tuple(tables.files("silver.t")) if tables.names() else ()
    file = Path(write_rows(tables, SPEC, rows))
    file = add_checksum(file) if checksum else file
    tables.publish([Publication(SPEC, (str(file),), kept)], {"brewhouse.run": "RUN"})
    return file


def found(tables: Tables) -> list[str]:
    return [str(error) for error in tables.audit("silver.t")]


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(Lake(tmp_path / "lake"))


def test_a_whole_table_has_no_findings_whatever_its_history(tables: Tables) -> None:
    add(tables, *ROWS)
    add(tables, (1000, None), checksum=False)
    publish(tables, WIDER, (1, "x", 0.5), (2, None, None), kept=tables.files("silver.t"))
    publish(tables, WIDER, (None, "z" * 40, 1.0))
    assert found(tables) == []


@pytest.mark.parametrize("share", [number / 40 for number in range(0, 40, 4)])
def test_a_changed_byte_of_a_data_file_is_found_wherever_it_is(tables: Tables, share: float) -> None:
    file = add(tables, *ROWS)
    content = bytearray(file.read_bytes())
    content[int(share * len(content))] ^= 1
    file.write_bytes(content)
    (error,) = found(tables)
    assert error.startswith(f"{file} cannot be used: its content does not match its checksum.")


def other_rows(file: Path, tables: Tables) -> None:
    shutil.copy(write_rows(tables, SPEC, [(number, f"nama {number}") for number in range(200)]), file)


def fewer_rows(file: Path, tables: Tables) -> None:
    shutil.copy(write_rows(tables, SPEC, ROWS[:-1]), file)


def no_file(file: Path, _: Tables) -> None:
    file.unlink()


def no_parquet(file: Path, _: Tables) -> None:
    file.write_bytes(bytes(file.stat().st_size))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (other_rows, "statistics differ"),
        (fewer_rows, "bytes"),
        (no_file, "it does not exist"),
        (no_parquet, "it cannot be read"),
    ],
)
def test_a_file_without_a_checksum_is_compared_with_the_metadata(
    tables: Tables, damage: Callable[[Path, Tables], None], reason: str
) -> None:
    file = add(tables, *ROWS, checksum=False)
    damage(file, tables)
    (error,) = found(tables)
    assert str(file) in error
    assert reason in error


def test_files_of_earlier_snapshots_are_audited_too(tables: Tables) -> None:
    file = add(tables, (1, "x"))
    publish(tables, SPEC, (2, "y"))
    file.unlink()
    (error,) = found(tables)
    assert str(file) in error


def test_each_damaged_manifest_is_named_once(tables: Tables) -> None:
    for number in range(3):
        add(tables, (number, "x"))
    manifests = sorted(Path(tables.files("silver.t")[0]).parent.with_name("metadata").glob("*-m0.*.avro"))
    manifests[0].write_bytes(manifests[0].read_bytes()[:-1])
    assert [error.partition(" ")[0] for error in found(tables)] == [str(manifests[0])]
