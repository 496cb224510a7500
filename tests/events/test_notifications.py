"""Notifications: sent once per receiver and incident by real channels, recorded as events, never failing a run."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from brewhouse.events import notifications
from brewhouse.events.details import JobEnded, JobStarted, Level, RunEnded, RunStarted
from brewhouse.events.envelope import ALERT_FAILED, ALERT_SENT
from brewhouse.events.event import EventLog, EventReader, read_events
from brewhouse.events.notifications import Outcome, notify, send_test
from brewhouse.lake.lake import Lake
from brewhouse.settings import AlertSettings, Secret

if TYPE_CHECKING:
    from tests.conftest import Receiver

NOON = datetime(2026, 8, 2, 12, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def alerts(*urls: str, **changes: object) -> AlertSettings:
    return AlertSettings(urls=tuple(Secret(url) for url in urls), **changes)  # type: ignore[arg-type]  # its fields


def hook(receiver: Receiver, path: str = "hook") -> str:
    return f"{receiver.url.replace('http', 'json')}/{path}"


def run(lake: Lake, run_id: str, state: str = "FAILED") -> None:
    """Write the events of a run whose extract ended in a state."""
    severity: Level = "INFO" if state == "SUCCEEDED" else "ERROR"
    log = EventLog(lake, run_id)
    log.emit(RunStarted(job_name="breweries", workflow="breweries", jobs=["extract"]))
    log.emit(JobStarted(job_name="extract"))
    log.emit(JobEnded(job_name="extract", state=state, severity=severity, message="why", seconds=1.0))
    log.emit(
        RunEnded(job_name="breweries", workflow="breweries", state=state, severity=severity, message="why", seconds=1.0)
    )


def titles(receiver: Receiver, path: str = "/hook") -> list[str]:
    return [json.loads(body)["title"] for where, body in receiver.requests if where == path]


def test_an_incident_is_reported_once_and_its_end_once(lake: Lake, receiver: Receiver) -> None:
    for number, state in enumerate(("FAILED", "FAILED", "SUCCEEDED", "SUCCEEDED")):
        run(lake, f"R{number}", state)
        for _ in range(2):
            notify(lake, alerts(hook(receiver)), now=NOON)
    assert titles(receiver) == ["Brewhouse: extract failed", "Brewhouse: the breweries workflow has recovered"]


def test_the_outcome_and_the_event_of_a_sent_message(lake: Lake, receiver: Receiver) -> None:
    run(lake, "R1")
    assert notify(lake, alerts(hook(receiver)), now=NOON) == [
        Outcome(kind="failed", subject="Brewhouse: extract failed", receiver="json://…")
    ]
    (event,) = [event for event in read_events(lake) if event.detail_type == ALERT_SENT]
    assert event.run == "R1"
    assert event.detail["incidents"] == ["breweries:R1"]
    assert "hook" not in json.dumps(event.detail)


def test_each_receiver_gets_its_own_message(lake: Lake, receiver: Receiver) -> None:
    run(lake, "R1")
    notify(lake, alerts(hook(receiver, "a")), now=NOON)
    notify(lake, alerts(hook(receiver, "a"), hook(receiver, "b")), now=NOON)
    assert (len(titles(receiver, "/a")), len(titles(receiver, "/b"))) == (1, 1)


def test_a_refused_message_is_an_event_and_is_sent_by_the_next_attempt(lake: Lake, receiver: Receiver) -> None:
    run(lake, "R1")
    receiver.status = 500
    (refused,) = notify(lake, alerts(hook(receiver)), now=NOON)
    assert refused.error.startswith("Failed to send a message to json://…")
    assert [event.detail["kind"] for event in read_events(lake) if event.detail_type == ALERT_FAILED] == ["failed"]
    receiver.status = 200
    assert [outcome.error for outcome in notify(lake, alerts(hook(receiver)), now=NOON)] == [""]


@pytest.mark.parametrize(
    "settings", [{}, {"quiet_hours": "11:00-13:00"}, {"kinds": ("late", "drift")}], ids=["no urls", "quiet", "kinds"]
)
def test_nothing_is_sent_without_a_reason(lake: Lake, receiver: Receiver, settings: dict[str, object]) -> None:
    run(lake, "R1")
    urls = [hook(receiver)] if settings else []
    assert notify(lake, alerts(*urls, **settings), now=NOON) == []
    assert receiver.requests == []


def test_what_still_holds_after_quiet_hours_is_sent_then(lake: Lake, receiver: Receiver) -> None:
    settings = alerts(hook(receiver), quiet_hours="11:00-13:00")
    run(lake, "R1")
    assert notify(lake, settings, now=NOON) == []
    assert len(notify(lake, settings, now=NOON.replace(hour=13))) == 1


def test_a_reader_that_knows_the_events_sees_what_other_processes_sent(lake: Lake, receiver: Receiver) -> None:
    run(lake, "R1")
    reader = EventReader(lake)
    assert reader.read()
    notify(lake, alerts(hook(receiver)), now=NOON)
    assert notify(lake, alerts(hook(receiver)), now=NOON, reader=reader) == []


def _notify(root: Path, url: str) -> None:
    notify(Lake(root), alerts(url), now=NOON)


def test_concurrent_processes_send_a_message_once(lake: Lake, receiver: Receiver) -> None:
    run(lake, "R1")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_notify, args=(lake.root, hook(receiver))) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert len(titles(receiver)) == 1


def test_a_process_that_hangs_while_it_sends_does_not_block_the_others(
    lake: Lake, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "_LOCK_TIMEOUT_S", 0.1)
    run(lake, "R1")
    with (lake.root / "alerts.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert len(notify(lake, alerts(hook(receiver)), now=NOON)) == 1


def test_a_test_message_goes_to_every_receiver(lake: Lake, receiver: Receiver) -> None:
    outcomes = send_test(lake, alerts(hook(receiver, "a"), hook(receiver, "b")))
    assert [(outcome.kind, outcome.error) for outcome in outcomes] == [("test", ""), ("test", "")]
    assert titles(receiver, "/a") == titles(receiver, "/b") == ["Brewhouse: test message"]


def test_the_links_of_a_message_are_commands_for_this_lake(tmp_path: Path, receiver: Receiver) -> None:
    lake = Lake(tmp_path / "my lake")
    run(lake, "R1")
    notify(lake, alerts(hook(receiver)), now=NOON)
    text = json.loads(receiver.requests[0][1])["message"]
    assert f"Run: brewhouse show R1 --lake '{lake.root}'" in text
    assert f"Log: brewhouse logs R1 --lake '{lake.root}'" in text


def test_a_receiver_that_answers_too_late_is_notified_twice_and_of_the_recovery(lake: Lake, receiver: Receiver) -> None:
    settings = alerts(f"{hook(receiver)}?rto=0.1")
    receiver.answers.clear()
    for number in range(4):
        run(lake, f"R{number}")
        notify(lake, settings, now=NOON)
    assert titles(receiver) == ["Brewhouse: extract failed"] * 2
    receiver.answers.set()
    run(lake, "R4", "SUCCEEDED")
    for _ in range(2):
        notify(lake, settings, now=NOON)
    assert titles(receiver)[2:] == ["Brewhouse: the breweries workflow has recovered"]


def test_a_receiver_that_answered_too_late_once_is_notified_of_the_recovery(lake: Lake, receiver: Receiver) -> None:
    settings = alerts(f"{hook(receiver)}?rto=0.1")
    receiver.answers.clear()
    run(lake, "R1")
    notify(lake, settings, now=NOON)
    receiver.answers.set()
    run(lake, "R2", "SUCCEEDED")
    notify(lake, settings, now=NOON)
    assert titles(receiver) == ["Brewhouse: extract failed", "Brewhouse: the breweries workflow has recovered"]


def test_a_receiver_that_is_down_is_notified_when_it_is_up_however_long_that_takes(
    lake: Lake, receiver: Receiver
) -> None:
    run(lake, "R1")
    receiver.status = 503
    for _ in range(4):
        notify(lake, alerts(hook(receiver)), now=NOON)
    receiver.status = 200
    assert [outcome.error for outcome in notify(lake, alerts(hook(receiver)), now=NOON)] == [""]


def test_a_url_that_is_listed_twice_is_one_receiver(lake: Lake, receiver: Receiver) -> None:
    url = hook(receiver)
    urls = (url, url.replace("json", "JSON"), f" {url}/", url.replace("hook", "%68ook"), hook(receiver, "Hook"))
    run(lake, "R1")
    notify(lake, alerts(*urls), now=NOON)
    assert [path for path, _ in receiver.requests] == ["/hook", "/Hook"]
    assert len(send_test(lake, alerts(*urls))) == 2
