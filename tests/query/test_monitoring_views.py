"""The events of a lake as SQL: everything that happened, each thing once, whatever broken files lie about."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from brewhouse.errors import BrewhouseError
from brewhouse.events.event import EventLog
from brewhouse.events.event_archive import archive_events
from brewhouse.events.event_types import CHECK, JOB, RUN
from brewhouse.lake.lake import Lake
from brewhouse.query.connection import connect, query

TOMORROW = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with a run that failed and one that goes on."""
    lake = Lake(tmp_path / "lake")
    log = EventLog(lake, "R1")
    log.write(RUN, {"workflow": "breweries", "jobs": ["extract"]})
    log.write(JOB, {"jobName": "extract"})
    checks: list[dict[str, Any]] = [
        {"name": "a", "table": "t", "severity": "error", "found": 2, "example": "x", "passed": False},
        {"name": "b", "table": "t", "severity": "warning", "found": 0, "example": None, "passed": True},
    ]
    log.write(CHECK, {"jobName": "extract", "severity": "ERROR", "checks": checks})
    log.write(RUN, {"workflow": "breweries", "state": "FAILED", "severity": "ERROR", "message": "why", "seconds": 1.5})
    EventLog(lake, "R2").write(RUN, {"workflow": "maintain"})
    return lake


def rows(lake: Lake, sql: str) -> list[tuple[Any, ...]]:
    with closing(connect(lake)) as connection:
        found: list[tuple[Any, ...]] = query(connection, sql).fetchall()
        return found


def test_runs_and_checks_are_told_before_anything_is_published(lake: Lake) -> None:
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
def test_broken_files_break_no_query_and_are_counted(lake: Lake, content: bytes) -> None:
    before = rows(lake, "SELECT * FROM monitoring.events ORDER BY id")
    next(lake.events.glob("date=*")).joinpath("broken.json").write_bytes(content)
    assert rows(lake, "SELECT * FROM monitoring.events ORDER BY id") == before
    counted = rows(lake, "SELECT parse_filename(file) FROM monitoring.unreadable_events")
    assert counted == ([("broken.json",)] if content.strip() else [])


def test_an_event_counts_once_though_a_kill_left_it_in_two_files(lake: Lake) -> None:
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
