"""Job runs: their facts and cost, their log, and which events belong to them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from brewhouse.aws.functions.job_runs import (
    ENDED,
    FAILED,
    error_lines,
    has_end_event,
    job_events,
    run_facts,
    run_period,
)
from brewhouse.aws.session import Account
from brewhouse.events.envelope import JOB, RUN, Event

START = datetime(2026, 8, 2, 6, tzinfo=UTC)
RUN_OF_GLUE = {"Id": "jr_1", "StartedOn": START, "CompletedOn": START + timedelta(minutes=10)}


def event(minutes: float, detail_type: str = JOB, source: str = "brewhouse", **detail: Any) -> Event:  # noqa: ANN401
    moment = (START + timedelta(minutes=minutes)).isoformat()
    detail = {"jobName": "extract", "state": "RUNNING", "runId": "R1", **detail}
    return Event(id=moment, detail_type=detail_type, time=moment, source=source, detail=detail)


@pytest.mark.parametrize(
    ("run", "dpu_seconds"),
    [
        ({"ExecutionTime": 10, "MaxCapacity": 2.0}, 120),  # a run is billed for at least a minute
        ({"ExecutionTime": 3600, "MaxCapacity": 2.0}, 7200),
        ({"ExecutionTime": 3600, "AllocatedCapacity": 3}, 10800),
        ({"ExecutionTime": 3600, "MaxCapacity": 2.0, "DPUSeconds": 3600.0}, 3600),
        ({}, 0),
    ],
)
def test_the_cost_of_a_run_follows_its_capacity_and_duration(run: dict[str, Any], dpu_seconds: float) -> None:
    facts = run_facts(run)
    assert facts["dpuSeconds"] == dpu_seconds
    assert facts["costUsd"] == pytest.approx(dpu_seconds / 3600 * 0.44, abs=1e-6)


def test_facts_that_glue_does_not_report_are_left_out() -> None:
    assert set(run_facts({})) == {"seconds", "dpuSeconds", "costUsd", "attempt"}
    local = START.astimezone(timezone(timedelta(hours=2)))
    facts = run_facts({"StartedOn": local, "GlueVersion": "6.0", "NumberOfWorkers": 2, "WorkerType": "G.1X"})
    assert facts["startedAt"] == "2026-08-02T06:00:00+00:00"
    assert (facts["glueVersion"], facts["workers"], facts["workerType"]) == ("6.0", 2, "G.1X")


def test_a_run_in_progress_ends_now() -> None:
    before = datetime.now(UTC)
    start, end = run_period({"StartedOn": START})
    assert start == START
    assert before <= end <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("candidate", "belongs"),
    [
        (event(0), True),
        (event(-1.9), True),
        (event(-2.1), False),
        (event(11.9), True),
        (event(12.1), False),
        (event(1, jobName="transform"), False),
        (event(1, detail_type=RUN), False),
        (event(1, source="aws.glue"), False),
        (event(1, state="WAITING"), False),
        (event(1, jobRunId="jr_1"), True),
        (event(1, jobRunId="jr_2"), False),
        (event(1, jobRunId="extract-R1"), True),
    ],
)
def test_an_event_belongs_to_a_run_by_job_source_and_time(candidate: Event, belongs: bool) -> None:
    assert job_events([candidate], "extract", RUN_OF_GLUE) == [candidate] * belongs


@pytest.mark.parametrize(
    ("candidate", "ended"),
    [
        *((event(5, detail_type=RUN, state=state), state != "STOPPED") for state in ENDED),
        (event(5, detail_type=RUN, state="RUNNING"), False),
        (event(5, detail_type=JOB, state="FAILED"), False),
        (event(5, detail_type=RUN, state="FAILED", runId="R2"), False),
        (event(-3, detail_type=RUN, state="FAILED"), False),  # of an earlier attempt
    ],
)
def test_a_run_has_ended_by_an_event_after_its_start(candidate: Event, ended: bool) -> None:
    assert has_end_event([candidate], "R1", START) is ended


def test_every_failed_state_is_an_end() -> None:
    assert set(FAILED) < set(ENDED)


@pytest.fixture
def write_log(account: Account) -> Callable[..., None]:
    logs = account.client("logs")
    group = {"logGroupName": "/aws-glue/brew/output"}
    logs.create_log_group(**group)

    def write(*messages: str, stream: str = "jr_1") -> None:
        now, place = int(datetime.now(UTC).timestamp() * 1000), {**group, "logStreamName": stream}
        logs.create_log_stream(**place)
        logs.put_log_events(**place, logEvents=[{"timestamp": now, "message": message} for message in messages])

    return write


@pytest.mark.parametrize(
    ("named", "of_retry"), [("jr_1", True), ("jr_1_attempt_1", True), ("jr_1_attempt_2", False), ("jr_2", False)]
)
def test_a_retry_may_be_named_as_its_first_attempt(named: str, of_retry: bool) -> None:
    found = event(1, jobRunId=named)
    assert job_events([found], "extract", {**RUN_OF_GLUE, "Id": "jr_1_attempt_1"}) == [found] * of_retry


def test_error_lines_are_the_last_ten_without_blanks_and_shortened(
    account: Account, write_log: Callable[..., None]
) -> None:
    write_log("first\n\n", *(f"line {n}\n" for n in range(8)), "traceback:\n  frame\n", "x" * 600)
    lines = error_lines(account.client("logs"), "brew", "jr_1")
    assert lines == [*(f"line {n}" for n in range(1, 8)), "traceback:", "  frame", "x" * 500]


@pytest.mark.usefixtures("write_log")
def test_a_run_without_a_log_has_no_error_lines(account: Account) -> None:
    assert error_lines(account.client("logs"), "brew", "jr_1") == []
    assert error_lines(account.client("logs"), "other", "jr_1") == []


def test_the_log_of_a_driver_may_have_the_documented_name(account: Account, write_log: Callable[..., None]) -> None:
    write_log("Traceback", stream="jr_2-driver")
    assert error_lines(account.client("logs"), "brew", "jr_2") == ["Traceback"]
