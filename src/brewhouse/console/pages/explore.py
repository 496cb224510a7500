"""Explore: an SQL editor with saved queries, results as tables, charts and files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from itertools import chain
from typing import Annotated

import msgspec
from fastapi import APIRouter, Body, Depends, Form, Query, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from brewhouse.console.downloads import MEDIA_TYPES, FileKind
from brewhouse.console.formatting import number as number_text
from brewhouse.console.pages.tables import SnapshotDetail, snapshot_options
from brewhouse.console.query_service import QueryStatus, ResultPage
from brewhouse.console.sandbox import ResultColumn
from brewhouse.console.web import API, HTML, At, ConsoleDep, lake_state_of, link, page, translator_of
from brewhouse.errors import BrewhouseError, NotFoundError
from brewhouse.query.saved_queries import SavedQuery, for_duckdb, formatted, saved_queries, saved_query
from brewhouse.query.statements import with_parameters

router = APIRouter(tags=["queries"])

_FIRST_SQL = """SELECT country_name, sum(brewery_count) AS breweries, sum(operating_count) AS operating
FROM gold.breweries_by_location
GROUP BY ALL
ORDER BY breweries DESC"""
_TABLE_COLUMNS = """
SELECT CASE database_name WHEN 'monitoring' THEN 'monitoring' ELSE schema_name END || '.' || table_name,
  list([column_name, data_type] ORDER BY column_index)
FROM duckdb_columns()
WHERE NOT internal AND (database_name, schema_name) <> ('memory', 'main')  -- cache tables of the overview
GROUP BY 1
ORDER BY 1
"""
"""Name and type of the columns of every readable table."""
_PREFIX = "p."  # of the names of placeholders in forms and addresses
_INITIAL_WAIT_S = 0.5  # most queries finish in this time, so the first response has their rows
_ROWS = 100
_HISTORY = 20
_MAX_CELL_CHARACTERS = 300
_NOT_COUNTED = re.compile(r"year|ano|code|zip|(^|_)id$", re.IGNORECASE)  # columns whose numbers have no separators
_NUMERIC = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?$|DOUBLE|FLOAT|DECIMAL")
_PageNumber = Annotated[int, Query(alias="page", ge=1, le=10**9, description="Page number")]
_Sort = Annotated[int | None, Query(ge=-(10**6), le=10**6, description="Sort column from 1; negative: descending")]


@router.get("/explore", **HTML)
def show(  # noqa: PLR0913, PLR0917 - parameters of the URL
    request: Request,
    console: ConsoleDep,
    sql: str = "",
    at: At = None,
    saved: str = "",
    result: str = "",
    number: _PageNumber = 1,
    sort: _Sort = None,
) -> Response:
    """Show the editor, and the result of the query `?result=`."""
    if at and not result:
        lake_state_of(request, at)  # is 404 if there is none
    console.queries.prepare()
    language = translator_of(request).language
    status: QueryStatus | None = None
    if result:
        with suppress(NotFoundError):
            status = console.queries.wait(result, _INITIAL_WAIT_S)
    if status is not None:
        sql, at = status.sql, status.at
    elif saved:
        sql = _displayed_sql(saved)
    is_default = not (sql or result)
    given = status.parameters if status is not None else _parameters(request.query_params)
    tables: dict[str, list[list[str]]] = {}
    snapshots: list[SnapshotDetail] = []
    with suppress(BrewhouseError):  # nothing is published yet
        state = console.lake_reader.state()
        tables = state.cached("table columns", lambda: dict(state.cursor().execute(_TABLE_COLUMNS).fetchall()))
        snapshots = snapshot_options(console.lake, state)
    if is_default and "gold.breweries_by_location" in tables:
        sql = _FIRST_SQL
    rows, shown = None, {}
    if status is not None and status.has_result:
        rows = console.queries.page(status.id, number, _ROWS, sort)
        shown = {
            "cells": [[_cell(*each, language) for each in zip(rows.columns, row, strict=True)] for row in rows.rows],
            "numeric": [bool(_NUMERIC.match(column.type)) for column in rows.columns],
            "offset": (rows.page - 1) * _ROWS,
        }
    return page(
        request,
        "explore.html",
        status=404 if result and status is None else 200,
        sql=sql,
        at=at or "",
        parameters={name: given.get(name, "") for name in with_parameters(sql)[1]},
        query=status,
        is_unknown=bool(result) and status is None,
        rows=rows,
        **shown,
        sort=sort,
        history=console.queries.newest()[:_HISTORY],
        saved=saved_queries(),
        tables=tables,
        is_default=is_default,
        snapshots=snapshots,
        share=link("/explore", {"sql": sql, "at": at or "", **_prefixed(given), "run": "1"}),
    )


async def _form_parameters(request: Request) -> dict[str, str]:
    return _parameters(await request.form())


@router.post("/explore", **HTML)
def run(
    console: ConsoleDep,
    given: Annotated[dict[str, str], Depends(_form_parameters)],
    sql: Annotated[str, Form()] = "",
    at: Annotated[str, Form()] = "",
) -> Response:
    """Run the query of the editor, or show the fields of its placeholders if their values are missing."""
    if not given.keys() >= set(with_parameters(sql)[1]):
        return RedirectResponse(link("/explore", {"sql": sql, "at": at, **_prefixed(given)}), 303)
    return RedirectResponse(link("/explore", {"result": console.queries.start(sql, at, given).id}), 303)


@router.post("/explore/stop", **HTML)
def stop(console: ConsoleDep, result: Annotated[str, Form()]) -> Response:
    """Stop a query."""
    return RedirectResponse(link("/explore", {"result": console.queries.stop(result).id}), 303)


@router.post(f"{API}/queries", status_code=201)
def start_query(
    console: ConsoleDep,
    sql: Annotated[str, Body(description="A single SELECT")],
    at: Annotated[str | None, Body(description="Time (ISO 8601), table snapshot id or run id to read as of")] = None,
    parameters: Annotated[dict[str, str] | None, Body(description="Values of the placeholders, `{{name}}`")] = None,
) -> QueryStatus:
    """Start a query; poll its state until it is `done`, `failed` or `stopped`."""
    return console.queries.start(sql, at, parameters or {})


@router.post(f"{API}/format")
def format_sql(sql: Annotated[str, Body(embed=True, max_length=100_000)]) -> dict[str, str]:
    """Format a query: one clause a line, keywords in capitals; the query stays the same."""
    return {"sql": formatted(sql)}


@router.get(f"{API}/queries")
def list_queries(console: ConsoleDep) -> list[QueryStatus]:
    """List the queries of this console, newest first."""
    return console.queries.newest()


@router.get(f"{API}/saved-queries")
def list_saved_queries() -> list[SavedQuery]:
    """List the queries that ship with Brewhouse, in DuckDB's dialect."""
    return [replace(query, sql=_displayed_sql(query.name)) for query in saved_queries()]


