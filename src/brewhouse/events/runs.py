"""The runs of a lake, told by their events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from brewhouse.events.event import CHECK, DRIFT, JOB, PUBLISHED, RUN, Event

_STARTED = "STARTED"


class JobReport(msgspec.Struct, kw_only=True):
    """What one job of a run did.

    Attributes:
        name: extract, transform or aggregate.
        state: RUNNING, SUCCEEDED, FAILED, or INTERRUPTED when its run ended without a word.
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
        state: RUNNING, SUCCEEDED, FAILED, or INTERRUPTED when it ended without a word.
        started_at: ISO 8601, UTC.
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
        run = event.detail["runId"]
        report = reports.setdefault(run, RunReport(run=run, state="RUNNING", started_at=event.time))
        _apply(report, event)
    for report in reports.values():
        if report.state == "RUNNING" and report.run != running:
            report.state = "INTERRUPTED"
            for job in report.jobs:
                job.state = "INTERRUPTED" if job.state == "RUNNING" else job.state
    return list(reports.values())


def _apply(report: RunReport, event: Event) -> None:
    detail = {name: value for name, value in event.detail.items() if name != "runId"}
    if event.detail_type == RUN and detail["state"] != _STARTED:
        report.state, report.seconds, report.error = (
            detail["state"],
            detail["seconds"],
            detail.get("message", ""),
        )
    elif event.detail_type == JOB:
        _apply_job(report, event.time, detail)
    elif event.detail_type == CHECK:
        report.checks.extend({"job": detail["jobName"], **check} for check in detail["checks"])
    elif event.detail_type == DRIFT:
        report.drift.append(detail)
    elif event.detail_type == PUBLISHED:
        report.published.extend(detail["tables"])


def _apply_job(report: RunReport, time: str, detail: dict[str, Any]) -> None:
    if detail["state"] == _STARTED:
        report.jobs.append(JobReport(name=detail["jobName"], state="RUNNING", started_at=time))
        return
    job = next(job for job in reversed(report.jobs) if job.name == detail["jobName"])
    job.state, job.seconds, job.message = detail["state"], detail["seconds"], detail["message"]
    job.counts = detail.get("counts", {})
