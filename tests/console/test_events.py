"""The page of alerts and events, and its filters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi.testclient import TestClient

from brewhouse.console.event_list import PAGE_ROWS, EventFilter, list_events
from brewhouse.events.event import Event
from brewhouse.events.event_types import ALERT_SENT, JOB
from brewhouse.ids import new_id

BEGIN = datetime(2020, 1, 1, tzinfo=UTC)


def event(number: int, **detail: Any) -> Event:  # noqa: ANN401 - facts of any kind
    time = (BEGIN + timedelta(hours=number)).isoformat()
    kind = ALERT_SENT if number % 10 == 0 else JOB
    severity = "WARN" if number % 4 == 0 else "INFO"
    return Event(id=new_id(), detail_type=kind, time=time, detail={"runId": "R", "severity": severity, **detail})


def test_the_newest_come_first_a_page_at_a_time(client: TestClient) -> None:
    found = client.get("/api/v1/events").json()
    times = [event["time"] for event in found["events"]]
    assert times == sorted(times, reverse=True)
    assert found["pages"] == -(-found["total"] // PAGE_ROWS)
    assert client.get("/api/v1/events?page=1000").json()["page"] == found["pages"]


def test_they_are_filtered_by_run_level_kind_and_day(client: TestClient) -> None:
    everything = client.get("/api/v1/events").json()["total"]
    run = client.get("/api/v1/runs").json()["runs"][0]["run"]
    of_run = client.get("/api/v1/events", params={"run": run}).json()
    assert {event["run"] for event in of_run["events"]} == {run}
    assert 0 < of_run["total"] < everything
    published = client.get("/api/v1/events?kind=published").json()["events"]
    assert {event["kind"] for event in published} == {"Brewhouse Tables Published"}
    assert client.get("/api/v1/events?until=2000-01-01").json()["total"] == 0
    assert client.get("/events?since=&until=&kind=&level=ERROR&run=").status_code == 200
    assert client.get("/events?since=yesterday").status_code == 422


def test_ten_thousand_events_are_filtered_exactly() -> None:
    events = [event(number) for number in range(10_000)]
    wanted = EventFilter(kind="alert", level="WARN", since=(BEGIN + timedelta(days=1)).date())
    found = list_events(events, wanted, 2)
    assert found.total == len([number for number in range(24, 10_000) if number % 20 == 0])
    assert found.events[0].time < list_events(events, wanted, 1).events[-1].time
