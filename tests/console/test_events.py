"""The page and the API of events and alerts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.console.conftest import EVIL
from tests.events.any_events import AnyEventLog

from brewhouse.console.app import create_app
from brewhouse.console.event_list import PAGE_ROWS
from brewhouse.events.envelope import ALERT_FAILED, CHECK, RUN, SCHEDULE
from brewhouse.lake.lake import Lake
from brewhouse.settings import Settings

KEYS = {"id", "time", "level", "kind", "run", "job", "message", "detail"}


@pytest.fixture
def eventful(tmp_path: Path) -> tuple[TestClient, Lake]:
    """A console of a lake with a few events, one of them hostile."""
    lake = Lake(tmp_path / "lake")
    AnyEventLog(lake, "R1").write(RUN, {"workflow": "breweries", "message": EVIL, "note": "</pre><b>"})
    AnyEventLog(lake, "R1").write(CHECK, {"jobName": "transform", "severity": "ERROR", "message": "1 check failed"})
    AnyEventLog(lake, "").write(SCHEDULE, {"state": "ON", "message": "the schedule is on"})
    AnyEventLog(lake, "R1").write(ALERT_FAILED, {"severity": "WARN", "message": "mail refused"})
    return TestClient(create_app(lake, Settings()), base_url="http://127.0.0.1"), lake


def test_the_newest_events_are_listed_first_in_pages(client: TestClient) -> None:
    first = client.get("/api/v1/events").json()
    assert set(first) == {"events", "total", "page", "pages"}
    assert all(set(event) == KEYS for event in first["events"])
    assert first["pages"] == -(-first["total"] // PAGE_ROWS)
    pages = [client.get(f"/api/v1/events?page={page + 1}").json() for page in range(first["pages"])]
    times = [event["time"] for page in pages for event in page["events"]]
    assert len(times) == first["total"]
    assert times == sorted(times, reverse=True)
    assert client.get("/api/v1/events?page=1000").json()["page"] == first["pages"]


def test_events_are_filtered_by_run_level_kind_and_day(client: TestClient) -> None:
    total = client.get("/api/v1/events").json()["total"]
    run = client.get("/api/v1/runs").json()["runs"][0]["run"]
    of_run = client.get("/api/v1/events", params={"run": run}).json()
    assert {event["run"] for event in of_run["events"]} == {run}
    assert 0 < of_run["total"] < total
    published = client.get("/api/v1/events?kind=published").json()["events"]
    assert {event["kind"] for event in published} == {"Brewhouse Tables Published"}
    assert client.get("/api/v1/events?until=2000-01-01").json()["total"] == 0


def test_the_page_keeps_its_filters_in_the_form_and_in_the_links(client: TestClient) -> None:
    run = client.get("/api/v1/runs").json()["runs"][0]["run"]
    html = client.get("/events", params={"run": run, "level": "INFO", "kind": "", "since": "2020-01-01"}).text
    assert f'<input id="run" name="run" value="{run}"' in html
    assert 'name="since" type="date" value="2020-01-01"' in html
    assert f'href="/runs/{run}"' in html
    selected = client.get("/events?kind=check&level=WARN&until=2030-01-01").text
    assert '<option value="check" selected>Checks</option>' in selected
    assert '<option value="WARN" selected>warning</option>' in selected


def test_links_to_other_pages_keep_the_filters(eventful: tuple[TestClient, Lake]) -> None:
    client, lake = eventful
    for _ in range(PAGE_ROWS * 2):
        AnyEventLog(lake, "R2").write(RUN, {"message": "again"})
    first, second, last = (client.get(f"/events?run=R2&page={page}").text for page in (1, 2, 3))
    assert 'rel="next" href="/events?run=R2&amp;page=2"' in first
    assert "Page 1 of 2" in first
    assert 'rel="prev"' not in first
    assert 'rel="prev" href="/events?run=R2&amp;page=1"' in second
    assert 'rel="next"' not in second
    assert "Page 2 of 2" in last


def test_an_empty_form_lists_everything(eventful: tuple[TestClient, Lake]) -> None:
    client, _ = eventful
    assert "4 events" in client.get("/events?since=&until=&kind=&level=INFO&run=").text


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("level=ERROR", ["1 check failed"]),
        ("level=WARN", ["mail refused", "1 check failed"]),
        ("kind=schedule", ["the schedule is on"]),
        ("kind=alert&run=R1", ["mail refused"]),
        ("kind=alert&run=R2", []),
    ],
)
def test_the_page_shows_the_matching_events(eventful: tuple[TestClient, Lake], query: str, shown: list[str]) -> None:
    client, _ = eventful
    html = client.get(f"/events?{query}").text
    assert re.findall(r"<summary>([^<]*)</summary>", html) == shown
    assert ("No events match these filters." in html) == (not shown)


def test_messages_and_details_are_escaped(eventful: tuple[TestClient, Lake]) -> None:
    client, _ = eventful
    html = client.get("/events").text
    assert EVIL not in html
    assert "&lt;script&gt;" in html
    assert "</pre><b>" not in html


def test_a_new_event_is_listed_at_once(eventful: tuple[TestClient, Lake]) -> None:
    client, lake = eventful
    assert client.get("/api/v1/events").json()["total"] == 4
    written = AnyEventLog(lake, "R3").write(RUN, {"message": "new"})
    newest = client.get("/api/v1/events").json()["events"][0]
    assert newest == {
        "id": written.id,
        "time": written.time,
        "level": "INFO",
        "kind": RUN,
        "run": "R3",
        "job": "",
        "message": "new",
        "detail": written.detail,
    }
