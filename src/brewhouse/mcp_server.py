"""Tools for assistants, over the Model Context Protocol: tables, SQL in the console's sandbox, runs, changes."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from datetime import date
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import msgspec
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from brewhouse.console.authentication import Authenticator
from brewhouse.console.query_service import QueryService, QueryState
from brewhouse.console.sandbox import QueryLimits
from brewhouse.console.security import is_signed_in
from brewhouse.errors import BrewhouseError
from brewhouse.events.run_history import newest_reports, report_of
from brewhouse.lake.lake import Lake, lake_of
from brewhouse.lakehouse import Lakehouse
from brewhouse.query.connection import published_tables
from brewhouse.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_MAX_ROWS = 1000
_INSTRUCTIONS = (
    "Breweries of the world, from the Open Brewery DB: cleaned rows in silver, aggregates in gold, raw records in "
    "bronze, runs and checks in monitoring. Call list_tables and describe_table before you write SQL. SQL is DuckDB's."
)
_READ_ONLY = ToolAnnotations(read_only_hint=True, open_world_hint=False)
Arguments = ParamSpec("Arguments")


def create_server(settings: Settings) -> MCPServer[Any]:
    """Create the server of a lake; its tools only read."""
    lake = lake_of(settings)
    server: MCPServer[Any] = MCPServer("brewhouse", instructions=_INSTRUCTIONS, log_level="ERROR")
    for tool in (*_table_tools(lake, Lakehouse.of(settings)), *_run_tools(lake)):
        server.tool(annotations=_READ_ONLY, structured_output=True)(_with_readable_errors(tool))
    return server


def _table_tools(lake: Lake, library: Lakehouse) -> list[Callable[..., Any]]:
    queries = QueryService(lake, QueryLimits(rows=_MAX_ROWS))
    atexit.register(queries.close)  # ends the process that waits for the next query

    def list_tables() -> list[dict[str, Any]]:
        """List the published tables with their number of rows, time of publication and meaning of a row."""
        return list(library.tables)

    def describe_table(table: str) -> dict[str, Any]:
        """Describe the columns of a table, named as silver.breweries."""
        spec = published_tables(lake).describe(table)
        columns = [{"name": each.name, "type": each.type, "description": each.description} for each in spec.columns]
        return {"table": spec.name, "description": spec.description, "columns": columns}

    def query(sql: str, at: str | None = None) -> dict[str, Any]:
        """Run one SELECT in DuckDB's SQL, at most 1000 rows; `at` is a date, a time or a run id to read as of."""
        status = queries.wait(queries.start(sql, at).id, QueryLimits().seconds + 10)
        if status.state is not QueryState.DONE:
            raise BrewhouseError(status.error or f"The query is {status.state}.")
        page = queries.page(status.id, size=_MAX_ROWS)
        columns = [column.name for column in page.columns]
        return {"columns": columns, "rows": page.rows, "is_truncated": status.is_cut}

    def list_changes(
        since: date | None = None, country: str | None = None, kinds: list[str] | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """List changes of breweries, newest first; `country` is an ISO 3166 code, `kinds` are of added, changed,
        removed, closed and reopened.
        """  # noqa: D205 - read by assistants
        return list(library.changes(since, country, kinds))[:limit]

    return [list_tables, describe_table, query, list_changes]


def _run_tools(lake: Lake) -> list[Callable[..., Any]]:
    def list_runs(limit: int = 10) -> list[dict[str, Any]]:
        """List the newest runs of the workflow: id, state, start, duration, error."""
        reports, _ = newest_reports(lake, max(limit, 1))
        names = ("run", "workflow", "state", "started_at", "seconds", "error")
        return [{name: getattr(report, name) for name in names} for report in reversed(reports)]

    def show_run(run: str = "last") -> dict[str, Any]:
        """Show a run, by its id or `last`, with its jobs, checks and published tables."""
        shown: dict[str, Any] = msgspec.to_builtins(report_of(lake, run))
        return shown

    return [list_runs, show_run]


def _with_readable_errors(tool: Callable[Arguments, Any]) -> Callable[Arguments, Any]:
    @wraps(tool)
    def call(*args: Arguments.args, **options: Arguments.kwargs) -> Any:  # noqa: ANN401 - of the tool
        try:
            return tool(*args, **options)
        except BrewhouseError as error:
            raise ToolError(str(error)) from error

    return call


class PasswordMiddleware:
    """Requires the console's password as a bearer token."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self._app, self._authenticator = app, authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request with the password."""
        if scope["type"] == "http" and not is_signed_in(Request(scope), self._authenticator):
            challenge = {"WWW-Authenticate": 'Bearer realm="brewhouse"'}
            await PlainTextResponse("Wrong password.", 401, challenge)(scope, receive, send)
            return
        await self._app(scope, receive, send)
