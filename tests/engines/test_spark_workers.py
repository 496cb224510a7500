"""The code of Spark's Python workers: parsing of pages, and Parquet files read and written as whole objects."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet

from brewhouse.api.contract import FIELDS
from brewhouse.engines.spark_workers import PARTITION, parse_records, read_pages, read_rows, write_rows
from brewhouse.iceberg.table_spec import Column
from brewhouse.lake.duckdb_access import literal
from brewhouse.lake.lake import path_at

COLUMNS = (Column("city", "string", "", 3), Column("n", "long", "", 9))
IDS = {"city": 3, "n": 9}
ROW_GROUP = 122_880


def names(*files: str | Path) -> list[pa.RecordBatch]:
    return [pa.RecordBatch.from_pydict({"file": list(map(str, files))})]


def rows(batches: Iterable[pa.RecordBatch]) -> list[dict[str, Any]]:
    return [row for batch in batches for row in batch.to_pylist()]


def batch(cities: Sequence[str | None], partition: Sequence[str] | None = None, n: int = 1) -> pa.RecordBatch:
    """Make a batch of rows to write; the order of its columns is not the table's."""
    columns: dict[str, Any] = {"n": pa.array([n] * len(cities), pa.int32()), "city": pa.array(cities, pa.string())}
    return pa.RecordBatch.from_pydict(columns if partition is None else {**columns, PARTITION: list(partition)})


def written(folder: str, batches: Iterable[pa.RecordBatch]) -> list[parquet.ParquetFile]:
    """Write batches and open the files."""
    files = [row["file"] for row in rows(write_rows(folder, COLUMNS, IDS, batches))]
    assert sorted(files) == sorted(map(str, path_at(folder).rglob("*")))
    return [parquet.ParquetFile(pa.BufferReader(path_at(file).read_bytes())) for file in files]


@pytest.fixture
def folder(bucket: str, request: pytest.FixtureRequest) -> str:
    """An empty folder on S3."""
    return f"{bucket}/{request.node.name.replace('[', '-').rstrip(']')}"


def test_pages_become_records_with_page_numbers_and_verbatim_lines(tmp_path: Path) -> None:
    texts = {"page-00002.ab.jsonl.gz": b'{"id":"b"}\n\n{"id":"c", "x":1}\n', "page-00010.cd.jsonl.gz": b'{"id":"\xff"}'}
    for name, text in texts.items():
        (tmp_path / name).write_bytes(gzip.compress(text))
    found = rows(read_pages(names(*(tmp_path / name for name in texts))))
    assert [(row["id"], row["page"], row["record"]) for row in found] == [
        ("b", 2, '{"id":"b"}'),
        ("c", 2, '{"id":"c", "x":1}'),
        ("\ufffd", 10, '{"id":"\ufffd"}'),
    ]
    assert [*found[0]] == [*FIELDS, "page", "record"]


def test_the_last_of_a_repeated_field_counts(tmp_path: Path) -> None:
    page = tmp_path / "page-00001.ab.jsonl.gz"
    page.write_bytes(gzip.compress(b'{"id":"a","name":"x","\\u0069d":"b","ID":"c"}\n'))
    (found,) = rows(read_pages(names(page)))
    assert (found["id"], found["name"]) == ("b", "x")


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_a_page_without_lines_has_no_records(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "page-00001.ab.jsonl.gz").write_bytes(gzip.compress(content))
    assert rows(read_pages(names(tmp_path / "page-00001.ab.jsonl.gz"))) == []
    assert rows(read_pages([])) == []
    assert rows(parse_records([])) == []


@pytest.mark.parametrize("has_ids", [True, False], ids=["by field id", "by name"])
def test_columns_are_read_by_field_id_or_name_and_missing_ones_are_null(tmp_path: Path, has_ids: bool) -> None:
    file = str(tmp_path / "old.parquet")
    select = "SELECT 7::INTEGER AS n, 'x' AS town, 1 AS other"
    duckdb.execute(f"COPY ({select}) TO {literal(file)} (FORMAT parquet, FIELD_IDS {{n: 9, town: 3, other: 4}})")
    wanted = [*COLUMNS, Column("day", "date", "", 99)]
    columns = wanted if has_ids else [Column(column.name, column.type, "") for column in wanted]
    (read,) = read_rows(columns, names(file))
    assert read.to_pylist() == [{"city": "x" if has_ids else None, "n": 7, "day": None}]
    assert [str(kind) for kind in read.schema.types] == ["string", "int64", "date32[day]"]


def test_a_file_with_none_of_the_columns_has_a_null_row_for_each_of_its_rows(tmp_path: Path) -> None:
    file = str(tmp_path / "other.parquet")
    duckdb.execute(f"COPY (SELECT unnest([1, 2, 3]) AS other) TO {literal(file)}")
    assert rows(read_rows([Column("city", "string", "", 3)], names(file, file))) == [{"city": None}] * 6


def test_each_partition_is_an_object_across_batches(folder: str) -> None:
    batches = [batch(["a", "b"], ["p", "p"]), batch(["c", "d"], ["p", "q"]), batch([]), batch([None], ["q"])]
    tables = [file.read().to_pylist() for file in written(folder, batches)]
    assert sorted([row["city"] for row in table] for table in tables) == [["a", "b", "c"], ["d", None]]
    assert [*tables[0][0]] == ["city", "n"]


def test_without_partitions_there_is_one_object(folder: str) -> None:
    (file,) = written(folder, [batch(["a"]), batch(["b", None])])
    assert file.read()["city"].to_pylist() == ["a", "b", None]
    assert [(field.name, str(field.type)) for field in file.schema_arrow] == [("city", "string"), ("n", "int64")]
    assert [int((field.metadata or {})[b"PARQUET:field_id"]) for field in file.schema_arrow] == [3, 9]
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize("batches", [[], [batch([])], [batch([], [])]])
def test_no_rows_write_no_object(folder: str, batches: list[pa.RecordBatch]) -> None:
    assert written(folder, batches) == []


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([ROW_GROUP], [ROW_GROUP]),
        ([ROW_GROUP - 1, 1, 1], [ROW_GROUP, 1]),
        ([50_000] * 3, [ROW_GROUP, 150_000 - ROW_GROUP]),
        ([10] * 5, [50]),
    ],
)
def test_batches_are_collected_into_row_groups(folder: str, sizes: list[int], groups: list[int]) -> None:
    (file,) = written(folder, [batch(["x"] * size) for size in sizes])
    assert [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)] == groups


def test_a_failure_while_rows_arrive_puts_no_object(folder: str) -> None:
    def failing() -> Iterable[pa.RecordBatch]:
        yield batch(["a"], ["p"])
        raise OSError("the machine is lost")

    with pytest.raises(OSError, match="lost"):
        rows(write_rows(folder, COLUMNS, IDS, failing()))
    assert list(path_at(folder).rglob("*")) == []


def test_a_value_that_does_not_fit_its_column_puts_no_object(folder: str) -> None:
    text = pa.RecordBatch.from_pydict({"city": ["a"], "n": ["not a number"]})
    with pytest.raises(pa.ArrowInvalid, match="not a number"):
        rows(write_rows(folder, COLUMNS, IDS, [text]))
    assert list(path_at(folder).rglob("*")) == []
