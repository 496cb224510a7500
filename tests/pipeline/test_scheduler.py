"""The scheduler: one run for each due time, however often it is asked, restarted or doubled."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from tests.conftest import Receiver
from tests.events.any_events import AnyEventLog
from tests.mock_api.server import MockApiServer

from brewhouse.events.envelope import RUN, SCHEDULE
from brewhouse.events.event import read_events
from brewhouse.events.schedule_state import schedule_state, switch
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import holder, run_lock
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.cron_schedule import CronSchedule, upcoming
from brewhouse.pipeline.run_launcher import RunLauncher
from brewhouse.pipeline.scheduler import Scheduler
from brewhouse.settings import AlertSettings, Secret, SecretUrl, Settings

DAILY = CronSchedule("0 6 * * *", ZoneInfo("Europe/Berlin"))
NOBODY = AlertSettings()
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


class Runs:
    """Stands for runs that end at once.

    Attributes:
        started: How many were started.
    """

    def __init__(self) -> None:
        self.started = 0

    def start(self) -> str:
        self.started += 1
        return f"R{self.started}"


def test_a_due_time_starts_a_run_of_the_workflow(lake: Lake) -> None:
    due = next(upcoming(DAILY, datetime.now(UTC)))
    with MockApiServer(generate(20)) as source:
        one = Scheduler(lake, DAILY, RunLauncher(lake, Settings(source_url=SecretUrl(source.url))).start, NOBODY)
        assert one.step(due - MINUTE) is None
        run = one.step(due)
        while holder(lake) is not None:
            time.sleep(0.02)
    ended = [
        event.run for event in read_events(lake) if event.detail_type == RUN and event.detail["state"] == "SUCCEEDED"
    ]
    assert ended == [run]


def test_each_due_time_starts_one_run_and_only_the_newest_missed_one_is_made_up_for(lake: Lake) -> None:
    runs = Runs()
    due = next(upcoming(DAILY, datetime.now(UTC))).astimezone(UTC)
    first = Scheduler(lake, DAILY, runs.start, NOBODY)
    assert [first.step(due - MINUTE), first.step(due - MINUTE)] == [None, None], "a new schedule has missed nothing"
    started = first.step(due)
    assert (started, runs.started) == ("R1", 1)
    assert first.step(due) is None
    restarted = Scheduler(lake, DAILY, runs.start, NOBODY)
    assert restarted.step(due + MINUTE) is None, "a restart repeats nothing"
    caught_up = Scheduler(lake, DAILY, runs.start, NOBODY).step(due + 3 * DAY + 5 * MINUTE)
    assert (caught_up, runs.started) == ("R2", 2)
    assert first.step(due + 3 * DAY + 5 * MINUTE) is None, "another console acted on it"
    claims = [event.detail for event in read_events(lake) if event.detail.get("state") == "STARTED"]
    assert [detail["due"] for detail in claims] == [due.isoformat(), (due + 3 * DAY).isoformat()]
    assert "5 minutes late" in claims[-1]["message"]


def test_a_clock_that_was_ahead_does_not_silence_the_schedule(lake: Lake) -> None:
    runs = Runs()
    due = next(upcoming(DAILY, datetime.now(UTC)))
    one = Scheduler(lake, DAILY, runs.start, NOBODY)
    one.step(due - MINUTE)
    assert one.step(due + 9999 * DAY) is not None
    for scheduler in (one, Scheduler(lake, DAILY, runs.start, NOBODY)):  # the clock is right again
        scheduler.step(due - MINUTE)
    assert one.step(due + MINUTE) is not None
    assert runs.started == 2


def test_a_due_time_waits_for_the_running_run(lake: Lake) -> None:
    runs = Runs()
    due = next(upcoming(DAILY, datetime.now(UTC)))
    one = Scheduler(lake, DAILY, runs.start, NOBODY)
    one.step(due - MINUTE)
    with run_lock(lake, "R1"):
        assert one.step(due) is None
    started = one.step(due + MINUTE)
    assert (started, runs.started) == ("R1", 1)


def test_nothing_is_started_while_the_schedule_is_off_nor_made_up_for(lake: Lake) -> None:
    runs = Runs()
    due = next(upcoming(DAILY, datetime.now(UTC)))
    one = Scheduler(lake, DAILY, runs.start, NOBODY)
    one.step(due - MINUTE)
    switch(lake, is_on=False)
    assert one.step(due) is None
    assert Scheduler(lake, DAILY, runs.start, NOBODY).step(due + MINUTE) is None, "a restart leaves it off"
    assert runs.started == 0
    switch(lake, is_on=True)
    started = one.step(due + DAY)
    assert (started, runs.started) == ("R1", 1)


def test_a_changed_schedule_starts_now(lake: Lake) -> None:
    runs = Runs()
    now = datetime.now(UTC)
    Scheduler(lake, DAILY, runs.start, NOBODY).step(now)
    hourly = CronSchedule("0 * * * *", ZoneInfo("UTC"))
    assert Scheduler(lake, hourly, runs.start, NOBODY).step(now + DAY) is None, (
        "what was due before it was set is not missed"
    )
    known = schedule_state(read_events(lake))
    assert (known.cron, known.time_zone) == ("0 * * * *", "UTC")


def test_a_run_that_cannot_be_started_is_recorded(lake: Lake, tmp_path: Path) -> None:
    due = next(upcoming(DAILY, datetime.now(UTC)))
    one = Scheduler(lake, DAILY, RunLauncher(lake, Settings(models=tmp_path / "none")).start, NOBODY)
    one.step(due - MINUTE)
    assert one.step(due) is None
    warnings = [event.detail for event in read_events(lake) if event.detail_type == SCHEDULE and event.level == "WARN"]
    assert ["could not be started" in detail["message"] for detail in warnings] == [True]


def test_a_late_workflow_is_reported(lake: Lake, receiver: Receiver) -> None:
    for state in ("RUNNING", "SUCCEEDED"):
        AnyEventLog(lake, "R1").write(RUN, {"workflow": "breweries", "state": state})
    alerts = AlertSettings(urls=(Secret(receiver.url.replace("http", "json")),), late_after_hours=26)
    watching = Scheduler(lake, None, Runs().start, alerts)
    now = datetime.now(UTC)
    for moment in (now, now + 26 * timedelta(hours=1), now + 27 * timedelta(hours=1), now + 28 * timedelta(hours=1)):
        watching.step(moment)
    assert [b"is late" in body for _, body in receiver.requests] == [True]


def test_the_scheduler_runs_in_a_thread_until_it_is_stopped(lake: Lake) -> None:
    runs = Runs()
    going = Scheduler(lake, DAILY, runs.start, NOBODY)
    going.start()
    going.stop()
    assert schedule_state(read_events(lake)).cron == DAILY.cron
