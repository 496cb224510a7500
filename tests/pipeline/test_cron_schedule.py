"""When the workflow is due: once for each due time, at most one catch-up, right when the clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from brewhouse.errors import UsageError
from brewhouse.events.schedule_state import ScheduleState
from brewhouse.pipeline.cron_schedule import CronSchedule, due, latest, parse_schedule, upcoming

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo")
CRONS = (
    "0 6 * * *",
    "30 2 * * *",
    "*/20 * * * *",
    "0,30 1-3 * * *",
    "15 */6 * * *",
    "0 0 1 * *",
    "5 4 * * mon,FRI",
    "0 1 13 * 5",
)

plans = st.builds(lambda cron, zone: CronSchedule(cron, ZoneInfo(zone)), st.sampled_from(CRONS), st.sampled_from(ZONES))
changes_of_clocks = st.sampled_from(
    [datetime(2026, *day, tzinfo=UTC) for day in ((3, 8), (3, 29), (4, 4), (10, 3), (10, 25), (11, 1))]
)
moments = st.builds(
    lambda day, offset: day + offset, changes_of_clocks, st.timedeltas(timedelta(days=-1), timedelta(days=1))
)


def until(plan: CronSchedule, begin: datetime, end: datetime) -> list[datetime]:
    return list(takewhile(lambda moment: moment.astimezone(UTC) <= end, upcoming(plan, begin)))


def plan(cron: str, zone: str = "UTC") -> CronSchedule:
    read = parse_schedule(cron, zone)
    assert read is not None
    return read


@given(plans, moments, st.lists(st.timedeltas(timedelta(0), timedelta(days=2)), min_size=1, max_size=5))
def test_a_due_time_is_acted_on_once_and_of_the_missed_ones_only_the_newest(
    plan: CronSchedule, begin: datetime, pauses: list[timedelta]
) -> None:
    known, now = ScheduleState(since=begin), begin
    for pause in pauses:
        now += pause
        missed = until(plan, known.since or begin, now)
        moment = due(plan, known, now)
        assert moment == (missed[-1] if missed else None)
        if moment is not None:
            known = ScheduleState(since=moment.astimezone(UTC))
        assert due(plan, known, now) is None


@given(plans, moments, st.timedeltas(timedelta(0), timedelta(days=1)))
@example(
    plan("*/20 * * * *", "Australia/Lord_Howe"), datetime(2026, 4, 4, tzinfo=UTC), timedelta(0)
)  # half an hour twice
def test_due_times_do_not_depend_on_the_time_of_the_check(
    plan: CronSchedule, begin: datetime, later: timedelta
) -> None:
    end = begin + timedelta(days=2)
    every = until(plan, begin, end)
    assert [moment.astimezone(UTC) for moment in every] == sorted({moment.astimezone(UTC) for moment in every})
    assert until(plan, begin + later, end) == [moment for moment in every if moment.astimezone(UTC) > begin + later]
    assert latest(plan, begin, end) == (every[-1] if every else None)


@given(st.sampled_from(ZONES), moments, st.times())
def test_a_daily_time_is_due_once_a_day_through_clock_changes(zone: str, begin: datetime, at: time) -> None:
    there = ZoneInfo(zone)
    at = at.replace(second=0, microsecond=0, fold=0)
    daily = plan(f"{at.minute} {at.hour} * * *", zone)
    first = next(upcoming(daily, begin))
    for number, moment in enumerate(islice(upcoming(daily, begin), 5)):
        assert moment.astimezone(UTC) == on_the_clock(first.date() + timedelta(days=number), at, there)


def on_the_clock(day: date, at: time, zone: ZoneInfo) -> datetime:
    """The moment when a clock first shows a time; when it skips it, the moment after the gap."""
    wanted = datetime.combine(day, at)
    moment = wanted.replace(tzinfo=zone).astimezone(UTC)
    while moment.astimezone(zone).replace(tzinfo=None) < wanted:
        moment += timedelta(minutes=1)
    back = moment - timedelta(minutes=1)
    while back.astimezone(zone).replace(tzinfo=None) >= wanted:
        moment, back = back, back - timedelta(minutes=1)
    return moment


def test_an_interval_continues_through_a_repeated_hour() -> None:
    often = plan("*/20 * * * *", "Europe/Berlin")
    begin = datetime(2026, 10, 24, 23, 59, tzinfo=UTC)
    found = [moment.astimezone(UTC) for moment in until(often, begin, begin + timedelta(hours=4))]
    assert {after - before for before, after in pairwise(found)} == {timedelta(minutes=20)}


def test_a_new_schedule_and_one_that_is_off_are_not_due() -> None:
    daily = plan("0 6 * * *")
    now = datetime(2026, 8, 2, 7, tzinfo=UTC)
    assert due(daily, ScheduleState(), now) is None
    yesterday = now - timedelta(days=1)
    assert due(daily, ScheduleState(since=yesterday, is_on=False), now) is None
    assert due(daily, ScheduleState(since=yesterday), now) == datetime(2026, 8, 2, 6, tzinfo=UTC)


def test_a_rare_due_time_missed_long_ago_is_found() -> None:
    leap_day = plan("0 0 29 2 *")
    assert latest(leap_day, datetime(2000, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)) == datetime(
        2024, 2, 29, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("cron", "zone", "said"),
    [
        ("0 6 * *", "UTC", "4 fields"),
        ("0 0 6 * * *", "UTC", "6 fields"),
        ("0 25 * * *", "UTC", "hour"),
        ("0 0 30 2 *", "UTC", "day"),
        ("every day", "UTC", "2 fields"),
        ("0 6 * * *", "Mars/Olympus", "Mars/Olympus"),
        ("0 6 * * *", "../../etc/passwd", "Unknown time zone"),
        ("0 6 * * *", "", "Unknown time zone"),
    ],
)
def test_an_invalid_schedule_is_rejected_with_the_reason(cron: str, zone: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_schedule(cron, zone)


def test_without_a_cron_there_is_no_schedule() -> None:
    assert parse_schedule("", "UTC") is None
