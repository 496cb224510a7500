"""Explore: questions in SQL, their answers as tables, charts and files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, Request
from fastapi import Query as Parameter
from fastapi.responses import FileResponse, RedirectResponse, Response

from brewhouse.console.query_service import Page, Query, QueryPhase, QueryService, plain
from brewhouse.console.web import API, HTML, ConsoleContext, ConsoleDep, link, page
from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.query.saved_queries import for_duckdb, saved_queries, saved_query

router = APIRouter(tags=["queries"])

_FIRST_WAIT_S = 0.5  # most queries have ended by then, and their rows come with the first answer
_ROWS = 100
_SHOWN_CHARACTERS = 300
_NUMERIC = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?$|DOUBLE|FLOAT|DECIMAL")
_MEDIA = {"csv": "text/csv", "json": "application/json", "parquet": "application/vnd.apache.parquet"}


def queries_of(request: Request) -> QueryService:
    """Find the queries of a console."""
    queries: QueryService = request.app.state.queries
    return queries


QueriesHere = Annotated[QueryService, Depends(queries_of)]


class QueryState(StrEnum):
    """How a query gets on."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Asked:
    """What is asked.

    Attributes:
        sql: A single SELECT.
        at: Read as of a time (ISO 8601), a table snapshot id or a run id.
    """

    sql: str
    at: str | None = None


@dataclass(frozen=True)
class ResultColumn:
    """A column of a result.

    Attributes:
        name: As the query has it; two may have the same.
        type: As DuckDB names it.
    """

    name: str
    type: str


@dataclass(frozen=True)
class QueryReport:
    """A query and how it gets on.

    Attributes:
        id: What it is called by.
        sql: What was asked.
        at: As of when; null for what is current.
        state: How it gets on.
        asked_at: When.
        seconds: How long it took, or has taken.
        rows: How many the result has.
        is_cut: Whether there would be more.
        has_result: Whether the rows are still there.
        columns: Of the result.
        error: Why it failed, else null.
        hint: What to do then.
    """

    id: str
    sql: str
    at: str | None
    state: QueryState
    asked_at: datetime
    seconds: float
    rows: int
    is_cut: bool
    has_result: bool
    columns: list[ResultColumn]
    error: str | None
    hint: str


@dataclass(frozen=True)
class ResultPage:
    """Some rows of a result.

    Attributes:
        columns: Of the result.
        rows: Their values; times as ISO 8601, bytes in hexadecimal.
        page: Which page it is.
        pages: How many there are.
    """

    columns: list[ResultColumn]
    rows: list[list[Any]]
    page: int
    pages: int


@dataclass(frozen=True)
class Saved:
    """A query that ships with Brewhouse.

    Attributes:
        name: What it is called by.
        title: A few words.
        question: What it answers.
        sql: In DuckDB's dialect.
    """

    name: str
    title: str
    question: str
    sql: str


@router.get("/explore", **HTML)
def show(  # noqa: PLR0913, PLR0917 - each is a value of the address
    request: Request,
    console: ConsoleDep,
    queries: QueriesHere,
    sql: str = "",
    at: str = "",
    saved: str = "",
    result: str = "",
    number: Annotated[int, Parameter(alias="page", ge=1, le=10**9)] = 1,
    sort: int | None = None,
) -> Response:
    """Show the editor, and the result that `?result=` names."""
    queries.prepare()
    asked = _known(queries, result)
    if asked is not None:
        asked.wait(_FIRST_WAIT_S)
        sql, at = asked.sql, asked.at or ""
    elif saved:
        sql = _for_reading(saved)
    state = asked.state if asked is not None else QueryPhase.STOPPED  # once: it may change while the page is made
    is_there = asked is not None and state is QueryPhase.DONE and asked.has_result
    rows = queries.page(asked.id, number, _ROWS, sort) if asked is not None and is_there else None
    return page(
        request,
        "explore.html",
        sql=sql,
        at=at,
        asked=asked,
        state=state,
        is_unknown=bool(result) and asked is None,
        rows=rows,
        cells=_shown(rows),
        numeric=[bool(_NUMERIC.match(kind)) for kind in asked.answer.types] if asked else [],
        first=(rows.number - 1) * _ROWS if rows else 0,
        sort=sort,
        downloads=list(_MEDIA),
        history=queries.newest()[:20],
        saved=saved_queries(),
        tables=_tables(console),
        share=link("/explore", {"sql": sql, "at": at}),
        limits=queries.limits,
    )


@router.post("/explore", **HTML)
def ask(queries: QueriesHere, sql: Annotated[str, Form()] = "", at: Annotated[str, Form()] = "") -> Response:
    """Run what the editor holds."""
    return RedirectResponse(link("/explore", {"result": queries.start(sql, at.strip() or None).id}), 303)


