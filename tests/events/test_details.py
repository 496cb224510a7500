"""Typed events: the detail that each type writes."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec
import pytest

from brewhouse.events import details, envelope
from brewhouse.events.details import (
    ChecksFinished,
    Detail,
    JobEnded,
    JobQueued,
    JobStarted,
    ModelStarted,
    NotificationFailed,
    NotificationSent,
    PagesFetched,
    RunEnded,
    RunStarted,
    ScheduledRunRefused,
    ScheduleSwitched,
    SchemaDriftFound,
    SnapshotsProcessed,
    TablesPublished,
    Warned,
)

COMMON = {"jobName": "", "jobRunId": "", "state": "RUNNING", "severity": "INFO", "message": ""}
EXAMPLES: list[tuple[Detail, str, dict[str, Any]]] = [
    (RunStarted(workflow="w", jobs=["a"]), envelope.RUN, {"workflow": "w", "jobs": ["a"], "trigger": "cli"}),
    (
        RunEnded(workflow="w", jobs=["a"], state="SUCCEEDED", seconds=1.5),
        envelope.RUN,
        {"workflow": "w", "jobs": ["a"], "state": "SUCCEEDED", "seconds": 1.5},
    ),
    (
        RunEnded(workflow="w", state="FAILED", severity="ERROR", seconds=1.5, error_type="X", interrupted=True),
        envelope.RUN,
        {
            "workflow": "w",
            "state": "FAILED",
            "severity": "ERROR",
            "seconds": 1.5,
            "errorType": "X",
            "interrupted": True,
        },
    ),
    (JobQueued(job_name="a"), envelope.JOB, {"jobName": "a", "state": "WAITING"}),
    (JobStarted(job_name="a", job_run_id="jr"), envelope.JOB, {"jobName": "a", "jobRunId": "jr"}),
    (
        JobEnded(job_name="a", state="SUCCEEDED", seconds=1.0, counts={}),
        envelope.JOB,
        {"jobName": "a", "state": "SUCCEEDED", "seconds": 1.0, "counts": {}},
    ),
    (
        JobEnded(job_name="a", state="FAILED", seconds=1.0),
        envelope.JOB,
        {"jobName": "a", "state": "FAILED", "seconds": 1.0},
    ),
    (ChecksFinished(checks=[{"name": "n"}]), envelope.CHECK, {"checks": [{"name": "n"}]}),
    (
        SchemaDriftFound(name="n", detail="d", count=2, example="e"),
        envelope.DRIFT,
        {"name": "n", "detail": "d", "count": 2, "example": "e"},
    ),
    (Warned(message="m"), envelope.WARNING, {"severity": "WARN", "message": "m"}),
    (
        TablesPublished(tables=[{"table": "t", "rows": 1}]),
        envelope.PUBLISHED,
        {"tables": [{"table": "t", "rows": 1}]},
    ),
    (ScheduleSwitched(state="OFF"), envelope.SCHEDULE, {"state": "OFF"}),
    (
        ScheduleSwitched(state="ON", cron="0 6 * * *", time_zone="UTC"),
        envelope.SCHEDULE,
        {"state": "ON", "cron": "0 6 * * *", "timeZone": "UTC"},
    ),
    (ScheduledRunRefused(), envelope.SCHEDULE, {"state": "FAILED", "severity": "WARN"}),
    (
        NotificationSent(workflow="w", kind="late", incidents=["i"], receiver="r"),
        envelope.ALERT_SENT,
        {"workflow": "w", "kind": "late", "incidents": ["i"], "receiver": "r"},
    ),
    (
        NotificationFailed(kind="ping", receiver="r"),
        envelope.ALERT_FAILED,
        {"severity": "WARN", "kind": "ping", "receiver": "r"},
    ),
    (PagesFetched(done=1, total=2), "", {"done": 1, "total": 2}),
    (SnapshotsProcessed(done=1, total=2), "", {"done": 1, "total": 2}),
    (ModelStarted(model="m"), "", {"model": "m"}),
]


def identify(value: object) -> str:
    return type(value).__name__ if isinstance(value, Detail) else ""


@pytest.mark.parametrize(("detail", "detail_type", "fields"), EXAMPLES, ids=identify)
def test_a_type_writes_the_common_keys_and_its_own(detail: Detail, detail_type: str, fields: dict[str, Any]) -> None:
    assert detail.detail_type == detail_type
    assert msgspec.to_builtins(detail) == COMMON | fields


def test_every_type_is_in_the_examples() -> None:
    types = {
        kind
        for _, kind in inspect.getmembers(details, inspect.isclass)
        if issubclass(kind, Detail) and kind is not Detail
    }
    assert {type(detail) for detail, _, _ in EXAMPLES} == types


def test_every_event_type_is_written_by_a_type() -> None:
    names = {value for name, value in vars(envelope).items() if name.isupper() and isinstance(value, str)}
    assert {detail_type for _, detail_type, _ in EXAMPLES} - {""} == names - {envelope.CRAWL}  # by Glue alone


@pytest.mark.parametrize("state", ["RUNNING", "SUCCEEDED"])
def test_an_event_cannot_be_changed(state: str) -> None:
    with pytest.raises(AttributeError, match="immutable"):
        JobStarted(job_name="a").state = state  # type: ignore[misc]  # this is the point
