"""Data files as Iceberg knows them: where they are, and what their Parquet footers say of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pyiceberg.io.pyarrow as iceberg_parquet
from pyiceberg.expressions import EqualTo
from pyiceberg.expressions.visitors import _InclusiveMetricsEvaluator
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.typedef import Record

from brewhouse.lake.s3 import SCHEME, path_at

if TYPE_CHECKING:
    from pyiceberg.io.fileformat import DataFileStatistics
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata


def uri_of(path: str | Path) -> str:
    """Name a file as Iceberg's writers do: not percent-encoded, for PyIceberg does not decode.

    Example:
        >>> uri_of("/data/a lake"), uri_of("s3://bucket/lake")
        ('file:///data/a lake', 's3://bucket/lake')
    """
    return str(path) if str(path).startswith(SCHEME) else f"file://{path}"


def path_of(uri: str) -> str:
    """Give the path that a URI of `uri_of` names."""
    return uri.removeprefix("file://")


def described_files(metadata: TableMetadata, files: Sequence[str]) -> list[DataFile]:
    """Read the footers of Parquet files into what Iceberg keeps of a file.

    As `pyiceberg.io.pyarrow.parquet_file_to_data_file` does, but what is the same for all files only once.
    """
    schema = metadata.schema()
    plan = iceberg_parquet.compute_statistics_plan(schema, metadata.properties)
    ids = iceberg_parquet.parquet_path_to_id_mapping(schema)
    described, seen = [], None
    for file in files:
        footer, size_bytes = _footer(file)
        arrow = footer.schema.to_arrow_schema()
        if seen is None or not arrow.equals(seen, check_metadata=True):
            iceberg_parquet._check_pyarrow_schema_compatible(schema, arrow, format_version=2)
            seen = arrow
        statistics = iceberg_parquet.data_file_statistics_from_parquet_metadata(footer, plan, ids)
        described.append(
            DataFile.from_args(
                content=DataFileContent.DATA,
                file_path=uri_of(file),
                file_format=FileFormat.PARQUET,
                partition=Record(
                    *(_partition_value(file, field, statistics, schema) for field in metadata.spec().fields)
                ),
                file_size_in_bytes=size_bytes,
                sort_order_id=None,
                spec_id=metadata.default_spec_id,
                equality_ids=None,
                key_metadata=None,
                **statistics.to_serialized_dict(),
            )
        )
    return described


def partition_of(file: DataFile) -> tuple[object, ...]:
    """Tell a data file's partition: the number of its partition spec, then the values."""
    return file.spec_id, *(file.partition[place] for place in range(len(file.partition)))


def holds(table: Table, column: str, value: str | int) -> Callable[[DataFile], bool]:
    """Make a test whether a file may have rows with a value; False is certain, by the bounds of its columns."""
    wanted = EqualTo(column, value)  # type: ignore[call-arg, arg-type]
    return _InclusiveMetricsEvaluator(table.schema(), wanted).eval


def _footer(file: str) -> tuple[pq.FileMetaData, int]:
    """Read a Parquet file's footer, and tell the file's size in bytes."""
    with path_at(file).open("rb") as opened:
        return pq.read_metadata(opened), opened.seek(0, os.SEEK_END)


def _partition_value(file: str, field: PartitionField, statistics: DataFileStatistics, schema: Schema) -> Any:  # noqa: ANN401
    """Tell the one value all rows of a file have in a column, by the footer when it says so."""
    nulls = statistics.null_value_counts.get(field.source_id)
    if nulls == statistics.record_count:
        return None
    aggregate = statistics.column_aggregates.get(field.source_id)
    least, most = (aggregate.current_min, aggregate.current_max) if aggregate else (None, None)
    if nulls == 0 and least is not None and least == most:  # of long text, the footer has a shortened value or none
        return statistics.partition(PartitionSpec(field), schema)[0]
    with path_at(file).open("rb") as opened:
        values = pq.read_table(opened, columns=[field.name]).column(0).unique().to_pylist()
    if len(values) != 1:
        raise ValueError(f"{file} has rows of {len(values)} partitions by {field.name}.")
    return values[0]
