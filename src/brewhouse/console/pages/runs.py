"""Pages and API of the runs: list, details, start, retry, stop, and the schedule."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from statistics import median
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field

from brewhouse.console.web import (
    API,
    HTML,
    ConsoleContext,
    ConsoleDep,
    ErrorBody,
    Paged,
    PageNumber,
    page,
    paginate,
    translator_of,
)
from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.events.envelope import Event
from brewhouse.events.run_log import LogLine, read_log
from brewhouse.events.run_reports import JobReport, RunReport
from brewhouse.events.schedule_state import schedule_state, switch
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import holder
from brewhouse.pipeline.cron_schedule import parse_schedule, upcoming
from brewhouse.pipeline.run_launcher import RUN, retry_command
from brewhouse.settings import ScheduleSettings

router = APIRouter(tags=["runs"])

RunState = Literal["RUNNING", "SUCCEEDED", "FAILED", "STOPPED", "INTERRUPTED"]
State = Annotated[Literal["", RunState], Query()]
Seen = Annotated[str, Query(max_length=200, include_in_schema=False)]
"""Version of the list or run that the page shows; when it is still current, htmx gets an empty response."""
_DUE_TIMES = 5
_STRIP_RUNS = 50
_LOG_LINES = 300
PAGE_ROWS = 25
_PROGRESS = re.compile(r"(\d+) of (\d+) (pages|snapshots)")
_ESTIMATED_FROM = 10
_TIMELINE = 1000
_MIN_BAR = 4


@dataclass(frozen=True)
class RunAccepted:
    """The run that was started or asked to stop."""

    run: str


@dataclass(frozen=True)
class ScheduleUpdate:
    """The new state of the schedule."""

    is_on: bool


class LogEntry(BaseModel):
    """A line of a run's log."""

    time: str
    level: str
    job: str
    message: str
    traceback: str


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


def _report_of(request: Request, console: ConsoleDep, run: str) -> RunReport:
    held = holder(console.lake)
    if run == "last":
        report = next(iter(console.event_feed.reports(held)), None)
    else:
        report = console.event_feed.report(run, held)
    if report is None:
        raise HTTPException(404, translator_of(request)("Run {run} not found.", run=run))
    return report


ReportDep = Annotated[RunReport, Depends(_report_of)]
"""Route parameter: the report of the run in the path; `last` is the newest run."""


@router.get("/health", **HTML)
def show_health(request: Request) -> Response:
    """Show the health of the lake, which is a part of every page."""
    return page(request, "base.html")


@router.get("/runs", **HTML)
def show_list(
    request: Request, console: ConsoleDep, state: State = "", number: PageNumber = 1, seen: Seen = ""
) -> Response:
    """Show the runs and the schedule."""
    held = holder(console.lake)
    version = f"{len(console.event_feed.events())}.{held.run if held else ''}"
    if seen == version and "hx-request" in request.headers:
        return Response(status_code=204)
    reports = console.event_feed.reports(held)
    return page(
        request,
        "runs.html",
        list=select_runs(reports, state, number),
        strip=[report for report in reports[:_STRIP_RUNS] if report.seconds is not None][::-1],
        schedule=_schedule(console, _DUE_TIMES),
        state=state,
        states=get_args(RunState),
        held=held,
        seen=version,
    )


@router.get("/runs/{run}", **HTML)
def show(request: Request, console: ConsoleDep, report: ReportDep, seen: Seen = "") -> Response:
    """Show a run, live while it is running."""
    log = log_of(console.lake, report.run)
    version = f"{len(console.event_feed.events())}.{len(log)}.{report.state}"
    if seen == version and "hx-request" in request.headers:
        return Response(status_code=204)
    now, held = datetime.now(UTC), holder(console.lake)
    return page(
        request,
        "run.html",
        view=view_run(report, log, now),
        log=log[-_LOG_LINES:],
        log_lines=len(log),
        held=held,
        seen=version,
        elapsed=(now - datetime.fromisoformat(report.started_at)).total_seconds(),
        expected=expected_s(console.event_feed.reports(held), report),
    )


@router.post("/runs", **HTML)
def start(console: ConsoleDep) -> Response:
    """Start a run of the workflow and show it, or the one that is in progress."""
    if (held := holder(console.lake)) is not None:
        return RedirectResponse(f"/runs/{held.run}", 303)
    return RedirectResponse(f"/runs/{start_run(console).run}", 303)


@router.post("/runs/{run}/retry", **HTML)
def retry(console: ConsoleDep, report: ReportDep) -> Response:
    """Start a run of the jobs that this one did not complete, and show it."""
    return RedirectResponse(f"/runs/{retry_run(console, report).run}", 303)


@router.post("/runs/{run}/stop", **HTML)
def stop(console: ConsoleDep, report: ReportDep) -> Response:
    """Ask a run to stop, and show it."""
    return RedirectResponse(f"/runs/{stop_run(console, report).run}", 303)


