"""Iceberg data files: their locations, and their statistics from Parquet footers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyiceberg.conversions import to_bytes
from pyiceberg.expressions import EqualTo
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionField, partition_record_value
from pyiceberg.typedef import Record
from pyiceberg.types import PrimitiveType
from pyiceberg.utils.truncate import truncate_upper_bound_text_string

from brewhouse.iceberg.parquet_footers import ColumnStatistics, ParquetFooter, distinct_values
from brewhouse.lake.s3 import SCHEME

if TYPE_CHECKING:
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata

_BOUND_CHARACTERS = 16
_PROMOTED = {"long": "int", "double": "float"}
"""Types that Iceberg also reads from narrower ones; see https://iceberg.apache.org/spec/#schema-evolution."""


def uri_of(path: str | Path) -> str:
    """Return the URI of a path as Iceberg's writers do: not percent-encoded, since PyIceberg does not decode.

    Example:
        >>> uri_of("/data/a lake"), uri_of("s3://bucket/lake")
        ('file:///data/a lake', 's3://bucket/lake')
    """
    return str(path) if str(path).startswith(SCHEME) else f"file://{path}"


def path_of(uri: str) -> str:
    """Return the path of a URI of `uri_of`."""
    return uri.removeprefix("file://")


def to_data_files(metadata: TableMetadata, footers: Iterable[ParquetFooter]) -> list[DataFile]:
    """Convert Parquet footers to Iceberg data files.

    Bounds of strings are truncated to 16 characters, as Iceberg's `truncate(16)` does by default, see
    https://iceberg.apache.org/docs/latest/configuration/#write-properties.

    Raises:
        ValueError: A file has other columns or types than the table, or rows of several partitions.
    """
    schema = metadata.schema()
    files = []
    for footer in footers:
        columns = _columns_by_id(footer, schema)
        lower = {key: _bound(schema, key, column.lower) for key, column in columns.items()}
        upper = {key: _bound(schema, key, column.upper, is_upper=True) for key, column in columns.items()}
        partition = [_partition_value(footer, f, columns[f.source_id], schema) for f in metadata.spec().fields]
        files.append(
            DataFile.from_args(
                content=DataFileContent.DATA,
                file_path=uri_of(footer.file),
                file_format=FileFormat.PARQUET,
                partition=Record(*partition),
                record_count=footer.rows,
                file_size_in_bytes=footer.size_bytes,
                column_sizes={key: column.size_bytes for key, column in columns.items()},
                value_counts={key: column.values for key, column in columns.items()},
                null_value_counts={key: column.nulls for key, column in columns.items() if column.nulls is not None},
                nan_value_counts={},
                lower_bounds={key: bound for key, bound in lower.items() if bound is not None},
                upper_bounds={key: bound for key, bound in upper.items() if bound is not None},
                split_offsets=footer.offsets_bytes,
                spec_id=metadata.default_spec_id,
            )
        )
    return files


def partition_of(file: DataFile) -> tuple[object, ...]:
    """Return a data file's partition: the id of its partition spec, then the values."""
    return file.spec_id, *(file.partition[place] for place in range(len(file.partition)))


def may_contain(table: Table, column: str, value: str | int) -> Callable[[DataFile], bool]:
    """Return a test by column bounds whether a file may contain rows with a value; only False is certain."""
    # Private in PyIceberg, whose public scans return the files that match, but not those that certainly do not.
    from pyiceberg.expressions.visitors import _InclusiveMetricsEvaluator

    return _InclusiveMetricsEvaluator(table.schema(), EqualTo(column, value)).eval  # type: ignore[call-arg, arg-type]


def _columns_by_id(footer: ParquetFooter, schema: Schema) -> dict[int, ColumnStatistics]:
    """Match a file's columns to the table's by field id."""
    found = {column.field_id: column for column in footer.columns if column.field_id is not None}
    for field in schema.fields:
        column = found.get(field.field_id)
        kind = str(field.field_type)
        if column is None or column.name != field.name or column.type not in {kind, _PROMOTED.get(kind)}:
            raise ValueError(f"{footer.file} has no column {field.name} of type {kind} with id {field.field_id}.")
    if len(found) != len(schema.fields) or len(footer.columns) != len(found):
        raise ValueError(f"{footer.file} has columns that the table does not have.")
    return {field.field_id: found[field.field_id] for field in schema.fields}


def _bound(schema: Schema, field_id: int, value: Any, *, is_upper: bool = False) -> bytes | None:  # noqa: ANN401
    if isinstance(value, str):
        value = truncate_upper_bound_text_string(value, _BOUND_CHARACTERS) if is_upper else value[:_BOUND_CHARACTERS]
    kind = schema.find_type(field_id)
    assert isinstance(kind, PrimitiveType)
    try:
        return None if value is None else to_bytes(kind, value)
    except UnicodeEncodeError:  # PyIceberg's successor of U+D7FF is a surrogate
        return None


def _partition_value(footer: ParquetFooter, field: PartitionField, column: ColumnStatistics, schema: Schema) -> Any:  # noqa: ANN401
    """Return the single value of a partition column in a file, from the footer if it has it."""
    if column.nulls == footer.rows:
        return None
    if column.nulls == 0 and column.is_exact and column.lower is not None and column.lower == column.upper:
        values = [column.lower]
    else:  # the footer has truncated bounds of long strings, or none
        values = distinct_values(footer.file, column.name)
    if len(values) != 1:
        raise ValueError(f"{footer.file} has rows of {len(values)} partitions by {column.name}.")
    return partition_record_value(field, values[0], schema)
