"""Parquet files of tables, as an engine writes them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from brewhouse.iceberg.table_spec import DUCKDB_TYPES, Column, Publication, TableSpec
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.duckdb_access import identifier, literal

Row = tuple[Any, ...]


def spec_of(
    name: str = "silver.t", partition: Sequence[str] = (), sort: Sequence[str] = (), **columns: str
) -> TableSpec:
    """Describe a table by the types of its columns."""
    described = tuple(Column(column, kind, f"The {column}") for column, kind in columns.items())
    return TableSpec(name, "A row.", described, tuple(partition), tuple(sort))


def write_file(
    file: str, columns: Mapping[str, str], rows: Sequence[Row], ids: Mapping[str, int], options: str = ""
) -> str:
    """Write rows into one file, with DuckDB's types of the columns and their field ids."""
    typed = ", ".join(f"CAST(? AS {kind}) AS {identifier(name)}" for name, kind in columns.items())
    empty = ", ".join(f"CAST(NULL AS {kind}) AS {identifier(name)}" for name, kind in columns.items())
    select = " UNION ALL ".join([*(f"SELECT {typed}" for _ in rows), f"SELECT {empty} WHERE false"])
    numbers = ", ".join(f"{identifier(name)}: {number}" for name, number in ids.items())
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        copy = f"COPY ({select}) TO {literal(file)} (FORMAT parquet, FIELD_IDS {{{numbers}}}{options})"
        connection.execute(copy, [value for row in rows for value in row])
    return file


def write_rows(tables: Tables, spec: TableSpec, rows: Sequence[Row]) -> str:
    """Write rows of one partition into a new file of a table."""
    file = str(tables.data_folder(spec.name) / f"{uuid.uuid4()}.parquet")
    return write_file(file, {c.name: DUCKDB_TYPES[c.type] for c in spec.columns}, rows, tables.field_ids(spec))


def publish(
    tables: Tables, spec: TableSpec, *rows: Row, kept: Sequence[str] = (), run: str = "RUN", **facts: str
) -> None:
    """Replace the content of a table, apart from kept files, with rows of one partition."""
    files = (write_rows(tables, spec, rows),) if rows else ()
    properties = {f"brewhouse.{name.replace('_', '-')}": text for name, text in {"run": run, **facts}.items()}
    tables.publish([Publication(spec, files, tuple(kept))], properties)
