"""Queries that are going on or have ended, each in a sandbox of its own, and their results until they are forgotten."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brewhouse.console.sandbox import RESULT, Limits, QueryRequest, QueryResult, Sandbox
from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.ids import new_id
from brewhouse.lake.duckdb_access import literal
from brewhouse.lake.lake import Lake
from brewhouse.lake.temp_dir import TempDir

if TYPE_CHECKING:
    import duckdb

_MAX_CHARACTERS = 100_000
_LIMITS = Limits()
_EXPORTS = {"csv": "FORMAT csv, HEADER", "json": "FORMAT json, ARRAY true", "parquet": "FORMAT parquet"}


class QueryPhase(StrEnum):
    """How a query gets on."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will come."""
        return self not in {QueryPhase.WAITING, QueryPhase.RUNNING}


@dataclass
class Query:
    """A query and what came of it.

    Attributes:
        id: What it is called by; nobody can guess it.
        sql: What was asked.
        at: As of when, see `reading.connect`.
        asked_at: When.
        state: How it gets on.
        answer: What came of it, once it has ended.
        seconds: How long it took, or has taken.
        has_result: Whether there are rows to look at: it is done, and not forgotten yet.
    """

    id: str
    sql: str
    at: str | None
    asked_at: datetime
    folder: Path = field(repr=False)
    state: QueryPhase = QueryPhase.WAITING
    answer: QueryResult = field(default_factory=QueryResult)
    _over: threading.Event = field(default_factory=threading.Event, repr=False)
    _sandbox: Sandbox | None = field(default=None, repr=False)
    _began: float | None = field(default=None, repr=False)
    _ended: float | None = field(default=None, repr=False)

    def wait(self, seconds: float) -> None:
        """Wait until it has ended, but no longer than that."""
        self._over.wait(seconds)

    @property
    def seconds(self) -> float:
        """How long it took, or has taken."""
        return (self._ended or time.monotonic()) - self._began if self._began else 0.0

    @property
    def has_result(self) -> bool:
        """Whether there are rows to look at."""
        return self.state is QueryPhase.DONE and (self.folder / RESULT).exists()


@dataclass(frozen=True)
class Page:
    """Some rows of a result.

    Attributes:
        rows: Values as DuckDB hands them to Python.
        number: Which page it is, from 1.
        pages: How many there are, at least 1.
    """

    rows: Sequence[tuple[Any, ...]]
    number: int
    pages: int


