"""The runs of a lake, told by their events.

What reads or writes a lake imports its means by itself: telling runs by events needs nothing but the standard library.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.events.event_types import CHECK, DRIFT, JOB, PUBLISHED, RUN, EventLike
from brewhouse.ids import new_id

if TYPE_CHECKING:
    from brewhouse.lake.lake import Lake

ENDED = ("SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT")
_BETWEEN_JOBS = timedelta(hours=1)
"""How long a run whose jobs are started one by one, as by AWS Glue, may say nothing between two of them."""
INTERRUPTED = "INTERRUPTED"
"""The state shown of a run that ended without a word, until the next one writes its end."""


@dataclass(kw_only=True)
class JobReport:
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
    counts: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class RunReport:
    """What one run did.

    Attributes:
        run: Its id.
        state: RUNNING, SUCCEEDED, FAILED, STOPPED, or INTERRUPTED when it ended without a word.
        started_at: ISO 8601, UTC.
        workflow: Which workflow it was a run of.
        workflow_run: Its id at the scheduler that starts its jobs one by one, as AWS Glue's `wr_…`; else empty.
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
    workflow_run: str = ""
    planned: list[str] = field(default_factory=list)
    ended_at: str = ""
    seconds: float | None = None
    error: str = ""
    jobs: list[JobReport] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    drift: list[dict[str, Any]] = field(default_factory=list)
    published: list[dict[str, Any]] = field(default_factory=list)


def run_reports(
    events: Iterable[EventLike], running: str | None = None, now: datetime | None = None
) -> list[RunReport]:
    """Fold events into runs.

    Args:
        events: Oldest first.
        running: Id of the run that is going now; any other without an end was interrupted, unless another scheduler
            starts its jobs one by one, and may be about to start the next.
        now: A moment with its zone; None is the present one.

    Returns:
        The runs, oldest first.
    """
    reports: dict[str, RunReport] = {}
    last: dict[str, str] = {}
    for event in events:
        if event.detail_type in _FOLDS:
            report = reports.setdefault(event.run, RunReport(run=event.run, state="RUNNING", started_at=event.time))
            _FOLDS[event.detail_type](report, event)
            last[event.run] = event.time
    soon = ((now or datetime.now(UTC)) - _BETWEEN_JOBS).isoformat()
    for report in reports.values():
        is_between_jobs = report.workflow_run and last[report.run] > soon
        if report.state == "RUNNING" and report.run != running and not is_between_jobs:
            report.state = INTERRUPTED
            for job in report.jobs:
                job.state = INTERRUPTED if job.state == "RUNNING" else job.state
    return list(reports.values())


def close_interrupted_runs(lake: Lake, running: str, since: date | None = None) -> None:
    """Write the end of each run that ended without a word, as the next thing that holds the lake's lock.

    Args:
        lake: Its lock is held.
        running: Id of the run that holds it.
        since: Only runs with events of this day or later are looked at; None looks at all.
    """
    from brewhouse.events.event import EventLog, read_events

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
                log.write(JOB, {"jobName": job.name, **end})
        log.write(RUN, {"jobName": report.workflow, "jobRunId": report.run, "workflow": report.workflow, **end})


def run_of(lake: Lake, workflow_run: str, since: date) -> RunReport | None:
    """Find the run that a scheduler's workflow run is here; None when none of its jobs has begun.

    Args:
        lake: Whose runs.
        workflow_run: Its id at the scheduler.
        since: The day from which on it may have begun.
    """
    from brewhouse.events.event import read_events

    reports = run_reports(read_events(lake, since))
    return next((report for report in reversed(reports) if report.workflow_run == workflow_run), None)


def close_killed_runs(lake: Lake) -> None:
    """Write the end of each run that ended without a word, unless a run is going: that one has done it.

    Args:
        lake: Its lock is taken for a moment, if there is such a run.
    """
    from brewhouse.events.event import read_events
    from brewhouse.lake.run_lock import holder, run_lock

    held = holder(lake)
    if all(report.state != INTERRUPTED for report in run_reports(read_events(lake), held.run if held else None)):
        return
    turn = new_id()
    with suppress(BrewhouseError), run_lock(lake, turn):
        close_interrupted_runs(lake, turn)


def _last_said(lake: Lake, report: RunReport) -> str:
    from brewhouse.events.run_log import read_log

    try:
        lines = read_log(lake, report.run)
    except UsageError:
        return ""
    return f" The last it said, at {lines[-1].time[:19]}Z: {lines[-1].message}" if lines else ""


def _fold_run(report: RunReport, event: EventLike) -> None:
    detail = event.detail
    report.workflow = str(detail.get("workflow") or report.workflow)
    report.workflow_run = str(detail.get("workflowRunId") or report.workflow_run)
    report.planned = detail.get("jobs") or report.planned
    if detail.get("state") in ENDED:
        report.state, report.ended_at, report.seconds = detail["state"], event.time, detail.get("seconds")
        report.error = "" if report.state == "SUCCEEDED" else detail.get("message", "")
    elif report.state in ENDED:  # its scheduler goes on with it
        report.state, report.ended_at, report.seconds, report.error = "RUNNING", "", None, ""


def _fold_job(report: RunReport, event: EventLike) -> None:
    detail = event.detail
    name, state = detail.get("jobName", ""), detail.get("state", "")
    if state == "RUNNING":
        for before in report.jobs:  # an attempt that was killed, if another one begins
            before.state = INTERRUPTED if (before.name, before.state) == (name, "RUNNING") else before.state
        report.jobs.append(JobReport(name=name, state=state, started_at=event.time))
    elif state in ENDED:
        job = next((job for job in reversed(report.jobs) if job.name == name), None)
        if job is None:  # Glue's own events tell only the end
            job = JobReport(name=name, state=state, started_at=event.time)
            report.jobs.append(job)
        elif job.state in ENDED and event.source != "brewhouse":  # the job itself said more
            return
        job.state, job.seconds, job.message = state, detail.get("seconds"), detail.get("message", "")
        job.counts = detail.get("counts", {})


def _fold_checks(report: RunReport, event: EventLike) -> None:
    report.checks.extend({"job": event.detail.get("jobName", ""), **check} for check in event.detail.get("checks", ()))


def _fold_drift(report: RunReport, event: EventLike) -> None:
    facts = ("jobName", "name", "detail", "count", "example")
    report.drift.append({name: event.detail[name] for name in facts if name in event.detail})


def _fold_published(report: RunReport, event: EventLike) -> None:
    report.published.extend(event.detail.get("tables", ()))


_FOLDS = {RUN: _fold_run, JOB: _fold_job, CHECK: _fold_checks, DRIFT: _fold_drift, PUBLISHED: _fold_published}
