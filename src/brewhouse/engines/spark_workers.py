"""The code of Spark's Python workers: they parse raw records and, on S3, read and put whole objects.

Spark then needs no library for S3, and the same code runs on AWS Glue, on a cluster and on one machine. An object
appears complete or not at all, under a name that no other attempt of a task uses. The files of a failed attempt belong
to no table, and `brewhouse maintain` deletes them.
"""

from __future__ import annotations

import gzip
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brewhouse.iceberg.table_spec import Column
from brewhouse.lake.lake import path_at
from brewhouse.lake.s3 import bucket_store
from brewhouse.lake.s3_path import S3Path
from brewhouse.query.views import records_sql

if TYPE_CHECKING:
    import pyarrow as pa

PARTITION = "brewhouse_partition"
"""Column that identifies the partition of a row to be written; it is not written itself."""
_FIELD_ID = b"PARQUET:field_id"
_ROW_GROUP_ROWS = 122_880  # DuckDB's default


def parse_records(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Parse batches of `json`, a line, and `filename`, of its page, into rows of `bronze.breweries`."""
    import duckdb
    import pyarrow as pa

    with duckdb.connect(config={"threads": 1}) as connection:
        for batch in batches:
            connection.register("lines", pa.Table.from_batches([batch]))
            yield from connection.sql(records_sql("lines")).to_arrow_table().to_batches()


def read_pages(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Read the raw pages in the column `file` as rows of `bronze.breweries`."""
    import pyarrow as pa

    schema = pa.schema({"json": pa.string(), "filename": pa.string()})
    for file in _files(batches):
        lines = gzip.decompress(path_at(file).read_bytes()).decode("utf-8", "replace").split("\n")
        rows = [{"json": line, "filename": file} for line in lines if line]
        yield from parse_records([pa.RecordBatch.from_pylist(rows, schema)])


def read_rows(columns: Sequence[Column], batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Read the Parquet files in the column `file` by field ids, or names without one; a missing column is null."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = _types(columns)
    for file in _files(batches):
        parquet = pq.ParquetFile(pa.BufferReader(path_at(file).read_bytes()))
        by_name = {field.name: field.name for field in parquet.schema_arrow}
        by_id = {int((field.metadata or {}).get(_FIELD_ID, -1)): field.name for field in parquet.schema_arrow}
        names = [by_name.get(c.name) if c.field_id is None else by_id.get(c.field_id) for c in columns]
        for batch in parquet.iter_batches(columns=sorted({name for name in names if name})):
            yield pa.RecordBatch.from_arrays(
                [
                    batch.column(name).cast(kind) if name else pa.nulls(batch.num_rows, kind)
                    for name, kind in zip(names, types, strict=True)
                ],
                names=[column.name for column in columns],
            )


def write_rows(
    folder: str, columns: Sequence[Column], ids: Mapping[str, int], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Write the rows of a task to Parquet files with field ids in a folder on S3; yield batches of their URLs.

    Each group of rows with the same `PARTITION` becomes a file.
    """
    import pyarrow as pa

    fields = zip(columns, _types(columns), strict=True)
    schema = pa.schema([pa.field(c.name, kind, metadata={_FIELD_ID: str(ids[c.name])}) for c, kind in fields])
    for _, parts in groupby(_by_partition(batches), key=lambda part: part[0]):
        yield pa.RecordBatch.from_pydict({"file": [_put(folder, schema, (rows for _, rows in parts))]})


def _put(folder: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> str:
    """Write rows to a temporary file, put it and return its URL."""
    import pyarrow.parquet as pq

    target = path_at(folder) / f"{uuid.uuid4()}.parquet"
    assert isinstance(target, S3Path)
    with tempfile.TemporaryDirectory(prefix="brewhouse-") as name:
        file = Path(name) / target.name
        with pq.ParquetWriter(file, schema, compression="zstd", compression_level=1, store_schema=False) as writer:
            for rows in _row_groups(schema, batches):
                writer.write_table(rows, row_group_size=_ROW_GROUP_ROWS)
        bucket_store(target.bucket).put(target.key, file)
    return str(target)


def _row_groups(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Collect batches into tables large enough for a row group."""
    import pyarrow as pa

    collected: list[pa.RecordBatch] = []
    for batch in batches:
        collected.append(batch)
        if sum(each.num_rows for each in collected) >= _ROW_GROUP_ROWS:
            yield pa.Table.from_batches(collected).select(schema.names).cast(schema)
            collected = []
    if collected:
        yield pa.Table.from_batches(collected).select(schema.names).cast(schema)


def _by_partition(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[object, pa.RecordBatch]]:
    """Split batches where the partition changes."""
    for batch in batches:
        start = 0
        values = batch.column(PARTITION).to_pylist() if PARTITION in batch.schema.names else [None] * batch.num_rows
        for value, same in groupby(values):
            rows = sum(1 for _ in same)
            yield value, batch.slice(start, rows)
            start += rows


def _files(batches: Iterable[pa.RecordBatch]) -> Iterator[str]:
    for batch in batches:
        yield from map(str, batch.column("file").to_pylist())


def _types(columns: Sequence[Column]) -> list[Any]:
    import pyarrow as pa

    types = {
        "string": pa.string(),
        "double": pa.float64(),
        "long": pa.int64(),
        "int": pa.int32(),
        "boolean": pa.bool_(),
        "timestamptz": pa.timestamp("us", tz="UTC"),
        "date": pa.date32(),
    }
    return [types[column.type] for column in columns]
