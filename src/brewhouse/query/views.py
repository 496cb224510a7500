"""Views of the published tables, in a DuckDB file for any DuckDB client, and in a copy that only Brewhouse opens."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from brewhouse.api.contract import FIELDS
from brewhouse.errors import BrewhouseError
from brewhouse.iceberg.table_spec import DUCKDB_TYPES, TableSpec
from brewhouse.lake.damage import IRREGULAR, DamagedFileError
from brewhouse.lake.duckdb_access import file_pattern, identifier, literal, scratch
from brewhouse.lake.error_translation import translate_error
from brewhouse.lake.lake import Lake, list_files, recorded_tables, sync_files
from brewhouse.lake.raw_snapshots import find, newest

if TYPE_CHECKING:
    from brewhouse.iceberg.table_reader import TableReader

TableFiles: TypeAlias = Mapping[str, tuple[TableSpec, Sequence[str]]]
"""Tables by name, each with the absolute paths of its Parquet files."""

_STORAGE_VERSION = "v1.0.0"  # DuckDB 1.0 and later open the file
_SILVER = "silver.breweries"
JSON_NUMBER = "-?[0-9][-+.0-9eE]*"
ODD_JSON = (  # nested values, and numbers of which a parser changes the text
    r":\s*(?:[\[{]|-0[^.]|-?[0-9]{19}|-?[0-9]{4,}\.|-?0\.000|"
    r"-?[0-9]+(?:[eE]|\.[0-9]*(?:[eE]|[0-9]{13}|[0-9]0[^0-9])))"
)
_MONITORING = ("events", "unreadable_events", "runs", "checks", "job_logs")
_EVENTS = {"id": "VARCHAR", "detail-type": "VARCHAR", "source": "VARCHAR", "time": "TIMESTAMPTZ", "detail": "JSON"}
_LOGS = {
    "time": "TIMESTAMPTZ", "job": "VARCHAR", "job_run_id": "VARCHAR", "run": "VARCHAR", "line": "INTEGER",
    "message": "VARCHAR",
}  # fmt: skip
_MAX_BYTES = 64 * 1024 * 1024
_NO_HIVE = "hive_partitioning = false"  # a folder above the lake may be named `country=BE`


def raw_records_sql(files: Sequence[str]) -> str:
    """Select the contract's fields as text, page number and record from pages `page-<number>.<checksum>.jsonl.gz`."""
    if not files:
        return records_sql("(SELECT CAST(NULL AS JSON) AS json, '' AS filename WHERE false)")
    pages = _list(map(file_pattern, files))
    return records_sql(f"read_json_objects({pages}, format = 'newline_delimited', filename = true, {_NO_HIVE})")


def records_sql(lines: str) -> str:
    """Select what `raw_records_sql` does from a relation of `json`, a line, and `filename`, of its page.

    This defines how every engine reads a record: a field is the text of its value, a string without quotes and escapes,
    any other value as received, but without whitespace between its tokens; of a repeated field the last value counts.
    Parsers change numbers, so in a record with `ODD_JSON` they become strings before it is parsed. These have the
    character U+0001 at their start, and the other strings have it at their end.
    """
    template = Path(__file__).with_name("records.sql").read_text("utf-8").partition("\n")[2]
    return template.format(
        lines=lines,
        names=_list(FIELDS),
        structure="{" + ", ".join(f'"{name}":"VARCHAR"' for name in FIELDS) + "}",
        columns=", ".join(f"fields.{identifier(name)} AS {identifier(name)}" for name in FIELDS),
        fields="{" + ", ".join(f"'{name}': texts[{number}]" for number, name in enumerate(FIELDS, 1)) + "}",
        number=JSON_NUMBER,
        odd=ODD_JSON,
    )


