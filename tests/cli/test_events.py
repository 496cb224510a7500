"""`brewhouse events`, `logs`, `alerts`, and the log as JSON lines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.events.event import EventLog
from brewhouse.events.event_types import RUN
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate

if TYPE_CHECKING:
    from tests.cli.conftest import Call
    from tests.conftest import Inbox


def test_events_are_listed_newest_last_up_to_the_limit(call: Call, full: Path) -> None:
    lines = call("events", "--lake", full, "--limit", 3).out.splitlines()
    assert len(lines) == 3
    assert lines[-1].endswith("succeeded")


def test_events_of_a_run_and_a_level_are_json_lines(call: Call, full: Path) -> None:
    output = call("events", "--lake", full, "--run", "last", "--level", "warn", "--json").out.splitlines()
    events = [json.loads(line) for line in output]
    assert events
    assert {event["detail"]["severity"] for event in events} <= {"WARN", "ERROR"}
    assert len({event["detail"]["runId"] for event in events}) == 1


def test_following_prints_new_events(tmp_path: Path) -> None:
    log = EventLog(Lake(tmp_path), "R1")
    log.write(RUN, {"message": "the first"})
    command = [sys.executable, "-m", "brewhouse", "events", "--follow", "--lake", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
    assert process.stdout is not None
    assert process.stdout.readline().endswith("the first\n")
    log.write(RUN, {"message": "the second"})
    assert process.stdout.readline().endswith("the second\n")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20)[0] == ""


def test_the_log_of_a_run_and_of_one_job(call: Call, full: Path) -> None:
    whole = call("logs", "last", "--lake", full).out.splitlines()
    transform = call("logs", "last", "transform", "--lake", full, "--json").out.splitlines()
    assert len(whole) > len(transform) > 3
    assert {json.loads(line)["job"] for line in transform} == {"transform"}


def test_an_unknown_run_is_wrong_usage(call: Call, full: Path) -> None:
    assert call("logs", "nonsense", "--lake", full).code == 2


def test_a_run_shows_its_log_as_json_lines(call: Call, tmp_path: Path) -> None:
    with MockApiServer(generate(100)) as source:
        output = call("run", "--lake", tmp_path / "lake", "--source-url", source.url, "--log-format", "json")
    lines = [json.loads(line) for line in output.err.splitlines()]
    assert {"time", "level", "run", "message", "logger"} <= lines[0].keys()
    assert lines[-1]["message"].endswith("succeeded")


def test_a_test_message_is_sent(call: Call, tmp_path: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("alerts", "test", "--lake", tmp_path).code == 2
    monkeypatch.setenv("BREWHOUSE_ALERTS_URLS", inbox.url)
    output = call("alerts", "test", "--lake", tmp_path)
    assert (output.code, inbox.subjects) == (0, ["Brewhouse: a test"])
    assert "127.0.0.1" not in output.out
    assert call("alerts", "check", "--lake", tmp_path).out.strip() == "No messages are due."


def test_a_check_alerts_once_about_a_late_workflow(
    call: Call, full: Path, tmp_path: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    lake = tmp_path / "lake"
    shutil.copytree(full, lake)
    monkeypatch.setenv("BREWHOUSE_ALERTS_URLS", inbox.url)
    monkeypatch.setenv("BREWHOUSE_ALERTS_LATE_AFTER_HOURS", "0.0000001")
    for _ in range(2):
        assert call("alerts", "check", "--lake", lake).code == 0
    assert inbox.subjects == ["Brewhouse: the breweries workflow is late"]
