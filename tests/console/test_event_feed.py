"""What happened, kept in memory: every event once, whatever becomes of its file."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from brewhouse.console.event_feed import EventFeed
from brewhouse.events.event import EventLog, read_events
from brewhouse.events.event_archive import archive_events
from brewhouse.events.event_types import RUN
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import LockInfo

GOING = LockInfo("R1", "2026-08-02T06:00:00+00:00", 1)


def test_what_happens_is_known_at_once_and_stays_known_when_it_is_archived(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    happened = EventFeed(lake)
    assert happened.events() == []
    for number in range(5):
        EventLog(lake, "R1").write(RUN, {"workflow": "breweries", "message": str(number)})
        assert happened.events() == read_events(lake)
    assert archive_events(lake, datetime.now(UTC) + timedelta(days=1)) == 1
    assert happened.events() == read_events(lake) == EventFeed(lake).events()


def test_a_folder_that_did_not_change_is_not_listed_again(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    EventLog(lake, "R1").write(RUN, {"workflow": "breweries"})
    (day,) = lake.events.iterdir()
    long_ago = time.time() - 3600
    os.utime(day, (long_ago, long_ago))
    happened = EventFeed(lake)
    assert len(happened.events()) == 1
    EventLog(lake, "R1").write(RUN, {"workflow": "breweries"})
    os.utime(day, (long_ago, long_ago))
    assert len(happened.events()) == 1
    os.utime(day)
    assert len(happened.events()) == 2


def test_a_run_is_going_while_it_holds_the_lock_even_before_it_says_so(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    happened = EventFeed(lake)
    assert [(report.run, report.state) for report in happened.reports(GOING)] == [("R1", "RUNNING")]
    EventLog(lake, "R1").write(RUN, {"workflow": "breweries", "jobs": ["extract"]})
    report = happened.report("R1", GOING)
    assert report is not None
    assert (report.state, report.planned) == ("RUNNING", ["extract"])
    assert [report.state for report in happened.reports(None)] == ["INTERRUPTED"]
    assert happened.report("R2", None) is None


def test_what_is_known_never_lacks_what_happened_before_it(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    happened = EventFeed(lake)

    def tell() -> None:
        for number in range(1500):
            EventLog(lake, "R1").write(RUN, {"number": number})

    telling = threading.Thread(target=tell)
    telling.start()
    while telling.is_alive():
        known = [event.detail["number"] for event in happened.events()]
        assert known == list(range(len(known)))
    telling.join()
    assert len(happened.events()) == 1500
