"""What every page gets: the console itself, templates, the reader's language, navigation, and errors in words.

A page's route gives `page(request, "name.html", value=…)`. When htmx asks for one element of it, as its header
`HX-Target` says, only the template's block of the same name is made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import jinja2
from fastapi import Depends, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from markupsafe import Markup, escape

from brewhouse.console import formatting
from brewhouse.console.authentication import COOKIE as SESSION
from brewhouse.console.authentication import Authenticator
from brewhouse.console.event_feed import EventFeed
from brewhouse.console.lake_reader import LakeReader, LakeState
from brewhouse.console.language import COOKIE, LANGUAGES, Words, chosen
from brewhouse.errors import BrewhouseError
from brewhouse.lake.lake import Lake
from brewhouse.pipeline.run_launcher import RunLauncher
from brewhouse.settings import Settings

HTML: dict[str, Any] = {"include_in_schema": False, "response_class": HTMLResponse}
"""Of a route that gives a page: `@router.get("/tables", **HTML)`."""

API = "/api/v1"


@dataclass(frozen=True)
class Console:
    """What the pages are about.

    Attributes:
        lake: Whose pages.
        settings: What runs that are started here are told.
        published: What the lake shows.
        happened: The lake's events and runs.
        control: Starts and stops runs.
        door: Who may come in; None for everybody who reaches it.
    """

    lake: Lake
    settings: Settings
    published: LakeReader
    happened: EventFeed
    control: RunLauncher
    door: Authenticator | None = None


@dataclass(frozen=True)
class NavItem:
    """A page that navigation leads to.

    Attributes:
        key: What its templates set `here` to.
        path: Where it is.
        title: Its English name.
    """

    key: str
    path: str
    title: str


def _(text: str) -> str:
    """Mark a text that is translated where it is shown."""
    return text


NAVIGATION = (
    NavItem("overview", "/", _("Overview")),
    NavItem("explore", "/explore", _("Explore")),
    NavItem("tables", "/tables", _("Tables")),
    NavItem("runs", "/runs", _("Runs")),
    NavItem("quality", "/quality", _("Quality")),
    NavItem("events", "/events", _("Events")),
)


@dataclass(frozen=True)
class ErrorBody:
    """The one shape of every error below `/api/v1/`.

    Attributes:
        error: What happened and where.
        hint: What to do; may be empty.
    """

    error: str
    hint: str = ""


def console_of(request: Request) -> Console:
    """Find the console a request is for."""
    console: Console = request.app.state.console
    return console


def reading_of(
    request: Request,
    at: Annotated[
        str | None,
        Query(description="Read as of a time (ISO 8601), a table snapshot id or a run id", max_length=100),
    ] = None,
) -> LakeState:
    """Open what the lake shows, or showed when `?at=` says; there is no page of a time without any."""
    try:
        return console_of(request).published.state(at)
    except BrewhouseError as error:
        if at:
            raise HTTPException(404, str(error)) from error
        raise


ConsoleHere = Annotated[Console, Depends(console_of)]
"""Parameter of a route: the console."""

Reading = Annotated[LakeState, Depends(reading_of)]
"""Parameter of a route: what the lake shows, as of `?at=`."""


def words_of(request: Request) -> Words:
    """Choose the words of a request's reader."""
    return Words(chosen(request.cookies.get(COOKIE), request.headers.get("accept-language")))


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:  # noqa: ANN401 - for templates
    """Make a page, or the block of it that htmx asks for.

    Args:
        request: Whose.
        template: Name of its file below `templates/`.
        status: HTTP status.
        values: What the template names.
    """
    made = templates().get_template(template)
    target = request.headers.get("hx-target", "") if "hx-request" in request.headers and status < 400 else ""
    part = target if target in made.blocks else ""  # then base.html gives this block alone
    html = made.render({**_context(request), "part": part, **values})
    return HTMLResponse(html, status, {"Vary": "HX-Request, HX-Target, Cookie, Accept-Language"})


def problem(request: Request, status: int, what: str, hint: str = "", **values: Any) -> Response:  # noqa: ANN401
    """Say what went wrong: as a page, or as `Problem` to a program.

    Args:
        request: Which could not be answered.
        status: HTTP status.
        what: What happened and where.
        hint: What to do.
        values: Further ones for the page, as `inside=False` for one that says nothing about the lake.
    """
    if request.url.path.startswith(API):
        return JSONResponse({"error": what, "hint": hint}, status)
    return page(request, "error.html", status=status, what=what, hint=hint, code=status, **values)


@cache
def templates() -> jinja2.Environment:
    """Open the templates; whatever they show is escaped."""
    opened = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    opened.filters["prose"] = prose
    return opened


def prose(text: str) -> Markup:
    """Show what stands between backticks as code, and escape everything; a filter of the templates.

    Example:
        >>> print(prose("Run `a < b` first."))
        Run <code>a &lt; b</code> first.
    """
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - it is escaped


def told(language: str) -> dict[str, Any]:
    """Give what templates write numbers and times with."""
    names = ("number", "percent", "size", "duration", "day", "moment")
    return {name: partial(getattr(formatting, name), language=language) for name in names}


def _context(request: Request) -> dict[str, Any]:
    words = words_of(request)
    console = console_of(request)
    return {
        "_": words,
        "many": words.many,
        **told(words.language),
        "language": words.language,
        "languages": LANGUAGES,
        "navigation": NAVIGATION,
        "lake_name": str(console.lake.root),
        "inside": console.door is None or console.door.knows(request.cookies.get(SESSION)),
        "has_door": console.door is not None,
        "at": request.query_params.get("at", ""),
        "link": partial(link, request.url.path, dict(request.query_params)),
        "here": "",
    }


def link(path: str, query: Mapping[str, str], **changes: str | None) -> str:
    """Give the address of a page with some values of its query changed, and empty ones left out.

    Example:
        >>> link("/", {"country": "BE", "type": "micro"}, type=None, at="2026-08-02")
        '/?country=BE&at=2026-08-02'
    """
    values = {name: value for name, value in {**query, **changes}.items() if value}
    return f"{path}?{urlencode(values)}" if values else path
