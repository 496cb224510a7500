"""`brewhouse runs` and `show`: what they print about successful, failed and interrupted runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.cli.conftest import Call
from tests.events.any_events import AnyEventLog
from tests.mock_api.server import MockApiServer

from brewhouse.events.envelope import RUN
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate


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
