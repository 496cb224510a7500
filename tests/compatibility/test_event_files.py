"""The events in a lake's files: their envelope, which there are of a step, and what is in the detail of each."""

from __future__ import annotations

import re

import pytest
from tests.compatibility.conftest import ONE_LAKE, Seen
from tests.compatibility.shapes import Shape, mismatches

pytestmark = ONE_LAKE

RUN = "Brewhouse Run State Change"
JOB = "Glue Job State Change"
CHECK = "Brewhouse Check Result"
DRIFT = "Brewhouse Schema Drift"
PUBLISHED = "Brewhouse Tables Published"
SCHEDULE = "Brewhouse Schedule"
SENT = "Brewhouse Alert Sent"
NOT_SENT = "Brewhouse Alert Failed"

COMMON: dict[str, Shape] = {
    "runId": "string",
    "jobName": "string",
    "jobRunId": "string",
    "state": "string",
    "severity": "string",
    "message": "string",
}
OF_RUN: dict[str, Shape] = {**COMMON, "workflow": "string", "jobs": ["string"], "trigger?": "string"}
ENDED: dict[str, Shape] = {"seconds": "number"}
FAILED: dict[str, Shape] = {"seconds": "number", "errorType": "string"}
KILLED: dict[str, Shape] = {"seconds": "number", "interrupted": "boolean"}
ONE_CHECK: Shape = {
    "name": "string",
    "table": "string",
    "severity": "string",
    "found": "integer",
    "example": "string|null",
    "passed": "boolean",
}
OF_CHECK: dict[str, Shape] = {**COMMON, "checks": [ONE_CHECK]}

DETAILS: dict[tuple[str, str], Shape] = {
    (RUN, "RUNNING"): OF_RUN,
    (RUN, "SUCCEEDED"): {**OF_RUN, **ENDED},
    (RUN, "FAILED"): {**OF_RUN, **FAILED},
    (RUN, "STOPPED"): {**OF_RUN, **FAILED},
    (JOB, "WAITING"): COMMON,
    (JOB, "RUNNING"): COMMON,
    (JOB, "SUCCEEDED"): {
        **COMMON,
        **ENDED,
        "counts": {"*": "integer"},
        "rawSnapshot?": "string",
        "expiredRuns?": "list",
    },
    (JOB, "FAILED"): {**COMMON, **FAILED},
    (JOB, "STOPPED"): {**COMMON, **FAILED},
    (CHECK, "RUNNING"): OF_CHECK,
    (DRIFT, "RUNNING"): {
        **COMMON,
        "name": "string",
        "detail": "string",
        "count": "integer",
        "example": "string",
    },
    (PUBLISHED, "RUNNING"): {
        **COMMON,
        "tables": [{"table": "string", "snapshot": "integer", "rows": "integer"}],
    },
    (SCHEDULE, "OFF"): COMMON,
    (SCHEDULE, "ON"): {**COMMON, "cron": "string", "timeZone": "string"},
    (SENT, "RUNNING"): {
        **COMMON,
        "workflow": "string",
        "kind": "string",
        "incidents": ["string"],
        "receiver": "string",
    },
    (NOT_SENT, "RUNNING"): {**COMMON, "kind": "string", "receiver": "string"},
}
OF_KILLED: dict[tuple[str, str], Shape] = {
    (RUN, "FAILED"): {**COMMON, **KILLED, "workflow": "string"},
    (JOB, "FAILED"): {**COMMON, **KILLED},
}

EventFacts = tuple[str, str, str, str]

