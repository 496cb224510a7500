"""Pages and API of the runs: list, details, start, retry, stop, and the schedule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel

from brewhouse.console import run_views
from brewhouse.console.web import API, HTML, ConsoleContext, ConsoleDep, ErrorBody, PageNumber, page, translator_of
from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.events.run_log import LogLine
from brewhouse.events.run_reports import RunReport
from brewhouse.events.schedule_state import switch
from brewhouse.lake.run_lock import holder

router = APIRouter(tags=["runs"])

RunState = Literal["RUNNING", "SUCCEEDED", "FAILED", "STOPPED", "INTERRUPTED"]
State = Annotated[Literal["", RunState], Query()]
Seen = Annotated[str, Query(max_length=200, include_in_schema=False)]
"""Version of the list or run that the page shows; when it is still current, htmx gets an empty response."""
_DUE_TIMES = 5
_STRIP_RUNS = 50
_LOG_LINES = 300


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
        list=run_views.list_runs(reports, state, number),
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
    log = run_views.log_of(console.lake, report.run)
    version = f"{len(console.event_feed.events())}.{len(log)}.{report.state}"
    if seen == version and "hx-request" in request.headers:
        return Response(status_code=204)
    now, held = datetime.now(UTC), holder(console.lake)
    return page(
        request,
        "run.html",
        view=run_views.view_run(report, log, now),
        log=log[-_LOG_LINES:],
        log_lines=len(log),
        held=held,
        seen=version,
        elapsed=(now - datetime.fromisoformat(report.started_at)).total_seconds(),
        expected=run_views.expected_s(console.event_feed.reports(held), report),
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
def list_runs(console: ConsoleDep, state: State = "", number: PageNumber = 1) -> run_views.RunList:
    """List the runs, newest first."""
    return run_views.list_runs(console.event_feed.reports(holder(console.lake)), state, number)


@router.get(f"{API}/runs/{{run}}")
def read_run(console: ConsoleDep, report: ReportDep) -> run_views.RunView:
    """Return a run with its jobs, checks, drift and tables; `last` is the newest."""
    return run_views.view_run(report, run_views.log_of(console.lake, report.run), datetime.now(UTC))


@router.get(f"{API}/runs/{{run}}/log", response_model=list[LogEntry])
def read_run_log(console: ConsoleDep, report: ReportDep) -> list[LogLine]:
    """Return the log of a run."""
    return run_views.log_of(console.lake, report.run)


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
) -> run_views.ScheduleView:
    """Return the schedule and its next due times."""
    return _schedule(console, count)


@router.put(f"{API}/schedule")
def write_schedule(console: ConsoleDep, update: ScheduleUpdate) -> run_views.ScheduleView:
    """Switch the schedule on or off."""
    schedule = _schedule(console, 1)
    switch(console.lake, is_on=update.is_on, cron=schedule.cron, time_zone=schedule.time_zone)
    return _schedule(console, _DUE_TIMES)


def _schedule(console: ConsoleContext, count: int) -> run_views.ScheduleView:
    return run_views.view_schedule(console.event_feed.events(), console.settings.schedule, count, datetime.now(UTC))


def _accept(start: Callable[[], str]) -> RunAccepted:
    """Start a run; one that cannot start now is a conflict."""
    try:
        return RunAccepted(start())
    except UsageError:
        raise
    except BrewhouseError as error:
        raise HTTPException(409, ErrorBody(error.what, error.hint)) from error
