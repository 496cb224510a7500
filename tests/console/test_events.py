"""The page and the API of events and alerts: filters and pages of the list."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.console.conftest import EVIL
from tests.events.any_events import AnyEventLog

from brewhouse.console.app import create_app
from brewhouse.console.pages.events import KINDS, PAGE_ROWS, EventList, EventQuery, select_events
from brewhouse.events import envelope
from brewhouse.events.envelope import ALERT_FAILED, ALERT_SENT, CHECK, JOB, LEVELS, RUN, SCHEDULE, Event
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


START = datetime(2026, 8, 1, tzinfo=UTC)
TYPES = [event_type for name, event_type in vars(envelope).items() if name.isupper() and isinstance(event_type, str)]


def event(
    number: int,
    event_type: str = JOB,
    level: str = "INFO",
    run: str = "R",
    at: datetime | None = None,
    **detail: object,
) -> Event:
    time = (at or START + timedelta(hours=number)).isoformat()
    facts = {"runId": run, "severity": level, **detail}
    return Event(id=f"{number:08}", detail_type=event_type, time=time, detail=facts)


def ids(found: EventList) -> list[str]:
    return [shown.id for shown in found.events]


EVENTS = st.lists(
    st.builds(
        event,
        st.integers(0, 99),
        event_type=st.sampled_from(TYPES),
        level=st.sampled_from(LEVELS),
        run=st.sampled_from(["", "A", "B"]),
    ),
    max_size=120,
)
QUERIES = st.builds(
    EventQuery,
    run=st.sampled_from(["", "A", "B", "C"]),
    level=st.sampled_from(LEVELS),
    kind=st.sampled_from(["", *KINDS]),
    since=st.none() | st.dates(date(2026, 7, 31), date(2026, 8, 6)),
    until=st.none() | st.dates(date(2026, 7, 31), date(2026, 8, 6)),
)


@given(EVENTS, QUERIES)
def test_an_event_is_listed_if_it_matches_every_filter(events: list[Event], query: EventQuery) -> None:
    def matches(each: Event) -> bool:
        day = datetime.fromisoformat(each.time).date()
        return (
            (not query.kind or each.detail_type in KINDS[query.kind])
            and LEVELS.index(each.level) >= LEVELS.index(query.level)
            and (not query.run or each.run == query.run)
            and (query.since is None or day >= query.since)
            and (query.until is None or day <= query.until)
        )

    expected = [each.id for each in reversed(events) if matches(each)]
    first = select_events(events, query)
    pages = [select_events(events, query.model_copy(update={"page": page + 1})) for page in range(first.pages)]
    assert [each for page in pages for each in ids(page)] == expected
    assert first.total == len(expected)


def test_ten_thousand_events_are_filtered_exactly() -> None:
    events = [
        event(number, ALERT_SENT if number % 10 == 0 else JOB, "WARN" if number % 4 == 0 else "INFO")
        for number in range(10_000)
    ]
    query = EventQuery(kind="alert", level="WARN", since=date(2026, 8, 2), page=2)
    found = select_events(events, query)
    assert found.total == len([number for number in range(24, 10_000) if number % 20 == 0])
    assert found.events[0].time < select_events(events, query.model_copy(update={"page": 1})).events[-1].time


def test_every_event_type_belongs_to_one_kind_and_every_kind_can_be_selected() -> None:
    assert sorted(event_type for types in KINDS.values() for event_type in types) == sorted(TYPES)
    assert set(get_args(EventQuery.model_fields["kind"].annotation)) == {"", *KINDS}
    assert get_args(EventQuery.model_fields["level"].annotation) == LEVELS


def test_failed_and_sent_alerts_are_one_kind() -> None:
    events = [event(1, ALERT_SENT), event(2, ALERT_FAILED), event(3, SCHEDULE), event(4, RUN)]
    assert ids(select_events(events, EventQuery(kind="alert"))) == ["00000002", "00000001"]


@pytest.mark.parametrize(
    ("since", "until", "count"),
    [
        (None, None, 4),
        ("2026-08-01", "2026-08-01", 2),
        ("2026-08-01", None, 3),
        (None, "2026-07-31", 1),
        ("2026-08-02", "2026-08-01", 0),
        ("", "", 4),
    ],
)
def test_days_are_whole_days_in_utc_including_both_ends(since: str | None, until: str | None, count: int) -> None:
    moments = ["2026-07-31T23:59:59.999999+00:00", "2026-08-01T00:00:00+00:00"]
    moments += ["2026-08-01T23:59:59+00:00", "2026-08-02T00:00:00+00:00"]
    events = [event(number, at=datetime.fromisoformat(moment)) for number, moment in enumerate(moments)]
    query = EventQuery.model_validate({"since": since, "until": until})
    assert select_events(events, query).total == count


@pytest.mark.parametrize(("total", "pages"), [(0, 1), (1, 1), (PAGE_ROWS, 1), (PAGE_ROWS + 1, 2)])
def test_a_page_past_the_end_becomes_the_last(total: int, pages: int) -> None:
    events = [event(number) for number in range(total)]
    found = select_events(events, EventQuery(page=99))
    assert (found.page, found.pages, found.total) == (pages, pages, total)
    assert len(found.events) == total - (pages - 1) * PAGE_ROWS


@pytest.mark.parametrize(
    ("detail", "message", "job"),
    [
        ({"message": "extract starts", "jobName": "extract"}, "extract starts", "extract"),
        ({"message": "", "jobName": "extract", "state": "WAITING"}, "extract waiting", "extract"),
        ({"state": "STOPPED"}, "stopped", ""),
        ({"jobName": None, "message": None}, "", ""),
        ({"message": 42}, "42", ""),
    ],
)
def test_an_event_without_a_message_shows_its_job_and_state(detail: dict[str, Any], message: str, job: str) -> None:
    (shown,) = select_events([event(1, CHECK, "WARN", "R", **detail)], EventQuery()).events
    assert (shown.message, shown.job) == (message, job)
    assert (shown.kind, shown.level, shown.run) == (CHECK, "WARN", "R")
    assert shown.detail["severity"] == "WARN"


def test_an_unknown_level_counts_as_info() -> None:
    events = [event(1, level="FATAL"), event(2, level="ERROR")]
    assert [shown.level for shown in select_events(events, EventQuery()).events] == ["ERROR", "INFO"]
    assert ids(select_events(events, EventQuery(level="ERROR"))) == ["00000002"]


def test_spaces_around_a_run_id_are_ignored() -> None:
    assert select_events([event(1, run="R1"), event(2, run="R10")], EventQuery(run="  R1 ")).total == 1


@pytest.mark.parametrize(
    "query",
    [{"level": "LOUD"}, {"kind": "party"}, {"since": "yesterday"}, {"page": 0}, {"page": 10**7}, {"run": "x" * 201}],
)
def test_an_invalid_filter_is_rejected(query: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EventQuery.model_validate(query)
