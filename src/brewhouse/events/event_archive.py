"""The archive of events: of a day that is over, all events become one file of lines, so that many years are read fast.

The new file is written whole before those it was made of are deleted, and readers count an event once however many
files have it. So a kill at any moment loses nothing, and what was half done is done by the next one.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from brewhouse.events.event import Event, event_days, events_in
from brewhouse.lake.lake import Lake

_ARCHIVE = "events."


def archive_events(lake: Lake, now: datetime | None = None, most_days: int | None = None) -> int:
    """Make one file of each day's events, for the days before today.

    Args:
        lake: Whose events.
        now: A moment of today; None is the present one.
        most_days: How many days at the most; None has no limit.

    Returns:
        How many days got a new file.
    """
    today = f"date={(now or datetime.now(UTC)).astimezone(UTC).date()}"
    days = [day for day in event_days(lake) if day.name < today and _is_scattered(day)]
    return sum(_archive(lake, day) for day in days[:most_days])


def _is_scattered(day: Path) -> bool:
    files = [file.name for file in day.glob("*.json")]
    return len(files) > 1 or any(not name.startswith(_ARCHIVE) for name in files)


def _archive(lake: Lake, day: Path) -> bool:
    """Write a day's file, then delete what it was made of; what cannot be read stays where it is."""
    from obstore.exceptions import AlreadyExistsError

    events: dict[str, Event] = {}
    used: list[Path] = []
    for file in sorted(day.glob("*.json")):
        try:
            content = file.read_bytes()
            found = events_in(file)
        except FileNotFoundError:  # another process does the same
            continue
        if len(found) == len(content.splitlines()):
            events.update((event.id, event) for event in found)
            used.append(file)
    if not events:
        return False
    lines = b"".join(msgspec.json.encode(events[key]) + b"\n" for key in sorted(events))
    target = day / f"{_ARCHIVE}{hashlib.sha256(lines).hexdigest()[:12]}.json"
    with suppress(AlreadyExistsError):  # as a killed process left it
        lake.store.put(str(target.relative_to(lake.root)), lines, mode="create")
    old = [file for file in used if file != target]
    for file in old:
        file.unlink(missing_ok=True)
    return bool(old)