@router.get(f"{API}/queries/{{name}}")
def get_query(console: ConsoleDep, name: str) -> QueryStatus:
    """Return the status of a query."""
    return console.queries.get(name)


@router.delete(f"{API}/queries/{{name}}")
def stop_query(console: ConsoleDep, name: str) -> QueryStatus:
    """Stop a query; a finished one is unchanged."""
    return console.queries.stop(name)


@router.get(f"{API}/queries/{{name}}/rows")
def get_rows(
    console: ConsoleDep,
    name: str,
    number: _PageNumber = 1,
    size: Annotated[int, Query(ge=1, le=10_000, description="Rows of a page")] = _ROWS,
    sort: _Sort = None,
) -> ResultPage:
    """Return a page of rows."""
    return console.queries.page(name, number, size, sort)


@router.get(f"{API}/queries/{{name}}/result.{{kind}}", response_class=StreamingResponse)
def download(console: ConsoleDep, name: str, kind: FileKind) -> Response:
    """Download a whole result as a file; `excel.csv` is CSV that Excel opens as text, without running formulas."""
    parts = console.queries.download(name, kind)
    first = next(parts)  # most errors are found by then
    headers = {"Content-Disposition": f'attachment; filename="brewhouse-{name.lower()}.{kind}"'}
    return StreamingResponse(chain([first], parts), media_type=MEDIA_TYPES[kind], headers=headers)


def _parameters(values: Mapping[str, object]) -> dict[str, str]:
    """Select the values of placeholders from those of a form or an address, where their names have a prefix."""
    return {name[len(_PREFIX) :]: str(value) for name, value in values.items() if name.startswith(_PREFIX)}


def _prefixed(parameters: Mapping[str, str]) -> dict[str, str]:
    return {_PREFIX + name: value for name, value in parameters.items()}


@cache
def _displayed_sql(name: str) -> str:
    """Format a saved query in DuckDB's dialect, without its header comment."""
    return for_duckdb(saved_query(name).sql.split("\n", 2)[2], pretty=True)


def _cell(column: ResultColumn, value: object, language: str) -> str | None:
    """Format a JSON value for a table cell, truncated; numbers with the separators of the language."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and not _NOT_COUNTED.search(column.name):
        whole, _dot, decimals = str(value).partition(".")
        if f"{whole}{decimals}".lstrip("-").isdecimal():
            return number_text(value, language, len(decimals))
    text = msgspec.json.encode(value).decode() if isinstance(value, list | dict | bool) else str(value)
    return text if len(text) <= _MAX_CELL_CHARACTERS else f"{text[:_MAX_CELL_CHARACTERS]}…"
