"""Pages and API of the runs: the list, a run in each state, start, retry, stop, and the schedule."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient
from tests.console.conftest import EVIL, RecordedRuns, served
from tests.events.any_events import AnyEventLog
from tests.mock_api.server import MockApiServer

from brewhouse.console.app import create_app
from brewhouse.events.envelope import CHECK, DRIFT, JOB, PUBLISHED, RUN, SCHEDULE
from brewhouse.events.event import read_events
from brewhouse.events.run_reports import ENDED
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import holder, run_lock
from brewhouse.mock_api.dataset import generate
from brewhouse.settings import ScheduleSettings, SecretUrl, Settings

if TYPE_CHECKING:
    from playwright.sync_api import Page

RUN_KEYS = {"run", "workflow", "state", "started_at", "seconds", "jobs", "error", "trigger"}
JOB_KEYS = {"name", "state", "message", "seconds", "counts", "raw_snapshot", "expired_runs"} | {
    *("begin", "length", "done", "total", "doing")
}
CHECK_KEYS = {"job", "table", "name", "severity", "passed", "found", "example"}


def htmx(target: str) -> dict[str, str]:
    return {"HX-Request": "true", "HX-Target": target}


@pytest.fixture
def source() -> Iterator[MockApiServer]:
    with MockApiServer(generate(60), faults=["slow_s=0.1"]) as server:
        yield server


@pytest.fixture
def settings(source: MockApiServer) -> Settings:
    """Settings of runs that take long enough to be watched, and fail at once when the source does."""
    return Settings(
        source_url=SecretUrl(source.url),
        per_page_rows=10,
        concurrency=1,
        max_attempts=1,
        schedule=ScheduleSettings(cron="0 6 * * *", time_zone="Europe/Berlin"),
    )


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def fresh(lake: Lake, settings: Settings) -> Iterator[TestClient]:
    """The console of a lake without runs."""
    with TestClient(create_app(lake, settings), base_url="http://127.0.0.1", follow_redirects=False) as client:
        yield client


@pytest.fixture
def recorded(recorded_runs: RecordedRuns) -> TestClient:
    """The console of a lake with a run in every state."""
    return TestClient(create_app(recorded_runs.lake, Settings()), base_url="http://127.0.0.1")


def wait_for(client: TestClient, run: str, is_reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while True:
        view: dict[str, Any] = client.get(f"/api/v1/runs/{run}").json()
        if "row" in view and is_reached(view):
            return view
        assert time.monotonic() < deadline, view
        time.sleep(0.05)


def is_in_progress(view: dict[str, Any]) -> bool:
    return any(job["done"] for job in view["jobs"])


def wait_for_end(client: TestClient, run: str) -> dict[str, Any]:
    return wait_for(client, run, lambda view: view["row"]["state"] != "RUNNING")


def test_runs_are_listed_newest_first_and_filtered(client: TestClient) -> None:
    runs = client.get("/api/v1/runs").json()
    assert set(runs) == {"runs", "total", "page", "pages"}
    assert [set(run) for run in runs["runs"]] == [RUN_KEYS] * 2
    assert [run["state"] for run in runs["runs"]] == ["SUCCEEDED", "SUCCEEDED"]
    assert runs["runs"][0]["run"] > runs["runs"][1]["run"]
    assert client.get("/api/v1/runs", params={"state": "FAILED"}).json()["total"] == 0
    html = client.get("/runs").text
    assert all(run["run"] in html for run in runs["runs"])
    assert "No runs in this state." in client.get("/runs?state=FAILED&page=7").text


def test_a_run_shows_its_jobs_checks_tables_and_log(client: TestClient) -> None:
    view = client.get("/api/v1/runs/last").json()
    assert set(view) == {"row", "jobs", "checks", "drift", "published", "can_retry", "retried_jobs"}
    assert set(view["row"]) == RUN_KEYS
    assert [set(job) for job in view["jobs"]] == [JOB_KEYS] * 3
    assert all(set(check) == CHECK_KEYS for check in view["checks"])
    assert [(job["name"], job["state"]) for job in view["jobs"]] == [
        ("extract", "SUCCEEDED"),
        ("transform", "SUCCEEDED"),
        ("aggregate", "SUCCEEDED"),
    ]
    assert view["jobs"][0]["counts"]["records"] == 400
    assert {check["table"] for check in view["checks"]} >= {"silver.breweries", "gold.breweries_by_location"}
    assert {table["table"] for table in view["published"]} >= {"silver.breweries"}
    assert view["can_retry"] is False
    html = client.get("/runs/last").text
    assert "checks passed" in html
    assert "Stop" not in html
    assert 'hx-get="/runs/' not in html, "a finished run is not polled"
    assert EVIL not in html


def test_the_log_has_the_promised_keys_and_no_others(client: TestClient) -> None:
    log = client.get("/api/v1/runs/last/log").json()
    assert all(set(line) == {"time", "level", "job", "message", "traceback"} for line in log)
    assert "model silver.breweries" in [line["message"] for line in log]
    assert {line["job"] for line in log} == {"", "extract", "transform", "aggregate"}


@pytest.mark.parametrize(
    "path", ["/runs/../../etc/passwd", "/runs/*", "/runs/%2e%2e", "/runs/01M86S0HRYNVZC9Z6QFJS11KAA"]
)
def test_an_unknown_run_is_not_found(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == client.get(f"/api/v1{path}").status_code == 404


@pytest.mark.parametrize(("path", "target"), [("/runs", "list"), ("/runs/last", "live")])
def test_an_unchanged_page_is_not_sent_again(client: TestClient, path: str, target: str) -> None:
    lines = len(client.get("/api/v1/runs/last/log").json())
    events = client.get("/api/v1/events").json()["total"]
    version = f"{events}." if target == "list" else f"{events}.{lines}.SUCCEEDED"
    assert client.get(path, params={"seen": version}, headers=htmx(target)).status_code == 204
    assert client.get(path, params={"seen": version}).status_code == 200
    changed = client.get(path, params={"seen": "other"}, headers=htmx(target))
    assert changed.text.lstrip().startswith(f'<div id="{target}"')


def test_before_the_first_run_the_page_says_what_a_run_does(fresh: TestClient) -> None:
    html = fresh.get("/runs").text
    assert "No runs yet" in html
    assert "The workflow fetches all breweries" in html
    assert "Run now" in html
    assert "Nenhuma execução ainda" in fresh.get("/runs", headers={"Accept-Language": "pt"}).text
    assert fresh.get("/runs/last").status_code == 404


@pytest.mark.parametrize(
    ("run", "badge", "jobs"),
    [
        ("succeeded-run", "succeeded", ["succeeded", "succeeded", "succeeded"]),
        ("failed-run", "failed", ["succeeded", "failed", "skipped"]),
        ("timed-out-run", "timed out", ["timed out", "skipped", "skipped"]),
        ("stopped-run", "stopped", ["stopped", "skipped", "skipped"]),
        ("interrupted-run", "interrupted", ["interrupted", "skipped", "skipped"]),
        ("external-run", "running", ["succeeded", "waiting", "waiting"]),
    ],
)
def test_a_run_is_shown_in_its_state(recorded: TestClient, run: str, badge: str, jobs: list[str]) -> None:
    html = recorded.get(f"/runs/{run}").text
    assert re.findall(r'<span class="badge [a-z]*">([^<]*)</span>', html) == [badge, *jobs]
    is_running, can_retry = badge == "running", badge not in {"running", "succeeded"}
    assert (f'action="/runs/{run}/stop"' in html) is is_running
    assert (f'action="/runs/{run}/retry"' in html) is can_retry
    assert ('hx-trigger="every 1s"' in html) is is_running
    assert ("Reason" in html) is (run in {"failed-run", "timed-out-run"})
    assert "<b>" not in html
    assert "No log yet." in html


def test_the_list_has_every_state_and_a_tab_for_each(recorded: TestClient, recorded_runs: RecordedRuns) -> None:
    html = recorded.get("/runs").text
    for run in recorded_runs.states:
        assert f'href="/runs/{run}"' in html
    for state in ("RUNNING", "SUCCEEDED", "FAILED", "STOPPED", "INTERRUPTED"):
        assert f'href="/runs?state={state}"' in html
        shown = recorded.get(f"/runs?state={state}").text
        of_state = {run for run, run_state in recorded_runs.states.items() if run_state == state}
        assert set(re.findall(r'id="run-([^"]*)"', shown)) == of_state
        assert f'href="/runs?state={state}" aria-current="true"' in shown
        listed = recorded.get("/api/v1/runs", params={"state": state}).json()["runs"]
        assert {row["run"] for row in listed} == of_state


def test_many_runs_are_listed_in_pages(recorded: TestClient, recorded_runs: RecordedRuns) -> None:
    for number in range(30):
        recorded_runs.record(f"run-{number}", "SUCCEEDED")
    first = recorded.get("/runs?state=SUCCEEDED").text
    assert first.count('id="run-') == 25
    assert 'rel="next" href="/runs?state=SUCCEEDED&amp;page=2"' in first
    second = recorded.get("/api/v1/runs?state=SUCCEEDED&page=2").json()
    assert (len(second["runs"]), second["total"], second["pages"]) == (6, 31, 2)


def test_failed_checks_drift_and_tables_are_shown(recorded: TestClient, recorded_runs: RecordedRuns) -> None:
    log = AnyEventLog(recorded_runs.lake, "failed-run")
    check = {"table": "silver.breweries", "severity": "error", "passed": False, "found": 1234, "example": EVIL}
    log.write(CHECK, {"jobName": "transform", "checks": [{"name": "id is unique", **check}]})
    log.write(CHECK, {"jobName": "transform", "checks": [{"name": "warns", **check, "severity": "warning"}]})
    log.write(CHECK, {"jobName": "transform", "checks": [{"name": "passes", **check, "passed": True, "found": 0}]})
    log.write(DRIFT, {"jobName": "extract", "name": "new field", "detail": "phone2", "count": 7, "example": [EVIL]})
    log.write(PUBLISHED, {"tables": [{"table": "gold.some_table", "rows": 5678, "snapshot": "42"}]})
    html = recorded.get("/runs/failed-run").text
    for text in ("1 check passed, 1 error, 1 warning", "id is unique", "1,234", "phone2", "gold.some_table", "5,678"):
        assert text in re.sub(r"\s+", " ", html).replace(" ,", ","), text
    assert html.index("id is unique") < html.index("warns") < html.index("passes")
    assert EVIL not in html


def test_a_run_that_a_user_stopped_is_no_error(recorded: TestClient, recorded_runs: RecordedRuns) -> None:
    folder = recorded_runs.lake.logs / "date=2026-11-28"
    folder.mkdir(parents=True)
    line = {"time": "2026-11-28T20:00:00Z", "level": "ERROR", "run": "stopped-run", "message": "extract stops"}
    (folder / "stopped-run.jsonl").write_text(json.dumps({**line, "traceback": "Traceback: KeyboardInterrupt"}))
    html = recorded.get("/runs/stopped-run").text
    assert "Stopped on request" in html
    assert 'role="alert"' not in html
    assert "KeyboardInterrupt" not in html, "runs of earlier versions logged it"
    assert "stopped-run ended with" not in recorded.get("/runs?state=STOPPED").text


def test_the_page_says_what_a_retry_runs(recorded: TestClient) -> None:
    assert "Retry runs transform, aggregate again;" in recorded.get("/runs/failed-run").text
    assert recorded.get("/api/v1/runs/failed-run").json()["retried_jobs"] == ["transform", "aggregate"]
    assert "Retry runs" not in recorded.get("/runs/succeeded-run").text


def test_the_list_draws_the_durations_and_names_what_started_a_run(
    recorded: TestClient, recorded_runs: RecordedRuns
) -> None:
    recorded_runs.record("glue-run", "SUCCEEDED", trigger="glue")
    html = recorded.get("/runs").text
    strip = html.split('<section class="card strip"')[1].split("</section>")[0]
    assert strip.count("<li>") == len([state for state in recorded_runs.states.values() if state in ENDED])
    assert "AWS Glue" in html
    assert recorded.get("/api/v1/runs/glue-run").json()["row"]["trigger"] == "glue"


def test_a_long_log_is_cut_to_its_last_lines(recorded: TestClient, recorded_runs: RecordedRuns) -> None:
    folder = recorded_runs.lake.logs / "date=2026-08-02"
    folder.mkdir(parents=True)
    common = {"time": "2026-08-02T06:00:00.000Z", "level": "INFO", "run": "failed-run", "job": "extract"}
    lines = [json.dumps({**common, "message": f"line {number}"}) for number in range(400)]
    lines.append(json.dumps({**common, "level": "ERROR", "message": "<i>", "traceback": "Trace <b>"}))
    (folder / "failed-run.jsonl").write_text("\n".join([*lines, '{"time": "cut o']))
    html = recorded.get("/runs/failed-run").text
    assert "The last 300 of 401 lines" in html
    assert "line 101" in html
    assert "line 100<" not in html
    assert "Trace &lt;b&gt;" in html
    assert len(recorded.get("/api/v1/runs/failed-run/log").json()) == 401


def test_a_started_run_is_shown_until_it_succeeds(fresh: TestClient, lake: Lake) -> None:
    answer = fresh.post("/runs")
    assert answer.status_code == 303
    path = answer.headers["location"]
    run = path.removeprefix("/runs/")
    page = fresh.get(path)
    assert page.status_code == 200
    progress = wait_for(fresh, run, is_in_progress)
    assert progress["jobs"][0]["doing"].endswith("pages")
    assert f'href="/runs/{run}"' in fresh.get("/runs").text
    view = wait_for_end(fresh, run)
    assert (view["row"]["state"], view["can_retry"]) == ("SUCCEEDED", False)
    assert fresh.get("/api/v1/runs/last").json() == view
    assert fresh.post(f"/api/v1/runs/{run}/retry").status_code == 400
    while holder(lake):  # released just after the end is recorded
        time.sleep(0.05)
    assert fresh.post(f"/runs/{run}/stop").status_code == 400
    assert {event.run for event in read_events(lake) if event.detail_type in {RUN, JOB}} == {run}


def test_a_failed_run_names_its_error_and_its_retry_continues_where_it_failed(
    fresh: TestClient, source: MockApiServer
) -> None:
    source.inject("status=500")
    started = fresh.post("/api/v1/runs")
    assert (started.status_code, set(started.json())) == (202, {"run"})
    failed = wait_for_end(fresh, started.json()["run"])
    assert (failed["row"]["state"], failed["can_retry"]) == ("FAILED", True)
    assert [job["state"] for job in failed["jobs"]] == ["FAILED", "SKIPPED", "SKIPPED"]
    html = fresh.get(f"/runs/{failed['row']['run']}").text
    assert "Reason" in html
    assert "status 500" in html
    source.inject("slow_s=0")
    retried = fresh.post(f"/runs/{failed['row']['run']}/retry")
    assert retried.status_code == 303
    again = wait_for_end(fresh, retried.headers["location"].removeprefix("/runs/"))
    assert again["row"]["state"] == "SUCCEEDED"
    assert again["row"]["jobs"] == ["extract", "transform", "aggregate"]


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
def test_a_run_is_stopped_and_can_be_retried(fresh: TestClient, source: MockApiServer, prefix: str) -> None:
    source.inject("slow_s=1")
    run = fresh.post("/api/v1/runs").json()["run"]
    wait_for(fresh, run, is_in_progress)
    stopped = fresh.post(f"{prefix}/runs/{run}/stop")
    assert stopped.status_code == (202 if prefix else 303)
    view = wait_for_end(fresh, run)
    assert (view["row"]["state"], view["can_retry"]) == ("STOPPED", True)
    assert "stopped" in fresh.get(f"/runs/{run}").text
    assert fresh.post(f"{prefix}/runs/{run}/stop").status_code == 400


def test_one_run_at_a_time_and_the_page_names_it(fresh: TestClient, lake: Lake) -> None:
    with run_lock(lake, "R1"):
        rejected = fresh.post("/api/v1/runs")
        assert (rejected.status_code, set(rejected.json())) == (409, {"error", "hint"})
        assert "R1" in rejected.json()["error"]
        assert rejected.json()["hint"]
        page = fresh.post("/runs", follow_redirects=False)
        assert (page.status_code, page.headers["location"]) == (303, "/runs/R1")
        html = fresh.get("/runs").text
        assert '<a class="button primary" href="/runs/R1">Show the run in progress</a>' in html
        assert 'action="/runs"' not in html, "a second run cannot be started"
        assert 'hx-trigger="every 1s"' in html
        assert "Starting…" in fresh.get("/runs/R1").text
        assert fresh.get("/api/v1/runs/R1").json()["row"]["state"] == "RUNNING"
    assert fresh.post("/api/v1/runs/R1/stop").status_code == 404, "it left no events"
    assert 'hx-trigger="every 5s"' in fresh.get("/runs").text


def test_a_finished_run_links_to_the_one_in_progress(recorded: TestClient, recorded_runs: RecordedRuns) -> None:
    with run_lock(recorded_runs.lake, "R1"):
        html = recorded.get("/runs/failed-run").text
        assert "Run in progress" in html
        assert 'href="/runs/R1"' in html
        assert recorded.post("/api/v1/runs/failed-run/retry").status_code == 409


def test_a_run_whose_settings_are_invalid_does_not_start_and_says_why(lake: Lake) -> None:
    settings = Settings(
        source_url=SecretUrl("http://127.0.0.1:1"), max_attempts=1, schedule=ScheduleSettings(time_zone="Mars/Base")
    )
    with TestClient(create_app(lake, settings), base_url="http://127.0.0.1") as client:
        run = client.post("/api/v1/runs")
        assert run.status_code == 202
        view = wait_for_end(client, run.json()["run"])
        assert view["row"]["state"] == "FAILED"
        assert "127.0.0.1" in view["row"]["error"]


def test_the_schedule_is_shown_and_switched(fresh: TestClient, lake: Lake) -> None:
    schedule = fresh.get("/api/v1/schedule?count=3").json()
    assert set(schedule) == {"cron", "time_zone", "is_on", "next"}
    assert (schedule["cron"], schedule["time_zone"], schedule["is_on"]) == ("0 6 * * *", "Europe/Berlin", True)
    assert len(schedule["next"]) == 3
    assert all("T06:00:00+0" in due for due in schedule["next"])
    answer = fresh.post("/schedule", data={"state": "off"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs")
    html = fresh.get("/runs").text
    assert "Switch on" in html
    assert "Next runs" not in html
    switched = fresh.put("/api/v1/schedule", json={"is_on": True}).json()
    assert (switched["is_on"], len(switched["next"])) == (True, 5)
    assert "Switch off" in fresh.get("/runs").text
    recorded = [event.detail for event in read_events(lake) if event.detail_type == SCHEDULE]
    assert [detail["state"] for detail in recorded][-2:] == ["OFF", "ON"]
    assert {(detail["cron"], detail["timeZone"]) for detail in recorded} == {("0 6 * * *", "Europe/Berlin")}


@pytest.mark.parametrize("form", [{}, {"state": "maybe"}])
def test_only_on_and_off_are_states_of_the_schedule(fresh: TestClient, form: dict[str, str]) -> None:
    assert fresh.post("/schedule", data=form).status_code == 422
    assert fresh.put("/api/v1/schedule", json={"is_on": "maybe"}).status_code == 422
    assert fresh.get("/api/v1/schedule").json()["is_on"] is True


def test_without_a_schedule_the_page_says_how_to_set_one(recorded: TestClient) -> None:
    html = recorded.get("/runs").text
    assert "No schedule. Set one with <code>brewhouse serve --schedule &#34;0 6 * * *&#34;</code>" in html
    assert "Switch o" not in html
    assert recorded.get("/api/v1/schedule").json()["next"] == []


def test_a_run_is_watched_stopped_and_retried_in_the_page(
    page: Page, lake: Lake, settings: Settings, source: MockApiServer
) -> None:
    from playwright.sync_api import expect

    with served(create_app(lake, settings)) as url:
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
        expect(page.locator(".timeline .badge", has_text="succeeded")).to_have_count(3)
        source.inject("status=500")
        page.get_by_role("button", name="Run now").click()
        page.locator(".notice.bad", has_text="status 500").wait_for()
        page.get_by_role("link", name="All runs").click()
        expect(page.locator("#list tbody tr")).to_have_count(3)
        page.get_by_role("button", name="Switch off").click()
        page.get_by_role("button", name="Switch on").wait_for()
