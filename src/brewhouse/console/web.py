"""Shared parts of all pages: the console's context, templates, translation and error responses.

A route returns `page(request, "name.html", value=…)`. When htmx asks for one element, named by its header `HX-Target`,
only the template block of that name is rendered.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import jinja2
from fastapi import Depends, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from markupsafe import Markup, escape
from pydantic import BeforeValidator

from brewhouse.console import formatting
from brewhouse.console.authentication import COOKIE as SESSION
from brewhouse.console.authentication import Authenticator
from brewhouse.console.event_feed import EventFeed
from brewhouse.console.health import Health, health
from brewhouse.console.lake_reader import LakeReader, LakeState
from brewhouse.console.language import COOKIE, LANGUAGES, Translator, match_language, negotiate_language
from brewhouse.console.query_service import QueryService
from brewhouse.errors import BrewhouseError
from brewhouse.events.schedule_state import schedule_state
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import holder
from brewhouse.pipeline.cron_schedule import parse_schedule
from brewhouse.pipeline.run_launcher import RunLauncher
from brewhouse.settings import Settings

HTML: dict[str, Any] = {"include_in_schema": False, "response_class": HTMLResponse}
"""Options of a route that returns a page: `@router.get("/tables", **HTML)`."""

API = "/api/v1"

STATIC = Path(__file__).parent / "static"
YEAR_S = 365 * 24 * 3600

_UUID = r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"


@dataclass(frozen=True)
class ConsoleContext:
    """Shared objects of the routes; without an authenticator, the console needs no password."""

    lake: Lake
    settings: Settings
    lake_reader: LakeReader
    event_feed: EventFeed
    launcher: RunLauncher
    queries: QueryService
    authenticator: Authenticator | None = None

    def data_time(self) -> datetime | None:
        """Return when the source was read for the published breweries; None if there are none."""
        with suppress(BrewhouseError, OSError):
            state = self.lake_reader.state()
            if "silver.breweries" in state.tables:
                sql = "SELECT any_value(snapshot_time) FROM silver.breweries"
                [(time,)] = state.cached("data time", lambda: state.cursor().execute(sql).fetchall())
                return time if isinstance(time, datetime) else None
        return None

    def health(self) -> Health | None:
        """Return the health of the lake as it is now; None if its events cannot be read: error pages show it, too."""
        schedule, late_after_hours = self.settings.schedule, self.settings.alerts.late_after_hours
        with suppress(BrewhouseError, OSError):
            held, state = holder(self.lake), schedule_state(self.event_feed.events())
            plan = parse_schedule(schedule.cron, schedule.time_zone) or parse_schedule(state.cron, state.time_zone)
            reports, running = self.event_feed.reports(held), held.run if held else ""
            return health(reports, running, plan, state, late_after_hours, datetime.now(UTC))
        return None


THEME_COOKIE = "brewhouse_theme"
THEMES = {"auto": "light", "light": "dark", "dark": "auto"}
"""Themes, and the one that the switch selects next; `auto` is that of the system."""


def _(text: str) -> str:
    """Mark a text for translation where it is rendered."""
    return text


@dataclass(frozen=True)
class ErrorBody:
    """Body of every error response below `/api/v1/`; the hint is the next step, or empty."""

    error: str
    hint: str = ""


def console_of(request: Request) -> ConsoleContext:
    """Return the context of the application that serves a request."""
    console: ConsoleContext = request.app.state.console
    return console


At = Annotated[
    str | None, Query(description="Read as of a time (ISO 8601), a table snapshot id or a run id", max_length=100)
]
"""Route parameter: `?at=`."""


def lake_state_of(request: Request, at: At = None) -> LakeState:
    """Open the published state of the lake, as of `?at=`; one that does not exist is 404."""
    try:
        return console_of(request).lake_reader.state(at)
    except BrewhouseError as error:
        if at:
            raise HTTPException(404, str(error)) from error
        raise


ConsoleDep = Annotated[ConsoleContext, Depends(console_of)]
"""Route parameter: the console's context."""
LakeStateDep = Annotated[LakeState, Depends(lake_state_of)]
"""Route parameter: the published state of the lake, as of `?at=`."""
PageNumber = Annotated[int, Query(alias="page", ge=1, le=1_000_000, description="One past the end becomes the last")]
"""Route parameter: the number of a page."""
Day = Annotated[date | None, BeforeValidator(lambda text: text or None)]
"""Route parameter: a date; a form sends an empty field as an empty text."""


def translator_of(request: Request) -> Translator:
    """Return the translator for the language of a request."""
    return Translator(negotiate_language(request.cookies.get(COOKIE), request.headers.get("accept-language")))


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:  # noqa: ANN401 - for templates
    """Render a template with its variables, or the block of it that htmx asks for."""
    loaded = templates().get_template(template)
    target = request.headers.get("hx-target", "") if "hx-request" in request.headers and status < 400 else ""
    part = target if target in loaded.blocks else ""  # then base.html renders this block alone
    context = _context(request)
    html = loaded.render({**context, "part": part, **values})
    headers = {"Content-Language": context["language"], "Vary": "HX-Request, HX-Target, Cookie, Accept-Language"}
    return HTMLResponse(html, status, headers)


