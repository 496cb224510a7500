"""The runs as the console shows them: a list, one with its jobs as they get on, and when the next ones are due."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from brewhouse.console.event_feed import EventFeed
from brewhouse.errors import UsageError
from brewhouse.events.run_log import LogLine, read_log
from brewhouse.events.run_reports import JobReport, RunReport
from brewhouse.events.schedule_state import schedule_state
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import LockInfo
from brewhouse.pipeline.cron_schedule import parse_schedule, upcoming
from brewhouse.pipeline.run_launcher import retry_command
from brewhouse.settings import ScheduleSettings

PAGE_ROWS = 25
LOG_LINES = 300
STATES = ("RUNNING", "SUCCEEDED", "FAILED", "STOPPED", "INTERRUPTED")
_PAGES = re.compile(r"(\d+) of (\d+) (pages|snapshots)")


@dataclass(frozen=True)
class RunRow:
    """A run in the list.

    Attributes:
        run: Its id.
        workflow: Which workflow it was a run of.
        state: RUNNING, SUCCEEDED, FAILED, STOPPED, or INTERRUPTED when it ended without a word.
        started_at: When it began.
        seconds: How long it took; None while it runs.
        jobs: What it was to do.
        error: Why it failed.
    """

    run: str
    workflow: str
    state: str
    started_at: datetime
    seconds: float | None
    jobs: list[str]
    error: str


@dataclass(frozen=True)
class RunList:
    """A page of the list of runs, newest first.

    Attributes:
        runs: Those of this page.
        total: How many there are.
        page: Which page, from 1.
        pages: How many pages.
    """

    runs: list[RunRow]
    total: int
    page: int
    pages: int


@dataclass(frozen=True)
class JobView:
    """A job of a run, on the run's own line of time.

    Attributes:
        name: Which job.
        state: WAITING before it begins; then as a run's.
        message: What it says of itself.
        seconds: How long it took; None while it runs.
        counts: Records in and out, by name.
        begin: Where it begins on the line of time, of 1000.
        length: How long it is there.
        done: How many pages or models are done, while it runs.
        total: Of how many; None when that is not known.
        doing: What it does at the moment.
    """

    name: str
    state: str
    message: str = ""
    seconds: float | None = None
    counts: dict[str, int] = field(default_factory=dict)
    begin: int = 0
    length: int = 0
    done: int | None = None
    total: int | None = None
    doing: str = ""


@dataclass(frozen=True)
class CheckView:
    """What a check of a run found.

    Attributes:
        job: Which job made it.
        table: About which table.
        name: What must hold.
        severity: What it is when it does not: error or warning.
        passed: Whether it does.
        found: In how many rows it does not.
        example: One of these.
    """

    job: str
    table: str
    name: str
    severity: str
    passed: bool
    found: int
    example: str


@dataclass(frozen=True)
class RunView:
    """Everything of a run.

    Attributes:
        row: As in the list.
        jobs: In order, those that wait too.
        checks: What the checks found, the worst first.
        drift: What the source sent that its contract does not say.
        published: Each table with its snapshot and rows.
        can_retry: Whether a new run can do what this one failed to do.
    """

    row: RunRow
    jobs: list[JobView]
    checks: list[CheckView]
    drift: list[dict[str, Any]]
    published: list[dict[str, Any]]
    can_retry: bool


@dataclass(frozen=True)
class LogView:
    """A line of a run's log.

    Attributes:
        time: ISO 8601, UTC.
        level: INFO, WARN or ERROR.
        job: Which job was going on; empty between jobs.
        message: What is said.
        traceback: Where an unexpected error came from; empty otherwise.
    """

    time: str
    level: str
    job: str
    message: str
    traceback: str


@dataclass(frozen=True)
class ScheduleView:
    """When the workflow runs by itself.

    Attributes:
        cron: Five fields; empty when there is no schedule.
        time_zone: Whose clock they are about.
        is_on: Whether runs are started.
        next: The next due times; none when it is off.
    """

    cron: str
    time_zone: str
    is_on: bool
    next: list[datetime]


def list_runs(reports: Sequence[RunReport], state: str, page: int) -> RunList:
    """Choose a page of the runs.

    Args:
        reports: Of all runs, newest first.
        state: Only those in this state; empty for all.
        page: From 1; one too far becomes the last.
    """
    chosen = [report for report in reports if state in {"", report.state}]
    pages = max(1, -(-len(chosen) // PAGE_ROWS))
    page = min(max(page, 1), pages)
    rows = [row_of(report) for report in chosen[(page - 1) * PAGE_ROWS : page * PAGE_ROWS]]
    return RunList(rows, len(chosen), page, pages)


def row_of(report: RunReport) -> RunRow:
    """Show a run as in the list."""
    return RunRow(
        run=report.run,
        workflow=report.workflow,
        state=report.state,
        started_at=datetime.fromisoformat(report.started_at),
        seconds=report.seconds,
        jobs=report.planned or [job.name for job in report.jobs],
        error=report.error,
    )


def view_of(report: RunReport, log: Sequence[LogView], now: datetime) -> RunView:
    """Show everything of a run.

    Args:
        report: Its report.
        log: What it said.
        now: Up to when a run that is going on has come.
    """
    begun = {job.name: job for job in report.jobs}
    names = list(dict.fromkeys([*(report.planned or []), *begun]))
    start = datetime.fromisoformat(report.started_at)
    whole = max(report.seconds or (now - start).total_seconds(), 0.001)
    is_over = report.state != "RUNNING"
    jobs = [
        _job_of(begun[name], log, start, whole) if name in begun else JobView(name, "SKIPPED" if is_over else "WAITING")
        for name in names
    ]
    checks = [
        CheckView(
            job=str(check.get("job", "")),
            table=str(check.get("table", "")),
            name=str(check.get("name", "")),
            severity=str(check.get("severity", "")),
            passed=bool(check.get("passed")),
            found=int(check.get("found") or 0),
            example=str(check.get("example") or ""),
        )
        for check in report.checks
    ]
    checks.sort(key=lambda check: (check.passed, check.severity != "error"))
    return RunView(row_of(report), jobs, checks, report.drift, report.published, _can_retry(report))


def log_of(lake: Lake, run: str) -> list[LogView]:
    """Read what a run said; nothing when it said nothing, or has not put it on S3 yet.

    Args:
        lake: Whose run.
        run: Its id.
    """
    try:
        lines = read_log(lake, run)
    except UsageError:
        return []
    return [_line_of(line) for line in lines]


def schedule_of(happened: EventFeed, settings: ScheduleSettings, count: int, now: datetime) -> ScheduleView:
    """Tell when the workflow runs by itself.

    Args:
        happened: Tells whether the schedule is on, and how it was set last.
        settings: How this process is told to set it; wins.
        count: How many of the next due times.
        now: After which they come.
    """
    known = schedule_state(happened.events())
    plan = parse_schedule(settings.cron, settings.time_zone) or parse_schedule(known.cron, known.time_zone)
    if plan is None:
        return ScheduleView("", settings.time_zone, is_on=known.is_on, next=[])
    moments = list(islice(upcoming(plan, now), count)) if known.is_on else []
    return ScheduleView(plan.cron, plan.zone.key, is_on=known.is_on, next=moments)


def state_of_all(happened: EventFeed, held: LockInfo | None) -> str:
    """Give a text that changes whenever the list of runs may."""
    return f"{len(happened.events())}.{held.run if held else ''}"


def _job_of(job: JobReport, log: Sequence[LogView], start: datetime, whole: float) -> JobView:
    offset = (datetime.fromisoformat(job.started_at) - start).total_seconds()
    length = whole - offset if job.seconds is None else job.seconds
    begin = min(max(round(1000 * offset / whole), 0), 996)
    done, total, doing = _progress(job, log) if job.state == "RUNNING" else (None, None, "")
    return JobView(
        name=job.name,
        state=job.state,
        message=job.message,
        seconds=job.seconds,
        counts={name: int(count) for name, count in job.counts.items()},
        begin=begin,
        length=min(max(round(1000 * length / whole), 4), 1000 - begin),
        done=done,
        total=total,
        doing=doing,
    )


def _progress(job: JobReport, log: Sequence[LogView]) -> tuple[int | None, int | None, str]:
    """Learn from its log how far a job has come."""
    said = [line.message for line in log if line.job == job.name]
    for message in reversed(said):
        if found := _PAGES.fullmatch(message):
            return int(found[1]), int(found[2]), message
    models = [message.removeprefix("model ") for message in said if message.startswith("model ")]
    return (len(models), None, models[-1]) if models else (None, None, "")


def _can_retry(report: RunReport) -> bool:
    try:
        retry_command(report, None)
    except UsageError:
        return False
    return True


def _line_of(line: LogLine) -> LogView:
    return LogView(line.time, line.level, line.job, line.message, line.traceback)
