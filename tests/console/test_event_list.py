"""Filters and pages of the list of events."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from brewhouse.console.event_list import KINDS, PAGE_ROWS, EventList, EventQuery, list_events
from brewhouse.events import envelope
from brewhouse.events.envelope import ALERT_FAILED, ALERT_SENT, CHECK, JOB, LEVELS, RUN, SCHEDULE, Event

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
    first = list_events(events, query)
    pages = [list_events(events, query.model_copy(update={"page": page + 1})) for page in range(first.pages)]
    assert [each for page in pages for each in ids(page)] == expected
    assert first.total == len(expected)


def test_ten_thousand_events_are_filtered_exactly() -> None:
    events = [
        event(number, ALERT_SENT if number % 10 == 0 else JOB, "WARN" if number % 4 == 0 else "INFO")
        for number in range(10_000)
    ]
    query = EventQuery(kind="alert", level="WARN", since=date(2026, 8, 2), page=2)
    found = list_events(events, query)
    assert found.total == len([number for number in range(24, 10_000) if number % 20 == 0])
    assert found.events[0].time < list_events(events, query.model_copy(update={"page": 1})).events[-1].time


def test_every_event_type_belongs_to_one_kind_and_every_kind_can_be_selected() -> None:
    assert sorted(event_type for types in KINDS.values() for event_type in types) == sorted(TYPES)
    assert set(get_args(EventQuery.model_fields["kind"].annotation)) == {"", *KINDS}
    assert get_args(EventQuery.model_fields["level"].annotation) == LEVELS


def test_failed_and_sent_alerts_are_one_kind() -> None:
    events = [event(1, ALERT_SENT), event(2, ALERT_FAILED), event(3, SCHEDULE), event(4, RUN)]
    assert ids(list_events(events, EventQuery(kind="alert"))) == ["00000002", "00000001"]


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
    assert list_events(events, query).total == count


@pytest.mark.parametrize(("total", "pages"), [(0, 1), (1, 1), (PAGE_ROWS, 1), (PAGE_ROWS + 1, 2)])
def test_a_page_past_the_end_becomes_the_last(total: int, pages: int) -> None:
    events = [event(number) for number in range(total)]
    found = list_events(events, EventQuery(page=99))
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
    (shown,) = list_events([event(1, CHECK, "WARN", "R", **detail)], EventQuery()).events
    assert (shown.message, shown.job) == (message, job)
    assert (shown.kind, shown.level, shown.run) == (CHECK, "WARN", "R")
    assert shown.detail["severity"] == "WARN"


def test_an_unknown_level_counts_as_info() -> None:
    events = [event(1, level="FATAL"), event(2, level="ERROR")]
    assert [shown.level for shown in list_events(events, EventQuery()).events] == ["ERROR", "INFO"]
    assert ids(list_events(events, EventQuery(level="ERROR"))) == ["00000002"]


def test_spaces_around_a_run_id_are_ignored() -> None:
    assert list_events([event(1, run="R1"), event(2, run="R10")], EventQuery(run="  R1 ")).total == 1


@pytest.mark.parametrize(
    "query",
    [{"level": "LOUD"}, {"kind": "party"}, {"since": "yesterday"}, {"page": 0}, {"page": 10**7}, {"run": "x" * 201}],
)
def test_an_invalid_filter_is_rejected(query: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EventQuery.model_validate(query)
