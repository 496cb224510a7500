"""Read-only SQL on the published tables, current or at an earlier time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.events.event import read_events
from brewhouse.events.run_reports import expired_by, run_reports
from brewhouse.ids import day_of
from brewhouse.lake.damage import IRREGULAR, WRONG_CHECKSUM, DamagedFileError
from brewhouse.lake.duckdb_access import enable_s3, file_pattern, literal
from brewhouse.lake.error_translation import translate_error
from brewhouse.lake.lake import Lake, has_checksum, is_irregular, lacking
from brewhouse.lake.s3 import SCHEME
from brewhouse.query.statements import files_read_by_views, reading_relation
from brewhouse.query.views import monitoring_statements, shown_pages, view_statements, views_copy

if TYPE_CHECKING:
    import duckdb

    from brewhouse.iceberg.table_reader import TableSnapshot
    from brewhouse.iceberg.tables import Tables

_SHOWN_RUNS = 5
_DATE = re.compile(r"\d{4}-?\d{2}-?\d{2}")

_FILE = re.compile(r"""(?:["']|: )((?:s3:/)?/[^"']*/(?:bronze|warehouse)/[^"']+?)(?:["']|$)""")


class NothingPublishedError(BrewhouseError):
    """The lake has no tables yet."""


def connect(lake: Lake, at: str | None = None, output: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Open the published tables for reading, without access to anything outside the lake.

    Args:
        at: A date, which is the newest data of that day or before; a time (ISO 8601), an Iceberg snapshot id, or a run
            id, of a raw snapshot too. None is the current state. The monitoring views are always current.
        output: Folder for exported results.

    Raises:
        NothingPublishedError: Nothing is published.
        BrewhouseError: Nothing was published at that time.
        UsageError: `at` is not a time, a snapshot or a run.
    """
    connection = open_views(lake, at)
    folders = [f"{lake.root}/", f"{file_pattern(str(lake.root))}/", *([f"{output}/"] if output else [])]
    connection.execute("SET allowed_directories = ?", [folders])
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def published_tables(lake: Lake) -> Tables:
    """Open the tables of a lake in their last whole state, without creating a catalog if there is none.

    Raises:
        BrewhouseError: Nothing is published, or the catalog was lost.
    """
    from brewhouse.iceberg.tables import Tables

    if not lake.may_have_tables:
        raise nothing_published(lake)
    tables = Tables(lake)
    tables.recover(by_metadata=True)
    return tables


def open_views(lake: Lake, at: str | None = None) -> duckdb.DuckDBPyConnection:
    """Open the connection of `connect` without its restrictions."""
    connection = (_connect_by_copy(lake) if at is None and lake.is_local else None) or _connect_by_catalog(lake, at)
    for file in _viewed_files(connection):
        if is_irregular(file):  # DuckDB would wait for a pipe
            raise DamagedFileError(file, IRREGULAR)
    connection.execute("SET GLOBAL TimeZone = 'UTC'")  # also for cursors
    connection.execute("SET GLOBAL python_enable_replacements = false")  # FROM x must not read a Python variable
    for statement in monitoring_statements(lake):
        connection.execute(statement)
    return connection


def _viewed_files(connection: duckdb.DuckDBPyConnection) -> list[Path]:
    """List the local files that the views of a connection read."""
    names = files_read_by_views(connection)
    return [Path(name.replace("[[]", "[")) for name in names if not name.startswith(SCHEME)]


def query(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    read: Callable[[duckdb.DuckDBPyRelation], Any] = lambda relation: relation.fetchall(),
    parameters: Mapping[str, object] = MappingProxyType({}),
) -> Any:  # noqa: ANN401 - what `read` returns
    """Run a statement that `statements.reading_relation` accepts, on a connection of `connect`; Ctrl-C stops it.

    Args:
        read: Reads the result, by default all rows; many errors are only found then.
        parameters: Values of `$name` in the statement.

    Raises:
        UsageError: It is not a single reading statement, or DuckDB cannot run it.
    """
    import duckdb

    def work() -> Any:  # noqa: ANN401 - what `read` returns
        try:
            return read(reading_relation(connection, sql, parameters))
        except duckdb.IOException as error:
            if translate_error(error):
                raise
            return read(reading_relation(connection, sql, parameters))  # event files were archived meanwhile

    with _nothing_published_named(connection), readable_errors(connection), ThreadPoolExecutor(1) as thread:
        future = thread.submit(work)
        try:
            return future.result()
        except KeyboardInterrupt:
            connection.interrupt()  # DuckDB does not return to Python for a signal
            raise


@contextmanager
def _nothing_published_named(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Name it as the reason that a query cannot be run, if it names a table and nothing is published."""
    import duckdb

    try:
        yield
    except UsageError as error:
        tables = "SELECT 1 FROM duckdb_views() WHERE schema_name IN ('silver', 'gold') LIMIT 1"
        if not isinstance(error.__cause__, duckdb.CatalogException) or connection.execute(tables).fetchall():
            raise
        what = "The lake has no tables yet."
        raise BrewhouseError(what, hint="Run `brewhouse run`; `brewhouse show` says how the last run ended.") from error


@contextmanager
def readable_errors(connection: duckdb.DuckDBPyConnection | None = None) -> Iterator[None]:
    """Describe why DuckDB cannot run a query, with the line of the query and its position if known.

    Args:
        connection: Of `connect`, if the query reads tables: a damaged file of theirs is found.
    """
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        if known := translate_error(error):
            raise known from error
        if damage := find_damage(error, connection):
            raise damage from error
        message, _, excerpt = str(error).partition("\n\n")  # the line of the query and a caret below the position
        hint = f"`brewhouse tables` lists the tables.\n{excerpt}".rstrip()
        end = "" if message.endswith((".", "!", "?")) else "."
        raise UsageError(f"The query cannot be run: {message}{end}", hint=hint) from error
    except RecursionError as error:
        raise UsageError("The query cannot be run: it is nested too deeply.", hint="Read fewer levels.") from error


def find_damage(error: duckdb.Error, connection: duckdb.DuckDBPyConnection | None) -> BrewhouseError | None:
    """Return the error of a damaged file that made a query fail: the one that DuckDB names, else the first found."""
    import duckdb

    message = str(error).partition("\n")[0]
    is_of_file = isinstance(error, duckdb.InvalidInputException | duckdb.IOException)
    if is_of_file and (match := _FILE.search(message)):
        is_compressed = match[0].startswith(":")  # of such a file DuckDB writes the path without quotes
        reason = "it cannot be decompressed" if is_compressed else message.replace(match[0], "this file")
        return DamagedFileError(match[1], reason)
    if connection and (is_of_file or isinstance(error, duckdb.InternalException) or "TProtocolException" in message):
        for file in _viewed_files(connection):
            if file.suffix == ".parquet" and file.is_file() and not has_checksum(file):
                return DamagedFileError(file, WRONG_CHECKSUM)
    if "TProtocolException" in message:
        return BrewhouseError("A data file of the tables is damaged.", hint="`brewhouse verify` names it.")
    return None


def _connect_by_copy(lake: Lake) -> duckdb.DuckDBPyConnection | None:
    """Attach our own copy of the views; None if there is none of the published state, or it is damaged."""
    import duckdb

    if (copy := views_copy(lake)) is None or not copy.is_file():
        return None
    connection = duckdb.connect()  # an instance of its own: connections to one file share their settings
    try:
        connection.execute(f"ATTACH {literal(str(copy))} AS published (READ_ONLY)")
        connection.execute("USE published")
    except duckdb.Error:  # or a run has just published the next state
        connection.close()
        return None
    return connection


def _connect_by_catalog(lake: Lake, at: str | None) -> duckdb.DuckDBPyConnection:
    """Create views in memory from the catalog, current or at an earlier time."""
    if at is None and not lake.may_have_tables and lake.events.is_dir():
        return _connect_to(view_statements({}, []))  # the events show why nothing is published
    tables = published_tables(lake)
    with tables.reading():
        if at is None:
            snapshots: dict[str, int | None] = dict.fromkeys(tables.names())
        else:
            snapshots = {name: snapshot.snapshot_id for name, snapshot in _snapshots_at(lake, tables, at).items()}
        views = {name: (tables.describe(name, id_), tables.files(name, id_)) for name, id_ in snapshots.items()}
    if not views and not lake.events.is_dir():
        raise nothing_published(lake)
    return _connect_to(view_statements(views, shown_pages(lake, tables) if at is None else []), str(lake.root))


def _connect_to(views: Iterable[str], *roots: str) -> duckdb.DuckDBPyConnection:
    import duckdb

    connection = duckdb.connect()
    enable_s3(connection, roots)
    for statement in views:
        connection.execute(statement)
    return connection


def nothing_published(lake: Lake) -> NothingPublishedError:
    """Return the error of a lake without published tables."""
    return NothingPublishedError(*lacking(lake, "published tables"))


def _snapshots_at(lake: Lake, tables: Tables, at: str) -> dict[str, TableSnapshot]:
    """Select each table's snapshot: as of a run or snapshot, of a day's data, or as readers saw it at a time.

    At a time before the first publication, readers would have seen the data of that time.
    """
    if states := tables.as_of(at):
        return states
    if day_of(at) and (error := missing_state(lake, tables, at)):
        raise error
    time = _time(at)
    if _DATE.fullmatch(at):
        selected = tables.data_at(time + timedelta(days=1, microseconds=-1))
    else:
        seen = {name: snapshot for name in tables.names() if (snapshot := tables.snapshot_at(name, time)) is not None}
        selected = seen or tables.data_at(time)
    if not selected:
        raise BrewhouseError(f"No table was published at {at}.", hint="`brewhouse history TABLE` lists the snapshots.")
    return selected


def missing_state(lake: Lake, tables: Tables, run: str) -> BrewhouseError | None:
    """Explain why the tables have no state as of a run; None if they have one, or the run is unknown."""
    reports = run_reports(read_events(lake))
    report, expiry = next((report for report in reports if report.run == run), None), expired_by(reports, run)
    history = [snapshot for name in tables.names() for snapshot in tables.history(name)]
    published = {entry["snapshot"] for entry in report.published} if report else set()
    if expiry is None and (report is None or published & {snapshot.snapshot_id for snapshot in history}):
        return None
    kept = list(dict.fromkeys(snapshot.run for snapshot in sorted(history, key=lambda s: s.committed_at)))
    hint = f"Kept are {'the last ones: ' if len(kept) > _SHOWN_RUNS else ''}{', '.join(kept[-_SHOWN_RUNS:]) or 'none'}."
    if expiry or published:
        by = f"run {expiry.run}" if expiry and expiry.workflow != "maintain" else "`brewhouse maintain`"
        on = f" on {expiry.ended_at[:10]}" if expiry else ""
        return BrewhouseError(f"Run {run} was expired by {by}{on}.", hint=hint)
    return BrewhouseError(f"Run {run} published no tables.", hint=hint)


def _time(at: str) -> datetime:
    try:
        time = datetime.fromisoformat(at)
    except ValueError as error:
        what = f"{at!r} is neither a time (2026-08-02T12:00:00Z) nor a snapshot or run of this lake."
        raise UsageError(what, hint="`brewhouse history TABLE` lists the snapshots.") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)
