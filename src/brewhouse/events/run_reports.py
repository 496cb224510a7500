"""Runs and their jobs, folded from events.

Standard library only: the Lambda functions of the AWS stack share this module.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from brewhouse.events.envelope import CHECK, DRIFT, JOB, PUBLISHED, RUN, Event

if TYPE_CHECKING:
    from brewhouse.events.details import Detail

ENDED = ("SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT")
INTERRUPTED = "INTERRUPTED"
"""State of a run that was killed, until the next run records its end."""
_DRIFT = ("jobName", "name", "detail", "count", "example")
_BETWEEN_JOBS = timedelta(hours=1)
"""How long a run of an external scheduler, such as AWS Glue, may be silent between two jobs."""


@dataclass(kw_only=True)
class JobReport:
    """What one job of a run did; times are ISO 8601, UTC, `seconds` is None while it runs."""

    name: str
    state: str
    started_at: str
    seconds: float | None = None
    message: str = ""
    counts: dict[str, Any] = field(default_factory=dict)
    raw_snapshot: str = ""
    expired_runs: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class RunReport:
    """What one run did; times are ISO 8601, UTC, and the end is empty while it runs.

    Attributes:
        state: RUNNING, INTERRUPTED or one of `ENDED`; likewise those of its jobs.
        workflow_run: Its id at an external scheduler, such as AWS Glue's `wr_…`; empty otherwise.
        trigger: What started it: cli, console, schedule or glue; empty if unknown.
        seconds: Duration; None while it runs.
        checks: Results of checks, each with the name of its job.
    """

    run: str
    state: str
    started_at: str
    workflow: str = ""
    workflow_run: str = ""
    trigger: str = ""
    planned: list[str] = field(default_factory=list)
    ended_at: str = ""
    seconds: float | None = None
    error: str = ""
    jobs: list[JobReport] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    drift: list[dict[str, Any]] = field(default_factory=list)
    published: list[dict[str, Any]] = field(default_factory=list)


def run_reports(events: Iterable[Event], running: str | None = None, now: datetime | None = None) -> list[RunReport]:
    """Fold events, oldest first, into runs, oldest first.

    Args:
        running: Id of the running run; any other without an end was interrupted, unless an external scheduler starts
            its jobs and may be about to start the next.
        now: A moment with its time zone; None is the present.
    """
    reports: dict[str, RunReport] = {}
    last: dict[str, str] = {}
    for event in events:
        if event.detail_type in (RUN, JOB, CHECK, DRIFT, PUBLISHED):
            report = reports.setdefault(event.run, RunReport(run=event.run, state="RUNNING", started_at=event.time))
            _fold(report, event)
            last[event.run] = event.time
    recent = ((now or datetime.now(UTC)) - _BETWEEN_JOBS).isoformat()
    for report in reports.values():
        is_between_jobs = report.workflow_run and last[report.run] > recent
        if report.state == "RUNNING" and report.run != running and not is_between_jobs:
            report.state = INTERRUPTED
            for job in report.jobs:
                job.state = INTERRUPTED if job.state == "RUNNING" else job.state
    return list(reports.values())


class RunRecorder:
    """Listens to a run and reports it, without reading its events again."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def listen(self, _: Detail, event: Event) -> None:
        """Remember an event."""
        self._events.append(event)

    @property
    def report(self) -> RunReport:
        """What the run did until now."""
        (report,) = run_reports(self._events, self._events[0].run)
        return report


def expired_by(reports: Iterable[RunReport], run: str) -> RunReport | None:
    """Return the run that expired what a run published."""
    return next((report for report in reports if any(run in job.expired_runs for job in report.jobs)), None)


def _fold(report: RunReport, event: Event) -> None:
    detail = event.detail
    if event.detail_type == RUN:
        _fold_run(report, event)
    elif event.detail_type == JOB:
        _fold_job(report, event)
    elif event.detail_type == CHECK:
        report.checks.extend({"job": detail.get("jobName", ""), **check} for check in detail.get("checks", ()))
    elif event.detail_type == DRIFT:
        report.drift.append({key: detail[key] for key in _DRIFT if key in detail})
    else:
        report.published.extend(detail.get("tables", ()))


def _fold_run(report: RunReport, event: Event) -> None:
    detail = event.detail
    report.workflow = str(detail.get("workflow") or report.workflow)
    report.workflow_run = str(detail.get("workflowRunId") or report.workflow_run)
    report.trigger = str(detail.get("trigger") or report.trigger)
    report.planned = detail.get("jobs") or report.planned
    if detail.get("state") in ENDED:
        report.state, report.ended_at, report.seconds = detail["state"], event.time, detail.get("seconds")
        report.error = "" if report.state == "SUCCEEDED" else detail.get("message", "")
    elif report.state in ENDED:  # an external scheduler continues it
        report.state, report.ended_at, report.seconds, report.error = "RUNNING", "", None, ""


def _fold_job(report: RunReport, event: Event) -> None:
    detail = event.detail
    name, state = detail.get("jobName", ""), detail.get("state", "")
    if state == "RUNNING":
        for earlier in report.jobs:  # a new attempt starts: the earlier one was killed
            earlier.state = INTERRUPTED if (earlier.name, earlier.state) == (name, "RUNNING") else earlier.state
        report.jobs.append(JobReport(name=name, state=state, started_at=event.time))
    elif state in ENDED:
        job = next((job for job in reversed(report.jobs) if job.name == name), None)
        if job is None:  # Glue's own events have no start
            job = JobReport(name=name, state=state, started_at=event.time)
            report.jobs.append(job)
        elif job.state in ENDED and event.source != "brewhouse":  # the job's own event has more detail
            return
        job.state, job.seconds, job.message = state, detail.get("seconds"), detail.get("message", "")
        job.counts, job.raw_snapshot = detail.get("counts", {}), detail.get("rawSnapshot", "")
        job.expired_runs = detail.get("expiredRuns", [])
