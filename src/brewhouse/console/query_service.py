"""Queue, run, cancel and expire the queries of a console, each in a sandbox, and read their results."""

from __future__ import annotations

import json
import logging
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from brewhouse.console import downloads
from brewhouse.console.sandbox import RESULT_FILE, QueryLimits, QueryRequest, QueryResult, ResultColumn, Sandbox
from brewhouse.errors import BrewhouseError, NotFoundError, UsageError
from brewhouse.ids import new_id
from brewhouse.lake.duckdb_access import file_pattern
from brewhouse.lake.lake import Lake
from brewhouse.lake.temp_dir import TempDir
from brewhouse.query.connection import readable_errors
from brewhouse.query.export import converted, sort_key
from brewhouse.query.statements import with_parameters

if TYPE_CHECKING:
    import duckdb

_MAX_CHARACTERS = 100_000
_NOT_UTF8 = re.compile("[\0\ud800-\udfff]")
_LIMITS = QueryLimits()
_PARQUET_COLUMN_KB = 700  # that DuckDB reserves to write a column; it uses a tenth
_log = logging.getLogger(__name__)


class QueryState(StrEnum):
    """State of a query."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def is_final(self) -> bool:
        """Whether the state no longer changes."""
        return self not in {QueryState.WAITING, QueryState.RUNNING}


@dataclass(frozen=True, kw_only=True)
class QueryStatus(QueryResult):
    """A query at one moment, with its result once it has finished.

    Attributes:
        seconds: Elapsed time, without waiting.
        has_result: Whether rows are available: the query is done and its result has not expired.
    """

    __pydantic_config__: ClassVar[dict[str, bool]] = {"json_schema_serialization_defaults_required": True}

    id: str
    sql: str
    parameters: dict[str, str]
    at: str | None
    state: QueryState
    asked_at: datetime
    seconds: float
    has_result: bool


@dataclass(frozen=True)
class ResultPage:
    """Some rows with their columns; values are as in exported JSON: times in ISO 8601, bytes in hexadecimal."""

    columns: list[ResultColumn]
    rows: list[list[Any]]
    page: int
    pages: int


@dataclass(eq=False)
class _Execution:
    """A query that is queued, running or finished; guarded by the lock of the service."""

    id: str
    request: QueryRequest
    asked_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    state: QueryState = QueryState.WAITING
    result: QueryResult = field(default_factory=QueryResult)
    finished: threading.Event = field(default_factory=threading.Event)
    sandbox: Sandbox | None = None
    started: float | None = None
    ended: float | None = None

    @property
    def folder(self) -> Path:
        return Path(self.request.folder)

    @property
    def has_result(self) -> bool:
        return self.state is QueryState.DONE and (self.folder / RESULT_FILE).exists()

    def status(self) -> QueryStatus:
        return QueryStatus(
            id=self.id,
            sql=self.request.sql,
            parameters=self.request.parameters,
            at=self.request.at,
            state=self.state,
            asked_at=self.asked_at,
            seconds=(self.ended or time.monotonic()) - self.started if self.started else 0.0,
            has_result=self.has_result,
            **vars(self.result),
        )


class QueryService:
    """The queries of a console: `max_running` run and `max_waiting` wait; `max_remembered` stay known when finished.

    Results are deleted after a time, and the oldest ones when all together exceed `max_kept_mb`.
    """

    def __init__(
        self,
        lake: Lake,
        limits: QueryLimits = _LIMITS,
        *,
        max_running: int = 4,
        max_waiting: int = 20,
        max_remembered: int = 100,
        result_ttl_s: float = 3600.0,
        max_kept_mb: int = 2048,
    ) -> None:
        self._lake, self._limits = lake, limits
        self._max_unfinished, self._max_remembered = max_running + max_waiting, max_remembered
        self._result_ttl_s, self._max_kept_bytes = result_ttl_s, max_kept_mb * 1_000_000
        self._threads = ThreadPoolExecutor(max_running, thread_name_prefix="query")
        self._lock = threading.RLock()
        self._executions: dict[str, _Execution] = {}
        self._spare: Sandbox | None = None
        self._is_closed = False

    @cached_property
    def _temp_dir(self) -> TempDir:
        return TempDir()

    def prepare(self) -> None:
        """Start a spare sandbox for the next query."""
        with self._lock:
            if self._spare is None and not self._is_closed:
                self._spare = Sandbox()

    def start(
        self, sql: str, at: str | None = None, parameters: Mapping[str, str] = MappingProxyType({})
    ) -> QueryStatus:
        """Queue a query that reads as of a time, snapshot or run, see `brewhouse.query.connection.connect`.

        Args:
            parameters: Values of the placeholders, `{{name}}`; others are left out.

        Raises:
            UsageError: The text is too long or not valid UTF-8, or a placeholder has no value.
            BrewhouseError: Too many queries are waiting.
        """
        names = with_parameters(sql)[1]
        if missing := [name for name in names if name not in parameters]:
            raise UsageError(f"The query has no value for `{missing[0]}`.", hint="Pass it as a parameter.")
        given = {name: parameters[name] for name in names}
        whole = "".join([sql, *given.values()])
        if len(whole) > _MAX_CHARACTERS or _NOT_UTF8.search(whole):
            raise UsageError(
                f"Invalid query: it must be UTF-8 text of up to {_MAX_CHARACTERS:,} characters.", hint="Shorten it."
            )
        with self._lock:
            self._expire()
            if sum(not execution.state.is_final for execution in self._executions.values()) >= self._max_unfinished:
                raise BrewhouseError("Too many queries are running.", hint="Stop one, or try again in a moment.")
            name = new_id()
            request = QueryRequest(
                lake=str(self._lake.root),
                shared=self._lake.shared,
                at=at or None,
                sql=sql,
                parameters=given,
                folder=str(self._temp_dir.path / name),
                limits=self._limits,
            )
            execution = self._executions[name] = _Execution(name, request)
            self._threads.submit(self._run, execution)
            return execution.status()

    def get(self, name: str) -> QueryStatus:
        """Return the status of a query.

        Raises:
            NotFoundError: The id is unknown or no longer remembered.
        """
        with self._lock:
            return self._find(name).status()

    def wait(self, name: str, seconds: float) -> QueryStatus:
        """Wait until a query has finished, up to a timeout."""
        with self._lock:
            execution = self._find(name)
        execution.finished.wait(seconds)
        with self._lock:
            return execution.status()

    def newest(self) -> list[QueryStatus]:
        """List the remembered queries, newest first."""
        with self._lock:
            self._expire()
            return [execution.status() for execution in reversed(self._executions.values())]

    def stop(self, name: str) -> QueryStatus:
        """Stop a waiting or running query; a finished one is unchanged."""
        with self._lock:
            execution = self._find(name)
            if not execution.state.is_final:
                execution.state = QueryState.STOPPED
                execution.finished.set()
                if execution.sandbox is not None:
                    execution.sandbox.kill()
            return execution.status()

    def page(self, name: str, number: int = 1, size: int = 100, sort: int | None = None) -> ResultPage:
        """Read a page of the first `MANY_COLUMNS` columns, the last page if its number is past the end.

        Args:
            sort: Column to sort by, from 1, descending if negative; None keeps the order of the query.

        Raises:
            UsageError: There is no result, or no such column.
        """
        import duckdb

        execution = self._find_result(name)
        result = execution.result
        pages = max(1, -(-result.rows // size))
        number = min(max(1, number), pages)
        kinds = [duckdb.sqltype(column.type) for column in result.columns]
        order = ""
        if sort is not None:
            if not 1 <= abs(sort) <= len(kinds):
                raise UsageError(f"The result has no column {abs(sort)}.", hint="Sort by another column.")
            key = sort_key(abs(sort), kinds[abs(sort) - 1])
            order = f"ORDER BY {key} {'DESC' if sort < 0 else 'ASC'} NULLS LAST, file_row_number"
        columns = result.columns[: downloads.MANY_COLUMNS]
        row = f"CAST(json_array({', '.join(converted(kinds[: len(columns)], 'json'))}) AS VARCHAR)"
        with readable_errors(), _open(execution) as connection:
            rows = connection.execute(
                f"SELECT {row} FROM read_parquet(?, file_row_number = true, hive_partitioning = false) {order} "
                "LIMIT ? OFFSET ?",
                [file_pattern(str(execution.folder / RESULT_FILE)), size, (number - 1) * size],
            ).fetchall()
            return ResultPage(columns, [json.loads(text) for (text,) in rows], number, pages)

    def download(self, name: str, kind: str) -> Iterator[bytes]:
        """Yield the parts of a file with a result, in a format of `downloads.MEDIA_TYPES`.

        Raises:
            UsageError: There is no result, the format is not supported, or it cannot hold a value.
        """
        import duckdb

        if kind not in downloads.MEDIA_TYPES:
            hint = f"Formats: {', '.join(downloads.MEDIA_TYPES)}."
            raise UsageError(f"Cannot export a result as {kind}.", hint=hint)
        execution = self._find_result(name)
        columns = execution.result.columns
        with (
            tempfile.TemporaryDirectory(dir=execution.folder, ignore_cleanup_errors=True) as folder,
            readable_errors(),
            _open(execution, _PARQUET_COLUMN_KB * len(columns) // 1000 if kind == "parquet" else 0) as connection,
        ):
            file = file_pattern(str(execution.folder / RESULT_FILE))
            stored = connection.read_parquet(file, file_row_number=True, hive_partitioning=False)
            kinds = [duckdb.sqltype(column.type) for column in columns]
            yield from downloads.parts(stored, [column.name for column in columns], kinds, kind, Path(folder))

    def close(self) -> None:
        """Stop all queries and delete their results."""
        with self._lock:
            self._is_closed = True
            names = list(self._executions)
            spare, self._spare = self._spare, None
            for name in names:
                self.stop(name)
        if spare is not None:
            spare.close()
        self._threads.shutdown(cancel_futures=True)
        if names:
            self._temp_dir.delete()

    def _run(self, execution: _Execution) -> None:
        try:
            with self._lock:
                if execution.state is QueryState.STOPPED:
                    return
                execution.folder.mkdir(mode=0o700)
                execution.state, execution.started = QueryState.RUNNING, time.monotonic()
                sandbox, self._spare = self._spare or Sandbox(), None
                execution.sandbox = sandbox
            result = sandbox.run(execution.request)
        except BrewhouseError as error:
            result = QueryResult(error=error.what, hint=error.hint)
        except Exception as error:  # noqa: BLE001 - the thread has no caller
            _log.error("A query failed unexpectedly", exc_info=error)
            result = QueryResult(error=f"Unexpected {type(error).__name__}: {error}.", hint="Run the query again.")
        with self._lock:
            execution.ended, execution.sandbox = time.monotonic(), None
            if execution.state is not QueryState.STOPPED:
                execution.result = result
                execution.state = QueryState.FAILED if result.error is not None else QueryState.DONE
            self._expire()
        if execution.state is not QueryState.DONE:
            shutil.rmtree(execution.folder, ignore_errors=True)
        execution.finished.set()
        self.prepare()

    def _find(self, name: str) -> _Execution:
        if (execution := self._executions.get(name)) is None:
            raise NotFoundError("This query is unknown or was dropped from the history.", hint="Run it again.")
        return execution

    def _find_result(self, name: str) -> _Execution:
        with self._lock:
            execution = self._find(name)
            if not execution.has_result:
                raise UsageError("This query has no result, or its result has expired.", hint="Run it again.")
            return execution

    def _expire(self) -> None:
        """Delete expired results and drop the oldest finished queries above the limit."""
        now = time.monotonic()
        finished = [execution for execution in self._executions.values() if execution.state.is_final]
        dropped = finished[: max(0, len(self._executions) - self._max_remembered)]
        for execution in dropped:
            del self._executions[execution.id]
        for execution in finished:
            is_old = execution.ended is not None and now - execution.ended > self._result_ttl_s
            if is_old or execution in dropped:
                shutil.rmtree(execution.folder, ignore_errors=True)
        kept_bytes = 0
        for execution in reversed(finished):
            with suppress(FileNotFoundError):
                kept_bytes += (execution.folder / RESULT_FILE).stat().st_size
                if kept_bytes > self._max_kept_bytes:
                    shutil.rmtree(execution.folder, ignore_errors=True)


def _open(execution: _Execution, memory_mb: int = 0) -> duckdb.DuckDBPyConnection:
    """Open a connection with little memory, to read a result."""
    import duckdb

    connection = duckdb.connect(
        config={
            "memory_limit": f"{max(256, memory_mb)}MB",
            "threads": 2,
            "temp_directory": str(execution.folder / "sorting"),
            "max_temp_directory_size": "2GB",
        }
    )
    connection.execute("SET TimeZone = 'UTC'")
    return connection
