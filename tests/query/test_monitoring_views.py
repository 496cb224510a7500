"""The monitoring views: every event once, runs and checks, despite invalid files."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.events.any_events import AnyEventLog

from brewhouse.errors import BrewhouseError
from brewhouse.events.envelope import CHECK, JOB, RUN
from brewhouse.events.event import archive_events
from brewhouse.lake.lake import Lake
from brewhouse.query.connection import connect, query
from brewhouse.query.views import monitoring_statements

TOMORROW = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with a failed run and one in progress."""
    lake = Lake(tmp_path / "lake")
    log = AnyEventLog(lake, "R1")
    log.write(RUN, {"workflow": "breweries", "jobs": ["extract"]})
    log.write(JOB, {"jobName": "extract"})
    checks: list[dict[str, Any]] = [
        {"name": "a", "table": "t", "severity": "error", "found": 2, "example": "x", "passed": False},
        {"name": "b", "table": "t", "severity": "warning", "found": 0, "example": None, "passed": True},
    ]
    log.write(CHECK, {"jobName": "extract", "severity": "ERROR", "checks": checks})
    log.write(RUN, {"workflow": "breweries", "state": "FAILED", "severity": "ERROR", "message": "why", "seconds": 1.5})
    AnyEventLog(lake, "R2").write(RUN, {"workflow": "maintain"})
    return lake


def rows(lake: Lake, sql: str) -> list[tuple[Any, ...]]:
    with closing(connect(lake)) as connection:
        found: list[tuple[Any, ...]] = query(connection, sql)
        return found


def test_runs_and_checks_are_visible_before_anything_is_published(lake: Lake) -> None:
    assert rows(lake, "SELECT run, workflow, state, seconds, error FROM monitoring.runs ORDER BY run") == [
        ("R1", "breweries", "FAILED", 1.5, "why"),
        ("R2", "maintain", "RUNNING", None, None),
    ]
    assert rows(lake, "SELECT run, job, name, severity, passed, found FROM monitoring.checks ORDER BY name") == [
        ("R1", "extract", "a", "error", False, 2),
        ("R1", "extract", "b", "warning", True, 0),
    ]


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"[1, 2, 3]", b'{"id": "x"', b'{"id": "x", "time": "soon", "detail": 5}', b"\n\n"]
)
def test_invalid_files_break_no_query_and_are_counted(lake: Lake, content: bytes) -> None:
    before = rows(lake, "SELECT * FROM monitoring.events ORDER BY id")
    next(lake.events.glob("date=*")).joinpath("broken.json").write_bytes(content)
    assert rows(lake, "SELECT * FROM monitoring.events ORDER BY id") == before
    counted = rows(lake, "SELECT parse_filename(file) FROM monitoring.unreadable_events")
    assert counted == ([("broken.json",)] if content.strip() else [])


def test_an_event_in_two_files_counts_once(lake: Lake) -> None:
    before = rows(lake, "SELECT * FROM monitoring.events ORDER BY id")
    old = {file: file.read_bytes() for file in lake.events.rglob("*.json")}
    archive_events(lake, TOMORROW)
    assert rows(lake, "SELECT * FROM monitoring.events ORDER BY id") == before
    for file, content in old.items():
        file.write_bytes(content)
    assert rows(lake, "SELECT * FROM monitoring.events ORDER BY id") == before


def test_a_lake_without_events_and_tables_has_nothing_to_query(tmp_path: Path) -> None:
    with pytest.raises(BrewhouseError, match="no published tables"):
        connect(Lake(tmp_path))


def write(lake: Lake, number: int, detail_type: str = RUN, **detail: object) -> None:
    """Write an event file with the time of its number, in minutes."""
    folder = lake.events / "date=2026-08-02"
    folder.mkdir(parents=True, exist_ok=True)
    event = {"id": f"{number:03}", "detail-type": detail_type, "source": "brewhouse", "detail": detail}
    time = f"2026-08-02T10:{number:02}:00+02:00"
    (folder / f"{number:03}.json").write_text(json.dumps({**event, "time": time}))


@pytest.mark.parametrize("state", ["SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT"])
def test_a_run_has_its_latest_state_its_times_and_an_error_unless_it_succeeded(tmp_path: Path, state: str) -> None:
    lake = Lake(tmp_path)
    write(lake, 1, runId="R", workflow="w", state="RUNNING", jobs=["extract"])
    write(lake, 2, runId="R", state=state, message="why", seconds=2)
    (row,) = rows(lake, "SELECT state, started_at, ended_at, seconds, error, jobs FROM monitoring.runs")
    start = datetime(2026, 8, 2, 8, 1, tzinfo=UTC)
    error = None if state == "SUCCEEDED" else "why"
    assert row == (state, start, start + timedelta(minutes=1), 2.0, error, '["extract"]')


