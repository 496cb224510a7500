"""Runs and what they report: runs, show, events, logs, alerts, schedule."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.cli.conftest import Call
from tests.events.any_events import AnyEventLog
from tests.mock_api.server import MockApiServer

from brewhouse.events.envelope import RUN
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate

if TYPE_CHECKING:
    from tests.cli.conftest import Call
    from tests.conftest import Inbox


def test_a_lake_without_runs_has_an_empty_list(call: Call, tmp_path: Path) -> None:
    assert call("runs", "--lake", tmp_path).out == "(no rows)\n"
    assert json.loads(call("runs", "--lake", tmp_path, "--json").out) == []


def test_an_unknown_run_is_wrong_usage_with_a_hint(call: Call, tmp_path: Path) -> None:
    done = call("show", "no-such-run", "--lake", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert done.err == f"brewhouse: The lake {tmp_path} has no run no-such-run. `brewhouse runs` lists them.\n"


def test_runs_are_listed_newest_first(call: Call, full: Path) -> None:
    rows = json.loads(call("runs", "--lake", full, "--json").out)
    assert [row["started_at"] for row in rows] == sorted((row["started_at"] for row in rows), reverse=True)
    text = call("runs", "--lake", full).out
    assert text.index(rows[0]["run"]) < text.index(rows[1]["run"])
    assert text.count("extract, transform, aggregate") == 2


def test_the_newest_runs_are_listed_without_reading_all_events(call: Call, full: Path, tmp_path: Path) -> None:
    shutil.copytree(full / "events", tmp_path / "events")
    for date in ("2019-12-30", "2019-12-31"):
        (tmp_path / "events" / f"date={date}").mkdir()
    (tmp_path / "events" / "date=2019-12-30" / "events.0.json").write_text("not read")
    done = call("runs", "--lake", tmp_path, "--limit", "1")
    assert done.out.splitlines()[-1] == "… older runs (--all)"
    newest = json.loads(call("runs", "--lake", full, "--json").out)[0]["run"]
    assert [line.split()[0] for line in done.out.splitlines()[2:-1]] == [newest]
    shown = call("show", newest, "--lake", tmp_path)
    assert shown.out == call("show", newest, "--lake", full).out
    assert (done.err, shown.err.count("events.0.json")) == ("", 1)  # what expired it is sought in all events
    every = call("runs", "--lake", tmp_path)
    assert every.out.count("extract, transform, aggregate") == 2
    assert "events.0.json" in every.err


@pytest.mark.parametrize("command", ["show", "runs", "tables", "history silver.breweries", "events", "logs", "changes"])
def test_what_a_command_is_asked_for_is_printed_quietly_too(call: Call, full: Path, command: str) -> None:
    done = call(*command.split(), "--lake", full, "--quiet")
    assert (done.code, done.err) == (0, "")
    assert done.out
    assert done.out == call(*command.split(), "--lake", full).out


def test_show_prints_the_last_run_by_default(call: Call, full: Path) -> None:
    last = json.loads(call("runs", "--lake", full, "--json").out)[0]["run"]
    assert call("show", "--lake", full).out == call("show", last, "--lake", full).out


def test_a_failed_run_is_shown_with_its_error(call: Call, tmp_path: Path) -> None:
    lake = ("--lake", tmp_path / "lake")
    with MockApiServer(generate(20), faults=["status=404"]) as source:
        failed = call("run", *lake, "--source-url", source.url)
    assert failed.code == 1
    out = call("show", *lake).out
    assert " failed in " in out.splitlines()[0]
    assert "error: " in out.splitlines()[1]
    (row,) = [line for line in call("runs", *lake).out.splitlines() if "failed" in line]
    assert "…" in row


def test_a_killed_run_is_shown_as_interrupted(call: Call, tmp_path: Path) -> None:
    AnyEventLog(Lake(tmp_path), "R1").write(RUN, {"state": "RUNNING", "jobName": "breweries"})
    assert json.loads(call("show", "R1", "--lake", tmp_path, "--json").out)["state"] == "INTERRUPTED"
    assert call("show", "R1", "--lake", tmp_path).out.startswith("run R1 interrupted, started ")


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
    log = AnyEventLog(Lake(tmp_path), "R1")
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
    assert (output.code, inbox.subjects) == (0, ["Brewhouse: test message"])
    assert "127.0.0.1" not in output.out
    assert call("alerts", "check", "--lake", tmp_path).out.strip() == "No messages are due."


def test_a_test_message_creates_no_lake_whether_it_is_sent_or_not(
    call: Call, tmp_path: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url, code in ((inbox.url, 0), ("json://127.0.0.1:1", 1)):
        monkeypatch.setenv("BREWHOUSE_ALERTS_URLS", url)
        assert call("alerts", "test", "--lake", tmp_path / "lake").code == code
        assert not (tmp_path / "lake").exists()
    assert inbox.subjects == ["Brewhouse: test message"]


def test_a_check_alerts_once_about_a_late_workflow(
    call: Call, copied: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BREWHOUSE_ALERTS_URLS", inbox.url)
    monkeypatch.setenv("BREWHOUSE_ALERTS_LATE_AFTER_HOURS", "0.0000001")
    for _ in range(2):
        assert call("alerts", "check", "--lake", copied).code == 0
    assert inbox.subjects == ["Brewhouse: the breweries workflow is late"]


def test_a_level_selects_events_at_least_as_severe(call: Call, full: Path) -> None:
    counts = {}
    for level in ("info", "warn", "error"):
        lines = call("events", "--lake", full, "--level", level, "--limit", 500, "--json").out.splitlines()
        counts[level] = len(lines)
    assert counts["info"] > counts["warn"] > counts["error"] == 0


def test_an_event_is_one_line_and_a_long_message_is_shortened(call: Call, tmp_path: Path) -> None:
    log = AnyEventLog(Lake(tmp_path), "R1")
    log.write(RUN, {"message": "first line\nsecond  line " + "x" * 500})
    log.write(RUN, {"jobName": "extract", "state": "RUNNING"})
    long, without_message = call("events", "--lake", tmp_path).out.splitlines()
    assert "first line second line xxx" in long
    assert long.endswith("x…")
    assert without_message.endswith("extract RUNNING")
    whole = json.loads(call("events", "--lake", tmp_path, "--json").out.splitlines()[0])
    assert whole["detail"]["message"].endswith("x" * 500)


@pytest.mark.parametrize(("command", "code"), [("events", 0), ("logs", 1)])
def test_a_lake_without_runs_has_no_events_and_no_log(call: Call, tmp_path: Path, command: str, code: int) -> None:
    done = call(command, "--lake", tmp_path)
    assert (done.code, done.out) == (code, "")
    assert not list(tmp_path.iterdir())


def test_events_of_an_unknown_run_are_wrong_usage(call: Call, full: Path) -> None:
    done = call("events", "--lake", full, "--run", "nonsense")
    assert (done.code, done.out) == (2, "")
    assert "has no run nonsense" in done.err


def test_the_log_of_a_failed_run_contains_the_error(call: Call, tmp_path: Path) -> None:
    with MockApiServer(generate(20), faults=["status=404"]) as source:
        assert call("run", "--lake", tmp_path / "lake", "--source-url", source.url).code == 1
    assert " ERROR " in call("logs", "last", "--lake", tmp_path / "lake").out
    lines = [json.loads(line) for line in call("logs", "--lake", tmp_path / "lake", "--json").out.splitlines()]
    assert "ERROR" in {line["level"] for line in lines}


def test_alerts_without_receivers_are_wrong_usage_with_the_setting(call: Call, tmp_path: Path) -> None:
    done = call("alerts", "test", "--lake", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert "alerts.urls is empty" in done.err
    assert "docs/alerts.md" in done.err


def test_a_check_of_a_missing_lake_is_an_error(call: Call, tmp_path: Path) -> None:
    done = call("alerts", "check", "--lake", tmp_path / "none")
    assert (done.code, done.out) == (1, "")
    assert (
        done.err
        == f"brewhouse: The lake {tmp_path / 'none'} does not exist. Check --lake, or run `brewhouse run` first.\n"
    )


def test_messages_that_cannot_be_sent_are_counted_and_fail(
    call: Call, tmp_path: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BREWHOUSE_ALERTS_URLS", f"{inbox.url} no-such-service://x")
    done = call("alerts", "test", "--lake", tmp_path, "--json")
    assert done.code == 1
    assert "brewhouse: Failed to send 1 of 2 messages. Fix the errors above." in done.err
    assert sorted(bool(outcome["error"]) for outcome in json.loads(done.out)) == [False, True]
    text = call("alerts", "test", "--lake", tmp_path).out
    assert "sent" in text
    assert "no-such-service://…" in text


def test_the_next_runs_are_shown_in_their_time_zone(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "No schedule is set" in call("schedule").out
    Path("brewhouse.toml").write_text('[schedule]\ncron = "30 6 * * mon"\ntime_zone = "Asia/Kathmandu"\n')
    shown = json.loads(call("schedule", "--count", 3, "--json").out)
    assert (shown["cron"], shown["time_zone"], shown["is_on"]) == ("30 6 * * mon", "Asia/Kathmandu", True)
    assert [moment[10:] for moment in shown["next"]] == ["T06:30:00+05:45"] * 3
    assert call("schedule").out.count("00:45Z") == 5
    Path("brewhouse.toml").write_text('[schedule]\ncron = "often"\n')
    refused = call("schedule")
    assert (refused.code, "often" in refused.err) == (2, True)


def test_the_schedule_can_be_disabled_and_enabled(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BREWHOUSE_SCHEDULE_CRON", "0 6 * * *")
    off = "The schedule 0 6 * * * (UTC) is off; `brewhouse schedule on` enables it.\n"
    assert call("schedule", "off").out == call("schedule").out == off
    assert json.loads(call("schedule", "--json").out)["next"] == []
    assert "The schedule 0 6 * * * (UTC) is on; while" in call("schedule", "on").out
    monkeypatch.delenv("BREWHOUSE_SCHEDULE_CRON")
    assert json.loads(call("schedule", "--json").out)["cron"] == "0 6 * * *", "the schedule of the last `schedule on`"


def test_enabling_a_missing_schedule_explains_how_to_set_one(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("schedule", "on").out.startswith("No schedule is set. Add cron = ")
