"""The archive of events: all events of a past day become one file of lines, so that years of history are read fast.

The archive is written completely before its sources are deleted, and readers count an event once however many files
contain it. A kill at any moment loses nothing, and the next run finishes what was interrupted.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from obstore.exceptions import AlreadyExistsError

from brewhouse.events.envelope import Event
from brewhouse.events.event import event_days, parse_events
from brewhouse.lake.lake import Lake, list_files, read_file, sync_files

_ARCHIVE = "events."
_MANY = 2000
"""Files of one day that are too many to read fast; more are archived before the day is over."""


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
