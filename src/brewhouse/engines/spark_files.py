"""What runs in Spark's Python workers for a lake on S3: they fetch and put whole files, as the embedded engine does.

So Spark needs no library of its own for S3, and the same code runs on AWS Glue, on a cluster and on one machine. An
object is there whole or not at all, under a name that no other attempt of a task has: one that was written by an
attempt that failed is of no table, and `brewhouse maintain` deletes it.
"""

from __future__ import annotations

import gzip
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brewhouse.engines.spark_records import parsed
from brewhouse.iceberg.table_spec import Column
from brewhouse.lake.s3 import bucket_store
from brewhouse.lake.s3_path import S3Path, path_at

if TYPE_CHECKING:
    import pyarrow as pa

PARTITION = "brewhouse_partition"
"""Column of rows to be written that tells one partition from another; it is not written."""
_FIELD_ID = b"PARQUET:field_id"
_ROWS_A_GROUP = 122_880  # as DuckDB's


def read_pages(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Read the records of raw pages.

    Args:
        batches: With the column `file`, their places.

    Yields:
        Batches as `spark_records.RECORDS_TYPES` says.
    """
    return parsed(_lines(batches))


def read_rows(columns: Sequence[Column], batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Read columns of Parquet files, by their field ids where they have any, else by name; one a file lacks is null.

    Args:
        columns: What is read.
        batches: With the column `file`, places of files.

    Yields:
        Batches with these columns, in their types.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = _types(columns)
    for file in _files(batches):
        parquet = pq.ParquetFile(pa.BufferReader(path_at(file).read_bytes()))
        named = {field.name: field.name for field in parquet.schema_arrow}
        numbered = {_id(field): field.name for field in parquet.schema_arrow}
        there = [numbered.get(c.field_id) if c.field_id is not None else named.get(c.name) for c in columns]
        for batch in parquet.iter_batches(columns=sorted({name for name in there if name})):
            yield pa.RecordBatch.from_arrays(
                [
                    batch.column(name).cast(kind) if name else pa.nulls(batch.num_rows, kind)
                    for name, kind in zip(there, types, strict=True)
                ],
                names=[column.name for column in columns],
            )


def write_rows(
    folder: str, columns: Sequence[Column], ids: Mapping[str, int], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Write the rows of one task into Parquet files with field ids, one a partition, each put when it is whole.

    Args:
        folder: Where the files go, on S3.
        columns: Of the table.
        ids: Field id of each column.
        batches: With the columns, and `PARTITION` if there are partitions; rows of one follow each other.

    Yields:
        Batches with the column `file`, the places of the files.
    """
    import pyarrow as pa

    fields = zip(columns, _types(columns), strict=True)
    schema = pa.schema([pa.field(c.name, kind, metadata={_FIELD_ID: str(ids[c.name])}) for c, kind in fields])
    for _, parts in groupby(_parts(batches), key=lambda part: part[0]):
        yield pa.RecordBatch.from_pydict({"file": [_put(folder, schema, (rows for _, rows in parts))]})


def _put(folder: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> str:
    """Write rows into one file here, put it, and tell its place."""
    import pyarrow.parquet as pq

    target = path_at(folder) / f"{uuid.uuid4()}.parquet"
    assert isinstance(target, S3Path)
    with tempfile.TemporaryDirectory(prefix="brewhouse-") as name:
        file = Path(name) / target.name
        with pq.ParquetWriter(file, schema, compression="zstd", compression_level=1, store_schema=False) as writer:
            for rows in _groups(schema, batches):
                writer.write_table(rows, row_group_size=_ROWS_A_GROUP)
        bucket_store(target.bucket).put(target.key, file)
    return str(target)


def _groups(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Gather batches into tables with enough rows for a row group."""
    import pyarrow as pa

    gathered: list[pa.RecordBatch] = []
    for batch in batches:
        gathered.append(batch)
        if sum(each.num_rows for each in gathered) >= _ROWS_A_GROUP:
            yield pa.Table.from_batches(gathered).select(schema.names).cast(schema)
            gathered = []
    if gathered:
        yield pa.Table.from_batches(gathered).select(schema.names).cast(schema)


def _parts(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[object, pa.RecordBatch]]:
    """Cut batches where another partition begins."""
    for batch in batches:
        if PARTITION not in batch.schema.names:
            if batch.num_rows:
                yield None, batch
            continue
        start = 0
        for value, same in groupby(batch.column(PARTITION).to_pylist()):
            rows = sum(1 for _ in same)
            yield value, batch.slice(start, rows)
            start += rows


def _lines(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    for file in _files(batches):
        lines = gzip.decompress(path_at(file).read_bytes()).decode("utf-8", "replace").split("\n")
        yield pa.RecordBatch.from_pydict(
            {"json": [line for line in lines if line], "filename": [file for line in lines if line]},
            schema=pa.schema({"json": pa.string(), "filename": pa.string()}),
        )


def _files(batches: Iterable[pa.RecordBatch]) -> Iterator[str]:
    for batch in batches:
        yield from map(str, batch.column("file").to_pylist())


def _id(field: pa.Field[Any]) -> int | None:
    found = (field.metadata or {}).get(_FIELD_ID)
    return int(found) if found else None


def _types(columns: Sequence[Column]) -> list[Any]:
    """Give the Arrow types of columns."""
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