def test_a_resumed_run_is_running_again(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for number, state in enumerate(["RUNNING", "FAILED", "RUNNING"]):
        write(lake, number, runId="R", state=state)
    assert rows(lake, "SELECT state FROM monitoring.runs") == [("RUNNING",)]


def test_an_event_of_glue_has_its_job_run_as_its_run(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    write(lake, 1, JOB, jobRunId="jr_1", jobName="extract", state="FAILED", severity="ERROR", message="m")
    write(lake, 2, JOB, jobRunId="jr_2", runId="R")
    write(lake, 3, "Other")
    found = rows(lake, "SELECT run, job, state, level, message FROM monitoring.events ORDER BY id")
    assert found == [("jr_1", "extract", "FAILED", "ERROR", "m"), ("R", *[None] * 4), (None,) * 5]


@pytest.mark.parametrize("checks", [[], None, "none", {"name": "a"}, [1]])
def test_check_results_of_another_shape_break_no_query(tmp_path: Path, checks: object) -> None:
    lake = Lake(tmp_path)
    write(lake, 1, CHECK, runId="R", checks=checks)
    write(lake, 2, CHECK, runId="R", checks=[{"name": "a", "table": "t", "severity": "error", "found": 0}])
    assert rows(lake, "SELECT name, passed, example FROM monitoring.checks WHERE name IS NOT NULL") == [
        ("a", True, None)
    ]


def test_the_lines_of_an_archive_are_events(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for number in range(3):
        write(lake, number, runId=f"R{number}", state="RUNNING")
    folder = lake.events / "date=2026-08-02"
    lines = [file.read_text() for file in sorted(folder.glob("*.json"))]
    for file in folder.glob("*.json"):
        file.unlink()
    (folder / "events.json").write_text("\n".join([*lines, "{", '{"id": "4"}', ""]))
    assert rows(lake, "SELECT run FROM monitoring.runs ORDER BY run") == [("R0",), ("R1",), ("R2",)]
    assert rows(lake, "SELECT lines FROM monitoring.unreadable_events") == [(2,)]


def test_each_view_has_a_description(lake: Lake) -> None:
    views = rows(
        lake, "SELECT view_name, comment FROM duckdb_views() WHERE database_name = 'monitoring' AND NOT internal"
    )
    assert sorted(name for name, _ in views) == ["checks", "events", "job_logs", "runs", "unreadable_events"]
    assert all(comment.startswith("One row per ") and comment.endswith(".") for _, comment in views)


@pytest.mark.parametrize("has_events", [True, False])
def test_the_columns_are_the_same_without_events(tmp_path: Path, has_events: bool) -> None:
    lake = Lake(tmp_path / "it's")
    lake.events.mkdir(parents=True)
    if has_events:
        write(lake, 1, runId="R", state="RUNNING")
    columns = rows(lake, "SELECT column_name, column_type FROM (DESCRIBE FROM monitoring.events)")
    assert columns == [
        *((name, "VARCHAR") for name in ("id", "detail_type", "source")),
        ("time", "TIMESTAMP WITH TIME ZONE"),
        *((name, "VARCHAR") for name in ("run", "job", "state", "level", "message")),
        ("detail", "JSON"),
    ]
    assert rows(lake, "SELECT count(*) FROM monitoring.runs") == [(int(has_events),)]


def test_events_on_s3_are_listed_by_name(shared_lake: Lake) -> None:
    shared_lake.store.put("events/date=2026-08-02/it's.json", b"{}")
    statements = list(monitoring_statements(shared_lake))
    path = f"{shared_lake.root}/events/date=2026-08-02/it''s.json"
    assert any(f"read_json(['{path}']" in statement for statement in statements)


def test_the_log_lines_of_glue_jobs_are_a_view_that_is_empty_elsewhere(lake: Lake) -> None:
    assert rows(lake, "SELECT * FROM monitoring.job_logs") == []
    folder = lake.job_logs / "date=2026-08-02"
    folder.mkdir(parents=True)
    line = {"time": "2026-08-02T06:00:00+00:00", "job": "extract", "job_run_id": "jr_1", "run": "R1"}
    lines = [json.dumps({**line, "line": number, "message": f"line {number}"}) for number in (1, 2)]
    (folder / "E1.jsonl").write_text("\n".join([*lines, "no JSON", ""]))
    assert rows(lake, "SELECT job, job_run_id, run, line, message FROM monitoring.job_logs ORDER BY line") == [
        ("extract", "jr_1", "R1", 1, "line 1"),
        ("extract", "jr_1", "R1", 2, "line 2"),
    ]
    assert rows(lake, "SELECT min(time) FROM monitoring.job_logs") == [(datetime(2026, 8, 2, 6, tzinfo=UTC),)]
