"""What happened, one object an event, in EventBridge's envelope.

Events are written create-only the moment they happen, so that what a killed process said before stays said.
The shape is https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html; job states have
the detail of AWS Glue's own `Glue Job State Change`, plus fields of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from brewhouse.ids import new_id
from brewhouse.lake.lake import Lake
from brewhouse.lake.s3 import read_many

RUN = "Brewhouse Run State Change"
JOB = "Glue Job State Change"
CHECK = "Brewhouse Check Result"
DRIFT = "Brewhouse Schema Drift"
PUBLISHED = "Brewhouse Tables Published"


class Event(msgspec.Struct, frozen=True, rename={"detail_type": "detail-type"}, kw_only=True):
    """One event.

    Attributes:
        id: Sorts by time.
        detail_type: What kind of event, one of the constants of this module.
        source: Who says it.
        time: When, ISO 8601, UTC.
        detail: The facts; `runId` is always among them.
        version: Of the envelope.
    """

    id: str
    detail_type: str
    time: str
    detail: dict[str, Any]
    source: str = "brewhouse"
    version: str = "0"


class EventLog:
    """Writes the events of one run into the lake.

    Args:
        lake: Where they go.
        run: The run they belong to.
    """

    def __init__(self, lake: Lake, run: str) -> None:
        self._lake = lake
        self.run = run

    def emit(self, detail_type: str, detail: Mapping[str, Any]) -> Event:
        """Write an event.

        Args:
            detail_type: One of the constants of this module.
            detail: The facts, JSON-able.

        Returns:
            The event as written.
        """
        now = datetime.now(UTC)
        event = Event(id=new_id(), detail_type=detail_type, time=now.isoformat(), detail={"runId": self.run, **detail})
        path = f"events/date={now.date()}/{event.id}.json"
        self._lake.store.put(path, msgspec.json.encode(event), mode="create")
        return event


def read_events(lake: Lake) -> list[Event]:
    """Read every event of a lake, oldest first."""
    files = sorted(lake.events.glob("date=*/*.json"))
    return [msgspec.json.decode(content, type=Event) for content in read_many(files)]