@router.post("/schedule", **HTML)
def switch_schedule(console: ConsoleDep, state: Annotated[Literal["on", "off"], Form()]) -> Response:
    """Switch the schedule on or off."""
    write_schedule(console, ScheduleUpdate(is_on=state == "on"))
    return RedirectResponse("/runs", 303)


@router.get(f"{API}/runs")
def list_runs(console: ConsoleDep, state: State = "", number: PageNumber = 1) -> RunList:
    """List the runs, newest first."""
    return select_runs(console.event_feed.reports(holder(console.lake)), state, number)


@router.get(f"{API}/runs/{{run}}")
def read_run(console: ConsoleDep, report: ReportDep) -> RunView:
    """Return a run with its jobs, checks, drift and tables; `last` is the newest."""
    return view_run(report, log_of(console.lake, report.run), datetime.now(UTC))


@router.get(f"{API}/runs/{{run}}/log", response_model=list[LogEntry])
def read_run_log(console: ConsoleDep, report: ReportDep) -> list[LogLine]:
    """Return the log of a run."""
    return log_of(console.lake, report.run)


@router.post(f"{API}/runs", status_code=202)
def start_run(console: ConsoleDep) -> RunAccepted:
    """Start a run of the workflow."""
    return _accept(console.launcher.start)


@router.post(f"{API}/runs/{{run}}/retry", status_code=202)
def retry_run(console: ConsoleDep, report: ReportDep) -> RunAccepted:
    """Start a run of the jobs that this one did not complete."""
    return _accept(lambda: console.launcher.retry(report))


@router.post(f"{API}/runs/{{run}}/stop", status_code=202)
def stop_run(console: ConsoleDep, report: ReportDep) -> RunAccepted:
    """Ask a run to stop."""
    console.launcher.stop(report.run)
    return RunAccepted(report.run)


@router.get(f"{API}/schedule")
def read_schedule(
    console: ConsoleDep, count: Annotated[int, Query(ge=1, le=100, description="Number of due times to list")] = 5
) -> ScheduleView:
    """Return the schedule and its next due times."""
    return _schedule(console, count)


@router.put(f"{API}/schedule")
def write_schedule(console: ConsoleDep, update: ScheduleUpdate) -> ScheduleView:
    """Switch the schedule on or off."""
    schedule = _schedule(console, 1)
    switch(console.lake, is_on=update.is_on, cron=schedule.cron, time_zone=schedule.time_zone)
    return _schedule(console, _DUE_TIMES)


def _schedule(console: ConsoleContext, count: int) -> ScheduleView:
    return view_schedule(console.event_feed.events(), console.settings.schedule, count, datetime.now(UTC))


def _accept(start: Callable[[], str]) -> RunAccepted:
    """Start a run; one that cannot start now is a conflict."""
    try:
        return RunAccepted(start())
    except UsageError:
        raise
    except BrewhouseError as error:
        raise HTTPException(409, ErrorBody(error.what, error.hint)) from error


def select_runs(reports: Sequence[RunReport], state: str, page: int) -> RunList:
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
    same = {name: getattr(report, name) for name in ("run", "workflow", "state", "seconds", "error", "trigger")}
    jobs = report.planned or [job.name for job in report.jobs]
    return RunRow(**same, started_at=datetime.fromisoformat(report.started_at), jobs=jobs)


def _job_progress(job: JobReport, log: Sequence[LogLine], start: datetime, run_s: float) -> JobProgress:
    offset_s = (datetime.fromisoformat(job.started_at) - start).total_seconds()
    job_s = run_s - offset_s if job.seconds is None else job.seconds
    begin = min(max(round(_TIMELINE * offset_s / run_s), 0), _TIMELINE - _MIN_BAR)
    length = min(max(round(_TIMELINE * job_s / run_s), _MIN_BAR), _TIMELINE - begin)
    counts = {name: int(count) for name, count in job.counts.items()}
    progress = _progress(job, log) if job.state == "RUNNING" else {}
    return JobProgress(**{**vars(job), "counts": counts}, begin=begin, length=length, **progress)


def _progress(job: JobReport, log: Sequence[LogLine]) -> dict[str, Any]:
    """Read the progress of a running job from its log."""
    messages = [line.message for line in log if line.job == job.name]
    for message in reversed(messages):
        if match := _PROGRESS.fullmatch(message):
            return {"done": int(match[1]), "total": int(match[2]), "doing": message}
    models = [message.removeprefix("model ") for message in messages if message.startswith("model ")]
    return {"done": len(models), "doing": models[-1]} if models else {}


def _check_view(check: dict[str, Any]) -> CheckView:
    texts = {name: str(check.get(name) or "") for name in ("job", "table", "name", "severity", "example")}
    return CheckView(**texts, passed=bool(check.get("passed")), found=int(check.get("found") or 0))


def _retried_jobs(report: RunReport) -> list[str]:
    """List the jobs that a retry would run; empty if there is nothing to retry."""
    try:
        command = retry_command(report, "snapshot")
    except UsageError:
        return []
    if command == RUN:
        return report.planned
    return ["transform", "aggregate"] if command[0] == "run" else list(command)
