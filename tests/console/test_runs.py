"""The pages of the runs: the list, one run, starting, retrying, stopping, and the schedule."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient
from tests.console.conftest import EVIL, served
from tests.mock_api.server import MockApiServer

from brewhouse.console.app import create_app
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import run_lock
from brewhouse.mock_api.dataset import generate
from brewhouse.settings import ScheduleSettings, Settings

if TYPE_CHECKING:
    from playwright.sync_api import Page

LIVE = {"HX-Request": "true", "HX-Target": "live"}


@pytest.fixture
def source() -> Iterator[MockApiServer]:
    with MockApiServer(generate(60), faults=["slow_s=0.1"]) as stand_in:
        yield stand_in


@pytest.fixture
def settings(source: MockApiServer) -> Settings:
    """Of runs that take long enough to be looked at, and fail at once when the source does."""
    return Settings(
        source_url=source.url,
        per_page_rows=10,
        concurrency=1,
        max_attempts=1,
        schedule=ScheduleSettings(cron="0 6 * * *", time_zone="Europe/Berlin"),
    )


@pytest.fixture
def fresh(tmp_path: Path, settings: Settings) -> Iterator[TestClient]:
    """The console of a lake in which nothing ever ran."""
    with TestClient(create_app(Lake(tmp_path / "lake"), settings), base_url="http://127.0.0.1") as client:
        yield client


def ended(client: TestClient, run: str) -> dict[str, Any]:
    for _ in range(600):
        view: dict[str, Any] = client.get(f"/api/v1/runs/{run}").json()
        if view["row"]["state"] != "RUNNING":
            return view
        time.sleep(0.05)
    raise AssertionError("the run does not end")


def test_the_runs_are_listed_newest_first_and_filtered(client: TestClient) -> None:
    runs = client.get("/api/v1/runs").json()
    assert [run["state"] for run in runs["runs"]] == ["SUCCEEDED", "SUCCEEDED"]
    assert runs["runs"][0]["run"] > runs["runs"][1]["run"]
    assert client.get("/api/v1/runs", params={"state": "FAILED"}).json()["total"] == 0
    html = client.get("/runs").text
    assert all(run["run"] in html for run in runs["runs"])
    assert "No run is in this state." in client.get("/runs?state=FAILED&page=7").text


def test_a_run_shows_its_jobs_checks_drift_and_log(client: TestClient) -> None:
    view = client.get("/api/v1/runs/last").json()
    assert [(job["name"], job["state"]) for job in view["jobs"]] == [
        ("extract", "SUCCEEDED"),
        ("transform", "SUCCEEDED"),
        ("aggregate", "SUCCEEDED"),
    ]
    assert view["jobs"][0]["counts"]["records"] == 400
    assert {check["table"] for check in view["checks"]} >= {"silver.breweries", "gold.breweries_by_location"}
    assert view["can_retry"] is False
    log = client.get("/api/v1/runs/last/log").json()
    assert "model silver.breweries" in [line["message"] for line in log]
    html = client.get("/runs/last").text
    assert "Stop" not in html
    assert "hx-trigger" not in html, "what is over is not asked for again"
    assert EVIL not in html


def test_a_run_that_nobody_knows_is_not_found(client: TestClient) -> None:
    assert client.get("/runs/../../etc/passwd").status_code == 404
    assert client.get("/runs/*").status_code == 404
    assert client.get("/api/v1/runs/01M86S0HRYNVZC9Z6QFJS11KAA").json().keys() == {"error", "hint"}


def test_what_did_not_change_is_not_sent_again(client: TestClient) -> None:
    page = client.get("/runs").text
    seen = page.partition("seen=")[2].partition('"')[0]
    asked = {"HX-Request": "true", "HX-Target": "list"}
    assert client.get(f"/runs?seen={seen}", headers=asked).status_code == 204
    changed = client.get("/runs?seen=other", headers=asked)
    assert changed.text.lstrip().startswith('<div id="list"')


def test_before_the_first_run_the_page_says_what_to_do(fresh: TestClient) -> None:
    assert "Nothing has run yet" in fresh.get("/runs").text
    assert "Nada foi executado ainda" in fresh.get("/runs", headers={"Accept-Language": "pt"}).text
    assert fresh.get("/runs/last").status_code == 404


def test_the_schedule_is_shown_and_switched(fresh: TestClient) -> None:
    shown = fresh.get("/api/v1/schedule?count=3").json()
    assert (shown["cron"], shown["time_zone"], shown["is_on"]) == ("0 6 * * *", "Europe/Berlin", True)
    assert [moment[10:16] for moment in shown["next"]] == ["T06:00"] * 3
    switched = fresh.post("/schedule", data={"state": "off"})
    assert "Switch on" in switched.text
    assert fresh.get("/api/v1/schedule").json()["next"] == []
    assert fresh.put("/api/v1/schedule", json={"is_on": True}).json()["is_on"] is True


def test_a_run_is_started_and_fails_with_its_reason(fresh: TestClient, source: MockApiServer) -> None:
    source.inject("status=500")
    started = fresh.post("/api/v1/runs")
    assert started.status_code == 202
    failed = ended(fresh, started.json()["run"])
    assert (failed["row"]["state"], failed["can_retry"]) == ("FAILED", True)
    assert [job["state"] for job in failed["jobs"]] == ["FAILED", "SKIPPED", "SKIPPED"]
    html = fresh.get(f"/runs/{failed['row']['run']}").text
    assert "Why it ended" in html
    assert "status 500" in html


def test_one_run_at_a_time_and_who_runs_is_named(fresh: TestClient, tmp_path: Path) -> None:
    with run_lock(Lake(tmp_path / "lake"), "R1"):
        refused = fresh.post("/api/v1/runs")
        assert refused.status_code == 409
        assert "R1" in refused.json()["error"]
        assert "One run at a time" in fresh.post("/runs").text
        assert "R1" in fresh.get("/runs").text
        assert fresh.get("/runs/R1").status_code == 200
    assert fresh.post("/api/v1/runs/R1/stop").status_code == 400


def test_another_site_cannot_start_a_run(fresh: TestClient) -> None:
    assert fresh.post("/runs", headers={"Origin": "https://evil.example"}).status_code == 403


def test_a_run_is_watched_stopped_and_retried_in_the_page(
    page: Page, tmp_path: Path, settings: Settings, source: MockApiServer
) -> None:
    with served(create_app(Lake(tmp_path / "lake"), settings)) as url:
        source.inject("slow_s=1")
        page.goto(f"{url}/runs")
        page.get_by_role("button", name="Run now").click()
        page.get_by_text("pages", exact=False).first.wait_for()
        page.locator("#live progress").wait_for()
        page.get_by_role("button", name="Stop").click()
        page.locator(".heading .badge", has_text="stopped").wait_for()
        source.inject("slow_s=0.1")
        page.get_by_role("button", name="Retry").click()
        page.locator(".heading .badge", has_text="running").wait_for()
        page.locator(".heading .badge", has_text="succeeded").wait_for()
        assert page.locator(".timeline .badge", has_text="succeeded").count() == 3
        source.inject("status=500")
        page.get_by_role("button", name="Run now").click()
        page.locator(".notice.bad", has_text="status 500").wait_for()
        page.get_by_role("link", name="All runs").click()
        assert page.locator("#list tbody tr").count() == 3
        page.get_by_role("button", name="Switch off").click()
        page.get_by_role("button", name="Switch on").wait_for()
