"""The runs of a lake, told by their events."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.events.event import CHECK, DRIFT, JOB, PUBLISHED, RUN, Event, EventLog, read_events
from brewhouse.events.logs import read_log
from brewhouse.ids import new_id
from brewhouse.lake.lake import Lake
from brewhouse.lake.lock import holder, run_lock

ENDED = ("SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT")
INTERRUPTED = "INTERRUPTED"
"""The state shown of a run that ended without a word, until the next one writes its end."""


class JobReport(msgspec.Struct, kw_only=True):
    """What one job of a run did.

    Attributes:
        name: extract, transform or aggregate.
        state: RUNNING, SUCCEEDED, FAILED, STOPPED, or INTERRUPTED when its run ended without a word.
        started_at: ISO 8601, UTC.
        seconds: How long it took, None while it runs.
        message: What it says of itself, or why it failed.
        counts: Records in and out, by name.
    """

    name: str
    state: str
    started_at: str
    seconds: float | None = None
    message: str = ""
    counts: dict[str, Any] = msgspec.field(default_factory=dict)


class RunReport(msgspec.Struct, kw_only=True):
    """What one run did.

    Attributes:
        run: Its id.
        state: RUNNING, SUCCEEDED, FAILED, STOPPED, or INTERRUPTED when it ended without a word.
        started_at: ISO 8601, UTC.
        workflow: Which workflow it was a run of.
        planned: The jobs it was to do, in order.
        ended_at: ISO 8601, UTC; empty while it runs.
        seconds: How long it took, None while it runs.
        error: Why it failed.
        jobs: In their order.
        checks: Every check with what it found.
        drift: What the source sent that its contract does not say.
        published: Each table with its snapshot and rows.
    """

    run: str
    state: str
    started_at: str
    workflow: str = ""
    planned: list[str] = msgspec.field(default_factory=list)
    ended_at: str = ""
    seconds: float | None = None
    error: str = ""
    jobs: list[JobReport] = msgspec.field(default_factory=list)
    checks: list[dict[str, Any]] = msgspec.field(default_factory=list)
    drift: list[dict[str, Any]] = msgspec.field(default_factory=list)
    published: list[dict[str, Any]] = msgspec.field(default_factory=list)


def run_reports(events: Iterable[Event], running: str | None = None) -> list[RunReport]:
    """Fold events into runs.

    Args:
        events: Oldest first.
        running: Id of the run that is going now; any other without an end was interrupted.

    Returns:
        The runs, oldest first.
    """
    reports: dict[str, RunReport] = {}
    for event in events:
        if event.detail_type in _FOLDS:
            report = reports.setdefault(event.run, RunReport(run=event.run, state="RUNNING", started_at=event.time))
            _FOLDS[event.detail_type](report, event)
    for report in reports.values():
        if report.state == "RUNNING" and report.run != running:
            report.state = INTERRUPTED
            for job in report.jobs:
                job.state = INTERRUPTED if job.state == "RUNNING" else job.state
    return list(reports.values())


def end_interrupted(lake: Lake, running: str, since: date | None = None) -> None:
    """Write the end of each run that ended without a word, as the next thing that holds the lake's lock.

    Args:
        lake: Its lock is held.
        running: Id of the run that holds it.
        since: Only runs with events of this day or later are looked at; None looks at all.
    """
    for report in run_reports(read_events(lake, since), running):
        if report.state != INTERRUPTED:
            continue
        log = EventLog(lake, report.run)
        message = "It ended without a word: the process was killed, or the machine went down." + _last_said(
            lake, report
        )
        seconds = (datetime.now(UTC) - datetime.fromisoformat(report.started_at)).total_seconds()
        end = {"state": "FAILED", "severity": "ERROR", "message": message, "seconds": seconds, "interrupted": True}
        for job in report.jobs:
            if job.state == INTERRUPTED:
                log.emit(JOB, {"jobName": job.name, **end})
        log.emit(RUN, {"jobName": report.workflow, "jobRunId": report.run, "workflow": report.workflow, **end})


def end_killed_runs(lake: Lake) -> None:
    """Write the end of each run that ended without a word, unless a run is going: that one has done it.

    Args:
        lake: Its lock is taken for a moment, if there is such a run.
    """
    held = holder(lake)
    if all(report.state != INTERRUPTED for report in run_reports(read_events(lake), held.run if held else None)):
        return
    turn = new_id()
    with suppress(BrewhouseError), run_lock(lake, turn):
        end_interrupted(lake, turn)


def _last_said(lake: Lake, report: RunReport) -> str:
    try:
        lines = read_log(lake, report.run)
    except UsageError:
        return ""
    return f" The last it said, at {lines[-1].time[:19]}Z: {lines[-1].message}" if lines else ""


def _fold_run(report: RunReport, event: Event) -> None:
    detail = event.detail
    report.workflow = str(detail.get("workflow") or report.workflow)
    report.planned = detail.get("jobs") or report.planned
    if detail.get("state") in ENDED:
        report.state, report.ended_at, report.seconds = detail["state"], event.time, detail.get("seconds")
        report.error = "" if report.state == "SUCCEEDED" else detail.get("message", "")


def _fold_job(report: RunReport, event: Event) -> None:
    detail = event.detail
    name, state = detail.get("jobName", ""), detail.get("state", "")
    if state == "RUNNING":
        report.jobs.append(JobReport(name=name, state=state, started_at=event.time))
    elif state in ENDED:
        job = next((job for job in reversed(report.jobs) if job.name == name), None)
        if job is None:  # Glue's own events tell only the end
            job = JobReport(name=name, state=state, started_at=event.time)
            report.jobs.append(job)
        job.state, job.seconds, job.message = state, detail.get("seconds"), detail.get("message", "")
        job.counts = detail.get("counts", {})


def _fold_checks(report: RunReport, event: Event) -> None:
    report.checks.extend({"job": event.detail.get("jobName", ""), **check} for check in event.detail.get("checks", ()))


def _fold_drift(report: RunReport, event: Event) -> None:
    facts = ("jobName", "name", "detail", "count", "example")
    report.drift.append({name: event.detail[name] for name in facts if name in event.detail})


def _fold_published(report: RunReport, event: Event) -> None:
    report.published.extend(event.detail.get("tables", ()))


_FOLDS = {RUN: _fold_run, JOB: _fold_job, CHECK: _fold_checks, DRIFT: _fold_drift, PUBLISHED: _fold_published}
