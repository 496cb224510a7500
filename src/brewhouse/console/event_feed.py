"""What happened in a lake, kept in memory: pages ask for it every second, and its files are read once.

A folder of a day is listed again only when it has changed since, which one `stat` tells; a lake on S3 is listed at most
every few seconds. Files that an archive put together are gone, but what they told stays known.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from brewhouse.events.event import Event, events_of
from brewhouse.events.event_types import JOB, RUN
from brewhouse.events.run_reports import RunReport, run_reports
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import LockInfo

_SETTLED_NS = 2_000_000_000
_SHARED_FOR_S = 3.0


class EventFeed:
    """The events of a lake and the runs they tell of, as of now.

    Args:
        lake: Whose.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._lock = threading.Lock()
        self._files: set[str] = set()
        self._settled: dict[str, int] = {}
        self._listed_at = -_SHARED_FOR_S
        self._events: list[Event] = []
        self._ids: set[str] = set()
        self._of_run: defaultdict[str, list[Event]] = defaultdict(list)
        self._reports: dict[str, tuple[int, bool, RunReport]] = {}

    def events(self) -> list[Event]:
        """Give all events, oldest first; the list is not to be changed."""
        with self._lock:
            self._refresh()
            return self._events

    def events_of(self, run: str) -> list[Event]:
        """Give the events of a run, oldest first; the list is not to be changed."""
        with self._lock:
            self._refresh()
            return self._of_run.get(run, [])

    def reports(self, held: LockInfo | None) -> list[RunReport]:
        """Tell what all runs did, newest first.

        Args:
            held: Who holds the lake's lock.
        """
        with self._lock:
            self._refresh()
            known = [
                run for run, events in self._of_run.items() if any(e.detail_type in {RUN, JOB} for e in events[:5])
            ]
            if held is not None and held.run not in known:
                known.append(held.run)
            reports = [report for run in known if (report := self._report(run, held)) is not None]
        return sorted(reports, key=lambda report: report.started_at, reverse=True)

    def report(self, run: str, held: LockInfo | None) -> RunReport | None:
        """Tell what a run did.

        Args:
            run: Its id.
            held: Who holds the lake's lock.

        Returns:
            Its report; None when nothing is known of it.
        """
        with self._lock:
            self._refresh()
            return self._report(run, held)

    def _report(self, run: str, held: LockInfo | None) -> RunReport | None:
        """Fold a run's events, unless nothing was said since the last time."""
        is_going = held is not None and held.run == run
        events = self._of_run.get(run, [])
        kept = self._reports.get(run)
        if kept is not None and kept[:2] == (len(events), is_going):
            return kept[2]
        folded = run_reports(events, run if is_going else None)
        if not folded:  # it may have the lock, and not have said a word yet
            return RunReport(run=run, state="RUNNING", started_at=held.started_at) if held and is_going else None
        self._reports[run] = (len(events), is_going, folded[0])
        return folded[0]

    def _refresh(self) -> None:
        """Read what is new; what an archive takes away in this very moment is read from there the next time."""
        files = list(self._new_files())
        if not files:
            return
        try:
            found = events_of(files)
        except FileNotFoundError:
            self._settled.clear()
            found = [event for file in files for event in _if_there(file)]
        self._files.update(str(file) for file in files)
        new = [event for event in found if event.id not in self._ids]
        is_in_order = not self._events or not new or new[0].id > self._events[-1].id
        self._events = self._events + new if is_in_order else sorted(self._events + new, key=lambda event: event.id)
        for event in new:
            self._ids.add(event.id)
            if event.run:
                self._of_run[event.run].append(event)

    def _new_files(self) -> Iterator[Path]:
        if not self._lake.is_local:
            if time.monotonic() - self._listed_at >= _SHARED_FOR_S:
                self._listed_at = time.monotonic()
                yield from (file for file in self._lake.events.glob("date=*/*.json") if str(file) not in self._files)
            return
        for day in _folders(self._lake.events):
            changed_ns = day.stat().st_mtime_ns
            if self._settled.get(day.name) == changed_ns:
                continue
            yield from (Path(path) for path in self._unread(day.path))
            if time.time_ns() - changed_ns > _SETTLED_NS:  # a file made in the same tick of the clock would be missed
                self._settled[day.name] = changed_ns

    def _unread(self, folder: str) -> list[str]:
        """List what is new in a folder, without any that follows one not listed.

        A listing may lack a file that was made while it went on and have the next one; a second one has all up to the
        last of the first, since these were made before it began.
        """
        first = _json_files(folder) - self._files
        if not first:
            return []
        last = max(first)
        return [file for file in _json_files(folder) - self._files if file <= last]


def _json_files(folder: str) -> set[str]:
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        return {entry.path for entry in entries if entry.name.endswith(".json")}
    return set()


def _folders(events: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(events) as entries:
            return sorted((entry for entry in entries if entry.name.startswith("date=")), key=lambda entry: entry.name)
    except FileNotFoundError:
        return []


def _if_there(file: Path) -> list[Event]:
    with suppress(FileNotFoundError):
        return events_of([file])
    return []
