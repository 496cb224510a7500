"""From Parquet footers to Iceberg data files; DuckDB reads them, as importing PyArrow takes 0.2 s and 40 MB."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
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

from brewhouse.iceberg.file_io import uri_of
from brewhouse.iceberg.table_spec import DUCKDB_TYPES
from brewhouse.lake.damage import DamagedFileError
from brewhouse.lake.duckdb_access import file_pattern, identifier, literal, scratch

if TYPE_CHECKING:
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata

_ICEBERG_TYPES = {kind: name for name, kind in DUCKDB_TYPES.items()} | {"TIMESTAMP WITH TIME ZONE": "timestamptz"}
_PARSERS: dict[str, Callable[[str], Any]] = {
    "double": float,
    "long": int,
    "int": int,
    "boolean": lambda text: text == "true",
    "timestamptz": datetime.fromisoformat,
    "date": date.fromisoformat,
}
_BOUND_CHARACTERS = 16
_PROMOTED = {"long": "int", "double": "float"}
"""Types that Iceberg also reads from narrower ones; see https://iceberg.apache.org/spec/#schema-evolution."""


@dataclass(frozen=True)
class ColumnStatistics:
    """Statistics of a column of a file.

    Attributes:
        type: Iceberg's name; DuckDB's for a type that our tables do not have.
        lower: Lower bound; None, like `nulls`, if unknown, and if all values are null.
        is_exact: Whether both bounds are values of the column rather than truncated ones.
    """

    name: str
    field_id: int | None
    type: str
    size_bytes: int
    values: int
    nulls: int | None
    lower: Any
    upper: Any
    is_exact: bool


@dataclass(frozen=True)
class ParquetFooter:
    """The footer of a Parquet file; `offsets_bytes` are the starts of its row groups."""

    file: str
    rows: int
    size_bytes: int
    offsets_bytes: list[int]
    columns: list[ColumnStatistics]


def read_footers(files: Sequence[str]) -> dict[str, ParquetFooter]:
    """Read the footers of Parquet files, by absolute path or S3 URL, all at once."""
    if not files:
        return {}
    patterns = {"files": [file_pattern(file) for file in files]}
    with scratch(files) as connection:
        columns: dict[str, list[ColumnStatistics]] = defaultdict(list)
        for file, *row in connection.execute(_sql("columns"), patterns).fetchall():
            columns[file].append(_statistics(*row))
        facts = connection.execute(_sql("files"), patterns).fetchall()
    return {file: ParquetFooter(file, rows, size, offsets, columns[file]) for file, rows, size, offsets in facts}


@cache
def _sql(name: str) -> str:
    return (Path(__file__).parent / "sql" / f"{name}.sql").read_text("utf-8")


def check_rows(file: str, rows: int) -> None:
    """Read a Parquet file completely.

    Raises:
        BrewhouseError: It cannot be read, or has another number of rows.
    """
    import duckdb

    try:
        with scratch([file]) as connection:
            rows_of = f"read_parquet({literal(file_pattern(file))}, hive_partitioning = false) AS row"
            found = connection.execute(f"SELECT count(*), bit_xor(hash(row)) FROM {rows_of}").fetchall()[0][0]
    except duckdb.Error as error:
        raise DamagedFileError(file, f"it cannot be read ({str(error).partition(chr(10))[0]})") from error
    if found != rows:
        raise DamagedFileError(file, f"it has {found} of {rows} rows")


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


def may_contain(table: Table, column: str, value: str | int) -> Callable[[DataFile], bool]:
    """Return a test by column bounds whether a file may contain rows with a value; only False is certain."""
    # Private in PyIceberg, whose public scans return the files that match, but not those that certainly do not.
    return _InclusiveMetricsEvaluator(table.schema(), EqualTo(column, value)).eval  # type: ignore[call-arg, arg-type]


def _statistics(*row: Any) -> ColumnStatistics:  # noqa: ANN401 - a row of `columns.sql`
    name, field_id, duckdb_type, size_bytes, values, nulls, lower, upper, is_exact = row
    kind = _ICEBERG_TYPES.get(duckdb_type, duckdb_type)
    parse = _PARSERS.get(kind, str)
    least = min(map(parse, lower)) if lower and None not in lower else None  # unknown unless all row groups have it
    most = max(map(parse, upper)) if upper and None not in upper else None
    return ColumnStatistics(name, field_id, kind, size_bytes, values, nulls, least, most, is_exact)


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
        values = _distinct_values(footer.file, column.name)
    if len(values) != 1:
        raise ValueError(f"{footer.file} has rows of {len(values)} partitions by {column.name}.")
    return partition_record_value(field, values[0], schema)


def _distinct_values(file: str, column: str) -> list[Any]:
    """Read the distinct values of a column of a file, in no particular order."""
    source = f"{literal(file_pattern(file))}, hive_partitioning = false"
    with scratch([file]) as connection:
        found = connection.execute(f"SELECT DISTINCT {identifier(column)} FROM read_parquet({source})")
        return [value for (value,) in found.fetchall()]
