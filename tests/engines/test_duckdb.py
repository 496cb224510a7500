"""The embedded engine: its memory limit, its temporary files and its connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pyarrow import parquet

from brewhouse.engines.duckdb import DuckDBEngine, _translated
from brewhouse.engines.engine import EngineError
from brewhouse.errors import BrewhouseError
from brewhouse.iceberg.table_spec import Column, TableSpec
from brewhouse.models.model import parse

SPEC = TableSpec("silver.places", "Places.", (Column("city", "string", "c"), Column("n", "long", "n")), ("city",))
IDS = {"city": 3, "n": 9}
LARGE = "SELECT n, md5(CAST(n AS STRING)) AS text FROM (SELECT explode(sequence(1, 1500000)) AS n) AS numbers"


@pytest.fixture
def small() -> Iterator[DuckDBEngine]:
    """An engine with 60 MB for DuckDB."""
    engine = DuckDBEngine(120)
    yield engine
    engine.close()


def temporary_folder(engine: DuckDBEngine) -> Path:
    (row,) = engine.rows("SELECT value FROM duckdb_settings() WHERE name = 'temp_directory'")
    return Path(str(row["value"]))


def test_duckdb_gets_less_than_the_limit_of_the_process() -> None:
    for limit_mb, least_mb in ((4096, 3500), (400, 190)):
        engine = DuckDBEngine(limit_mb)
        (row,) = engine.rows("SELECT value FROM duckdb_settings() WHERE name = 'memory_limit'")
        number, unit = str(row["value"]).split()
        given_mb = float(number) * {"GiB": 2**30, "MiB": 2**20}[unit] / 1e6
        engine.close()
        assert least_mb < given_mb < limit_mb


def test_a_table_larger_than_the_memory_spills_to_a_folder_that_is_deleted(small: DuckDBEngine, tmp_path: Path) -> None:
    folder = temporary_folder(small)
    small.compute(parse("silver.large", LARGE))
    assert sum(file.stat().st_size for file in folder.rglob("*")) > 1_000_000
    spec = TableSpec("silver.large", "", (Column("n", "long", ""), Column("text", "string", "")))
    (file,) = small.write(spec, {"n": 1, "text": 2}, tmp_path)
    assert parquet.ParquetFile(file).metadata.num_rows == 1_500_000
    small.close()
    assert not folder.exists()


def test_a_query_beyond_memory_and_disk_is_an_engine_error(small: DuckDBEngine) -> None:
    small._run("SET max_temp_directory_size = '1MB'")
    with pytest.raises(EngineError, match=r"silver\.large cannot be computed: Out of Memory Error"):
        small.compute(parse("silver.large", LARGE))
    assert small.rows("SELECT 1 AS n") == [{"n": 1}]


def test_engines_are_independent_of_each_other(small: DuckDBEngine) -> None:
    other = DuckDBEngine(512)
    small.attach_rows("reference.mine", {"n": "long"}, [(1,)])
    with pytest.raises(EngineError, match="mine does not exist"):
        other.rows("SELECT n FROM reference.mine")
    assert temporary_folder(other) != temporary_folder(small)
    other.close()
    assert small.rows("SELECT n FROM reference.mine") == [{"n": 1}]


def test_a_model_that_failed_changes_nothing(small: DuckDBEngine) -> None:
    small.compute(parse("silver.t", "SELECT 1 AS n"))
    with pytest.raises(EngineError):
        small.compute(parse("silver.t", "-- ephemeral: yes\nSELECT nope FROM silver.nowhere"))
    assert small.rows("SELECT n FROM silver.t") == [{"n": 1}]


@pytest.mark.parametrize("ephemeral", [True, False])
def test_only_ephemeral_models_may_lose_the_order_of_rows(small: DuckDBEngine, ephemeral: bool) -> None:
    header = "-- ephemeral: yes\n" if ephemeral else ""
    order = f"{header}SELECT value FROM duckdb_settings() WHERE name = 'preserve_insertion_order'"
    small.compute(parse("silver.order", order))
    assert small.rows("SELECT value FROM silver.order") == [{"value": "false" if ephemeral else "true"}]
    settings = "SELECT value FROM duckdb_settings() WHERE name = 'preserve_insertion_order'"
    assert small.rows(settings) == [{"value": "true"}]


def test_a_failed_ephemeral_model_does_not_leave_the_order_unprotected(small: DuckDBEngine) -> None:
    with pytest.raises(EngineError):
        small.compute(parse("silver.t", "-- ephemeral: yes\nSELECT nope FROM silver.nowhere"))
    settings = "SELECT value FROM duckdb_settings() WHERE name = 'preserve_insertion_order'"
    assert small.rows(settings) == [{"value": "true"}]


def test_many_partitions_are_written_by_several_threads(given: Callable[..., DuckDBEngine], tmp_path: Path) -> None:
    rows = [(f"city {number % 40}", number) for number in range(400)]
    files = given(SPEC.name, {"city": "STRING", "n": "INT"}, rows).write(SPEC, IDS, tmp_path)
    assert len(files) == len(set(files)) == 40
    tables = [parquet.ParquetFile(file).read().to_pylist() for file in files]
    assert all(len(table) == 10 and len({row["city"] for row in table}) == 1 for table in tables)
    assert sorted(row["n"] for table in tables for row in table) == list(range(400))


def test_the_rows_of_each_partition_are_in_order_however_they_were_computed(
    small: DuckDBEngine, tmp_path: Path
) -> None:
    rows = "SELECT concat('city ', n % 3) AS city, n FROM (SELECT explode(sequence(1, 30000)) AS n) AS t"
    shuffled = f"SELECT city, nullif(n, 7) AS n FROM ({rows}) AS t ORDER BY n % 101"
    spec = replace(SPEC, sort=("n",))
    for header in ("", "-- partition: city\n-- sort: n\n"):
        small.compute(parse(SPEC.name, header + shuffled))
        for file in small.write(spec, IDS, tmp_path):
            numbers: list[Any] = parquet.ParquetFile(file).read(["n"])["n"].to_pylist()
            assert [n is not None for n in numbers] == sorted(n is not None for n in numbers)
            assert numbers[1:] == sorted(numbers[1:])
            assert len(numbers) == 10_000


def test_rows_keep_the_order_of_their_query_without_a_sort_column(small: DuckDBEngine, tmp_path: Path) -> None:
    query = "SELECT concat('city ', n % 3) AS city, n FROM (SELECT explode(sequence(1, 30000)) AS n) AS t"
    small.compute(parse(SPEC.name, f"-- partition: city\n{query} ORDER BY n % 101, n"))
    for file in small.write(SPEC, IDS, tmp_path):
        numbers: list[Any] = parquet.ParquetFile(file).read(["n"])["n"].to_pylist()
        assert numbers == sorted(numbers, key=lambda n: (n % 101, n))


def test_a_partition_column_that_a_model_lacks_is_left_to_its_specification(small: DuckDBEngine) -> None:
    columns = small.compute(parse(SPEC.name, "-- partition: city\n-- sort: n\nSELECT 1 AS n"))
    assert [column.name for column in columns] == ["n"]


def test_a_written_table_no_longer_needs_its_computed_rows(given: Callable[..., DuckDBEngine], tmp_path: Path) -> None:
    engine = given(SPEC.name, {"city": "STRING", "n": "INT"}, [("a", 1)])
    for file in engine.write(SPEC, IDS, tmp_path):
        Path(file).unlink()
    with pytest.raises(EngineError, match=r"No files found|Cannot open file"):
        engine.rows("SELECT sum(n) AS n FROM silver.places")


def test_writing_into_a_missing_folder_fails(given: Callable[..., DuckDBEngine], tmp_path: Path) -> None:
    engine = given(SPEC.name, {"city": "STRING", "n": "INT"}, [("a", 1), ("b", 2)])
    with pytest.raises(Exception, match="missing"):
        engine.write(SPEC, IDS, tmp_path / "missing")
    assert engine.rows("SELECT sum(n) AS n FROM silver.places") == [{"n": 3}]


def test_the_limit_of_open_files_is_named_with_a_hint() -> None:
    error = duckdb.IOException('IO Error: Cannot open file "a.parquet": Too many open files')
    with (
        pytest.raises(BrewhouseError, match=r"may not open more files: .*a\.parquet.* `ulimit -n 1024`"),
        _translated("x"),
    ):
        raise error


def test_a_table_without_rows_has_no_file(small: DuckDBEngine, tmp_path: Path) -> None:
    small.compute(parse(SPEC.name, "SELECT 'Cork' AS city, 1 AS n WHERE false"))
    assert small.write(replace(SPEC, partition=()), IDS, tmp_path) == ()
    assert list(tmp_path.iterdir()) == []
    assert small.rows(f"SELECT count(*) AS n FROM {SPEC.name}") == [{"n": 0}]


def test_an_incremental_table_is_computed_when_it_is_written(small: DuckDBEngine, tmp_path: Path) -> None:
    sql = "SELECT 'R1' AS snapshot_run, CAST(text AS INT) AS n FROM reference.given"
    batch = f"-- incremental by: snapshot_run\n-- sort: n\n{sql}"
    columns = (Column("snapshot_run", "string", ""), Column("n", "long", ""))
    spec, ids = TableSpec("silver.log", "", columns, sort=("n",)), {"snapshot_run": 1, "n": 2}
    small.attach_rows("reference.given", {"text": "string"}, [("2",), ("1",)])
    small.compute(parse(spec.name, batch))
    (file,) = small.write(spec, ids, tmp_path)
    assert parquet.ParquetFile(file).read(["n"])["n"].to_pylist() == [1, 2]
    small.compute(parse(spec.name, batch.replace("CAST(text AS INT)", "CAST(error(text) AS INT)")))
    with pytest.raises(EngineError, match=r"silver\.log cannot be computed"):
        small.write(spec, ids, tmp_path)
