"""The console as an ASGI application: routes, static files, middleware and error handlers."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware

from brewhouse.console import overview as overview_numbers
from brewhouse.console.authentication import Authenticator
from brewhouse.console.event_feed import EventFeed
from brewhouse.console.lake_reader import LakeReader
from brewhouse.console.pages import breweries, changes, events, explore, login, overview, quality, runs, tables
from brewhouse.console.query_service import QueryService
from brewhouse.console.security import AllowedHosts, SecurityMiddleware
from brewhouse.console.web import (
    API,
    STATIC,
    YEAR_S,
    ConsoleContext,
    ErrorBody,
    error_response,
    page,
    static_version,
    templates,
    translator_of,
)
from brewhouse.errors import BrewhouseError, NotFoundError, UsageError
from brewhouse.events.event import archive_events
from brewhouse.lake.error_translation import translate_error, translate_system_error
from brewhouse.lake.lake import Lake
from brewhouse.pipeline.cron_schedule import parse_schedule
from brewhouse.pipeline.run_launcher import RunLauncher
from brewhouse.pipeline.scheduler import Scheduler
from brewhouse.query.connection import NothingPublishedError
from brewhouse.settings import Secret, Settings

_log = logging.getLogger(__name__)
_PAGES = (login, overview, breweries, changes, explore, tables, runs, quality, events)
_ARCHIVE_EVERY_S = 3600.0


def create_app(lake: Lake, settings: Settings, *, host: str = "127.0.0.1", password: Secret | None = None) -> FastAPI:
    """Create the console of a lake, to listen on a host; without a password, anyone who can connect may use it."""
    app = FastAPI(
        title="Brewhouse",
        summary="Tables, runs, checks and events of a lake: the data behind the pages of the console.",
        version="1",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    launcher = RunLauncher(lake, settings)
    authenticator = Authenticator(password) if password else None
    app.state.console = ConsoleContext(
        lake, settings, LakeReader(lake), EventFeed(lake), launcher, QueryService(lake), authenticator
    )
    schedule = parse_schedule(settings.schedule.cron, settings.schedule.time_zone)
    app.state.scheduler = Scheduler(lake, schedule, partial(launcher.start, trigger="schedule"), settings.alerts)
    responses: dict[int | str, dict[str, Any]] = {"4XX": {"model": ErrorBody}, "5XX": {"model": ErrorBody}}
    for each in _PAGES:
        app.include_router(each.router, responses=responses)
    app.mount(f"/static/{static_version()}", _VersionedFiles(directory=STATIC))
    app.mount("/static", StaticFiles(directory=STATIC))
    app.add_api_route("/healthz", lambda: {"status": "ok"}, include_in_schema=False)
    app.add_middleware(GZipMiddleware, minimum_size=2000, compresslevel=4)
    allowed_hosts = AllowedHosts(host, settings.console.allowed_hosts)
    app.add_middleware(SecurityMiddleware, allowed_hosts=allowed_hosts, on_error=_on_unexpected_error)
    app.add_exception_handler(BrewhouseError, _on_brewhouse_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    return app


class _VersionedFiles(StaticFiles):
    """Files below an address that changes with their content, so that browsers may keep them."""

    def file_response(self, *args: Any, **options: Any) -> Response:  # noqa: ANN401 - of the base class
        """Respond with a file that may be cached for a year."""
        response = super().file_response(*args, **options)
        response.headers["Cache-Control"] = f"public, max-age={YEAR_S}, immutable"
        return response


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Warm the caches that the first page needs, in threads, and run the scheduler."""
    console: ConsoleContext = app.state.console

    def load_libraries() -> None:  # while DuckDB reads
        import brewhouse.iceberg.tables  # noqa: F401

        templates().get_template("overview.html").blocks  # noqa: B018 - compiles it

    def warm_caches() -> None:
        console.event_feed.reports(None)
        with suppress(BrewhouseError):
            state = console.lake_reader.state()
            if overview_numbers.has_breweries(state):
                overview_numbers.overview(state, overview_numbers.OverviewFilters())
                overview_numbers.figures_over_time(state, overview_numbers.OverviewFilters())
            tables.table_details(console.lake, state)
            if overview_numbers.has_breweries(state):
                breweries.list_breweries(state, breweries.BreweryFilters())

    stopping = threading.Event()

    def archive() -> None:
        while not stopping.is_set():
            try:
                archive_events(console.lake)
            except Exception as error:  # noqa: BLE001 - such as a lake that may only be read; pages are only slower
                _log.warning("The events could not be archived, which is tried again later: %s", error)
            stopping.wait(_ARCHIVE_EVERY_S)

    threads = [threading.Thread(target=target) for target in (warm_caches, load_libraries, archive)]
    for thread in threads:
        thread.start()
    app.state.scheduler.start()
    yield
    stopping.set()
    console.queries.close()
    await asyncio.to_thread(app.state.scheduler.stop)
    for thread in threads:  # DuckDB fails if the process ends during a query
        await asyncio.to_thread(thread.join)


def _on_brewhouse_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, BrewhouseError)
    if isinstance(error, NothingPublishedError) and not request.url.path.startswith(API):
        return page(request, "empty.html")
    status = 404 if isinstance(error, NotFoundError) else 400 if isinstance(error, UsageError) else 503
    return error_response(request, status, error.what, error.hint)


def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404 and error.detail == HTTPStatus.NOT_FOUND.phrase:
        return error_response(request, 404, "Page not found.", "Use the navigation above.")
    detail: Any = error.detail
    body = detail if isinstance(detail, ErrorBody) else ErrorBody(detail)
    response = error_response(request, error.status_code, body.error, body.hint)
    response.headers.update(error.headers or {})
    return response


def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if any(each["loc"][0] == "path" for each in error.errors()):
        return _on_http_error(request, HTTPException(404))
    translate = translator_of(request)
    reasons = (f"{'.'.join(map(str, each['loc'][1:]))}: {translate.message(each['msg'])}" for each in error.errors())
    return error_response(request, 422, translate("Invalid request: {reasons}", reasons="; ".join(reasons)))


def _on_unexpected_error(request: Request, error: Exception) -> Response:
    if known := translate_error(error) or translate_system_error(error):
        return _on_brewhouse_error(request, known)
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return error_response(request, 500, "Internal error.", "The console's log has the details.")
