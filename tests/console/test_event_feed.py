"""The cached events of a lake: each one once, in order, whatever happens to its file."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.console.conftest import RecordedRuns
from tests.events.any_events import AnyEventLog

from brewhouse.console import event_feed
from brewhouse.console.event_feed import EventFeed
from brewhouse.events.envelope import CHECK, JOB, RUN, SCHEDULE, Event
from brewhouse.events.event import archive_events, read_events
from brewhouse.ids import id_at
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import LockInfo

LOCK = LockInfo("R1", "2026-08-02T06:00:00+00:00", 1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def write_event(lake: Lake, at: datetime, event_type: str = RUN, **detail: object) -> Event:
    """Write an event of an earlier time, as an archive or another process does."""
    number = len(list(lake.events.glob("*/*.json"))) if lake.events.is_dir() else 0
    event = Event(id=id_at(at, f"{number:010}".encode()), detail_type=event_type, time=at.isoformat(), detail=detail)
    lake.store.put(f"events/date={at.date()}/{event.id}.json", event.encode(), mode="create")
    return event


def eventually(is_true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not is_true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_new_events_are_known_at_once_and_stay_known_when_archived(lake: Lake) -> None:
    feed = EventFeed(lake)
    assert feed.events() == []
    for number in range(5):
        AnyEventLog(lake, "R1").write(RUN, {"workflow": "breweries", "message": str(number)})
        assert feed.events() == read_events(lake)
    assert archive_events(lake, datetime.now(UTC) + timedelta(days=1)) == 1
    assert feed.events() == read_events(lake) == EventFeed(lake).events()
    AnyEventLog(lake, "R1").write(RUN, {"message": "after the archive"})
    assert len(feed.events()) == 6


def test_an_unchanged_folder_is_not_listed_again(lake: Lake) -> None:
    AnyEventLog(lake, "R1").write(RUN, {"workflow": "breweries"})
    (day,) = lake.events.iterdir()
    an_hour_ago = time.time() - 3600
    os.utime(day, (an_hour_ago, an_hour_ago))
    feed = EventFeed(lake)
    assert len(feed.events()) == 1
    AnyEventLog(lake, "R1").write(RUN, {"workflow": "breweries"})
    os.utime(day, (an_hour_ago, an_hour_ago))
    assert len(feed.events()) == 1
    os.utime(day)
    assert len(feed.events()) == 2


def test_a_file_is_read_once(lake: Lake) -> None:
    written = AnyEventLog(lake, "R1").write(RUN, {"message": "first"})
    feed = EventFeed(lake)
    assert len(feed.events()) == 1
    (file,) = lake.events.glob("*/*.json")
    file.write_bytes(replace(written, id="changed").encode())
    AnyEventLog(lake, "R1").write(RUN, {"message": "second"})
    assert [event.detail["message"] for event in feed.events()] == ["first", "second"]
    assert feed.events()[0].id == written.id


def test_unreadable_and_foreign_files_are_skipped(lake: Lake) -> None:
    written = AnyEventLog(lake, "R1").write(RUN, {"workflow": "breweries"})
    (day,) = lake.events.iterdir()
    (day / "broken.json").write_bytes(b'{"id": "half')
    (day / "binary.json").write_bytes(b"\xff\xfe")
    (day / "empty.json").touch()
    (day / "notes.txt").write_text("not an event")
    (lake.events / "README").write_text("not a day")
    assert [event.id for event in EventFeed(lake).events()] == [written.id]


def test_a_file_that_is_deleted_after_its_listing_is_skipped(lake: Lake) -> None:
    written = AnyEventLog(lake, "R1").write(RUN, {"workflow": "breweries"})
    (day,) = lake.events.iterdir()
    gone = day / "00000000000000000000000000.json"
    gone.symlink_to(day / "nothing")
    feed = EventFeed(lake)
    assert [event.id for event in feed.events()] == [written.id]
    gone.unlink()
    later = AnyEventLog(lake, "R1").write(RUN, {"state": "SUCCEEDED"})
    assert [event.id for event in feed.events()] == [written.id, later.id]


def test_events_in_the_lake_and_of_each_run_are_sorted_even_if_older_ones_appear_later(lake: Lake) -> None:
    now = datetime.now(UTC)
    end = write_event(lake, now, runId="R1", workflow="breweries", state="SUCCEEDED", seconds=60)
    feed = EventFeed(lake)
    assert feed.events() == [end]
    start = write_event(lake, now - timedelta(minutes=1), runId="R1", workflow="breweries", state="RUNNING")
    assert feed.events() == [start, end]
    report = feed.report("R1", None)
    assert report is not None
    assert (report.state, report.started_at) == ("SUCCEEDED", start.time)


def test_an_earlier_result_of_the_feed_does_not_change(lake: Lake) -> None:
    AnyEventLog(lake, "R1").write(RUN, {"workflow": "breweries"})
    feed = EventFeed(lake)
    events = feed.events()
    AnyEventLog(lake, "R1").write(RUN, {"workflow": "breweries"})
    assert len(feed.events()) == 2
    assert len(events) == 1


def test_the_run_that_holds_the_lock_is_running_even_before_its_first_event(lake: Lake) -> None:
    feed = EventFeed(lake)
    assert [(report.run, report.state) for report in feed.reports(LOCK)] == [("R1", "RUNNING")]
    assert feed.reports(None) == []
    AnyEventLog(lake, "R1").write(RUN, {"workflow": "breweries", "jobs": ["extract"]})
    report = feed.report("R1", LOCK)
    assert report is not None
    assert (report.state, report.planned) == ("RUNNING", ["extract"])
    assert [report.state for report in feed.reports(None)] == ["INTERRUPTED"]
    assert feed.report("R2", None) is feed.report("", LOCK) is None


def test_runs_keep_their_order_when_a_clock_was_ahead(lake: Lake) -> None:
    for number, day in enumerate(("2062-05-14", "2026-08-02")):
        event = {
            "id": f"A{number}",
            "detail-type": RUN,
            "time": f"{day}T00:00:00+00:00",
            "detail": {"runId": f"R{number}"},
        }
        folder = lake.events / f"date={day}"
        folder.mkdir(parents=True)
        (folder / f"A{number}.json").write_text(json.dumps(event))
    assert [report.run for report in EventFeed(lake).reports(None)] == ["R1", "R0"]


def test_every_state_is_reported_newest_first(recorded_runs: RecordedRuns) -> None:
    reports = EventFeed(recorded_runs.lake).reports(None)
    assert [report.run for report in reports] == list(recorded_runs.states)[::-1]
    assert {report.run: report.state for report in reports} == recorded_runs.states


def test_a_report_follows_the_events_of_its_run(lake: Lake) -> None:
    feed, log = EventFeed(lake), AnyEventLog(lake, "R1")
    states = []
    for event_type, detail in (
        (RUN, {"workflow": "breweries", "jobs": ["extract"]}),
        (JOB, {"jobName": "extract"}),
        (JOB, {"jobName": "extract", "state": "FAILED", "seconds": 1, "message": "no network"}),
        (RUN, {"state": "FAILED", "seconds": 2, "message": "no network"}),
    ):
        log.write(event_type, detail)
        report = feed.report("R1", LOCK)
        assert report is not None
        states.append((report.state, *(job.state for job in report.jobs)))
    assert states == [
        ("RUNNING",),
        ("RUNNING", "RUNNING"),
        ("RUNNING", "FAILED"),
        ("FAILED", "FAILED"),
    ]


def test_an_unchanged_report_is_not_computed_again(recorded_runs: RecordedRuns) -> None:
    feed = EventFeed(recorded_runs.lake)
    assert feed.report("failed-run", None) is feed.report("failed-run", None)


def test_a_run_of_another_scheduler_is_interrupted_after_an_hour_without_events(lake: Lake) -> None:
    feed = EventFeed(lake)
    almost_an_hour_ago = datetime.now(UTC) - timedelta(hours=1) + timedelta(seconds=0.5)
    write_event(lake, almost_an_hour_ago, runId="R1", workflow="breweries", workflowRunId="wr_1", state="RUNNING")

    def state() -> str:
        report = feed.report("R1", None)
        return report.state if report else ""

    assert state() in {"RUNNING", "INTERRUPTED"}
    assert eventually(lambda: state() == "INTERRUPTED")


def test_events_without_a_run_and_runs_without_a_start_are_not_runs(lake: Lake) -> None:
    AnyEventLog(lake, "").write(SCHEDULE, {"state": "ON"})
    AnyEventLog(lake, "R1").write(CHECK, {"checks": []})
    feed = EventFeed(lake)
    assert feed.reports(None) == []
    assert len(feed.events()) == 2


def test_no_event_is_missing_before_a_known_one_while_a_run_writes(lake: Lake) -> None:
    feed = EventFeed(lake)

    def write() -> None:
        for number in range(400):
            AnyEventLog(lake, "R1").write(RUN, {"number": number})

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        known = [event.detail["number"] for event in feed.events()]
        assert known == list(range(len(known)))
    writer.join()
    assert len(feed.events()) == 400


def test_readers_see_every_event_while_another_process_archives(lake: Lake) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    feeds = [EventFeed(lake) for _ in range(3)]
    counts: dict[int, list[int]] = {number: [] for number in range(len(feeds))}
    is_over = threading.Event()
    failures: list[BaseException] = []

    def read(number: int) -> None:
        try:
            while not is_over.is_set():
                counts[number].append(len(feeds[number].events()))
        except BaseException as error:  # noqa: BLE001 - reported by the test
            failures.append(error)

    readers = [threading.Thread(target=read, args=(number,)) for number in counts]
    for reader in readers:
        reader.start()
    for _ in range(10):
        for number in range(20):
            AnyEventLog(lake, "R1").write(RUN, {"number": number})
        archive_events(lake, tomorrow)
    is_over.set()
    for reader in readers:
        reader.join()
    assert not failures
    assert all(seen == sorted(seen) for seen in counts.values()), "a known event is never lost"
    assert [len(feed.events()) for feed in feeds] == [200] * 3


def test_a_lake_on_s3_is_listed_again_after_some_seconds(shared_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_feed, "_S3_LISTING_INTERVAL_S", 3600)
    feed = EventFeed(shared_lake)
    AnyEventLog(shared_lake, "R1").write(RUN, {"workflow": "breweries"})
    assert len(feed.events()) == 1
    AnyEventLog(shared_lake, "R1").write(RUN, {"workflow": "breweries", "state": "SUCCEEDED"})
    assert len(feed.events()) == 1, "S3 is not listed for every request"
    monkeypatch.setattr(event_feed, "_S3_LISTING_INTERVAL_S", 0)
    assert len(feed.events()) == 2
    assert [report.state for report in feed.reports(None)] == ["SUCCEEDED"]
