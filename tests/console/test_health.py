"""Health on every page: the newest runs, the age of the data, the next run, and whether it is late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.console.conftest import RecordedRuns

from brewhouse.console.app import create_app
from brewhouse.console.health import Health, health
from brewhouse.events.run_reports import RunReport
from brewhouse.events.schedule_state import ScheduleState
from brewhouse.pipeline.cron_schedule import parse_schedule
from brewhouse.settings import load

NOON = datetime(2026, 8, 2, 12, tzinfo=UTC)
DAILY = parse_schedule("0 6 * * *", "UTC")


def report(state: str, hours_ago: float, workflow: str = "breweries") -> RunReport:
    ended = (NOON - timedelta(hours=hours_ago)).isoformat()
    return RunReport(
        run=f"{state}-{hours_ago}", state=state, started_at=ended, ended_at=ended, workflow=workflow, error="why"
    )


def of(*reports: RunReport, **options: Any) -> Health:  # noqa: ANN401 - arguments of any type
    defaults = {"running": "", "schedule": None, "state": ScheduleState(), "late_after_hours": 0, "now": NOON}
    return health(reports, **{**defaults, **options})


def test_a_lake_without_runs_has_no_health() -> None:
    assert of() == Health()


def test_the_newest_success_and_a_later_failure_are_reported() -> None:
    state = of(report("FAILED", 1), report("SUCCEEDED", 2), report("SUCCEEDED", 3))
    assert (state.failed, state.reason, state.succeeded) == ("FAILED-1", "why", "SUCCEEDED-2")
    assert state.succeeded_at == NOON - timedelta(hours=2)


@pytest.mark.parametrize("state", ["FAILED", "TIMEOUT", "INTERRUPTED"])
def test_every_kind_of_failure_counts_until_a_run_succeeds(state: str) -> None:
    assert of(report(state, 1)).failed
    assert not of(report("SUCCEEDED", 0.5), report(state, 1)).failed


def test_a_stopped_run_and_other_workflows_are_no_failures() -> None:
    assert not of(report("STOPPED", 1), report("FAILED", 2, "maintain"), report("SUCCEEDED", 3)).failed


@pytest.mark.parametrize(
    ("hours_ago", "options", "is_late"),
    [
        (5, {"schedule": DAILY}, False),  # the run of 06:00
        (7, {"schedule": DAILY}, True),
        (7, {"schedule": DAILY, "running": "R"}, False),
        (7, {"schedule": DAILY, "state": ScheduleState(is_on=False)}, False),
        (7, {"schedule": DAILY, "state": ScheduleState(since=NOON - timedelta(hours=1))}, False),  # switched on since
        (6.5, {"schedule": DAILY, "now": NOON - timedelta(hours=5.5)}, False),  # 06:30, it may be running
        (700, {}, False),
        (25, {"late_after_hours": 24}, True),
        (23, {"late_after_hours": 24}, False),
    ],
)
def test_the_workflow_is_late_when_a_due_run_has_not_succeeded(
    hours_ago: float, options: dict[str, Any], is_late: bool
) -> None:
    assert of(report("SUCCEEDED", hours_ago), **options).is_late is is_late


def test_the_next_run_is_that_of_a_schedule_that_is_on() -> None:
    assert of(schedule=DAILY).next_due == datetime(2026, 8, 3, 6, tzinfo=UTC)
    assert of(schedule=DAILY, state=ScheduleState(is_on=False)).next_due is None


@pytest.mark.parametrize("path", ["/", "/runs", "/nowhere", "/health"])
def test_every_page_shows_the_failure_of_the_last_run(recorded_runs: RecordedRuns, path: str) -> None:
    recorded_runs.record("last-run", "FAILED", ("extract", "FAILED"))
    app = create_app(recorded_runs.lake, load({}, environ={}))
    client = TestClient(app, base_url="http://127.0.0.1")
    html = client.get(path).text.split('id="health"')[1].split("</aside>")[0]
    assert 'href="/runs/last-run"><strong>Last run failed</strong>' in html
    assert "last-run ended with &lt;b&gt;FAILED" in html
    assert "Not scheduled" in html


def test_a_healthy_lake_shows_the_age_of_its_data(client: TestClient) -> None:
    html = client.get("/runs").text
    assert '<aside id="health" class="health"' in html
    assert "Data as of <time" in html
    assert (
        client.get("/health", headers={"HX-Request": "true", "HX-Target": "health"}).text.strip().startswith("<aside")
    )
