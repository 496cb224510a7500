"""Views over the published tables, in a DuckDB file that any DuckDB client opens."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence

from brewhouse.lake.lake import Lake
from brewhouse.lake.spec import TableSpec

RAW_FIELDS = (
    "id", "name", "brewery_type", "address_1", "address_2", "address_3", "city", "state_province", "postal_code",
    "country", "longitude", "latitude", "phone", "website_url", "state", "street",
)
DUCKDB_TYPES = {
    "string": "VARCHAR", "double": "DOUBLE", "long": "BIGINT", "int": "INTEGER", "boolean": "BOOLEAN",
    "timestamptz": "TIMESTAMPTZ", "date": "DATE",
}


def identifier(name: str) -> str:
    """Quote a name, or a dotted one part by part."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))


def literal(text: str) -> str:
    """Quote a text."""
    return "'" + text.replace("'", "''") + "'"


def raw_records_sql(files: Sequence[str]) -> str:
    columns = ", ".join(f"fields.{identifier(name)} AS {identifier(name)}" for name in RAW_FIELDS)
    if not files:
        nulls = ", ".join(f"CAST(NULL AS VARCHAR) AS {identifier(name)}" for name in RAW_FIELDS)
        return f"SELECT {nulls}, CAST(NULL AS BIGINT) AS page, CAST(NULL AS VARCHAR) AS record WHERE false"
    structure = "{" + ", ".join(f'"{name}":"VARCHAR"' for name in RAW_FIELDS) + "}"
    paths = ", ".join(literal(file) for file in files)
    return (
        f"SELECT {columns}, page, record FROM (SELECT json_transform(json, {literal(structure)}) AS fields, "
        r"CAST(regexp_extract(filename, 'page-(\d+)\.[^/]*$', 1) AS BIGINT) AS page, CAST(json AS VARCHAR) AS record "
        f"FROM read_json_objects([{paths}], format = 'newline_delimited', filename = true))"
    )


def table_sql(spec: TableSpec, files: Sequence[str]) -> str:
    if not files:
        return "SELECT " + ", ".join(f"CAST(NULL AS {DUCKDB_TYPES[c.type]}) AS {identifier(c.name)}" for c in spec.columns) + " WHERE false"
    columns = ", ".join(identifier(c.name) for c in spec.columns)
    paths = ", ".join(literal(file) for file in files)
    return f"SELECT {columns} FROM read_parquet([{paths}], union_by_name = true, hive_partitioning = false)"
