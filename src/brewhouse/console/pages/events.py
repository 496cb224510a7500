"""The page of events and alerts, with filters."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from brewhouse.console import event_list
from brewhouse.console.event_list import EventQuery
from brewhouse.console.web import API, HTML, ConsoleDep, page
from brewhouse.events.envelope import LEVELS

router = APIRouter(tags=["events"])


@router.get("/events", **HTML)
def show(request: Request, console: ConsoleDep, query: Annotated[EventQuery, Query()]) -> Response:
    """Show the events."""
    events = event_list.list_events(console.event_feed.events(), query)
    return page(request, "events.html", list=events, query=query, kinds=list(event_list.KINDS), levels=LEVELS)


@router.get(f"{API}/events")
def list_events(console: ConsoleDep, query: Annotated[EventQuery, Query()]) -> event_list.EventList:
    """List the events, newest first."""
    return event_list.list_events(console.event_feed.events(), query)
