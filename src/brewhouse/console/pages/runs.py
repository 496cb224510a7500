"""Runs: what they did and do, starting and stopping them, and the schedule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response

from brewhouse.console import run_views
from brewhouse.console.web import API, HTML, ConsoleContext, ConsoleDep, page, problem, translator_of
from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.events.run_reports import RunReport
from brewhouse.events.schedule_state import switch
from brewhouse.lake.run_lock import LockInfo, holder

router = APIRouter(tags=["runs"])

State = Annotated[Literal["", "RUNNING", "SUCCEEDED", "FAILED", "STOPPED", "INTERRUPTED"], Query()]
Page = Annotated[int, Query(ge=1, le=1_000_000)]
PageNumber = Annotated[int, Query(alias="page", ge=1, le=1_000_000)]
Seen = Annotated[str, Query(max_length=200, include_in_schema=False)]
_NEXT = 5


@dataclass(frozen=True)
class Started:
    """A run that was started.

    Attributes:
        run: Its id.
    """

    run: str


@dataclass(frozen=True)
class Switch:
    """Whether the schedule starts runs.

    Attributes:
        is_on: It does.
    """

    is_on: bool


@router.get("/runs", **HTML)
def show_list(
    request: Request, console: ConsoleDep, state: State = "", number: PageNumber = 1, seen: Seen = ""
) -> Response:
    """List the runs, and when the next ones are due."""
    held = holder(console.lake)
    now_seen = run_views.state_of_all(console.event_feed, held)
    if seen == now_seen and "hx-request" in request.headers:
        return Response(status_code=204)
    return page(
        request,
        "runs.html",
        list=run_views.list_runs(console.event_feed.reports(held), state, number),
        schedule=run_views.schedule_of(console.event_feed, console.settings.schedule, _NEXT, datetime.now(UTC)),
        state=state,
        states=run_views.STATES,
        held=held,
        seen=now_seen,
    )


@router.post("/runs", **HTML)
def start(request: Request, console: ConsoleDep) -> Response:
    """Start a run of the workflow, and show it."""
    return _shown(request, console.launcher.start)


@router.get("/runs/{run}", **HTML)
def show(request: Request, console: ConsoleDep, run: str, seen: Seen = "") -> Response:
    """Show a run as it gets on."""
    held, report = _find(request, console, run)
    log = run_views.log_of(console.lake, report.run)
    now_seen = f"{len(console.event_feed.events_of(report.run))}.{len(log)}.{report.state}"
    if seen == now_seen and "hx-request" in request.headers:
        return Response(status_code=204)
    return page(
        request,
        "run.html",
        view=run_views.view_of(report, log, datetime.now(UTC)),
        log=log[-run_views.LOG_LINES :],
        log_lines=len(log),
        held=held,
        seen=now_seen,
    )


@router.post("/runs/{run}/retry", **HTML)
def retry(request: Request, console: ConsoleDep, run: str) -> Response:
    """Start a run that does what this one failed to do, and show it."""
    _, report = _find(request, console, run)
    return _shown(request, lambda: console.launcher.retry(report))


@router.post("/runs/{run}/stop", **HTML)
def stop(request: Request, console: ConsoleDep, run: str) -> Response:
    """Ask a run to stop, and show how it does."""

    def stopped() -> str:
        console.launcher.stop(run)
        return run

    return _shown(request, stopped)


@router.post("/schedule", **HTML)
def switch_schedule(console: ConsoleDep, state: Annotated[Literal["on", "off"], Form()]) -> Response:
    """Switch the schedule on or off."""
    _switch(console, is_on=state == "on")
    return RedirectResponse("/runs", 303)


@router.get(f"{API}/runs")
def list_runs(console: ConsoleDep, state: State = "", page: Page = 1) -> run_views.RunList:
    """List the runs, newest first."""
    return run_views.list_runs(console.event_feed.reports(holder(console.lake)), state, page)


@router.get(f"{API}/runs/{{run}}")
def read_run(request: Request, console: ConsoleDep, run: str) -> run_views.RunView:
    """Tell everything of a run; `last` is the newest."""
    _, report = _find(request, console, run)
    return run_views.view_of(report, run_views.log_of(console.lake, report.run), datetime.now(UTC))


@router.get(f"{API}/runs/{{run}}/log")
def read_run_log(request: Request, console: ConsoleDep, run: str) -> list[run_views.LogView]:
    """Give what a run said, line by line."""
    _, report = _find(request, console, run)
    return run_views.log_of(console.lake, report.run)


@router.post(f"{API}/runs", status_code=202, response_model=Started)
def start_run(request: Request, console: ConsoleDep) -> Any:  # noqa: ANN401 - FastAPI's own way with two kinds of answer
    """Start a run of the workflow."""
    return _started(request, console.launcher.start)


@router.post(f"{API}/runs/{{run}}/retry", status_code=202, response_model=Started)
def retry_run(request: Request, console: ConsoleDep, run: str) -> Any:  # noqa: ANN401 - as above
    """Start a run that does what this one failed to do."""
    _, report = _find(request, console, run)
    return _started(request, lambda: console.launcher.retry(report))


@router.post(f"{API}/runs/{{run}}/stop", status_code=202, response_model=Started)
def stop_run(request: Request, console: ConsoleDep, run: str) -> Any:  # noqa: ANN401 - as above
    """Ask a run to stop."""

    def stopped() -> str:
        console.launcher.stop(run)
        return run

    return _started(request, stopped)


@router.get(f"{API}/schedule")
def read_schedule(
    console: ConsoleDep, count: Annotated[int, Query(ge=1, le=100, description="How many of the next due times")] = 5
) -> run_views.ScheduleView:
    """Tell when the workflow runs by itself."""
    return run_views.schedule_of(console.event_feed, console.settings.schedule, count, datetime.now(UTC))


@router.put(f"{API}/schedule")
def write_schedule(console: ConsoleDep, wanted: Switch) -> run_views.ScheduleView:
    """Switch the schedule on or off."""
    _switch(console, is_on=wanted.is_on)
    return read_schedule(console)


def _find(request: Request, console: ConsoleContext, run: str) -> tuple[LockInfo | None, RunReport]:
    held = holder(console.lake)
    if run == "last":
        reports = console.event_feed.reports(held)
        report = reports[0] if reports else None
    else:
        report = console.event_feed.report(run, held)
    if report is None:
        raise HTTPException(404, translator_of(request)("The lake knows no run {run}.", run=run))
    return held, report


def _switch(console: ConsoleContext, *, is_on: bool) -> None:
    view = run_views.schedule_of(console.event_feed, console.settings.schedule, 1, datetime.now(UTC))
    switch(console.lake, is_on=is_on, cron=view.cron, time_zone=view.time_zone)


def _shown(request: Request, act: Callable[[], str]) -> Response:
    answer = _started(request, act)
    return RedirectResponse(f"/runs/{answer.run}", 303) if isinstance(answer, Started) else answer


def _started(request: Request, act: Callable[[], str]) -> Started | Response:
    try:
        return Started(act())
    except BrewhouseError as error:
        return problem(request, 400 if isinstance(error, UsageError) else 409, error.what, error.hint)
