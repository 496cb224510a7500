"""Events: what happened, alerts among it, with filters."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BeforeValidator

from brewhouse.console import event_list
from brewhouse.console.web import API, HTML, ConsoleDep, page
from brewhouse.events.event import LEVELS

router = APIRouter(tags=["events"])

Day = Annotated[date | None, BeforeValidator(lambda text: text or None)]
"""A day, or nothing, as a form sends an empty field."""


def _wanted(
    run: Annotated[str, Query(description="Of this run", max_length=200)] = "",
    level: Annotated[Literal["INFO", "WARN", "ERROR"], Query(description="At least as serious")] = "INFO",
    kind: Annotated[
        Literal["", "run", "job", "check", "drift", "published", "alert", "schedule"], Query(description="Only these")
    ] = "",
    since: Annotated[Day, Query(description="Of this day or later")] = None,
    until: Annotated[Day, Query(description="Of this day or earlier")] = None,
) -> event_list.EventFilter:
    return event_list.EventFilter(run=run.strip(), level=level, kind=kind, since=since, until=until)


EventFilter = Annotated[event_list.EventFilter, Depends(_wanted)]
PageNumber = Annotated[int, Query(alias="page", ge=1, le=1_000_000)]


@router.get("/events", **HTML)
def show(request: Request, console: ConsoleDep, wanted: EventFilter, number: PageNumber = 1) -> Response:
    """List the events."""
    found = event_list.list_events(console.event_feed.events(), wanted, number)
    return page(request, "events.html", list=found, wanted=wanted, kinds=list(event_list.KINDS), levels=LEVELS)


@router.get(f"{API}/events")
def list_events(console: ConsoleDep, wanted: EventFilter, number: PageNumber = 1) -> event_list.EventList:
    """List what happened, newest first."""
    return event_list.list_events(console.event_feed.events(), wanted, number)
