"""What happened stays said: the envelope of an event, its file, and the runs the events tell of."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from brewhouse.events import event as event_module
from brewhouse.events.event import Event, EventLog, read_events
from brewhouse.events.event_types import CHECK, DRIFT, JOB, PUBLISHED, RUN
from brewhouse.events.run_reports import run_reports
from brewhouse.lake.lake import Lake


def test_an_event_has_eventbridges_envelope_and_a_file_of_its_own(tmp_path: Path) -> None:
    event = EventLog(Lake(tmp_path), "R1").write(JOB, {"jobName": "extract"})
    (file,) = tmp_path.glob("events/date=*/*.json")
    said = json.loads(file.read_bytes())
    assert said == {
        "version": "0",
        "id": event.id,
        "detail-type": JOB,
        "source": "brewhouse",
        "time": event.time,
        "detail": {
            "runId": "R1",
            "jobName": "extract",
            "jobRunId": "extract-R1",
            "state": "RUNNING",
            "severity": "INFO",
            "message": "",
        },
    }
    assert file.name == f"{event.id}.json"
    assert file.parent.name == f"date={datetime.fromisoformat(event.time).date()}"


def test_events_are_read_back_oldest_first(tmp_path: Path) -> None:
    log = EventLog(Lake(tmp_path), "R1")
    written = [log.write(DRIFT, {"name": str(number)}) for number in range(20)]
    assert read_events(Lake(tmp_path)) == written


def test_a_lake_without_events_has_none(tmp_path: Path) -> None:
    assert read_events(Lake(tmp_path)) == []


def test_an_event_is_never_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from obstore.exceptions import AlreadyExistsError

    monkeypatch.setattr(event_module, "new_id", lambda: "SAME")
    log = EventLog(Lake(tmp_path), "R1")
    first = log.write(RUN, {"state": "RUNNING"})
    with pytest.raises(AlreadyExistsError):
        log.write(RUN, {"state": "FAILED"})
    assert read_events(Lake(tmp_path)) == [first]


def said(kind: str, run: str = "R1", **detail: object) -> Event:
    return Event(id="I", detail_type=kind, time="2026-08-02T12:00:00+00:00", detail={"runId": run, **detail})


STARTED = [said(RUN, state="RUNNING"), said(JOB, jobName="extract", state="RUNNING")]


def test_a_run_without_an_end_is_running_only_when_it_is_the_one_that_goes_now() -> None:
    (running,) = run_reports(STARTED, running="R1")
    assert (running.state, running.jobs[0].state) == ("RUNNING", "RUNNING")
    (interrupted,) = run_reports(STARTED, running="R2")
    assert (interrupted.state, interrupted.jobs[0].state) == ("INTERRUPTED", "INTERRUPTED")


def test_a_finished_run_tells_its_jobs_checks_drift_and_tables() -> None:
    done: dict[str, Any] = {"state": "SUCCEEDED", "seconds": 1.5, "message": "fine", "counts": {"records": 3}}
    (report,) = run_reports(
        [
            *STARTED,
            said(DRIFT, name="unknown_field"),
            said(JOB, jobName="extract", **done),
            said(CHECK, jobName="transform", checks=[{"name": "a"}, {"name": "b"}]),
            said(PUBLISHED, tables=[{"table": "t"}]),
            said(RUN, state="SUCCEEDED", seconds=2.0),
        ]
    )
    assert (report.state, report.seconds, report.error) == ("SUCCEEDED", 2.0, "")
    (job,) = report.jobs
    assert (job.name, job.state, job.seconds, job.message) == ("extract", "SUCCEEDED", 1.5, "fine")
    assert job.counts == {"records": 3}
    assert report.checks == [{"job": "transform", "name": "a"}, {"job": "transform", "name": "b"}]
    assert report.drift == [{"name": "unknown_field"}]
    assert report.published == [{"table": "t"}]


def test_a_failed_run_says_why_and_keeps_its_state() -> None:
    failed: dict[str, Any] = {"state": "FAILED", "seconds": 1.0, "message": "no source"}
    (report,) = run_reports([*STARTED, said(JOB, jobName="extract", **failed), said(RUN, **failed)])
    assert (report.state, report.error, report.jobs[0].state) == ("FAILED", "no source", "FAILED")


def test_runs_are_told_apart_and_stay_in_order() -> None:
    events = [said(RUN, "B", state="RUNNING"), said(RUN, "A", state="RUNNING")]
    events.append(said(RUN, "B", state="SUCCEEDED", seconds=1.0))
    assert [(r.run, r.state) for r in run_reports(events)] == [("B", "SUCCEEDED"), ("A", "INTERRUPTED")]


def test_what_is_no_event_is_passed_over(tmp_path: Path) -> None:
    event = EventLog(Lake(tmp_path), "R1").write(RUN, {})
    day = next(tmp_path.glob("events/date=*"))
    for number, content in enumerate((b"", b"\xff\xfe", b"[1, 2]", b'{"id": "x"', b'{"id": 1, "detail": {}}')):
        (day / f"broken-{number}.json").write_bytes(content)
    assert read_events(Lake(tmp_path)) == [event]


def test_an_event_of_glue_itself_belongs_to_its_own_run() -> None:
    """AWS Glue tells only the end of a job, without our fields."""
    detail = {"jobName": "extract", "severity": "ERROR", "state": "FAILED", "jobRunId": "jr_1", "message": "no source"}
    (report,) = run_reports([Event(id="I", detail_type=JOB, time="2026-08-02T12:00:00Z", detail=detail)])
    assert (report.run, [(job.name, job.state, job.message) for job in report.jobs]) == (
        "jr_1",
        [("extract", "FAILED", "no source")],
    )
