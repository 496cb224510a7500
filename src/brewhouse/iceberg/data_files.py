"""Data files as Iceberg knows them: where they are, and what their Parquet footers say of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyiceberg.conversions import to_bytes
from pyiceberg.expressions import EqualTo
from pyiceberg.expressions.visitors import _InclusiveMetricsEvaluator
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionField, partition_record_value
from pyiceberg.typedef import Record
from pyiceberg.types import PrimitiveType
from pyiceberg.utils.truncate import truncate_upper_bound_text_string

from brewhouse.iceberg.parquet_footers import ColumnStatistics, ParquetFooter, different_values
from brewhouse.lake.s3 import SCHEME

if TYPE_CHECKING:
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata

_BOUND_CHARACTERS = 16
_NARROWER = {"long": "int", "double": "float"}
"""Types that Iceberg reads as a wider one; see https://iceberg.apache.org/spec/#schema-evolution."""


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


def described_files(metadata: TableMetadata, footers: Iterable[ParquetFooter]) -> list[DataFile]:
    """Turn what the footers of Parquet files say into what Iceberg keeps of a file.

    Bounds of text are shortened to 16 characters, as Iceberg's `truncate(16)` does by default, see
    https://iceberg.apache.org/docs/latest/configuration/#write-properties.

    Raises:
        ValueError: A file does not have the table's columns, or not their types, or rows of several partitions.
    """
    schema = metadata.schema()
    described = []
    for footer in footers:
        columns = _columns_by_id(footer, schema)
        lower = {key: _bound(schema, key, column.least) for key, column in columns.items()}
        upper = {key: _bound(schema, key, column.most, is_upper=True) for key, column in columns.items()}
        described.append(
            DataFile.from_args(
                content=DataFileContent.DATA,
                file_path=uri_of(footer.file),
                file_format=FileFormat.PARQUET,
                partition=Record(
                    *(
                        _partition_value(footer, field, columns[field.source_id], schema)
                        for field in metadata.spec().fields
                    )
                ),
                record_count=footer.rows,
                file_size_in_bytes=footer.size_bytes,
                column_sizes={key: column.size_bytes for key, column in columns.items()},
                value_counts={key: column.values for key, column in columns.items()},
                null_value_counts={key: column.nulls for key, column in columns.items() if column.nulls is not None},
                nan_value_counts={},
                lower_bounds={key: bound for key, bound in lower.items() if bound is not None},
                upper_bounds={key: bound for key, bound in upper.items() if bound is not None},
                split_offsets=footer.offsets_bytes,
                sort_order_id=None,
                spec_id=metadata.default_spec_id,
                equality_ids=None,
                key_metadata=None,
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


def _columns_by_id(footer: ParquetFooter, schema: Schema) -> dict[int, ColumnStatistics]:
    """Find a file's columns by their field ids, and see that they are the table's."""
    found = {column.field_id: column for column in footer.columns if column.field_id is not None}
    for field in schema.fields:
        column = found.get(field.field_id)
        kind = str(field.field_type)
        if column is None or column.name != field.name or column.type not in {kind, _NARROWER.get(kind)}:
            raise ValueError(f"{footer.file} has no column {field.name} of type {kind} with id {field.field_id}.")
    if len(found) != len(schema.fields) or len(footer.columns) != len(found):
        raise ValueError(f"{footer.file} has columns that the table has not.")
    return {field.field_id: found[field.field_id] for field in schema.fields}


def _bound(schema: Schema, field_id: int, value: Any, *, is_upper: bool = False) -> bytes | None:  # noqa: ANN401
    """Write a bound as Iceberg does."""
    if isinstance(value, str):
        value = truncate_upper_bound_text_string(value, _BOUND_CHARACTERS) if is_upper else value[:_BOUND_CHARACTERS]
    kind = schema.find_type(field_id)
    assert isinstance(kind, PrimitiveType)
    return None if value is None else to_bytes(kind, value)


def _partition_value(footer: ParquetFooter, field: PartitionField, column: ColumnStatistics, schema: Schema) -> Any:  # noqa: ANN401
    """Tell the one value all rows of a file have in a column, by the footer when it says so."""
    if column.nulls == footer.rows:
        return None
    if column.nulls == 0 and column.is_exact and column.least is not None and column.least == column.most:
        values = [column.least]
    else:  # of long text, the footer has a shortened value or none
        values = different_values(footer.file, column.name)
    if len(values) != 1:
        raise ValueError(f"{footer.file} has rows of {len(values)} partitions by {column.name}.")
    return partition_record_value(field, values[0], schema)
