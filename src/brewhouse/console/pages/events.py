"""Events and alerts: filtered, newest first, in pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field, StringConstraints

from brewhouse.console.web import API, HTML, ConsoleDep, Day, Paged, PageNumber, page, paginate
from brewhouse.events import envelope
from brewhouse.events.envelope import LEVELS, Event

router = APIRouter(tags=["events"])

PAGE_ROWS = 50
KINDS = {
    "run": (envelope.RUN,),
    "job": (envelope.JOB, envelope.CRAWL),
    "check": (envelope.CHECK,),
    "drift": (envelope.DRIFT,),
    "published": (envelope.PUBLISHED,),
    "alert": (envelope.ALERT_SENT, envelope.ALERT_FAILED),
    "schedule": (envelope.SCHEDULE,),
    "warning": (envelope.WARNING,),
}
"""Filter values, and the event types that each selects."""


@dataclass(frozen=True)
class EventView:
    """An event; its kind is the `detail-type`, and run and job may be empty."""

    id: str
    time: str
    level: str
    kind: str
    run: str
    job: str
    message: str
    detail: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class EventList(Paged):
    """A page of the events, newest first."""

    events: list[EventView]


class EventQuery(BaseModel):
    """Filters and page of the list, as in the query of its address."""

    run: Annotated[str, StringConstraints(strip_whitespace=True), Field(description="Run id", max_length=200)] = ""
    level: Annotated[Literal["INFO", "WARN", "ERROR"], Field(description="Minimum level")] = "INFO"
    kind: Annotated[
        Literal["", "run", "job", "check", "drift", "published", "alert", "schedule", "warning"],
        Field(description="Only events of this kind"),
    ] = ""
    since: Annotated[Day, Field(description="First day (UTC)")] = None
    until: Annotated[Day, Field(description="Last day (UTC)")] = None
    page: PageNumber = 1


_Query = Annotated[EventQuery, Query()]


@router.get("/events", **HTML)
def show(request: Request, console: ConsoleDep, query: _Query) -> Response:
    """Show the events."""
    return page(request, "events.html", list=list_events(console, query), query=query, kinds=list(KINDS), levels=LEVELS)


@router.get(f"{API}/events")
def list_events(console: ConsoleDep, query: _Query) -> EventList:
    """List the events, newest first."""
    return select_events(console.event_feed.events(), query)


def select_events(events: Sequence[Event], query: EventQuery) -> EventList:
    """Select a page of the matching events, which are sorted oldest first."""
    levels = LEVELS[LEVELS.index(query.level) :]
    wanted = KINDS.get(query.kind, ())
    since, until = str(query.since or ""), str(query.until or "9")
    matching = [
        event
        for event in reversed(events)
        if (not wanted or event.detail_type in wanted)
        and (len(levels) == len(LEVELS) or event.level in levels)
        and query.run in {"", event.run}
        and since <= event.time[:10] <= until
    ]
    part, pages = paginate(len(matching), query.page, PAGE_ROWS)
    return EventList(events=[_view(event) for event in matching[part]], **pages)


def _view(event: Event) -> EventView:
    detail = event.detail
    job = str(detail.get("jobName") or "")
    message = str(detail.get("message") or "") or f"{job} {str(detail.get('state', '')).lower()}".strip()
    return EventView(event.id, event.time, event.level, event.detail_type, event.run, job, message, detail)
