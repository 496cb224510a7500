"""Views of the published tables, in a DuckDB file for any DuckDB client."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from brewhouse.api.contract import FIELDS
from brewhouse.iceberg.table_spec import DUCKDB_TYPES, TableSpec
from brewhouse.lake.duckdb_access import identifier, literal
from brewhouse.lake.lake import Lake


def raw_records_sql(files: Sequence[str]) -> str:
    """Select the contract's fields as text, the page number and the verbatim record from raw pages.

    Args:
        files: Absolute paths of pages, named `page-<number>.<checksum>.jsonl.gz`.
    """
    if not files:
        return records_sql("(SELECT CAST(NULL AS JSON) AS json, '' AS filename WHERE false)")
    return records_sql(f"read_json_objects({_list(files)}, format = 'newline_delimited', filename = true)")


def records_sql(lines: str) -> str:
    """Select what `raw_records_sql` does from a relation of `json`, a line, and `filename`, of its page.

    Of a repeated field, the last one counts, as in nearly all JSON parsers; `json_transform` returns the first.
    """
    columns = ", ".join(f"fields.{identifier(name)} AS {identifier(name)}" for name in FIELDS)
    structure = "{" + ", ".join(f'"{name}":"VARCHAR"' for name in FIELDS) + "}"
    values, names = "list_reverse(json_extract(json, '$.*'))", "list_reverse(json_keys(json))"
    last = (f"{values}[list_position({names}, '{name}')]" for name in FIELDS)
    reread = ", ".join(f"'{n}': json_transform({value}, '\"VARCHAR\"')" for n, value in zip(FIELDS, last, strict=True))
    is_repeated = f"json_keys(json) <> {_list(FIELDS)} AND len(json_keys(json)) > list_unique(json_keys(json))"
    return (
        f"SELECT {columns}, page, record FROM (SELECT CASE WHEN {is_repeated} "
        f"THEN {{{reread}}} ELSE json_transform(json, {literal(structure)}) END AS fields, "
        r"CAST(regexp_extract(filename, 'page-(\d+)\.[^/]*$', 1) AS BIGINT) AS page, CAST(json AS VARCHAR) AS record "
        f"FROM {lines})"
    )


def table_sql(spec: TableSpec, files: Sequence[str]) -> str:
    """Select a table's columns from its data files; a column is null in files that lack it.

    Columns with an Iceberg field id are found by it, since a name may have belonged to another column when a file was
    written; those of a table that is not yet published, by name.

    Args:
        spec: The table.
        files: Absolute paths of its Parquet files; none makes it empty.
    """
    nulls = ", ".join(f"CAST(NULL AS {DUCKDB_TYPES[c.type]}) AS {identifier(c.name)}" for c in spec.columns)
    if not files:
        return f"SELECT {nulls} WHERE false"
    if all(column.field_id is not None for column in spec.columns):
        fields = ", ".join(
            f"{c.field_id}: {{name: {literal(c.name)}, type: {literal(DUCKDB_TYPES[c.type])}, default_value: NULL}}"
            for c in spec.columns
        )
        names = ", ".join(identifier(c.name) for c in spec.columns)
        return f"SELECT {names} FROM read_parquet({_list(files)}, schema = MAP {{{fields}}}, hive_partitioning = false)"
    columns = ", ".join(
        f"CAST({identifier(c.name)} AS {DUCKDB_TYPES[c.type]}) AS {identifier(c.name)}" for c in spec.columns
    )
    return (
        f"SELECT {columns} FROM (SELECT {nulls} WHERE false UNION ALL BY NAME SELECT * "
        f"FROM read_parquet({_list(files)}, union_by_name = true, hive_partitioning = false))"
    )


def _list(texts: Sequence[str]) -> str:
    return f"[{', '.join(map(literal, texts))}]"


def view_statements(tables: Mapping[str, tuple[TableSpec, Sequence[str]]], raw_files: Sequence[str]) -> Iterator[str]:
    """Generate the statements that create a view of each table and `bronze.breweries`, of the latest raw snapshot."""
    for schema in sorted({"bronze", "silver", "gold", *(name.split(".")[0] for name in tables)}):
        yield f"CREATE SCHEMA {identifier(schema)}"
    yield f"CREATE VIEW bronze.breweries AS {raw_records_sql(raw_files)}"
    for name, (spec, files) in tables.items():
        yield f"CREATE VIEW {identifier(name)} AS {table_sql(spec, files)}"
        yield f"COMMENT ON VIEW {identifier(name)} IS {literal(spec.description)}"
        for column in spec.columns:
            path = f"{identifier(name)}.{identifier(column.name)}"
            yield f"COMMENT ON COLUMN {path} IS {literal(column.description)}"


def write_views(lake: Lake, tables: Mapping[str, tuple[TableSpec, Sequence[str]]], raw_files: Sequence[str]) -> None:
    """Replace `brewhouse.duckdb` atomically by one with the views of `view_statements`; on S3, do nothing."""
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
    # DuckDB cannot open the new file with the write-ahead log that a client left for the old one.
    lake.views_file.with_name(f"{lake.views_file.name}.wal").unlink(missing_ok=True)
    new.replace(lake.views_file)