def table_sql(spec: TableSpec, files: Sequence[str]) -> str:
    """Select a table's columns from its data files; a column is null in files that lack it.

    Columns with an Iceberg field id are found by it, since a name may have belonged to another column when a file was
    written; those of a table that is not yet published, by name.
    """
    nulls = ", ".join(f"CAST(NULL AS {DUCKDB_TYPES[c.type]}) AS {identifier(c.name)}" for c in spec.columns)
    if not files:
        return f"SELECT {nulls} WHERE false"
    paths = _list(map(file_pattern, files))
    if all(column.field_id is not None for column in spec.columns):
        fields = ", ".join(
            f"{c.field_id}: {{name: {literal(c.name)}, type: {literal(DUCKDB_TYPES[c.type])}, default_value: NULL}}"
            for c in spec.columns
        )
        names = ", ".join(identifier(c.name) for c in spec.columns)
        return f"SELECT {names} FROM read_parquet({paths}, schema = MAP {{{fields}}}, {_NO_HIVE})"
    columns = ", ".join(
        f"CAST({identifier(c.name)} AS {DUCKDB_TYPES[c.type]}) AS {identifier(c.name)}" for c in spec.columns
    )
    return (
        f"SELECT {columns} FROM (SELECT {nulls} WHERE false UNION ALL BY NAME SELECT * "
        f"FROM read_parquet({paths}, union_by_name = true, {_NO_HIVE}))"
    )


def _list(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(literal, texts))}]"


def shown_pages(lake: Lake, tables: TableReader) -> list[str]:
    """List the pages of the raw snapshot that silver shows, else of the newest one."""
    shown = tables.current(_SILVER) if _SILVER in tables.names() else None
    with suppress(BrewhouseError):  # its folder was deleted
        if shown and shown.raw_snapshot:
            return find(lake, shown.raw_snapshot).files
    raw = newest(lake)
    return raw.files if raw else []


def view_statements(tables: TableFiles, raw_files: Sequence[str]) -> Iterator[str]:
    """Generate the statements that create a view of each table and `bronze.breweries`, of raw pages."""
    for schema in sorted({"bronze", "silver", "gold", *(name.split(".")[0] for name in tables)}):
        yield f"CREATE SCHEMA {identifier(schema)}"
    yield f"CREATE VIEW bronze.breweries AS {raw_records_sql(raw_files)}"
    for name, (spec, files) in tables.items():
        yield f"CREATE VIEW {identifier(name)} AS {table_sql(spec, files)}"
        yield f"COMMENT ON VIEW {identifier(name)} IS {literal(spec.description)}"
        for column in spec.columns:
            path = f"{identifier(name)}.{identifier(column.name)}"
            yield f"COMMENT ON COLUMN {path} IS {literal(column.description)}"


def write_views(lake: Lake, tables: TableFiles, raw_files: Sequence[str], copy: Path | None = None) -> None:
    """Replace `brewhouse.duckdb` atomically by one with the views of `view_statements`; on S3, do nothing.

    A client that has the old file open keeps reading it.

    Args:
        copy: Where to write our own copy, as `views_copy` returns it; None writes none.

    Raises:
        BrewhouseError: The file cannot be written, as on a full disk; the old one is unchanged.
    """
    if not lake.is_local:
        return
    import duckdb

    for leftover in lake.root.glob(f"{lake.views_file.name}.*.tmp*"):
        leftover.unlink(missing_ok=True)
    new = lake.views_file.with_name(f"{lake.views_file.name}.{os.getpid()}.tmp")
    try:
        _write(new, list(view_statements(tables, raw_files)))
        if copy is not None:
            _replace_copy(new, copy)
        # DuckDB cannot open the new file with the write-ahead log that a client left for the old one.
        lake.views_file.with_name(f"{lake.views_file.name}.wal").unlink(missing_ok=True)
        sync_files(lake.root, [new])
        new.replace(lake.views_file)
    except (OSError, duckdb.Error) as error:
        cause = translate_error(error)
        reason = cause.what if cause else str(error).partition("\n")[0]
        raise BrewhouseError(
            f"{lake.views_file} shows the tables as they were before, since it could not be replaced: "
            f"{reason.removesuffix('.')}.",
            hint="`brewhouse query` shows the current ones; the next run replaces the file.",
        ) from error


def check_views(lake: Lake) -> Iterator[BrewhouseError]:
    """Generate the error of `brewhouse.duckdb` if it, or one of its views, cannot be read."""
    import duckdb

    if not lake.is_local or not lake.views_file.exists():
        return
    try:
        if not lake.views_file.is_file():  # DuckDB would wait for a pipe
            raise duckdb.IOException(IRREGULAR)
        with duckdb.connect() as connection:
            connection.execute(f"ATTACH {literal(str(lake.views_file))} AS views (READ_ONLY)")
            connection.execute("USE views")
            names = "SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal"
            for (name,) in connection.execute(names).fetchall():
                connection.execute(f"SELECT * FROM {identifier(name)} LIMIT 0")
    except duckdb.Error as error:
        if "Could not set lock" not in str(error):  # a client has opened it for writing
            yield DamagedFileError(lake.views_file, str(error).partition("\n")[0])


