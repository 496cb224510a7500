"""The list of events, alerts among them: filtered, newest first, in pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, StringConstraints

from brewhouse.console.web import paginate
from brewhouse.events import envelope
from brewhouse.events.envelope import LEVELS, Event

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

Day = Annotated[date | None, BeforeValidator(lambda text: text or None)]
"""A date; a form sends an empty field as an empty text."""


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


@dataclass(frozen=True)
class EventList:
    """A page of the events, newest first; `total` counts all pages."""

    events: list[EventView]
    total: int
    page: int
    pages: int


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
    page: Annotated[int, Field(ge=1, le=1_000_000, description="One past the end becomes the last")] = 1


def list_events(events: Sequence[Event], query: EventQuery) -> EventList:
    """Select a page of the matching events, which are sorted oldest first."""
    matching = _matching(events, query)
    shown, page, pages = paginate(matching, query.page, PAGE_ROWS)
    return EventList([_view(event) for event in shown], len(matching), page, pages)


def _matching(events: Sequence[Event], query: EventQuery) -> list[Event]:
    """Filter the events, newest first."""
    levels = LEVELS[LEVELS.index(query.level) :]
    wanted = KINDS.get(query.kind, ())
    since, until = str(query.since or ""), str(query.until or "9")
    return [
        event
        for event in reversed(events)
        if (not wanted or event.detail_type in wanted)
        and (len(levels) == len(LEVELS) or event.level in levels)
        and query.run in {"", event.run}
        and since <= event.time[:10] <= until
    ]


def _view(event: Event) -> EventView:
    detail = event.detail
    job = str(detail.get("jobName") or "")
    message = str(detail.get("message") or "") or f"{job} {str(detail.get('state', '')).lower()}".strip()
    return EventView(event.id, event.time, event.level, event.detail_type, event.run, job, message, detail)
