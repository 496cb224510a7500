"""`brewhouse runs` and `show`: what they print about successful, failed and interrupted runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Call
from tests.mock_api.server import MockApiServer

from brewhouse.cli.runs import print_report
from brewhouse.events.event import EventLog
from brewhouse.events.event_types import RUN
from brewhouse.events.run_reports import RunReport
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate

Capture = pytest.CaptureFixture[str]


def check(name: str = "id is unique", **changes: object) -> dict[str, object]:
    return {
        "name": name,
        "table": "silver.breweries",
        "severity": "error",
        "passed": True,
        "found": 0,
        "example": None,
        **changes,
    }


def report(**changes: object) -> RunReport:
    made = RunReport(run="R1", state="SUCCEEDED", started_at="2026-08-02T10:11:12.345+00:00")
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def printed(capsys: Capture, run: RunReport) -> list[str]:
    print_report(run, as_json=False)
    return capsys.readouterr().out.splitlines()


def test_a_lake_without_runs_has_an_empty_list(call: Call, tmp_path: Path) -> None:
    assert call("runs", "--lake", tmp_path / "lake").out == "(no rows)\n"
    assert json.loads(call("runs", "--lake", tmp_path / "lake", "--json").out) == []
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize("run", ["last", "no-such-run"])
def test_an_unknown_run_is_wrong_usage_with_a_hint(call: Call, tmp_path: Path, run: str) -> None:
    done = call("show", run, "--lake", tmp_path / "lake")
    assert (done.code, done.out) == (2, "")
    assert done.err == f"brewhouse: The lake {tmp_path / 'lake'} has no run {run}. `brewhouse runs` lists them.\n"


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


def test_the_first_line_has_state_duration_and_start(capsys: Capture) -> None:
    assert printed(capsys, report(seconds=1.239))[0] == "run R1 succeeded in 1.24 s, started 2026-08-02T10:11:12Z"
    assert printed(capsys, report(state="RUNNING"))[0] == "run R1 running, started 2026-08-02T10:11:12Z"


@pytest.mark.parametrize(
    ("checks", "summary"),
    [
        ([check()], "1 checks passed"),
        ([check(), check(passed=False, severity="warning", found=3)], "1 checks passed, 1 warning"),
        ([check(passed=False, found=1)] * 2, "0 checks passed, 2 errors"),
        (
            [check()] * 3 + [check(passed=False, found=1), *[check(passed=False, severity="warning", found=1)] * 2],
            "3 checks passed, 1 error, 2 warnings",
        ),
    ],
)
def test_checks_are_counted_by_severity(capsys: Capture, checks: list[dict[str, object]], summary: str) -> None:
    assert summary in printed(capsys, report(checks=checks))


def test_no_checks_print_no_summary(capsys: Capture) -> None:
    assert not [line for line in printed(capsys, report()) if "check" in line]


@pytest.mark.parametrize(("found", "violations"), [(1, "1 violation"), (3, "3 violations")])
def test_a_failed_check_has_severity_table_name_and_example(capsys: Capture, found: int, violations: str) -> None:
    failed = check("id is unique", passed=False, found=found, example="id a")
    assert printed(capsys, report(checks=[failed]))[-1] == (
        f"error: silver.breweries: id is unique: {violations}; id a"
    )


def test_a_long_example_is_shortened_in_text_and_complete_in_json(capsys: Capture) -> None:
    run = report(checks=[check(passed=False, found=1, example="x" * 500)])
    assert printed(capsys, run)[-1].endswith("; " + "x" * 160 + "…")
    print_report(run, as_json=True)
    assert json.loads(capsys.readouterr().out)["checks"][0]["example"] == "x" * 500


def test_schema_drift_is_printed_with_count_and_example(capsys: Capture) -> None:
    drift = {"name": "unknown_field", "detail": "rating", "count": 4, "example": "5 in id a"}
    line = printed(capsys, report(drift=[drift]))[-1]
    assert line == "schema drift: unknown_field rating, 4 times; example: 5 in id a"


def test_published_tables_are_listed(capsys: Capture) -> None:
    lines = printed(capsys, report(published=[{"table": "silver.breweries", "snapshot": 12, "rows": 7}]))
    assert [line.split() for line in lines if "silver" in line] == [["silver.breweries", "12", "7"]]