def views_copy(lake: Lake) -> Path | None:
    """Return the path of our own copy of the views of the published state; None if the catalog cannot be read.

    The state is that of the catalog, in this place.
    """
    if (tables := recorded_tables(lake)) is None:
        return None
    return lake.own_views / f"{hashlib.sha256(repr((lake.root, tables)).encode()).hexdigest()[:16]}.duckdb"


def _write(file: Path, statements: Sequence[str]) -> None:
    """Write a DuckDB file and check that it is complete: closing a file on a full disk reports no error."""
    name = f"views_{threading.get_ident()}"
    views = f"SELECT count(*) FROM duckdb_views() WHERE database_name = '{name}'"
    with scratch() as connection:
        connection.execute(f"ATTACH {literal(str(file))} AS {name} (STORAGE_VERSION {literal(_STORAGE_VERSION)})")
        connection.execute(f"USE {name}; BEGIN; {'; '.join(statements)}; COMMIT; CHECKPOINT")
        written = connection.execute(views).fetchone()
        connection.execute(f"USE memory; DETACH {name}; ATTACH {literal(str(file))} AS {name} (READ_ONLY)")
        found = connection.execute(views).fetchone()
        connection.execute(f"DETACH {name}")
    if found != written:
        raise OSError(f"{file} is incomplete after it was written")


def _replace_copy(file: Path, copy: Path) -> None:
    """Copy the views of the published state, and delete the copies of earlier states."""
    copy.parent.mkdir(exist_ok=True)
    new = copy.with_suffix(".tmp")
    shutil.copyfile(file, new)
    sync_files(copy.parent, [new])
    new.replace(copy)
    for old in copy.parent.iterdir():
        if old != copy:
            old.unlink(missing_ok=True)


def monitoring_statements(lake: Lake) -> Iterator[str]:
    """Generate the statements that create the monitoring views, in a database of their own.

    They read the event files when queried, so they include runs in progress. Invalid lines are left out, and counted
    by `monitoring.unreadable_events`; an event in two files counts once. The views are created per connection: creating
    one lists all event files, which every run would pay for if `brewhouse.duckdb` contained them.
    """
    folder = Path(__file__).parent / "monitoring"
    files = _lines_of(_files(lake, lake.events, "json"), _EVENTS)
    logs = _lines_of(_files(lake, lake.job_logs, "jsonl"), _LOGS)
    yield "ATTACH ':memory:' AS monitoring"
    for name in _MONITORING:
        description, sql = (folder / f"{name}.sql").read_text("utf-8").split("\n", 1)
        yield f"CREATE VIEW monitoring.{name} AS {sql.replace('{files}', files).replace('{logs}', logs)}"
        yield f"COMMENT ON VIEW monitoring.{name} IS {literal(description.removeprefix('-- '))}"


def _lines_of(paths: str, columns: Mapping[str, str]) -> str:
    """Return the relation of the lines of files with these columns and `filename`; without files, an empty one."""
    if not paths:
        nulls = (f"CAST(NULL AS {kind}) AS {identifier(name)}" for name, kind in columns.items())
        return f"(SELECT {', '.join(nulls)}, '' AS filename WHERE false)"
    kinds = ", ".join(f"{identifier(name)}: '{kind}'" for name, kind in columns.items())
    return (
        f"read_json({paths}, format = 'newline_delimited', columns = {{{kinds}}}, ignore_errors = true, "
        f"{_NO_HIVE}, filename = true, maximum_object_size = {_MAX_BYTES})"
    )


def _files(lake: Lake, folder: Path, ending: str) -> str:
    """Return the files of all days as an argument of DuckDB, which rejects a pattern without match; empty if none."""
    days = list(folder.glob("date=*"))
    files = [file for day in days for file in list_files(day, f".{ending}")]
    if lake.is_local and len(files) == len([file for day in days for file in day.glob(f"*.{ending}")]):
        return literal(f"{file_pattern(str(folder))}/date=*/*.{ending}") if files else ""
    names = ", ".join(literal(file_pattern(str(file))) for file in files)  # without a pipe, which DuckDB would wait for
    return f"[{names}]" if names else ""