WAITING = [(JOB, name, "WAITING", "INFO") for name in ("extract", "transform", "aggregate")]
STARTED: list[EventFacts] = [(RUN, "breweries", "RUNNING", "INFO"), *WAITING, (JOB, "extract", "RUNNING", "INFO")]
STEPS: dict[str, list[EventFacts]] = {
    "run": [
        *STARTED,
        (DRIFT, "extract", "RUNNING", "WARN"),
        (DRIFT, "extract", "RUNNING", "WARN"),
        (JOB, "extract", "SUCCEEDED", "INFO"),
        (JOB, "transform", "RUNNING", "INFO"),
        (CHECK, "transform", "RUNNING", "WARN"),
        (JOB, "transform", "SUCCEEDED", "INFO"),
        (JOB, "aggregate", "RUNNING", "INFO"),
        (CHECK, "aggregate", "RUNNING", "INFO"),
        (PUBLISHED, "aggregate", "RUNNING", "INFO"),
        (JOB, "aggregate", "SUCCEEDED", "INFO"),
        (RUN, "breweries", "SUCCEEDED", "INFO"),
    ],
    "transform": [
        (RUN, "breweries", "RUNNING", "INFO"),
        (JOB, "transform", "WAITING", "INFO"),
        (JOB, "transform", "RUNNING", "INFO"),
        (CHECK, "transform", "RUNNING", "WARN"),
        (PUBLISHED, "transform", "RUNNING", "INFO"),
        (JOB, "transform", "SUCCEEDED", "INFO"),
        (RUN, "breweries", "SUCCEEDED", "INFO"),
    ],
    "checks failed": [
        *STARTED,
        (JOB, "extract", "SUCCEEDED", "INFO"),
        (JOB, "transform", "RUNNING", "INFO"),
        (CHECK, "transform", "RUNNING", "ERROR"),
        (JOB, "transform", "FAILED", "ERROR"),
        (RUN, "breweries", "FAILED", "ERROR"),
    ],
    "failed": [
        (RUN, "breweries", "RUNNING", "INFO"),
        (JOB, "transform", "WAITING", "INFO"),
        (JOB, "transform", "RUNNING", "INFO"),
        (JOB, "transform", "FAILED", "ERROR"),
        (RUN, "breweries", "FAILED", "ERROR"),
    ],
    "stopped": [*STARTED, (JOB, "extract", "STOPPED", "WARN"), (RUN, "breweries", "STOPPED", "WARN")],
    "killed": STARTED,
    "killed and closed": [(JOB, "extract", "FAILED", "ERROR"), (RUN, "breweries", "FAILED", "ERROR")],
    "alert sent": [(SENT, "transform", "RUNNING", "INFO")],
    "alert failed": [(NOT_SENT, "", "RUNNING", "WARN")],
    "rebuild": [
        (RUN, "rebuild", "RUNNING", "INFO"),
        (JOB, "rebuild", "WAITING", "INFO"),
        (JOB, "rebuild", "RUNNING", "INFO"),
        (CHECK, "rebuild", "RUNNING", "ERROR"),
        (PUBLISHED, "rebuild", "RUNNING", "INFO"),
        (JOB, "rebuild", "SUCCEEDED", "INFO"),
        (RUN, "rebuild", "SUCCEEDED", "INFO"),
    ],
    "maintain": [
        (RUN, "maintain", "RUNNING", "INFO"),
        (JOB, "maintain", "WAITING", "INFO"),
        (JOB, "maintain", "RUNNING", "INFO"),
        (PUBLISHED, "maintain", "RUNNING", "INFO"),
        (JOB, "maintain", "SUCCEEDED", "INFO"),
        (RUN, "maintain", "SUCCEEDED", "INFO"),
    ],
    "schedule off": [(SCHEDULE, "", "OFF", "INFO")],
    "schedule on": [(SCHEDULE, "", "ON", "INFO")],
}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_writes_these_events(seen: Seen, step: str) -> None:
    written = [
        (event["detail-type"], event["detail"]["jobName"], event["detail"]["state"], event["detail"]["severity"])
        for event in seen.events[step]
    ]
    assert written == STEPS[step]


def test_every_event_has_the_envelope_of_eventbridge(seen: Seen) -> None:
    envelope: Shape = {
        "id": "string",
        "detail-type": "string",
        "source": "string",
        "time": "string",
        "version": "string",
        "detail": "object",
    }
    every = [event for events in seen.events.values() for event in events]
    assert mismatches(every, [envelope]) == []
    assert {(event["source"], event["version"]) for event in every} == {("brewhouse", "0")}
    assert all(re.fullmatch("[0-9A-HJKMNP-TV-Z]{26}", event["id"]) for event in every)


def test_a_file_is_named_by_its_day_and_the_id_of_its_event(seen: Seen) -> None:
    named = {str(file.relative_to(seen.lake)) for file in seen.lake.glob("events/**/*") if file.is_file()}
    every = [event for events in seen.events.values() for event in events]
    assert named == {f"events/date={event['time'][:10]}/{event['id']}.json" for event in every}


def test_the_detail_has_these_keys_by_kind_and_state(seen: Seen) -> None:
    found = set()
    for step, events in seen.events.items():
        shapes = {**DETAILS, **OF_KILLED} if step == "killed and closed" else DETAILS
        for event in events:
            kind = event["detail-type"], event["detail"]["state"]
            assert mismatches(event["detail"], shapes[kind]) == [], (step, kind)
            found.add(kind)
    assert found == set(DETAILS)


def test_every_event_of_a_run_names_it(seen: Seen) -> None:
    run = seen.run_of("run")
    assert {event["detail"]["runId"] for event in seen.events["run"]} == {run}
    assert {(event["detail"]["jobName"], event["detail"]["jobRunId"]) for event in seen.events["run"]} == {
        ("breweries", run),
        *((name, f"{name}-{run}") for name in ("extract", "transform", "aggregate")),
    }


def test_a_run_names_its_jobs_and_the_kind_of_its_error(seen: Seen) -> None:
    first = seen.events["run"][0]["detail"]
    assert (first["workflow"], first["jobs"]) == ("breweries", ["extract", "transform", "aggregate"])
    named = {step: seen.events[step][-1]["detail"]["errorType"] for step in ("checks failed", "failed", "stopped")}
    assert named == {"checks failed": "ChecksFailed", "failed": "BrewhouseError", "stopped": "SystemExit"}


def test_an_alert_is_of_a_kind(seen: Seen) -> None:
    assert seen.events["alert sent"][-1]["detail"]["kind"] == "checks_failed"
    assert seen.events["alert failed"][-1]["detail"]["kind"] == "checks_failed"
