"""Views over the published tables, in a DuckDB file that any DuckDB client opens."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from brewhouse.api.contract import FIELDS
from brewhouse.iceberg.table_spec import DUCKDB_TYPES, TableSpec
from brewhouse.lake.duckdb_access import identifier, literal
from brewhouse.lake.lake import Lake

if TYPE_CHECKING:
    pass


def raw_records_sql(files: Sequence[str]) -> str:
    """Read raw pages: the contract's fields as text, the number of the page, and the record byte for byte.

    Args:
        files: Absolute paths of pages, named `page-<number>.<checksum>.jsonl.gz`.
    """
    if not files:
        nulls = ", ".join(f"CAST(NULL AS VARCHAR) AS {identifier(name)}" for name in FIELDS)
        return f"SELECT {nulls}, CAST(NULL AS BIGINT) AS page, CAST(NULL AS VARCHAR) AS record WHERE false"
    paths = ", ".join(literal(file) for file in files)
    return records_sql(f"read_json_objects([{paths}], format = 'newline_delimited', filename = true)")


def records_sql(lines: str) -> str:
    """Read the fields, the number of the page and the record itself from lines of raw pages.

    Args:
        lines: What has the columns `json`, a line, and `filename`, of its page.
    """
    columns = ", ".join(f"fields.{identifier(name)} AS {identifier(name)}" for name in FIELDS)
    structure = "{" + ", ".join(f'"{name}":"VARCHAR"' for name in FIELDS) + "}"
    return (
        f"SELECT {columns}, page, record FROM (SELECT json_transform(json, {literal(structure)}) AS fields, "
        r"CAST(regexp_extract(filename, 'page-(\d+)\.[^/]*$', 1) AS BIGINT) AS page, CAST(json AS VARCHAR) AS record "
        f"FROM {lines})"
    )


def table_sql(spec: TableSpec, files: Sequence[str]) -> str:
    """Read a table's columns from its data files; a column that some or all of them lack is null there.

    Columns with an Iceberg field id are found by it, since a name may have meant another column when a file was
    written; those of a table that is only being written, by name.

    Args:
        spec: The table.
        files: Absolute paths of its Parquet files; none reads as an empty table.
    """
    nulls = ", ".join(f"CAST(NULL AS {DUCKDB_TYPES[c.type]}) AS {identifier(c.name)}" for c in spec.columns)
    if not files:
        return f"SELECT {nulls} WHERE false"
    paths = ", ".join(literal(file) for file in files)
    if all(column.field_id is not None for column in spec.columns):
        fields = ", ".join(
            f"{c.field_id}: {{name: {literal(c.name)}, type: {literal(DUCKDB_TYPES[c.type])}, default_value: NULL}}"
            for c in spec.columns
        )
        names = ", ".join(identifier(c.name) for c in spec.columns)
        return f"SELECT {names} FROM read_parquet([{paths}], schema = MAP {{{fields}}}, hive_partitioning = false)"
    columns = ", ".join(
        f"CAST({identifier(c.name)} AS {DUCKDB_TYPES[c.type]}) AS {identifier(c.name)}" for c in spec.columns
    )
    return (
        f"SELECT {columns} FROM (SELECT {nulls} WHERE false UNION ALL BY NAME SELECT * "
        f"FROM read_parquet([{paths}], union_by_name = true, hive_partitioning = false))"
    )


def view_statements(tables: Mapping[str, tuple[TableSpec, Sequence[str]]], raw_files: Sequence[str]) -> Iterator[str]:
    """Give the statements that make the views of a lake.

    Args:
        tables: Each table's spec and data files.
        raw_files: Pages of the newest raw snapshot, read as `bronze.breweries`.
    """
    for schema in sorted({"bronze", "silver", "gold", *(name.split(".")[0] for name in tables)}):
        yield f"CREATE SCHEMA {identifier(schema)}"
    yield f"CREATE VIEW bronze.breweries AS {raw_records_sql(raw_files)}"
    for name, (spec, files) in tables.items():
        yield f"CREATE VIEW {identifier(name)} AS {table_sql(spec, files)}"
        yield f"COMMENT ON VIEW {identifier(name)} IS {literal(spec.description)}"
        for column in spec.columns:
            place = f"{identifier(name)}.{identifier(column.name)}"
            yield f"COMMENT ON COLUMN {place} IS {literal(column.description)}"


def write_views(lake: Lake, tables: Mapping[str, tuple[TableSpec, Sequence[str]]], raw_files: Sequence[str]) -> None:
    """Make `brewhouse.duckdb` anew beside the old one and put it in its place in one step; on S3 there is none.

    Args:
        lake: Whose views.
        tables: Each table's spec and data files.
        raw_files: Pages of the newest raw snapshot.
    """
    if not lake.is_local:
        return
    import duckdb

    for leftover in lake.root.glob(f"{lake.views_file.name}.*.tmp*"):
        leftover.unlink(missing_ok=True)
    new = lake.views_file.with_name(f"{lake.views_file.name}.{os.getpid()}.tmp")
    with duckdb.connect(str(new)) as connection:
        connection.begin()
        for statement in view_statements(tables, raw_files):
            connection.execute(statement)
        connection.commit()
    # What somebody wrote into the old file and did not check in would keep DuckDB from opening the new one.
    lake.views_file.with_name(f"{lake.views_file.name}.wal").unlink(missing_ok=True)
    new.replace(lake.views_file)
