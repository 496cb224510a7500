"""`brewhouse schedule`: the next runs, and switching the schedule on and off."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Call


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
