"""The console as a web application: its pages, its files and what stands before them."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware.base import RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware

from brewhouse.console import language
from brewhouse.console import overview as overview_numbers
from brewhouse.console.authentication import Authenticator
from brewhouse.console.event_feed import EventFeed
from brewhouse.console.lake_reader import LakeReader
from brewhouse.console.pages import events, explore, login, overview, quality, runs, tables
from brewhouse.console.query_service import QueryService
from brewhouse.console.security import AllowedHosts, SecurityMiddleware
from brewhouse.console.table_views import summaries
from brewhouse.console.web import API, Console, ErrorBody, link, problem, words_of
from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.lake.error_translation import translate_error
from brewhouse.lake.lake import Lake
from brewhouse.pipeline.cron_schedule import parse_schedule
from brewhouse.pipeline.run_launcher import RunLauncher
from brewhouse.pipeline.scheduler import Scheduler
from brewhouse.settings import Secret, Settings

_log = logging.getLogger(__name__)
_STATIC = Path(__file__).parent / "static"
_PAGES = (login, overview, explore, tables, runs, quality, events)
_YEAR_S = 365 * 24 * 3600


def create_app(lake: Lake, settings: Settings, *, host: str = "127.0.0.1", password: Secret | None = None) -> FastAPI:
    """Make the console of a lake.

    Args:
        lake: Whose pages.
        settings: What runs that are started there are told.
        host: The address it will listen on.
        password: What who wants in must know; None lets in everybody who reaches it.

    Returns:
        An ASGI application.
    """
    app = FastAPI(
        title="Brewhouse",
        summary="What a lake holds and how it came about: the data of the console's pages.",
        version="1",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_warmed,
    )
    control = RunLauncher(lake, settings)
    app.state.console = Console(
        lake, settings, LakeReader(lake), EventFeed(lake), control, Authenticator(password) if password else None
    )
    plan = parse_schedule(settings.schedule.cron, settings.schedule.time_zone)
    app.state.scheduler = Scheduler(lake, plan, control.start, settings.alerts)
    app.state.queries = QueryService(lake)
    responses: dict[int | str, dict[str, Any]] = {"4XX": {"model": ErrorBody}, "5XX": {"model": ErrorBody}}
    for page in _PAGES:
        app.include_router(page.router, responses=responses)
    app.mount("/static", StaticFiles(directory=_STATIC))
    app.middleware("http")(_remember_language)
    app.add_middleware(GZipMiddleware, minimum_size=2000, compresslevel=4)
    app.add_middleware(SecurityMiddleware, names=AllowedHosts(host, settings.console.allowed_hosts), failed=_unexpected)
    app.add_exception_handler(BrewhouseError, _known)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _misspelt)
    return app


@asynccontextmanager
async def _warmed(app: FastAPI) -> AsyncIterator[None]:
    """Open what the lake shows while the first reader is still typing the address, and look after the schedule."""

    def open_it() -> None:
        console: Console = app.state.console
        console.happened.reports(None)
        with suppress(BrewhouseError):
            state = console.published.state()
            summaries(console.lake, state)
            if overview_numbers.is_there(state):
                overview_numbers.overview(state, overview_numbers.OverviewFilters())

    opening = threading.Thread(target=open_it)
    opening.start()
    app.state.scheduler.start()
    yield
    app.state.queries.close()
    await asyncio.to_thread(app.state.scheduler.stop)
    await asyncio.to_thread(opening.join)  # DuckDB complains about a process that ends meanwhile


async def _remember_language(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Take `?lang=` out of an address and into a cookie."""
    wanted = request.query_params.get("lang")
    if wanted not in language.LANGUAGES or request.method != "GET":
        return await call_next(request)
    response = RedirectResponse(link(request.url.path, dict(request.query_params), lang=None), 303)
    response.set_cookie(language.COOKIE, wanted, max_age=_YEAR_S, httponly=True, samesite="lax")
    return response


def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, BrewhouseError)
    return problem(request, 400 if isinstance(error, UsageError) else 503, error.what, error.hint)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = words_of(request)
    if error.status_code == 404 and error.detail == HTTPStatus.NOT_FOUND.phrase:
        return problem(request, 404, words("There is no such page here."), words("Go on from the navigation above."))
    response = problem(request, error.status_code, str(error.detail))
    response.headers.update(error.headers or {})
    return response


def _misspelt(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    what = "; ".join(f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors())
    return problem(request, 422, words_of(request)("The address cannot be used: {what}", what=what))


def _unexpected(request: Request, error: Exception) -> Response:
    if known := translate_error(error):
        return _known(request, known)
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    words = words_of(request)
    return problem(
        request, 500, words("Something unexpected went wrong."), words("What it was stands in the console's log.")
    )
