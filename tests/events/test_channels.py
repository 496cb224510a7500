"""Messages and pings go out to real receivers, and an address with its secrets is never shown."""

from __future__ import annotations

import json
import sys
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from brewhouse.errors import install_command
from brewhouse.events.channels import DeliveryFailed, hidden, send, send_heartbeat
from brewhouse.events.details import RunEnded, RunStarted
from brewhouse.events.envelope import ALERT_FAILED, ALERT_SENT
from brewhouse.events.event import EventLog, read_events
from brewhouse.events.notifications import HeartbeatPinger, send_test, warn_of_missing_library
from brewhouse.lake.lake import Lake
from brewhouse.settings import AlertSettings, Secret

if TYPE_CHECKING:
    from tests.conftest import Inbox, Receiver

DOWN = "127.0.0.1:1"


def test_a_mail_arrives_with_subject_and_text(inbox: Inbox) -> None:
    send(inbox.url, "Brewhouse: extract failed", "Why: ü & <b>\nsecond line\n")
    assert inbox.subjects == ["Brewhouse: extract failed"]
    assert inbox.text(0).strip() == "Why: ü & <b>\nsecond line"


def test_a_web_hook_gets_the_message(receiver: Receiver) -> None:
    send(receiver.url.replace("http", "json") + "/hook", "subject", "body")
    ((path, sent),) = receiver.requests
    assert path == "/hook"
    assert (json.loads(sent)["title"], json.loads(sent)["message"]) == ("subject", "body")


@pytest.mark.parametrize(
    "url", [f"json://{DOWN}/hooks/t0ken", f"mailto://me:t0ken@{DOWN}?mode=insecure", "slack://t0ken", "", "t0ken"]
)
def test_a_failed_delivery_is_an_error_without_the_secret(url: str) -> None:
    with pytest.raises(DeliveryFailed) as failure:
        send(url, "subject", "body")
    assert "Failed to send a message to" in str(failure.value)
    assert "t0ken" not in str(failure.value)


@pytest.mark.parametrize("ending", ["", "/start", "/fail"])
def test_a_heartbeat_calls_the_url_with_its_suffix(receiver: Receiver, ending: str) -> None:
    send_heartbeat(f"{receiver.url}/abc-123/", ending, "why")
    assert receiver.requests == [(f"/abc-123{ending}", b"why")]


def test_the_credentials_of_a_heartbeat_url_are_sent_as_such(receiver: Receiver) -> None:
    send_heartbeat(receiver.url.replace("://", "://joe:s3%40cret@") + "/abc", "")
    assert receiver.requests == [("/abc", b"")]
    assert receiver.logins == [f"Basic {b64encode(b'joe:s3@cret').decode()}"]


@pytest.mark.parametrize("url", [f"http://{DOWN}/s3cret-id", "file:///etc/s3cret", "http://s3cret host/", "s3cret"])
def test_a_failed_heartbeat_is_an_error_without_the_secret(url: str) -> None:
    with pytest.raises(DeliveryFailed) as failure:
        send_heartbeat(url, "/start")
    assert "s3cret" not in str(failure.value)


def emit_run(lake: Lake, url: Secret, state: str) -> None:
    """Emit the start and the end of a run that sends heartbeats."""
    events = EventLog(lake, "R1", [HeartbeatPinger(lake, url, "R1").listen])
    events.emit(RunStarted(workflow="breweries", jobs=["extract"]))
    events.emit(RunEnded(workflow="breweries", state=state, message="the end", seconds=1.0))


def test_a_refused_heartbeat_is_an_event_and_does_not_fail_the_run(
    tmp_path: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.status = 500
    emit_run(Lake(tmp_path), Secret(f"{receiver.url}/s3cret-id"), "SUCCEEDED")
    events = [event for event in read_events(Lake(tmp_path)) if event.detail_type == ALERT_FAILED]
    assert len(events) == 2
    assert all("HTTP Error 500" in event.detail["message"] for event in events)
    written = b"".join(file.read_bytes() for file in tmp_path.rglob("*.json")).decode() + capsys.readouterr().err
    assert "s3cret" not in written


def test_a_stopped_run_sends_no_heartbeat(tmp_path: Path, receiver: Receiver) -> None:
    emit_run(Lake(tmp_path), Secret(f"{receiver.url}/id"), "STOPPED")
    assert [path for path, _ in receiver.requests] in ([], ["/id/start"])


def test_every_receiver_is_tried_even_if_one_is_down(
    tmp_path: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = (Secret(f"json://{DOWN}/s3cret"), Secret(receiver.url.replace("http", "json")))
    outcomes = send_test(Lake(tmp_path), AlertSettings(urls=urls))
    assert [bool(outcome.error) for outcome in outcomes] == [True, False]
    assert [event.detail_type for event in read_events(Lake(tmp_path))] == [ALERT_FAILED, ALERT_SENT]
    assert "s3cret" not in capsys.readouterr().err
    assert len(receiver.requests) == 1


def test_without_apprise_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(DeliveryFailed, match=r"pip install .*\[alerts\]"):
        send("json://example.org", "subject", "body")


def test_without_apprise_a_run_warns_before_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    warn_of_missing_library(AlertSettings(urls=(Secret("json://s3cret"),)))
    assert capsys.readouterr().err == ""
    monkeypatch.setitem(sys.modules, "apprise", None)
    warn_of_missing_library(AlertSettings())
    assert capsys.readouterr().err == ""
    warn_of_missing_library(AlertSettings(urls=(Secret("json://s3cret"),)))
    said = capsys.readouterr().err
    assert install_command("alerts") in said
    assert "s3cret" not in said


def test_an_encoded_secret_is_hidden_in_both_forms() -> None:
    text = hidden("denied: p%40ssword, p@ssword", "mailto://me:p%40ssword@example.org")
    assert "ssword" not in text
