"""The embedded engine writes what a table's description asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pyarrow import parquet

from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.iceberg.table_spec import Column, TableSpec

Given = Callable[..., DuckDBEngine]
COLUMNS = (Column("country", "string", "c"), Column("city", "string", "c"), Column("n", "long", "n"))
SPEC = TableSpec("silver.places", "Places.", COLUMNS, ("country",), ("city",))
IDS = {"country": 7, "city": 3, "n": 9}
TYPES = {"country": "STRING", "city": "STRING", "n": "INT"}
ROWS = [("B", "z", 1), (None, "q", 2), ("B", "a", 3), ("O'x", "m", 4), ("B", None, 5)]


def contents(files: tuple[str, ...]) -> list[list[tuple[object, ...]]]:
    return sorted(
        ([tuple(row.values()) for row in parquet.ParquetFile(file).read().to_pylist()] for file in files), key=str
    )


def test_each_partition_is_a_file_of_its_own_sorted_and_null_is_one(given: Given, tmp_path: Path) -> None:
    files = given(SPEC.name, TYPES, ROWS).write(SPEC, IDS, tmp_path)
    assert contents(files) == [
        [("O'x", "m", 4)],
        [("B", None, 5), ("B", "a", 3), ("B", "z", 1)],
        [(None, "q", 2)],
    ]
    assert sorted(files) == sorted(str(file) for file in tmp_path.iterdir())


def test_without_a_partition_there_is_one_file(given: Given, tmp_path: Path) -> None:
    spec = TableSpec(SPEC.name, "", COLUMNS, (), ("n",))
    files = given(SPEC.name, TYPES, ROWS).write(spec, IDS, tmp_path)
    assert [row[2] for row in contents(files)[0]] == [1, 2, 3, 4, 5]
    assert len(files) == 1


def test_columns_carry_their_field_ids_and_types(given: Given, tmp_path: Path) -> None:
    (file,) = given(SPEC.name, TYPES, ROWS[:1]).write(SPEC, IDS, tmp_path)
    schema = parquet.ParquetFile(file).schema_arrow
    assert {field.name: int((field.metadata or {})[b"PARQUET:field_id"]) for field in schema} == IDS
    assert {field.name: str(field.type) for field in schema} == {"country": "string", "city": "string", "n": "int64"}


@pytest.mark.parametrize("partition", [(), ("country",)])
def test_an_empty_table_reads_as_empty_with_its_columns(
    given: Given, tmp_path: Path, partition: tuple[str, ...]
) -> None:
    engine = given(SPEC.name, TYPES, [])
    files = engine.write(TableSpec(SPEC.name, "", COLUMNS, partition), IDS, tmp_path)
    assert sum(parquet.ParquetFile(file).metadata.num_rows for file in files) == 0
    assert engine.rows("SELECT country, city, n FROM silver.places") == []


def test_a_written_table_is_read_from_its_files(given: Given, tmp_path: Path) -> None:
    engine = given(SPEC.name, TYPES, ROWS)
    files = engine.write(SPEC, IDS, tmp_path)
    assert engine.rows("SELECT sum(n) AS n FROM silver.places") == [{"n": 15}]
    for file in files:
        Path(file).unlink()
    with pytest.raises(Exception, match=r"No files found|Cannot open file"):
        engine.rows("SELECT sum(n) AS n FROM silver.places")


def test_a_folder_that_looks_like_a_partition_adds_no_column(given: Given, tmp_path: Path) -> None:
    folder = tmp_path / "city=Ghost"
    folder.mkdir()
    engine = given(SPEC.name, TYPES, ROWS[:1])
    engine.write(SPEC, IDS, folder)
    assert engine.rows("SELECT * FROM silver.places") == [{"country": "B", "city": "z", "n": 1}]


def test_duckdb_gets_less_than_the_process_may_use() -> None:
    for limit_mb, least_mb in ((4096, 3500), (400, 190)):
        engine = DuckDBEngine(limit_mb)
        (row,) = engine.rows("SELECT value FROM duckdb_settings() WHERE name = 'memory_limit'")
        number, unit = str(row["value"]).split()
        given_mb = float(number) * {"GiB": 2**30, "MiB": 2**20}[unit] / 1e6
        engine.close()
        assert least_mb < given_mb < limit_mb