@router.post("/explore/stop", **HTML)
def stop(queries: QueriesHere, result: Annotated[str, Form()]) -> Response:
    """Stop a query."""
    return RedirectResponse(link("/explore", {"result": queries.stop(result).id}), 303)


@router.post(f"{API}/queries", status_code=201)
def start_query(queries: QueriesHere, asked: Asked) -> QueryReport:
    """Run a query; ask for its state until it is `done`, `failed` or `stopped`."""
    return _report(queries.start(asked.sql, asked.at))


@router.get(f"{API}/queries")
def list_queries(queries: QueriesHere) -> list[QueryReport]:
    """List the newest queries of this console, the newest first."""
    return [_report(query) for query in queries.newest()]


@router.get(f"{API}/saved-queries")
def list_saved_queries() -> list[Saved]:
    """List the queries that ship with Brewhouse."""
    return [Saved(query.name, query.title, query.question, _for_reading(query.name)) for query in saved_queries()]


@router.get(f"{API}/queries/{{name}}")
def get_query(queries: QueriesHere, name: str) -> QueryReport:
    """Tell how a query gets on."""
    return _report(queries.get(name))


@router.delete(f"{API}/queries/{{name}}")
def stop_query(queries: QueriesHere, name: str) -> QueryReport:
    """Stop a query; one that has ended stays as it is."""
    return _report(queries.stop(name))


@router.get(f"{API}/queries/{{name}}/rows")
def get_rows(
    queries: QueriesHere,
    name: str,
    number: Annotated[int, Parameter(alias="page", ge=1, le=10**9, description="Which page")] = 1,
    size: Annotated[int, Parameter(ge=1, le=10_000, description="Rows on a page")] = _ROWS,
    sort: Annotated[
        int | None, Parameter(description="Column to sort by, from 1; descending if negative", ge=-(10**6), le=10**6)
    ] = None,
) -> ResultPage:
    """Give some rows of a result."""
    rows = queries.page(name, number, size, sort)
    return ResultPage(_columns(queries.get(name)), [plain(row) for row in rows.rows], rows.number, rows.pages)


@router.get(f"{API}/queries/{{name}}/result.{{kind}}", response_class=FileResponse)
def download(queries: QueriesHere, name: str, kind: Literal["csv", "json", "parquet"]) -> Response:
    """Give a whole result as a file."""
    file = queries.export(name, kind)
    return FileResponse(file, media_type=_MEDIA[kind], filename=f"brewhouse-{name.lower()}.{kind}")


def _known(queries: QueryService, name: str) -> Query | None:
    try:
        return queries.get(name) if name else None
    except UsageError:
        return None


@cache
def _for_reading(name: str) -> str:
    """Set a saved query out in DuckDB's dialect, without the comments that are its title and question."""
    query = saved_query(name)
    return for_duckdb(query.sql.split("\n", 2)[2], pretty=True)


def _columns(query: Query) -> list[ResultColumn]:
    return [ResultColumn(name, kind) for name, kind in zip(query.answer.names, query.answer.types, strict=True)]


def _report(query: Query) -> QueryReport:
    return QueryReport(
        id=query.id,
        sql=query.sql,
        at=query.at,
        state=QueryState(query.state.value),
        asked_at=query.asked_at,
        seconds=query.seconds,
        rows=query.answer.rows,
        is_cut=query.answer.is_cut,
        has_result=query.has_result,
        columns=_columns(query),
        error=query.answer.error,
        hint=query.answer.hint,
    )


def _shown(rows: Page | None) -> list[list[str | None]]:
    """Write the values of a page for people; None stays, and long texts are cut."""
    return [[_cell(value) for value in row] for row in rows.rows] if rows else []


def _cell(value: object) -> str | None:
    import msgspec

    value = plain(value)
    if value is None:
        return None
    text = msgspec.json.encode(value).decode() if isinstance(value, list | dict | bool) else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _tables(console: ConsoleContext) -> dict[str, list[tuple[str, str]]]:
    """List the columns of every table that can be read, each with its type; none while nothing is published."""
    try:
        state = console.lake_reader.state()
    except BrewhouseError:
        return {}

    def read() -> dict[str, list[tuple[str, str]]]:
        found: dict[str, list[tuple[str, str]]] = {}
        with state.cursor() as cursor:
            rows = cursor.execute(
                "SELECT CASE database_name WHEN 'monitoring' THEN 'monitoring' ELSE schema_name END || '.' || "
                "table_name, column_name, data_type FROM duckdb_columns() "
                "WHERE NOT internal AND (database_name, schema_name) <> ('memory', 'main') "  # the console's own
                "ORDER BY 1, column_index"
            ).fetchall()
        for table, column, kind in rows:
            found.setdefault(table, []).append((column, kind))
        return found

    return state.once("columns of all tables", read)
