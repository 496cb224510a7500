"""Runs as the console and its API show them: a list, one run with the progress of its jobs, and the schedule."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from statistics import median
from typing import Annotated, Any

from pydantic import Field

from brewhouse.console.web import Paged, paginate
from brewhouse.errors import UsageError
from brewhouse.events.envelope import Event
from brewhouse.events.run_log import LogLine, read_log
from brewhouse.events.run_reports import JobReport, RunReport
from brewhouse.events.schedule_state import schedule_state
from brewhouse.lake.lake import Lake
from brewhouse.pipeline.cron_schedule import parse_schedule, upcoming
from brewhouse.pipeline.run_launcher import RUN, retry_command
from brewhouse.settings import ScheduleSettings

PAGE_ROWS = 25
_PROGRESS = re.compile(r"(\d+) of (\d+) (pages|snapshots)")
_ESTIMATED_FROM = 10
_TIMELINE = 1000
_MIN_BAR = 4


@dataclass(frozen=True)
class RunRow:
    """A run in the list; `seconds` is None while it is running."""

    run: str
    workflow: str
    state: str
    started_at: datetime
    seconds: float | None
    jobs: list[str]
    error: str
    trigger: str = ""


@dataclass(frozen=True, kw_only=True)
class RunList(Paged):
    """A page of the runs, newest first."""

    runs: list[RunRow]


@dataclass(kw_only=True)
class JobProgress(JobReport):
    """A job of a run, also WAITING or SKIPPED, with its bar on the run's timeline and its progress.

    Attributes:
        begin: Start of the bar, in thousandths of the run; so is `length`.
        done: Pages, snapshots or models processed so far; None unless it runs.
        total: Expected value of `done` at the end; None if unknown.
        doing: Current step, while it runs.
    """

    started_at: Annotated[str, Field(exclude=True)] = ""
    counts: dict[str, int] = field(default_factory=dict)
    begin: int = 0
    length: int = 0
    done: int | None = None
    total: int | None = None
    doing: str = ""


@dataclass(frozen=True)
class CheckView:
    """Result of a check; `found` is the number of violations, and the example may be empty."""

    job: str
    table: str
    name: str
    severity: str
    passed: bool
    found: int
    example: str


@dataclass(frozen=True)
class RunView:
    """A run with its jobs, also those that did not start, its checks, failed ones first, and its tables."""

    row: RunRow
    jobs: list[JobProgress]
    checks: list[CheckView]
    drift: list[dict[str, Any]]
    published: list[dict[str, Any]]
    can_retry: bool
    retried_jobs: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ScheduleView:
    """The schedule of the workflow; without one, `cron` is empty, and while it is off, so are the next due times."""

    cron: str
    time_zone: str
    is_on: bool
    next: list[datetime]


def list_runs(reports: Sequence[RunReport], state: str, page: int) -> RunList:
    """Select a page of the reports, which are newest first; an empty state selects all."""
    matching = [report for report in reports if state in {"", report.state}]
    part, pages = paginate(len(matching), page, PAGE_ROWS)
    return RunList(runs=[_row(report) for report in matching[part]], **pages)


def view_run(report: RunReport, log: Sequence[LogLine], now: datetime) -> RunView:
    """Combine a run's report and log; the timeline of a running one ends now."""
    started = {job.name: job for job in report.jobs}
    start = datetime.fromisoformat(report.started_at)
    run_s = max(report.seconds or (now - start).total_seconds(), 0.001)
    unstarted = "WAITING" if report.state == "RUNNING" else "SKIPPED"
    jobs = [
        _job_progress(started[name], log, start, run_s) if name in started else JobProgress(name=name, state=unstarted)
        for name in dict.fromkeys([*report.planned, *started])
    ]
    checks = sorted(map(_check_view, report.checks), key=lambda check: (check.passed, check.severity != "error"))
    retried = _retried_jobs(report)
    return RunView(_row(report), jobs, checks, report.drift, report.published, bool(retried), retried)


def expected_s(reports: Iterable[RunReport], report: RunReport) -> float | None:
    """Estimate the duration of a run: the median of the last ten that succeeded with the same jobs."""
    alike = (each for each in reports if each.state == "SUCCEEDED" and each.seconds is not None)
    seconds = [each.seconds for each in alike if each.planned == report.planned and each.seconds is not None]
    return median(seconds[:_ESTIMATED_FROM]) if seconds else None


def log_of(lake: Lake, run: str) -> list[LogLine]:
    """Read the log of a run; empty if there is none, or none on S3 yet."""
    try:
        return read_log(lake, run)
    except UsageError:
        return []


def view_schedule(events: Sequence[Event], settings: ScheduleSettings, count: int, now: datetime) -> ScheduleView:
    """Combine the settings of this process, which take precedence, with the newest that the sorted events recorded."""
    state = schedule_state(events)
    schedule = parse_schedule(settings.cron, settings.time_zone) or parse_schedule(state.cron, state.time_zone)
    if schedule is None:
        return ScheduleView("", settings.time_zone, is_on=state.is_on, next=[])
    due = list(islice(upcoming(schedule, now), count)) if state.is_on else []
    return ScheduleView(schedule.cron, schedule.zone.key, is_on=state.is_on, next=due)


def _row(report: RunReport) -> RunRow:
    started_at = datetime.fromisoformat(report.started_at)
    jobs = report.planned or [job.name for job in report.jobs]
    return RunRow(
        report.run, report.workflow, report.state, started_at, report.seconds, jobs, report.error, report.trigger
    )


def _job_progress(job: JobReport, log: Sequence[LogLine], start: datetime, run_s: float) -> JobProgress:
    offset_s = (datetime.fromisoformat(job.started_at) - start).total_seconds()
    job_s = run_s - offset_s if job.seconds is None else job.seconds
    begin = min(max(round(_TIMELINE * offset_s / run_s), 0), _TIMELINE - _MIN_BAR)
    length = min(max(round(_TIMELINE * job_s / run_s), _MIN_BAR), _TIMELINE - begin)
    done, total, doing = _progress(job, log) if job.state == "RUNNING" else (None, None, "")
    counts = {name: int(count) for name, count in job.counts.items()}
    return JobProgress(
        **{**vars(job), "counts": counts}, begin=begin, length=length, done=done, total=total, doing=doing
    )


def _progress(job: JobReport, log: Sequence[LogLine]) -> tuple[int | None, int | None, str]:
    """Read the progress of a running job from its log."""
    messages = [line.message for line in log if line.job == job.name]
    for message in reversed(messages):
        if match := _PROGRESS.fullmatch(message):
            return int(match[1]), int(match[2]), message
    models = [message.removeprefix("model ") for message in messages if message.startswith("model ")]
    return (len(models), None, models[-1]) if models else (None, None, "")


def _check_view(check: dict[str, Any]) -> CheckView:
    job, table, name, severity, example = (
        str(check.get(key) or "") for key in ("job", "table", "name", "severity", "example")
    )
    return CheckView(job, table, name, severity, bool(check.get("passed")), int(check.get("found") or 0), example)


def _retried_jobs(report: RunReport) -> list[str]:
    """List the jobs that a retry would run; empty if there is nothing to retry."""
    try:
        command = retry_command(report, "snapshot")
    except UsageError:
        return []
    if command == RUN:
        return report.planned
    return ["transform", "aggregate"] if command[0] == "run" else list(command)
