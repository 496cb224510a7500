"""Run reports: what events say of runs, their jobs, checks, drift and tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.events.envelope import ALERT_SENT, CHECK, DRIFT, JOB, PUBLISHED, RUN, SCHEDULE, Event
from brewhouse.events.run_reports import ENDED, INTERRUPTED, RunReport, run_reports

START = datetime(2026, 8, 2, 12, tzinfo=UTC)
NUMBERS = count()


def event(kind: str, run: str = "R1", *, minutes: int = 0, source: str = "brewhouse", **detail: object) -> Event:
    time = (START + timedelta(minutes=minutes)).isoformat()
    return Event(id=f"{next(NUMBERS):08}", detail_type=kind, time=time, detail={"runId": run, **detail}, source=source)


STARTED = [
    event(RUN, state="RUNNING", workflow="breweries", jobs=["extract"]),
    event(JOB, jobName="extract", state="RUNNING"),
]


def only(events: list[Event], running: str | None = None, now: datetime | None = None) -> RunReport:
    (report,) = run_reports(events, running, now)
    return report


def test_no_events_are_no_runs() -> None:
    assert run_reports([]) == []


def test_a_run_without_an_end_is_running_only_if_it_holds_the_lock() -> None:
    running = only(STARTED, running="R1")
    assert (running.state, running.jobs[0].state, running.ended_at, running.seconds) == ("RUNNING", "RUNNING", "", None)
    interrupted = only(STARTED, running="R2")
    assert (interrupted.state, interrupted.jobs[0].state) == (INTERRUPTED, INTERRUPTED)


def test_an_ended_job_of_an_interrupted_run_keeps_its_state() -> None:
    report = only([*STARTED, event(JOB, jobName="extract", state="SUCCEEDED", seconds=1.0)])
    assert (report.state, report.jobs[0].state) == (INTERRUPTED, "SUCCEEDED")


def test_a_finished_run_has_its_jobs_checks_drift_and_tables() -> None:
    done: dict[str, Any] = {"state": "SUCCEEDED", "seconds": 1.5, "message": "fine", "counts": {"records": 3}}
    report = only(
        [
            *STARTED,
            event(DRIFT, jobName="extract", name="unknown_field", detail="f", count=1, example="e", other="x"),
            event(JOB, jobName="extract", **done),
            event(CHECK, jobName="transform", checks=[{"name": "a"}, {"name": "b"}]),
            event(PUBLISHED, tables=[{"table": "t"}]),
            event(RUN, state="SUCCEEDED", seconds=2.0, minutes=1),
        ]
    )
    assert (report.workflow, report.planned, report.started_at) == ("breweries", ["extract"], STARTED[0].time)
    assert (report.state, report.seconds, report.error) == ("SUCCEEDED", 2.0, "")
    assert report.ended_at == (START + timedelta(minutes=1)).isoformat()
    (job,) = report.jobs
    assert (job.name, job.state, job.seconds, job.message) == ("extract", "SUCCEEDED", 1.5, "fine")
    assert job.counts == {"records": 3}
    assert report.checks == [{"job": "transform", "name": "a"}, {"job": "transform", "name": "b"}]
    assert report.drift == [{"jobName": "extract", "name": "unknown_field", "detail": "f", "count": 1, "example": "e"}]
    assert report.published == [{"table": "t"}]


def test_a_failed_run_has_the_reason() -> None:
    failed: dict[str, Any] = {"state": "FAILED", "seconds": 1.0, "message": "no source"}
    report = only([*STARTED, event(JOB, jobName="extract", **failed), event(RUN, **failed)])
    assert (report.state, report.error, report.jobs[0].state, report.jobs[0].message) == (
        "FAILED",
        "no source",
        "FAILED",
        "no source",
    )


def test_runs_are_listed_in_the_order_of_their_first_events() -> None:
    events = [event(RUN, "B", state="RUNNING"), event(RUN, "A", state="RUNNING")]
    events.append(event(RUN, "B", state="SUCCEEDED", seconds=1.0))
    assert [(r.run, r.state) for r in run_reports(events)] == [("B", "SUCCEEDED"), ("A", INTERRUPTED)]


@pytest.mark.parametrize("kind", [SCHEDULE, ALERT_SENT, "Something Else"])
def test_events_outside_of_runs_make_no_run(kind: str) -> None:
    assert run_reports([event(kind, "R9", state="RUNNING")]) == []


def test_waiting_jobs_are_not_listed_before_they_start() -> None:
    report = only([STARTED[0], event(JOB, jobName="extract", state="WAITING")], running="R1")
    assert report.jobs == []


def test_a_new_attempt_of_a_job_marks_the_killed_one() -> None:
    report = only([*STARTED, event(JOB, jobName="extract", state="RUNNING")], running="R1")
    assert [job.state for job in report.jobs] == [INTERRUPTED, "RUNNING"]


def test_an_end_belongs_to_the_last_attempt() -> None:
    events = [*STARTED, event(JOB, jobName="extract", state="FAILED", seconds=1.0, message="first")]
    events += [
        event(JOB, jobName="extract", state="RUNNING"),
        event(JOB, jobName="extract", state="SUCCEEDED", seconds=2.0),
    ]
    assert [(job.state, job.seconds) for job in only(events, running="R1").jobs] == [
        ("FAILED", 1.0),
        ("SUCCEEDED", 2.0),
    ]


def test_an_event_of_glue_itself_belongs_to_the_run_of_its_job() -> None:
    """AWS Glue reports only the end of a job, without our fields."""
    detail = {"jobName": "extract", "severity": "ERROR", "state": "FAILED", "jobRunId": "jr_1", "message": "no source"}
    report = only([Event(id="I", detail_type=JOB, time="2026-08-02T12:00:00Z", detail=detail)])
    assert (report.run, [(job.name, job.state, job.message) for job in report.jobs]) == (
        "jr_1",
        [("extract", "FAILED", "no source")],
    )


def test_the_end_that_a_job_reported_itself_has_more_detail_than_glues() -> None:
    ours = event(JOB, jobName="extract", state="FAILED", message="ours", seconds=1.0)
    glues = event(JOB, jobName="extract", state="FAILED", message="glue's", source="aws.glue")
    assert only([*STARTED, ours, glues]).jobs[0].message == "ours"
    assert only([*STARTED, glues]).jobs[0].message == "glue's"
    assert only([*STARTED, glues, ours]).jobs[0].message == "ours"


class TestExternalRun:
    """A run whose jobs an external scheduler starts one by one."""

    EVENTS = (
        event(RUN, state="RUNNING", workflowRunId="wr_1"),
        event(JOB, jobName="extract", state="RUNNING"),
        event(JOB, jobName="extract", state="SUCCEEDED", seconds=1.0, minutes=5),
    )

    @pytest.mark.parametrize(("minutes", "state"), [(6, "RUNNING"), (64, "RUNNING"), (66, INTERRUPTED)])
    def test_it_is_running_between_two_jobs_for_an_hour(self, minutes: int, state: str) -> None:
        report = only(list(self.EVENTS), now=START + timedelta(minutes=minutes))
        assert (report.workflow_run, report.state) == ("wr_1", state)

    def test_it_continues_after_a_failure_when_the_scheduler_retries(self) -> None:
        ended = event(RUN, state="FAILED", message="why", seconds=1.0, minutes=6)
        again = event(RUN, state="RUNNING", minutes=7)
        report = only([*self.EVENTS, ended, again], now=START + timedelta(minutes=8))
        assert (report.state, report.ended_at, report.seconds, report.error) == ("RUNNING", "", None, "")


@pytest.mark.parametrize(
    ("detail", "run"),
    [
        ({"runId": "R", "jobRunId": "jr"}, "R"),
        ({"runId": "", "jobRunId": "jr"}, ""),
        ({"jobRunId": "jr"}, "jr"),
        ({}, ""),
    ],
)
def test_the_run_of_an_event(detail: dict[str, Any], run: str) -> None:
    assert Event(id="1", detail_type=RUN, time=START.isoformat(), detail=detail).run == run


@given(st.lists(st.tuples(st.sampled_from(["A", "B"]), st.sampled_from(["RUNNING", *ENDED]))))
def test_a_report_has_the_state_of_its_last_event(history: list[tuple[str, str]]) -> None:
    events = [event(RUN, run, state=state, seconds=1.0) for run, state in history]
    last = dict(history)
    reports = run_reports(events, running="A")
    assert {report.run for report in reports} == last.keys()
    for report in reports:
        expected = last[report.run]
        if expected == "RUNNING" and report.run != "A":
            expected = INTERRUPTED
        assert report.state == expected
        assert (report.ended_at == "") == (last[report.run] == "RUNNING")
