"""What a table is: its name, columns, partition and sort order, apart from how it is stored."""

from __future__ import annotations

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
        name: Its name, the same in every table that has it.
        type: An Iceberg type: string, double, long, int, boolean, timestamptz or date.
        description: What a value means, with its unit.
        field_id: Iceberg's number for it in a table that is there; by it, not by name, files of any age are read.
    """

    name: str
    type: str
    description: str
    field_id: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class TableSpec:
    """A table as its model describes it.

    Attributes:
        name: Zone and table, as `silver.breweries`.
        description: What a row is.
        columns: In the order of the table.
        partition: Names of the columns by whose values the files are separated.
        sort: Names of the columns by which the rows of a file are ordered.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    partition: tuple[str, ...] = ()
    sort: tuple[str, ...] = ()