class QueryService:
    """The queries of a console.

    Args:
        lake: Which lake they read.
        limits: What each may take.
        at_once: How many run at the same time; others wait.
        waiting: How many wait at the most.
        kept: How many of the newest queries are remembered.
        keep_s: Seconds after which a result is forgotten; what was asked is remembered longer.
    """

    def __init__(
        self,
        lake: Lake,
        limits: Limits = _LIMITS,
        *,
        at_once: int = 4,
        waiting: int = 20,
        kept: int = 100,
        keep_s: float = 3600.0,
    ) -> None:
        self._lake, self.limits = lake, limits
        self._most_under_way, self._kept, self._keep_s = at_once + waiting, kept, keep_s
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="query")
        self._lock = threading.Lock()
        self._queries: dict[str, Query] = {}
        self._spare: Sandbox | None = None
        self._is_closed = False

    @cached_property
    def _scratch(self) -> TempDir:
        return TempDir()

    def prepare(self) -> None:
        """Start a sandbox for the next query, if there is none."""
        with self._lock:
            if self._spare is None and not self._is_closed:
                self._spare = Sandbox()

    def start(self, sql: str, at: str | None = None) -> Query:
        """Begin with a query; it runs as soon as its turn comes.

        Args:
            sql: What a reader asks.
            at: As of when, see `reading.connect`.

        Raises:
            UsageError: The text is too long, or cannot be written as UTF-8.
            BrewhouseError: Too many others are under way.
        """
        if len(sql) > _MAX_CHARACTERS or "\0" in sql or not _is_text(sql):
            raise UsageError(f"A query is a text of up to {_MAX_CHARACTERS:,} characters.", hint="Make it shorter.")
        self._forget()
        with self._lock:
            if sum(not query.state.is_final for query in self._queries.values()) >= self._most_under_way:
                raise BrewhouseError("Too many queries are going on.", hint="Wait a moment, or stop one.")
            name = new_id()
            query = Query(name, sql, at or None, datetime.now(UTC), self._scratch.path / name)
            self._queries[name] = query
        self._threads.submit(self._run, query)
        return query

    def get(self, name: str) -> Query:
        """Find a query.

        Raises:
            UsageError: There is none of that id, or none any more.
        """
        with self._lock:
            if (query := self._queries.get(name)) is not None:
                return query
        raise UsageError("This query is not known any more.", hint="Run it again.")

    def newest(self) -> list[Query]:
        """List the queries, the newest first."""
        self._forget()
        with self._lock:
            return list(reversed(self._queries.values()))

    def stop(self, name: str) -> Query:
        """Stop a query, waiting or running; one that has ended stays as it is."""
        query = self.get(name)
        with self._lock:
            if not query.state.is_final:
                query.state = QueryPhase.STOPPED
                query._over.set()
                if query._sandbox is not None:
                    query._sandbox.stop()
        return query

    def page(self, name: str, number: int = 1, size: int = 100, sort: int | None = None) -> Page:
        """Read some rows of a result.

        Args:
            name: The query's id.
            number: Which page, from 1; one behind the last gives the last.
            size: Rows on a page.
            sort: Column to sort by, from 1, descending if negative; None keeps the order of the query.

        Raises:
            UsageError: It has no result, or no such column.
        """
        query = self._with_result(name)
        pages = max(1, -(-query.answer.rows // size))
        number = min(max(1, number), pages)
        order = ""
        if sort is not None:
            if not 1 <= abs(sort) <= len(query.answer.names):
                raise UsageError(f"The result has no column {abs(sort)}.", hint="Sort by another one.")
            order = f"ORDER BY c{abs(sort)} {'DESC' if sort < 0 else 'ASC'} NULLS LAST, file_row_number"
        columns = ", ".join(f"c{n}" for n in range(1, len(query.answer.names) + 1))
        with _reading(query) as connection:
            rows = connection.execute(
                f"SELECT {columns} FROM read_parquet(?, file_row_number = true) {order} LIMIT ? OFFSET ?",
                [str(query.folder / RESULT), size, (number - 1) * size],
            ).fetchall()
        return Page(rows, number, pages)

    def export(self, name: str, kind: str) -> Path:
        """Write a whole result into a file, which stays until the result is forgotten.

        Args:
            name: The query's id.
            kind: csv, json or parquet.

        Raises:
            UsageError: It has no result, or there is no such kind.
        """
        if kind not in _EXPORTS:
            raise UsageError(f"A result cannot be had as {kind}.", hint=f"There are: {', '.join(_EXPORTS)}.")
        query = self._with_result(name)
        file = query.folder / f"export.{kind}"
        if not file.exists():
            names = (name.replace('"', '""') for name in distinct(query.answer.names))
            columns = ", ".join(f'c{n} AS "{name}"' for n, name in enumerate(names, start=1))
            new = file.with_name(f"{new_id()}.tmp")
            with _reading(query) as connection:
                source = f"SELECT {columns} FROM read_parquet({literal(str(query.folder / RESULT))})"
                connection.execute(f"COPY ({source}) TO {literal(str(new))} ({_EXPORTS[kind]})")
            new.replace(file)
        return file

    def close(self) -> None:
        """Stop all queries and forget their results."""
        with self._lock:
            self._is_closed = True
            names = list(self._queries)
            spare, self._spare = self._spare, None
        for name in names:
            self.stop(name)
        if spare is not None:
            spare.close()
        self._threads.shutdown(cancel_futures=True)
        if names:
            self._scratch.delete()

    def _run(self, query: Query) -> None:
        with self._lock:
            if query.state is QueryPhase.STOPPED:
                return
            query.state, query._began = QueryPhase.RUNNING, time.monotonic()
            sandbox, self._spare = self._spare or Sandbox(), None
            query._sandbox = sandbox
        query.folder.mkdir(mode=0o700)
        try:
            answer = sandbox.ask(
                QueryRequest(
                    lake=str(self._lake.root),
                    shared=self._lake.shared,
                    at=query.at,
                    sql=query.sql,
                    folder=str(query.folder),
                    limits=self.limits,
                )
            )
        except BrewhouseError as error:
            answer = QueryResult(error=error.what, hint=error.hint)
        except Exception as error:  # noqa: BLE001 - a thread has nobody else to tell
            answer = QueryResult(error=f"Unexpected {type(error).__name__}: {error}.", hint="Run it again.")
        with self._lock:
            query._ended, query._sandbox = time.monotonic(), None
            if query.state is not QueryPhase.STOPPED:
                query.answer = answer
                query.state = QueryPhase.FAILED if answer.error is not None else QueryPhase.DONE
        if query.state is not QueryPhase.DONE:
            shutil.rmtree(query.folder, ignore_errors=True)
        query._over.set()
        self.prepare()

    def _with_result(self, name: str) -> Query:
        query = self.get(name)
        if not query.has_result:
            raise UsageError("This query has no result, or none any more.", hint="Run it again.")
        return query

    def _forget(self) -> None:
        """Let go of results that are old, and of queries that are too many."""
        now = time.monotonic()
        with self._lock:
            ended = [query for query in self._queries.values() if query.state.is_final]
            many = ended[: max(0, len(self._queries) - self._kept)]
            for query in many:
                del self._queries[query.id]
            old = [query for query in ended if query._ended is not None and now - query._ended > self._keep_s]
        for query in {id(query): query for query in (*many, *old)}.values():
            shutil.rmtree(query.folder, ignore_errors=True)


def distinct(names: Sequence[str]) -> list[str]:
    """Make the names of columns differ, whatever their case.

    Example:
        >>> distinct(["n", "N", "m", "n_2"])
        ['n', 'N_2', 'm', 'n_2_2']
    """
    given: list[str] = []
    taken: set[str] = set()
    for name in names:
        number, free = 1, name or "column"
        while free.lower() in taken:
            number += 1
            free = f"{name or 'column'}_{number}"
        taken.add(free.lower())
        given.append(free)
    return given


def plain(value: object) -> Any:  # noqa: ANN401, PLR0911 - what JSON has
    """Turn a value into what JSON has.

    Args:
        value: As DuckDB hands it to Python.

    Returns:
        A whole number of any size stays one; what is no number of JSON's is null.

    Example:
        >>> plain([Decimal("12"), float("nan"), date(2026, 8, 2), b"a"])
        [12, None, '2026-08-02', '61']
    """
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, date | time_of_day):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and isfinite(value)):
        return value
    return None if isinstance(value, float) else str(value)


def _reading(query: Query) -> duckdb.DuckDBPyConnection:
    """Open what can read a result, with little memory."""
    import duckdb

    connection = duckdb.connect(
        config={
            "memory_limit": "256MB",
            "threads": 2,
            "temp_directory": str(query.folder / "sorting"),
            "max_temp_directory_size": "2GB",
        }
    )
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _is_text(sql: str) -> bool:
    """Say whether it can be written as UTF-8."""
    try:
        sql.encode()
    except UnicodeEncodeError:
        return False
    return True
