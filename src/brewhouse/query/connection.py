"""Answering a reader's SQL over the published tables, as they are or as they were; it only reads."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.lake.duckdb_access import enable_s3, literal
from brewhouse.lake.error_translation import translate_error
from brewhouse.lake.lake import Lake
from brewhouse.query.monitoring_views import monitoring_statements
from brewhouse.query.statements import reading_statement
from brewhouse.query.views import view_statements

if TYPE_CHECKING:
    import duckdb

    from brewhouse.iceberg.table_reader import TableSnapshot
    from brewhouse.iceberg.tables import Tables


def connect(lake: Lake, at: str | None = None) -> duckdb.DuckDBPyConnection:
    """Open the published tables for reading; nothing outside the lake can be reached from there.

    Args:
        lake: The lake.
        at: A time (ISO 8601), an Iceberg snapshot id or the id of the run that published; None reads what is current.

    Returns:
        A DuckDB connection with the schemas bronze, silver and gold, and monitoring as it is now.

    Raises:
        BrewhouseError: Nothing is published, or not at that time.
    """
    return _locked(open_views(lake, at), lake)


def published_tables(lake: Lake) -> Tables:
    """Open the tables of a lake that has some; to open those of another would make a catalog for it.

    Raises:
        BrewhouseError: Nothing is published.
    """
    from brewhouse.iceberg.tables import Tables

    if lake.is_local and not lake.catalog_file.exists():
        raise _nothing(lake)
    return Tables(lake)


def open_views(lake: Lake, at: str | None = None) -> duckdb.DuckDBPyConnection:
    """Make the connection of `connect`, not locked yet: it can reach whatever this process can."""
    import duckdb

    if at is not None or not lake.is_local:
        connection = _connect_by_catalog(lake, at)
    elif lake.views_file.exists():
        connection = duckdb.connect()  # an instance of its own: connections to one file would share their settings
        connection.execute(f"ATTACH {literal(str(lake.views_file))} AS published (READ_ONLY)")
        connection.execute("USE published")
    elif lake.events.is_dir():
        connection = _connect_to(view_statements({}, []))  # so that it can be seen why nothing is published
    else:
        raise _nothing(lake)
    connection.execute("SET GLOBAL TimeZone = 'UTC'")  # of cursors too
    connection.execute("SET GLOBAL python_enable_replacements = false")  # FROM x would read a variable x
    for statement in monitoring_statements(lake):
        connection.execute(statement)
    return connection


def _locked(connection: duckdb.DuckDBPyConnection, lake: Lake) -> duckdb.DuckDBPyConnection:
    """Let nothing outside the lake be reached."""
    connection.execute("SET allowed_directories = [?]", [f"{lake.root}/"])
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def query(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:  # noqa: ANN401 - DuckDB's own result
    """Run one statement that only reads.

    Args:
        connection: Of `connect`.
        sql: See `statements.reading_statement`.

    Returns:
        DuckDB's result.

    Raises:
        UsageError: It is no single reading statement, or DuckDB cannot run it.
    """
    import duckdb

    try:
        statement = reading_statement(connection, sql)
        try:
            return connection.execute(statement)
        except duckdb.IOException:  # files of events were put together while they were read
            return connection.execute(statement)
    except duckdb.Error as error:
        if known := translate_error(error):
            raise known from error
        said, _, drawn = str(error).partition("\n\n")  # the line of the query, and a mark below the place
        hint = f"`brewhouse tables` lists what there is.\n{drawn}".rstrip()
        end = "" if said.endswith((".", "!", "?")) else "."
        raise UsageError(f"The query cannot be run: {said}{end}", hint=hint) from error


def _connect_by_catalog(lake: Lake, at: str | None) -> duckdb.DuckDBPyConnection:
    """Make the views anew, in memory, of what the catalog shows or showed."""
    from brewhouse.iceberg.tables import Tables
    from brewhouse.lake.raw_snapshots import newest

    tables = published_tables(lake) if lake.is_local and not lake.events.is_dir() else Tables(lake)
    with tables.reading():
        if at is None:
            views = {name: (tables.describe(name), tables.files(name)) for name in tables.names()}
        else:
            views = {
                name: (tables.describe(name, snapshot.snapshot_id), tables.files(name, snapshot.snapshot_id))
                for name, snapshot in _snapshots_at(tables, at).items()
            }
    if not views and not lake.events.is_dir():
        raise _nothing(lake)
    raw = newest(lake) if at is None else None
    return _connect_to(view_statements(views, raw.files if raw else []), str(lake.root))


def _connect_to(views: Iterable[str], *roots: str) -> duckdb.DuckDBPyConnection:
    import duckdb

    connection = duckdb.connect()
    enable_s3(connection, roots)
    for statement in views:
        connection.execute(statement)
    return connection


def _nothing(lake: Lake) -> BrewhouseError:
    return BrewhouseError(f"The lake {lake.root} has no published tables.", hint="Run `brewhouse run` first.")


def _snapshots_at(tables: Tables, at: str) -> dict[str, TableSnapshot]:
    """Choose each table's snapshot: of that run, of the run that made that snapshot, or current at that time."""
    history = {name: tables.history(name) for name in tables.names()}
    every = [snapshot for snapshots in history.values() for snapshot in snapshots]
    run = next((s.properties.get("brewhouse.raw-snapshot") for s in every if at in _names(s)), None)
    if run is not None:
        chosen = {
            name: next((s for s in reversed(ss) if s.properties.get("brewhouse.raw-snapshot") == run), None)
            for name, ss in history.items()
        }
    else:
        time = _time(at)
        chosen = {name: tables.snapshot_at(name, time) for name in history}
    found = {name: snapshot for name, snapshot in chosen.items() if snapshot is not None}
    if not found:
        raise BrewhouseError(f"No table was published at {at}.", hint="`brewhouse history TABLE` lists the snapshots.")
    return found


def _names(snapshot: TableSnapshot) -> set[str]:
    properties = snapshot.properties
    return {
        str(snapshot.snapshot_id),
        *(properties.get(f"brewhouse.{name}", "") for name in ("run", "raw-snapshot")),
    }


def _time(at: str) -> datetime:
    try:
        time = datetime.fromisoformat(at)
    except ValueError as error:
        raise UsageError(
            f"{at!r} is neither a time (2026-08-02T12:00:00Z) nor a snapshot or run of this lake.",
            hint="`brewhouse history TABLE` lists the snapshots.",
        ) from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)
