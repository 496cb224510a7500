"""Runs that were killed: the next process that holds the lake's lock records their end."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.events.details import JobEnded, RunEnded
from brewhouse.events.envelope import Event
from brewhouse.events.event import EventLog, read_events
from brewhouse.events.run_log import read_log
from brewhouse.events.run_reports import INTERRUPTED, RunReport, run_reports
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import holder, new_run_id, run_lock


def close_interrupted_runs(lake: Lake, events: Sequence[Event], running: str) -> None:
    """Record the end of each interrupted run; the caller holds the lake's lock."""
    for report in run_reports(events, running):
        if report.state == INTERRUPTED:
            _close(lake, report)


def close_killed_runs(lake: Lake) -> None:
    """Record the end of each interrupted run, unless a run holds the lock: that one has done it already."""
    held = holder(lake)
    events = read_events(lake)
    if all(report.state != INTERRUPTED for report in run_reports(events, held.run if held else None)):
        return
    turn = new_run_id(lake)
    with suppress(BrewhouseError), run_lock(lake, turn):
        close_interrupted_runs(lake, read_events(lake), turn)


def _close(lake: Lake, report: RunReport) -> None:
    log = EventLog(lake, report.run)
    message = f"Run interrupted: the process was killed or the host went down.{_last_message(lake, report)}"
    end: dict[str, Any] = {
        "state": "FAILED",
        "severity": "ERROR",
        "message": message,
        "seconds": (datetime.now(UTC) - datetime.fromisoformat(report.started_at)).total_seconds(),
        "interrupted": True,
    }
    for job in report.jobs:
        if job.state == INTERRUPTED:
            log.emit(JobEnded(job_name=job.name, **end))
    log.emit(RunEnded(job_name=report.workflow, job_run_id=report.run, workflow=report.workflow, **end))


def _last_message(lake: Lake, report: RunReport) -> str:
    try:
        lines = read_log(lake, report.run)
    except UsageError:
        return ""
    return f" Last log line, at {lines[-1].time[:19]}Z: {lines[-1].message}" if lines else ""
