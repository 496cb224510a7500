"""Alerts and events as the console lists them: filtered, newest first, a page at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from brewhouse.events.event import LEVELS, Event
from brewhouse.events.event_types import ALERT_FAILED, ALERT_SENT, CHECK, DRIFT, JOB, PUBLISHED, RUN, SCHEDULE

PAGE_ROWS = 50
KINDS = {
    "run": (RUN,),
    "job": (JOB,),
    "check": (CHECK,),
    "drift": (DRIFT,),
    "published": (PUBLISHED,),
    "alert": (ALERT_SENT, ALERT_FAILED),
    "schedule": (SCHEDULE,),
}
"""What can be filtered by, and the kinds of event it stands for."""


@dataclass(frozen=True)
class EventView:
    """An event.

    Attributes:
        id: Its id.
        time: When, ISO 8601, UTC.
        level: INFO, WARN or ERROR.
        kind: Which kind of event, as its envelope says.
        run: The run it belongs to; empty when to none.
        job: The job it is about; empty when about none.
        message: In words.
        detail: All of it.
    """

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
    """A page of the events, newest first.

    Attributes:
        events: Those of this page.
        total: How many fit.
        page: Which page, from 1.
        pages: How many pages.
    """

    events: list[EventView]
    total: int
    page: int
    pages: int


@dataclass(frozen=True)
class EventFilter:
    """Which events are wanted; what is empty leaves all.

    Attributes:
        run: Of this run.
        level: At least as serious.
        kind: A key of `KINDS`.
        since: Of this day or later.
        until: Of this day or earlier.
    """

    run: str = ""
    level: str = "INFO"
    kind: str = ""
    since: date | None = None
    until: date | None = None


def list_events(events: Sequence[Event], wanted: EventFilter, page: int) -> EventList:
    """Choose a page of the events.

    Args:
        events: All, oldest first.
        wanted: Which.
        page: From 1; one too far becomes the last.
    """
    found = list(_matching(events, wanted))
    pages = max(1, -(-len(found) // PAGE_ROWS))
    page = min(max(page, 1), pages)
    shown = [_view_of(event) for event in found[(page - 1) * PAGE_ROWS : page * PAGE_ROWS]]
    return EventList(shown, len(found), page, pages)


def _matching(events: Sequence[Event], wanted: EventFilter) -> Iterator[Event]:
    """Give the wanted ones, newest first."""
    levels = LEVELS[LEVELS.index(wanted.level) :]
    kinds = KINDS.get(wanted.kind, ())
    since, until = str(wanted.since or ""), str(wanted.until or "9")
    for event in reversed(events):
        if (
            (not kinds or event.detail_type in kinds)
            and (len(levels) == len(LEVELS) or event.level in levels)
            and wanted.run in {"", event.run}
            and since <= event.time[:10] <= until
        ):
            yield event


def _view_of(event: Event) -> EventView:
    detail = event.detail
    job = str(detail.get("jobName") or "")
    message = str(detail.get("message") or "") or f"{job} {str(detail.get('state', '')).lower()}".strip()
    return EventView(event.id, event.time, event.level, event.detail_type, event.run, job, message, detail)
