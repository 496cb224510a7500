"""`brewhouse runs` and `show`: what they print about successful, failed and interrupted runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Call
from tests.mock_api.server import MockApiServer

from brewhouse.events.event import EventLog
from brewhouse.events.event_types import RUN
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate


def test_a_lake_without_runs_has_an_empty_list(call: Call, tmp_path: Path) -> None:
    assert call("runs", "--lake", tmp_path).out == "(no rows)\n"
    assert json.loads(call("runs", "--lake", tmp_path, "--json").out) == []


@pytest.mark.parametrize("run", ["last", "no-such-run"])
def test_an_unknown_run_is_wrong_usage_with_a_hint(call: Call, tmp_path: Path, run: str) -> None:
    done = call("show", run, "--lake", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert done.err == f"brewhouse: The lake {tmp_path} has no run {run}. `brewhouse runs` lists them.\n"


def test_runs_are_listed_newest_first(call: Call, full: Path) -> None:
    rows = json.loads(call("runs", "--lake", full, "--json").out)
    assert [row["started_at"] for row in rows] == sorted((row["started_at"] for row in rows), reverse=True)
    text = call("runs", "--lake", full).out
    assert text.index(rows[0]["run"]) < text.index(rows[1]["run"])
    assert text.count("extract, transform, aggregate") == 2


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
    EventLog(Lake(tmp_path), "R1").write(RUN, {"state": "RUNNING", "jobName": "breweries"})
    assert json.loads(call("show", "R1", "--lake", tmp_path, "--json").out)["state"] == "INTERRUPTED"
    assert call("show", "R1", "--lake", tmp_path).out.startswith("run R1 interrupted, started ")
