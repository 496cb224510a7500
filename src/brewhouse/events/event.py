"""Events of a lake: one JSON object each in EventBridge's envelope, written create-only, so that a kill loses none.

All events of a past day become one file of lines, so that years of history are read fast. This archive is written
completely before its sources are deleted, and readers count an event once however many files contain it. A kill at any
moment loses nothing, and the next run finishes what was interrupted.
"""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import msgspec

from brewhouse.events.details import Detail
from brewhouse.events.envelope import Event, decode_events
from brewhouse.ids import later, new_id
from brewhouse.lake.damage import DamagedFileError
from brewhouse.lake.lake import Lake, list_files, read_file, read_many, sync_files

_READ_ATTEMPTS = 5
_PUT_ATTEMPTS = 20
_ARCHIVE = "events."
_MANY = 2000
"""Files of one day that are too many to read fast; more are archived before the day is over."""


Listener: TypeAlias = Callable[[Detail, Event], None]
"""Receives each event of a run after it is written: its type and its envelope."""


class EventLog:
    """Writes the events of one run into the lake and passes them to listeners.

    Args:
        run: Id of the run; empty for events outside of runs.
        facts: Added to the detail of each event.
    """

    def __init__(
        self,
        lake: Lake,
        run: str,
        listeners: Sequence[Listener] = (),
        facts: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.run = run
        self._lake = lake
        self._listeners = listeners
        self._facts = facts
        self._written: list[Path] = []
        self._lock = threading.Lock()

    def emit(self, detail: Detail) -> Event:
        """Write an event and pass it to the listeners; progress is only passed on.

        When an event with the severity ERROR cannot be written, listeners receive it all the same.
        """
        event = self._envelope(detail.detail_type, msgspec.to_builtins(detail))
        try:
            if detail.detail_type:
                event = self._put(event)
        except Exception:
            if detail.severity == "ERROR":
                self._notify(detail, event)
            raise
        self._notify(detail, event)
        return event

    def _envelope(self, detail_type: str, detail: dict[str, Any]) -> Event:
        detail = {"runId": self.run, **self._facts, **detail}
        if not detail.get("jobRunId"):
            detail["jobRunId"] = f"{detail['jobName']}-{self.run}"
        return Event(id=self._next_id(), detail_type=detail_type, time=datetime.now(UTC).isoformat(), detail=detail)

    @cached_property
    def _newest(self) -> str:
        """Id of the newest event of a local lake, or of the run; the next one sorts after it, whatever the clock is."""
        days = event_days(self._lake)[-1:] if self._lake.is_local else []
        names = (file.stem for day in days for file in list_files(day, ".json", self.run))
        return max((*(name for name in names if not name.startswith("events.")), self.run))  # without archives

    def _next_id(self) -> str:
        with self._lock:
            self._newest = later(new_id(), self._newest)
            return self._newest

    def _put(self, event: Event) -> Event:
        """Write an event; under a later id if another log, of a lake whose clock was set back, has taken this one."""
        from obstore.exceptions import AlreadyExistsError

        for attempt in range(_PUT_ATTEMPTS):
            try:
                self._lake.store.put(event.key, event.encode(), mode="create")
                break
            except AlreadyExistsError:
                if attempt == _PUT_ATTEMPTS - 1:  # not by another log
                    raise
                event = replace(event, id=self._next_id())
        self._written.append(self._lake.root / event.key)
        return event

    def sync(self) -> None:
        """Flush the written events to the disk."""
        sync_files(self._lake.root, self._written)
        self._written.clear()

    def _notify(self, detail: Detail, event: Event) -> None:
        for listener in self._listeners:
            listener(detail, event)


class EventReader:
    """Reads the events of a lake, each file once, however often it is asked."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._events: dict[Path, list[Event]] = {}

    def read(self, since: date | None = None, first: str = "") -> list[Event]:
        """Read events, each once, oldest first; content that is not an event is skipped, and its file reported once.

        Args:
            since: First day to read; None reads all.
            first: Files of single events with a lower id are left out.
        """
        for attempt in range(_READ_ATTEMPTS):
            files = [file for day in event_days(self._lake, since) for file in list_files(day, ".json", first)]
            new = [file for file in files if file not in self._events]
            is_last = attempt == _READ_ATTEMPTS - 1
            self._events.update(map(_parse_file, new, read_many(new)) if is_last else read_present(new))
            if self._events.keys() >= set(files):
                return _sorted(self._events[file] for file in files)
        raise AssertionError("the last attempt returns or raises")


def read_events(lake: Lake, since: date | None = None) -> list[Event]:
    """Read the events of a lake once; see `EventReader.read`."""
    return EventReader(lake).read(since)


def event_days(lake: Lake, since: date | None = None) -> list[Path]:
    """List the folders of days with events, oldest first, from a day on or all."""
    first = f"date={since}" if since else ""
    return sorted(day for day in lake.events.glob("date=*") if day.name >= first)


def _sorted(groups: Iterable[list[Event]]) -> list[Event]:
    events = {event.id: event for group in groups for event in group}
    return sorted(events.values(), key=lambda event: event.id)


def find_damage(file: Path, content: bytes) -> DamagedFileError | None:
    """Return the error of a file that has lines that are not events, or none at all."""
    return _damage(file, len(content.splitlines()), len(parse_events(content)))


def _damage(file: Path, lines: int, events: int) -> DamagedFileError | None:
    invalid = lines - events
    reason = f"{invalid} of {lines} lines are not events" if lines else "it is empty"
    return DamagedFileError(file, reason) if invalid or not lines else None


def read_present(files: Sequence[Path]) -> Iterator[tuple[Path, list[Event]]]:
    """Read the files that still exist; others were just moved into the archive of their day."""
    try:
        yield from map(_parse_file, files, read_many(files))
    except FileNotFoundError:
        for file in files:
            with suppress(FileNotFoundError):
                yield _parse_file(file, read_file(file))


def _parse_file(file: Path, content: bytes) -> tuple[Path, list[Event]]:
    events = parse_events(content)
    if damage := _damage(file, len(content.splitlines()), len(events)):
        print(f"brewhouse: {damage}", file=sys.stderr)
    return file, events


def parse_events(content: bytes) -> list[Event]:
    """Parse a file of one event or one event per line; lines that are not events are skipped."""
    return decode_events(content, msgspec.json.decode)


def archive_events(lake: Lake, now: datetime | None = None, max_days: int | None = None) -> int:
    """Combine the events of each day before today into one file; return how many days were archived.

    Those of today are, too, if they are in very many files.
    """
    today = f"date={(now or datetime.now(UTC)).astimezone(UTC).date()}"
    days = [day for day in event_days(lake) if _is_scattered(day, 1 if day.name < today else _MANY)]
    return sum(_archive(lake, day) for day in days[:max_days])


def _is_scattered(day: Path, most: int) -> bool:
    files = [file.name for file in list_files(day, ".json")]
    return len(files) > most or (most == 1 and any(not name.startswith(_ARCHIVE) for name in files))


def _archive(lake: Lake, day: Path) -> bool:
    """Write a day's archive, then delete its sources; files with unreadable lines stay."""
    from obstore.exceptions import AlreadyExistsError

    events: dict[str, Event] = {}
    sources: list[Path] = []
    for file in sorted(list_files(day, ".json")):
        try:
            content = read_file(file)
        except FileNotFoundError:  # another process is archiving the same day
            continue
        found = parse_events(content)
        if len(found) == len(content.splitlines()):
            events.update((event.id, event) for event in found)
            sources.append(file)
    if not events:
        return False
    lines = b"".join(events[key].encode() + b"\n" for key in sorted(events))
    target = day / f"{_ARCHIVE}{hashlib.sha256(lines).hexdigest()[:12]}.json"
    with suppress(AlreadyExistsError):  # left by a killed process
        lake.store.put(str(target.relative_to(lake.root)), lines, mode="create")
    sync_files(lake.root, [target])
    old = [file for file in sources if file != target]
    for file in old:
        file.unlink(missing_ok=True)
    return bool(old)
