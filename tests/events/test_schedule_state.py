"""The state of the schedule: kept in events, of any process, on a local lake and on S3."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from brewhouse.console.event_feed import EventFeed
from brewhouse.events.event import archive_events, read_events
from brewhouse.events.schedule_state import claim, schedule_state, switch
from brewhouse.lake.lake import Lake

DUE = datetime(2026, 8, 2, 6, tzinfo=UTC)


def test_a_due_time_is_claimed_once_even_after_its_day_is_archived(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    assert [claim(lake, DUE, DUE), claim(lake, DUE, DUE + timedelta(minutes=1))] == [True, False]
    assert claim(lake, DUE + timedelta(hours=1), DUE + timedelta(hours=1))
    archive_events(lake)
    assert schedule_state(read_events(lake)).since == DUE + timedelta(hours=1)


def test_the_last_switch_counts_and_what_was_due_before_it_is_settled(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    assert schedule_state(read_events(lake)).is_on
    switch(lake, is_on=True, cron="0 6 * * *", time_zone="Europe/Berlin")
    switch(lake, is_on=False)
    known = schedule_state(read_events(lake))
    assert (known.is_on, known.cron, known.time_zone) == (False, "0 6 * * *", "Europe/Berlin")
    before = datetime.now(UTC)
    switch(lake, is_on=True)
    known = schedule_state(read_events(lake))
    assert (known.is_on, known.cron) == (True, "0 6 * * *")
    assert known.since is not None
    assert known.since >= before


def test_two_consoles_of_a_lake_on_s3_claim_a_due_time_once(shared_lake: Lake) -> None:
    assert [claim(shared_lake, DUE, DUE), claim(shared_lake, DUE, DUE)] == [True, False]
    assert schedule_state(EventFeed(shared_lake).events()).since == DUE