def error_response(request: Request, status: int, what: str, hint: str = "", **values: Any) -> Response:  # noqa: ANN401
    """Respond with a translated error: a page, or `ErrorBody` below `/api/v1/`; `signed_in=False` hides the lake."""
    translate = translator_of(request)
    what, hint = translate.message(what), translate.message(hint)
    if request.url.path.startswith(API):
        headers = {"Content-Language": translate.language, "Vary": "Cookie, Accept-Language"}
        return JSONResponse({"error": what, "hint": hint}, status, headers)
    return page(request, "error.html", status=status, what=what, hint=hint, code=status, **values)


@cache
def templates() -> jinja2.Environment:
    """Load the templates; they escape every value."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"prose": prose, "linked": linked}
    environment.globals["static"] = f"/static/{static_version()}"
    return environment


@cache
def static_version() -> str:
    """Compute the hash of all static files, which is part of their addresses."""
    digest = hashlib.sha256()
    for file in sorted(STATIC.iterdir()):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def prose(text: str) -> Markup:
    """Escape a text and format what is between backticks as code; a template filter.

    Example:
        >>> print(prose("Run `a < b` first."))
        Run <code>a &lt; b</code> first.
    """
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - it is escaped


def linked(text: str) -> Markup:
    """Escape a text and make each id of a brewery a link; a template filter."""
    return Markup(re.sub(_UUID, r'<a href="/breweries/\g<0>">\g<0></a>', str(escape(text))))  # noqa: S704 - it is escaped


def text_helpers(translate: Translator) -> dict[str, Any]:
    """Return the functions that templates translate texts and format numbers and times with."""
    formats = ("number", "size", "duration", "day", "date_part", "moment", "ago", "cron_words")
    texts = ("many", "message", "example", "label", "sorted_labels", "language")
    return {
        **{name: partial(getattr(formatting, name), language=translate.language) for name in formats},
        **{name: getattr(translate, name) for name in texts},
        "_": translate,
        "country_name": translate.country,
    }


def choose_preferences(request: Request) -> Response | None:
    """Move `?lang=` and `?theme=` from the address of a page to cookies; None if there are none."""
    query = dict(request.query_params) if request.method == "GET" else {}
    theme = query.get("theme")
    preferences = {COOKIE: match_language(query.get("lang")), THEME_COOKIE: theme if theme in THEMES else None}
    if not any(preferences.values()):
        return None
    response = RedirectResponse(link(request.url.path, query, lang=None, theme=None), 303)
    for name, value in preferences.items():
        if value:
            response.set_cookie(name, value, max_age=YEAR_S, httponly=True, samesite="lax")
    return response


def _context(request: Request) -> dict[str, Any]:
    translate = translator_of(request)
    console, theme = console_of(request), request.cookies.get(THEME_COOKIE)
    lake, authenticator = console.lake, console.authenticator
    return {
        **text_helpers(translate),
        "languages": LANGUAGES,
        "lake_name": str(lake.root),
        "signed_in": not authenticator or authenticator.is_valid_session(request.cookies.get(SESSION)),
        "has_password": authenticator is not None,
        "at": request.query_params.get("at", ""),
        "link": partial(link, request.url.path, dict(request.query_params)),
        "here": "",
        "health": console.health,
        "data_time": console.data_time,
        "theme": theme if theme in THEMES else "auto",
        "themes": THEMES,
    }


def link(path: str, query: Mapping[str, str], **changes: str | None) -> str:
    """Build an address of this site from a path and a query with some values changed; empty values are dropped.

    Example:
        >>> link("/", {"country": "BE", "type": "micro"}, type=None, at="2026-08-02")
        '/?country=BE&at=2026-08-02'
    """
    path = "/" + path.lstrip("/")  # `//name/` would be another site
    values = {name: value for name, value in {**query, **changes}.items() if value}
    return f"{path}?{urlencode(values)}" if values else path


@dataclass(frozen=True, kw_only=True)
class Paged:
    """A page of a list; `total` counts all pages."""

    total: int
    page: int
    pages: int


def paginate(total: int, page: int, page_rows: int) -> tuple[slice, dict[str, int]]:
    """Select the rows of a page, and return the fields of `Paged`; a page past the end becomes the last.

    Example:
        >>> paginate(5, page=9, page_rows=2)
        (slice(4, 6, None), {'total': 5, 'page': 3, 'pages': 3})
    """
    pages = max(1, -(-total // page_rows))
    page = min(page, pages)
    return slice((page - 1) * page_rows, page * page_rows), {"total": total, "page": page, "pages": pages}
