"""What the footers of Parquet files say of them; DuckDB reads them, since importing PyArrow costs 0.2 s and 40 MB."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from brewhouse.iceberg.table_spec import DUCKDB_TYPES
from brewhouse.lake.duckdb_access import identifier, literal, reach

if TYPE_CHECKING:
    import duckdb

_FILES = "SELECT file_name, num_rows, file_size_bytes FROM parquet_file_metadata(?)"
_COLUMNS = "SELECT file_name, name, field_id, duckdb_type FROM parquet_schema(?) WHERE num_children IS NULL"
_CHUNKS = """
    SELECT file_name, column_id = 0, least(data_page_offset, dictionary_page_offset), path_in_schema, num_values,
        total_compressed_size, stats_null_count, stats_min_value, stats_max_value, min_is_exact AND max_is_exact
    FROM parquet_metadata(?) ORDER BY file_name, row_group_id, column_id
"""
_ICEBERG_TYPES = {kind: name for name, kind in DUCKDB_TYPES.items()} | {"TIMESTAMP WITH TIME ZONE": "timestamptz"}
_VALUES: dict[str, Callable[[str], Any]] = {
    "string": str,
    "double": float,
    "long": int,
    "int": int,
    "boolean": lambda text: text == "true",
    "timestamptz": datetime.fromisoformat,
    "date": date.fromisoformat,
}


@dataclass(frozen=True)
class ColumnStatistics:
    """What a footer says of a column.

    Attributes:
        name: Its name.
        field_id: Of Iceberg; None when the file does not say.
        type: Of Iceberg; DuckDB's name for one that our tables do not have.
        size_bytes: Compressed.
        values: How many, nulls included.
        nulls: How many; None when the footer does not say.
        least: A lower bound; None when there is none.
        most: An upper bound; None when there is none.
        is_exact: Whether both bounds are values of the column, not shortened ones.
    """

    name: str
    field_id: int | None
    type: str
    size_bytes: int
    values: int
    nulls: int | None
    least: Any
    most: Any
    is_exact: bool


@dataclass(frozen=True)
class ParquetFooter:
    """What a Parquet file says of itself.

    Attributes:
        file: Its path.
        rows: How many.
        size_bytes: Of the whole file.
        columns: In the file's order.
        offsets_bytes: Where its row groups begin.
    """

    file: str
    rows: int
    size_bytes: int
    columns: list[ColumnStatistics]
    offsets_bytes: list[int]


def read_footers(files: Sequence[str]) -> list[ParquetFooter]:
    """Read the footers of Parquet files, in their order.

    Args:
        files: Absolute paths, or URLs on S3.
    """
    if not files:
        return []
    with _reading(files) as connection:
        sizes = {file: (rows, size) for file, rows, size in connection.execute(_FILES, [files]).fetchall()}
        chunks: dict[tuple[str, str], list[_Chunk]] = defaultdict(list)
        offsets: dict[str, list[int]] = defaultdict(list)
        for file, is_first, offset, name, *chunk in connection.execute(_CHUNKS, [files]).fetchall():
            chunks[file, name].append(_Chunk(*chunk))
            if is_first:
                offsets[file].append(offset)
        columns: dict[str, list[ColumnStatistics]] = defaultdict(list)
        for file, name, field_id, kind in connection.execute(_COLUMNS, [files]).fetchall():
            columns[file].append(_column(name, field_id, _ICEBERG_TYPES.get(kind, kind), chunks[file, name]))
    return [ParquetFooter(file, *sizes[file], columns[file], offsets[file]) for file in files]


def different_values(file: str, column: str) -> list[Any]:
    """Read what different values a column of a file has, in no order."""
    with _reading([file]) as connection:
        found = connection.execute(f"SELECT DISTINCT {identifier(column)} FROM read_parquet({literal(file)})")
        return [value for (value,) in found.fetchall()]


class _Chunk(NamedTuple):
    """A row group's part of a column."""

    values: int
    size_bytes: int
    nulls: int | None
    least: str | None
    most: str | None
    is_exact: bool | None


def _column(name: str, field_id: int | None, kind: str, chunks: Sequence[_Chunk]) -> ColumnStatistics:
    """Put together what the row groups say; a bound is one only if it holds for all of them."""
    read = _VALUES.get(kind, str)
    filled = [chunk for chunk in chunks if chunk.nulls != chunk.values]
    least = [read(chunk.least) for chunk in filled if chunk.least is not None]
    most = [read(chunk.most) for chunk in filled if chunk.most is not None]
    counted = [chunk.nulls for chunk in chunks if chunk.nulls is not None]
    return ColumnStatistics(
        name=name,
        field_id=field_id,
        type=kind,
        size_bytes=sum(chunk.size_bytes for chunk in chunks),
        values=sum(chunk.values for chunk in chunks),
        nulls=sum(counted) if len(counted) == len(chunks) else None,
        least=min(least) if least and len(least) == len(filled) else None,
        most=max(most) if most and len(most) == len(filled) else None,
        is_exact=all(chunk.is_exact for chunk in filled),
    )


def _reading(files: Sequence[str]) -> duckdb.DuckDBPyConnection:
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    reach(connection, files)
    return connection
