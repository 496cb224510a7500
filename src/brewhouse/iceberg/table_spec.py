"""What a table is, apart from how it is stored: name, columns, partition and sort order; and its new content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

DUCKDB_TYPES = {
    "string": "VARCHAR",
    "double": "DOUBLE",
    "long": "BIGINT",
    "int": "INTEGER",
    "boolean": "BOOLEAN",
    "timestamptz": "TIMESTAMPTZ",
    "date": "DATE",
}
"""DuckDB's name of each Iceberg type that a column can have."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        type: An Iceberg type, one of `DUCKDB_TYPES`.
        field_id: Iceberg's id of the column in a stored table; files of any age are read by it, not by the name.
    """

    name: str
    type: str
    description: str
    field_id: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class TableSpec:
    """A table as its model describes it: files have rows of one `partition`, in the order of the columns `sort`."""

    name: str
    description: str
    columns: tuple[Column, ...]
    partition: tuple[str, ...] = ()
    sort: tuple[str, ...] = ()


@dataclass(frozen=True)
class Publication:
    """The new content of a table.

    Attributes:
        files: Absolute paths of new Parquet files below the table's data folder, each with rows of one partition.
        kept: Paths of the current files that stay, as `files` lists them; columns they lack are null in them.
        properties: Kept in the table's new snapshot, in addition to those of the whole publication.
    """

    spec: TableSpec
    files: tuple[str, ...]
    kept: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
