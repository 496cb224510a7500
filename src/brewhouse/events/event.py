"""What happened, one object an event, in EventBridge's envelope.

Events are written create-only the moment they happen, so that what a killed process said before stays said.
The shape is https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html; job states have
the detail of AWS Glue's own `Glue Job State Change`, plus fields of ours. States are Glue's: WAITING (queued), RUNNING,
SUCCEEDED, FAILED, STOPPED, TIMEOUT.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from brewhouse.events.envelope import event_key
from brewhouse.events.event_types import run_of_detail
from brewhouse.ids import new_id
from brewhouse.lake.lake import Lake
from brewhouse.lake.s3_path import read_many

LEVELS = ("INFO", "WARN", "ERROR")
_LOGGED_AS = {"WARN": logging.WARNING, "ERROR": logging.ERROR}
_TRIES = 5

_log = logging.getLogger(__name__)


class Event(msgspec.Struct, frozen=True, rename={"detail_type": "detail-type"}, kw_only=True):
    """One event.

    Attributes:
        id: Sorts by time.
        detail_type: What kind of event, one of those in `kinds`.
        source: Who says it.
        time: When, ISO 8601, UTC.
        detail: The facts; `runId`, `jobName`, `jobRunId`, `state`, `severity` and `message` are always among them.
        version: Of the envelope.
    """

    id: str
    detail_type: str
    time: str
    detail: dict[str, Any]
    source: str = "brewhouse"
    version: str = "0"

    @property
    def run(self) -> str:
        """The run it belongs to."""
        return run_of_detail(self.detail)

    @property
    def level(self) -> str:
        """INFO, WARN or ERROR."""
        severity = self.detail.get("severity")
        return severity if severity in LEVELS else "INFO"


class EventLog:
    """Writes the events of one run into the lake, and each as a line into the log.

    Args:
        lake: Where they go.
        run: The run they belong to.
        listeners: Are told each event after it is written.
        facts: In the detail of each event.
    """

    def __init__(
        self,
        lake: Lake,
        run: str,
        listeners: Sequence[Callable[[Event], None]] = (),
        facts: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._lake = lake
        self.run = run
        self._listeners = listeners
        self._facts = facts

    def write(self, detail_type: str, detail: Mapping[str, Any]) -> Event:
        """Write an event.

        Args:
            detail_type: One of those in `kinds`.
            detail: The facts, JSON-able; what Glue's detail has is added where it lacks.

        Returns:
            The event as written.
        """
        now = datetime.now(UTC)
        job = detail.get("jobName", "")
        common = {
            "runId": self.run,
            "jobName": job,
            "jobRunId": f"{job}-{self.run}",
            "state": "RUNNING",
            "severity": "INFO",
            "message": "",
            **self._facts,
        }
        event = Event(id=new_id(), detail_type=detail_type, time=now.isoformat(), detail={**common, **detail})
        self._lake.store.put(event_key(event.id, event.time), msgspec.json.encode(event), mode="create")
        if message := event.detail["message"]:
            _log.log(_LOGGED_AS.get(event.level, logging.INFO), "%s", message)
        for listener in self._listeners:
            listener(event)
        return event


def read_events(lake: Lake, since: date | None = None) -> list[Event]:
    """Read the events of a lake, each once, oldest first; what cannot be read as an event is passed over.

    Args:
        lake: Whose events.
        since: Only those of this day and later ones; None reads all.
    """
    for attempt in range(_TRIES):
        try:
            return events_of([file for day in event_days(lake, since) for file in day.glob("*.json")])
        except FileNotFoundError:  # put into its day's archive this very moment, see `archive`
            if attempt == _TRIES - 1:
                raise
    raise AssertionError("the last try returns or raises")


def event_days(lake: Lake, since: date | None = None) -> list[Path]:
    """List the folders of days with events, oldest first.

    Args:
        lake: Whose events.
        since: The first day; None lists all.
    """
    first = f"date={since}" if since else ""
    return sorted(day for day in lake.events.glob("date=*") if day.name >= first)


def events_in(file: Path) -> list[Event]:
    """Read the events of one file: a single one, or a line each; lines that are no events are passed over.

    Raises:
        FileNotFoundError: It is gone.
    """
    return _events(file.read_bytes())


def events_of(files: Sequence[Path]) -> list[Event]:
    """Read the events of some files, each once, oldest first.

    Raises:
        FileNotFoundError: One is gone.
    """
    events = {event.id: event for content in read_many(files) for event in _events(content)}
    return sorted(events.values(), key=lambda event: event.id)


def _events(content: bytes) -> list[Event]:
    return [event for line in content.splitlines() if (event := _event(line)) is not None]


def _event(line: bytes) -> Event | None:
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


_decoder = msgspec.json.Decoder(Event)
