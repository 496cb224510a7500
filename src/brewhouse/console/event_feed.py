"""The events of a lake, cached in memory: pages poll them every second, and each file is read once.

A day's folder is listed again only if its modification time changed; a lake on S3 is listed at most every few seconds.
Events stay known when the archive merges and deletes their files.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from brewhouse.events.envelope import JOB, RUN, Event
from brewhouse.events.event import read_present
from brewhouse.events.run_reports import RunReport, run_reports
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import LockInfo

_MTIME_RESOLUTION_NS = 2_000_000_000
_S3_LISTING_INTERVAL_S = 3.0


class EventFeed:
    """The events of a lake and the runs that they describe, up to date at each call."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._lock = threading.Lock()
        self._files: set[str] = set()
        self._complete_days: dict[str, int] = {}
        self._listed_at = -_S3_LISTING_INTERVAL_S
        self._events: list[Event] = []
        self._ids: set[str] = set()
        self._by_run: defaultdict[str, list[Event]] = defaultdict(list)
        self._reports: dict[str, tuple[int, bool, RunReport]] = {}

    def events(self) -> list[Event]:
        """Return all events, oldest first; callers must not change the list."""
        with self._lock:
            self._refresh()
            return self._events

    def reports(self, held: LockInfo | None) -> list[RunReport]:
        """Report all runs, newest first; the holder of the lake's lock is the one that is running."""
        with self._lock:
            self._refresh()
            runs = [run for run, events in self._by_run.items() if any(e.detail_type in {RUN, JOB} for e in events[:5])]
            runs.sort(key=lambda run: self._by_run[run][0].id)
            if held is not None and held.run not in runs:
                runs.append(held.run)
            return [report for run in reversed(runs) if (report := self._report(run, held)) is not None]

    def report(self, run: str, held: LockInfo | None) -> RunReport | None:
        """Report one run, or None if it has no events and does not hold the lock."""
        with self._lock:
            self._refresh()
            return self._report(run, held)

    def _report(self, run: str, held: LockInfo | None) -> RunReport | None:
        """Fold a run's events; the result is cached until there are more, or while its state depends on the time."""
        is_running = held is not None and held.run == run
        events = self._by_run.get(run, [])
        cached = self._reports.get(run)
        if cached is not None and cached[:2] == (len(events), is_running):
            return cached[2]
        folded = run_reports(events, run if is_running else None)
        if not folded:  # it may hold the lock before its first event
            return RunReport(run=run, state="RUNNING", started_at=held.started_at) if held and is_running else None
        if folded[0].state != "RUNNING" or is_running:  # between two jobs, it may become interrupted
            self._reports[run] = (len(events), is_running, folded[0])
        return folded[0]

    def _refresh(self) -> None:
        """Read new files; if the archive deletes one meanwhile, the next call reads the archived file."""
        files = list(self._new_files())
        if not files:
            return
        read = dict(read_present(files))
        if len(read) < len(files):
            self._complete_days.clear()
        self._files.update(str(file) for file in files)
        unseen = {event.id: event for events in read.values() for event in events if event.id not in self._ids}
        new = [unseen[id_] for id_ in sorted(unseen)]  # each once: a file and its archive have it
        self._ids.update(unseen)
        self._events = _in_order(self._events, new)
        new_by_run: defaultdict[str, list[Event]] = defaultdict(list)
        for event in new:
            new_by_run[event.run].append(event)
        for run in new_by_run.keys() - {""}:
            self._by_run[run] = _in_order(self._by_run[run], new_by_run[run])

    def _new_files(self) -> Iterator[Path]:
        if not self._lake.is_local:
            if time.monotonic() - self._listed_at >= _S3_LISTING_INTERVAL_S:
                self._listed_at = time.monotonic()
                yield from (file for file in self._lake.events.glob("date=*/*.json") if str(file) not in self._files)
            return
        for day in sorted(self._lake.events.glob("date=*")):
            changed_ns = day.stat().st_mtime_ns
            if self._complete_days.get(day.name) == changed_ns:
                continue
            yield from (Path(path) for path in self._unread(str(day)))
            if time.time_ns() - changed_ns > _MTIME_RESOLUTION_NS:  # a later file could have the same mtime
                self._complete_days[day.name] = changed_ns

    def _unread(self, folder: str) -> list[str]:
        """List new files in a folder, without any that is newer than one missing from the listing.

        A listing that runs during writes may miss a file and contain a later one. A second listing contains every file
        up to the last one of the first, since these existed before it started.
        """
        first = _json_files(folder) - self._files
        if not first:
            return []
        last = max(first)
        return [file for file in _json_files(folder) - self._files if file <= last]


def _in_order(events: list[Event], new: list[Event]) -> list[Event]:
    """Add events, which are usually newer than the others; an archive or another process may add older ones."""
    is_sorted = not events or not new or new[0].id > events[-1].id
    return events + new if is_sorted else sorted(events + new, key=lambda event: event.id)


def _json_files(folder: str) -> set[str]:
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        return {entry.path for entry in entries if entry.name.endswith(".json") and entry.is_file()}
    return set()
