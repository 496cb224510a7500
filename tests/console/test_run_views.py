"""Runs, jobs, checks and the schedule as the console shows them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from brewhouse.console.pages.runs import (
    PAGE_ROWS,
    JobProgress,
    expected_s,
    log_of,
    select_runs,
    view_run,
    view_schedule,
)
from brewhouse.events.event import read_events
from brewhouse.events.run_log import LogLine
from brewhouse.events.run_reports import JobReport, RunReport
from brewhouse.events.schedule_state import switch
from brewhouse.lake.lake import Lake
from brewhouse.settings import ScheduleSettings

START = datetime(2026, 8, 2, 6, tzinfo=UTC)
JOBS = ["extract", "transform", "aggregate"]


def run(state: str = "SUCCEEDED", number: int = 0, **facts: Any) -> RunReport:  # noqa: ANN401 - fields of any type
    started_at = (START + timedelta(minutes=number)).isoformat()
    return RunReport(run=f"R{number}", state=state, started_at=started_at, workflow="breweries", **facts)


def job(name: str, state: str = "SUCCEEDED", offset_s: float = 0, seconds: float | None = 1.0) -> JobReport:
    started_at = (START + timedelta(seconds=offset_s)).isoformat()
    return JobReport(name=name, state=state, started_at=started_at, seconds=seconds)


def line(message: str, job_name: str = "extract") -> LogLine:
    return LogLine(time=START.isoformat(), level="INFO", run="R0", job=job_name, message=message)


@pytest.mark.parametrize(("total", "pages"), [(0, 1), (PAGE_ROWS, 1), (PAGE_ROWS + 1, 2), (60, 3)])
def test_runs_are_listed_in_pages(total: int, pages: int) -> None:
    reports = [run(number=number) for number in reversed(range(total))]
    listed = [select_runs(reports, "", page + 1) for page in range(pages)]
    assert [row.run for page in listed for row in page.runs] == [report.run for report in reports]
    assert {(page.total, page.pages) for page in listed} == {(total, pages)}
    assert select_runs(reports, "", 99) == listed[-1]


def test_only_the_runs_in_a_state_are_listed() -> None:
    reports = [run("FAILED" if number % 3 == 0 else "SUCCEEDED", number) for number in range(9)]
    failed = select_runs(reports, "FAILED", 1)
    assert [row.run for row in failed.runs] == ["R0", "R3", "R6"]
    assert failed.total == 3
    assert select_runs(reports, "STOPPED", 1).runs == []


def test_a_row_names_the_planned_jobs_or_those_that_started() -> None:
    planned = run(planned=["extract"], jobs=[job("extract"), job("transform")])
    unplanned = run(jobs=[job("backfill")])
    assert [row.jobs for row in select_runs([planned, unplanned], "", 1).runs] == [["extract"], ["backfill"]]


@pytest.mark.parametrize(
    ("state", "states"),
    [
        ("RUNNING", ["SUCCEEDED", "RUNNING", "WAITING"]),
        ("FAILED", ["SUCCEEDED", "RUNNING", "SKIPPED"]),
        ("INTERRUPTED", ["SUCCEEDED", "RUNNING", "SKIPPED"]),
    ],
)
def test_jobs_that_did_not_start_are_waiting_or_skipped(state: str, states: list[str]) -> None:
    jobs = [job("extract"), job("transform", "RUNNING", 1, None)]
    view = view_run(run(state, planned=JOBS, jobs=jobs), [], START + timedelta(seconds=4))
    assert [(each.name, each.state) for each in view.jobs] == list(zip(JOBS, states, strict=True))
    assert view.jobs[-1] == JobProgress(name="aggregate", state=states[-1])


def test_a_job_that_was_not_planned_is_shown_after_the_planned_ones() -> None:
    view = view_run(run(planned=["extract"], jobs=[job("extra"), job("extract")], seconds=2.0), [], START)
    assert [each.name for each in view.jobs] == ["extract", "extra"]


def test_bars_show_when_jobs_ran() -> None:
    jobs = [job("extract", offset_s=0, seconds=5), job("transform", offset_s=5, seconds=2.5)]
    view = view_run(run(seconds=10.0, planned=JOBS, jobs=jobs), [], START)
    assert [(each.begin, each.length) for each in view.jobs] == [(0, 500), (500, 250), (0, 0)]


def test_the_bar_of_a_running_job_ends_now() -> None:
    running = run("RUNNING", jobs=[job("extract", "RUNNING", 5, None)])
    view = view_run(running, [], START + timedelta(seconds=20))
    assert (view.jobs[0].begin, view.jobs[0].length) == (250, 750)


@given(
    st.floats(-10, 1e6),
    st.none() | st.floats(0, 1e6),
    st.none() | st.floats(0, 1e6),
    st.floats(0, 1e6),
)
def test_a_bar_is_always_visible_and_inside_the_timeline(
    offset_s: float, job_s: float | None, run_s: float | None, now_s: float
) -> None:
    report = run(seconds=run_s, jobs=[job("extract", "SUCCEEDED", offset_s, job_s)])
    (shown,) = view_run(report, [], START + timedelta(seconds=now_s)).jobs
    assert 0 <= shown.begin <= 996
    assert 4 <= shown.length <= 1000 - shown.begin


@pytest.mark.parametrize(
    ("messages", "progress"),
    [
        ([], (None, None, "")),
        (["extract starts"], (None, None, "")),
        (["1 of 20 pages", "7 of 20 pages"], (7, 20, "7 of 20 pages")),
        (["2 of 3 snapshots", "model silver.breweries"], (2, 3, "2 of 3 snapshots")),
        (["model staging.records", "model silver.breweries"], (2, None, "silver.breweries")),
        (["3 of 4 pages were unchanged"], (None, None, "")),
    ],
)
def test_the_progress_of_a_running_job_is_read_from_its_log(
    messages: list[str], progress: tuple[int | None, int | None, str]
) -> None:
    log = [line("9 of 9 pages", "another job"), *map(line, messages)]
    running = run("RUNNING", jobs=[job("extract", "RUNNING", 0, None)])
    (shown,) = view_run(running, log, START + timedelta(seconds=1)).jobs
    assert (shown.done, shown.total, shown.doing) == progress


def test_a_job_that_ended_shows_no_progress() -> None:
    (shown,) = view_run(run(seconds=1.0, jobs=[job("extract")]), [line("1 of 20 pages")], START).jobs
    assert (shown.done, shown.total, shown.doing) == (None, None, "")


def test_the_json_of_a_job_has_the_promised_keys() -> None:
    report = job("extract")
    report.counts = {"records": 20, "pages": 2.0}
    (shown,) = view_run(run(seconds=1.0, jobs=[report]), [], START).jobs
    assert TypeAdapter(JobProgress).dump_python(shown) == {
        "name": "extract",
        "state": "SUCCEEDED",
        "seconds": 1.0,
        "message": "",
        "counts": {"records": 20, "pages": 2},
        "raw_snapshot": "",
        "expired_runs": [],
        "begin": 0,
        "length": 1000,
        "done": None,
        "total": None,
        "doing": "",
    }


def test_failed_checks_come_first_and_errors_before_warnings() -> None:
    checks = [
        {"name": "a", "severity": "warning", "passed": True},
        {"name": "b", "severity": "warning", "passed": False, "found": 3},
        {"name": "c", "severity": "error", "passed": True},
        {"name": "d", "severity": "error", "passed": False, "found": 1, "example": "x"},
    ]
    view = view_run(run(checks=checks, seconds=1.0), [], START)
    assert [check.name for check in view.checks] == ["d", "b", "c", "a"]
    assert (view.checks[0].found, view.checks[0].example, view.checks[1].example) == (1, "x", "")


def test_a_check_event_with_missing_or_null_values_is_shown() -> None:
    checks = [{}, {"name": None, "found": None, "example": None, "passed": None, "job": "transform", "note": "more"}]
    view = view_run(run(checks=checks, seconds=1.0), [], START)
    assert [(check.job, check.name, check.found, check.passed) for check in view.checks] == [
        ("", "", 0, False),
        ("transform", "", 0, False),
    ]


@pytest.mark.parametrize(
    ("state", "workflow", "can_retry"),
    [
        ("FAILED", "breweries", True),
        ("STOPPED", "breweries", True),
        ("TIMEOUT", "breweries", True),
        ("INTERRUPTED", "breweries", True),
        ("FAILED", "maintain", True),
        ("FAILED", "backfill", False),
        ("FAILED", "", False),
        ("SUCCEEDED", "breweries", False),
        ("RUNNING", "breweries", False),
    ],
)
def test_a_run_can_be_retried_if_it_ended_without_success_and_its_command_is_known(
    state: str, workflow: str, can_retry: bool
) -> None:
    report = RunReport(run="R", state=state, started_at=START.isoformat(), workflow=workflow, planned=JOBS)
    assert view_run(report, [], START).can_retry is can_retry


def test_a_run_without_a_log_has_an_empty_one(tmp_path: Path) -> None:
    assert log_of(Lake(tmp_path), "R1") == []


def test_without_a_schedule_nothing_is_due() -> None:
    view = view_schedule([], ScheduleSettings(time_zone="Europe/Berlin"), 5, START)
    assert (view.cron, view.time_zone, view.is_on, view.next) == ("", "Europe/Berlin", True, [])


@pytest.mark.parametrize("count", [1, 3, 100])
def test_the_next_due_times_are_listed_in_the_zone_of_the_schedule(count: int) -> None:
    view = view_schedule([], ScheduleSettings(cron="30 2 * * *", time_zone="Europe/Berlin"), count, START)
    assert len(view.next) == count
    assert view.next[0].isoformat() == "2026-08-03T02:30:00+02:00"
    assert all(earlier < later for earlier, later in zip(view.next, view.next[1:], strict=False))


def test_a_schedule_of_an_earlier_process_is_read_from_its_events_unless_the_settings_have_one(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    switch(lake, is_on=True, cron="0 6 * * *", time_zone="America/Sao_Paulo")
    recorded = view_schedule(read_events(lake), ScheduleSettings(), 1, START)
    assert (recorded.cron, recorded.time_zone) == ("0 6 * * *", "America/Sao_Paulo")
    configured = view_schedule(read_events(lake), ScheduleSettings(cron="5 5 * * *"), 1, START)
    assert (configured.cron, configured.time_zone) == ("5 5 * * *", "UTC")


def test_a_schedule_that_is_off_is_shown_without_due_times(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    settings = ScheduleSettings(cron="0 6 * * *")
    switch(lake, is_on=False, cron="0 6 * * *", time_zone="UTC")
    off = view_schedule(read_events(lake), settings, 5, START)
    assert (off.cron, off.is_on, off.next) == ("0 6 * * *", False, [])
    switch(lake, is_on=True, cron="0 6 * * *", time_zone="UTC")
    assert len(view_schedule(read_events(lake), settings, 5, START).next) == 5


def test_a_run_is_expected_to_take_as_long_as_others_with_the_same_jobs() -> None:
    def done(seconds: float, *jobs: str, state: str = "SUCCEEDED") -> RunReport:
        return RunReport(run="R", state=state, started_at="", seconds=seconds, planned=list(jobs))

    reports = [done(9, "a"), done(1, "a"), done(2, "a"), done(50, "b"), done(90, "a", state="FAILED")]
    assert expected_s(reports, done(0, "a")) == 2
    assert expected_s(reports, done(0, "c")) is None
