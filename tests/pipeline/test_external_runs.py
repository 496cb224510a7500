"""Jobs that another scheduler starts one by one, as AWS Glue's workflow does, are one run here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.events.any_events import AnyEventLog
from tests.mock_api.server import MockApiServer

from brewhouse.errors import BrewhouseError
from brewhouse.events.envelope import RUN
from brewhouse.events.event import read_events
from brewhouse.events.run_reports import RunReport, run_reports
from brewhouse.lake.lake import Lake
from brewhouse.lake.raw_snapshots import complete_runs
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.interrupted_runs import close_interrupted_runs
from brewhouse.pipeline.runner import ExternalRun
from brewhouse.pipeline.workflow import JOBS, run_workflow
from brewhouse.settings import load

if TYPE_CHECKING:
    from tests.conftest import Receiver

WHOLE = f"wr_{'0123456789abcdef' * 4}"
NOWHERE = "http://127.0.0.1:1/v1"


class Scheduler:
    """Starts jobs as Glue does: each by itself, and what failed once more."""

    def __init__(self, lake: Lake, receiver: Receiver) -> None:
        self.lake = lake
        self.receiver = receiver
        self.started = 0

    def start(self, job: str, url: str, workflow_run: str = WHOLE) -> str:
        self.started += 1
        alerts = {"urls": [self.receiver.url.replace("http", "json")], "ping_url": f"{self.receiver.url}/ping"}
        settings = load({"source_url": url, "max_attempts": 1, "extract_retry_wait_s": 0, "alerts": alerts}, environ={})
        part = ExternalRun(workflow_run, f"jr_{self.started}", JOBS, retries=1)
        return run_workflow(self.lake, settings, (job,), external=part)

    def reports(self) -> list[RunReport]:
        return run_reports(read_events(self.lake))

    def sent(self) -> list[str]:
        """Heartbeats and notifications that were sent."""
        return [json.loads(body)["title"] if path == "/" else path for path, body in self.receiver.requests]


@pytest.fixture(scope="module")
def source() -> Iterator[MockApiServer]:
    with MockApiServer(generate(300)) as server:
        yield server


@pytest.fixture
def scheduler(tmp_path: Path, receiver: Receiver) -> Scheduler:
    return Scheduler(Lake(tmp_path / "lake"), receiver)


def test_three_external_jobs_are_one_run(scheduler: Scheduler, source: MockApiServer) -> None:
    ids = {scheduler.start(job, source.url) for job in JOBS[:2]}
    assert scheduler.sent() == ["/ping/start"]
    (between,) = scheduler.reports()
    assert between.state == "RUNNING"
    ids.add(scheduler.start(JOBS[2], source.url))
    (report,) = scheduler.reports()
    assert ids == {report.run} == set(complete_runs(scheduler.lake))
    assert (report.state, report.workflow_run) == ("SUCCEEDED", WHOLE)
    assert [(job.name, job.state) for job in report.jobs] == [(job, "SUCCEEDED") for job in JOBS]
    assert report.seconds is not None
    assert report.seconds >= sum(job.seconds or 0 for job in report.jobs)
    assert [e.detail["state"] for e in read_events(scheduler.lake) if e.detail_type == RUN] == ["RUNNING", "SUCCEEDED"]
    assert scheduler.sent() == ["/ping/start", "/ping"]
    assert scheduler.start("extract", source.url, "wr_next") > report.run


def test_a_retried_job_is_another_attempt_of_the_same_run_without_a_notification(
    scheduler: Scheduler, source: MockApiServer
) -> None:
    with pytest.raises(BrewhouseError):
        scheduler.start("extract", NOWHERE)
    for job in JOBS:
        scheduler.start(job, source.url)
    (report,) = scheduler.reports()
    assert report.state == "SUCCEEDED"
    assert [(job.name, job.state) for job in report.jobs] == [
        ("extract", "FAILED"),
        *((job, "SUCCEEDED") for job in JOBS),
    ]
    assert scheduler.sent() == ["/ping/start", "/ping"]


def test_the_last_failing_attempt_ends_the_run_with_a_notification(scheduler: Scheduler) -> None:
    for _ in range(2):
        with pytest.raises(BrewhouseError):
            scheduler.start("extract", NOWHERE)
    (report,) = scheduler.reports()
    assert report.state == "FAILED"
    assert "ClientConnectorError" in report.error
    assert scheduler.sent() == ["/ping/start", "/ping/fail", "Brewhouse: extract failed"]


def test_a_killed_attempt_is_interrupted_when_the_next_one_starts(scheduler: Scheduler, source: MockApiServer) -> None:
    log = AnyEventLog(scheduler.lake, "R1", facts={"workflowRunId": WHOLE})
    log.write(RUN, {"workflow": "breweries"})
    log.write("Glue Job State Change", {"jobName": "extract"})
    assert scheduler.start("extract", source.url) == "R1"
    assert [job.state for job in scheduler.reports()[0].jobs] == ["INTERRUPTED", "SUCCEEDED"]


def test_a_run_may_pause_between_its_jobs_for_a_limited_time(scheduler: Scheduler, source: MockApiServer) -> None:
    scheduler.start("extract", source.url)
    events = read_events(scheduler.lake)
    close_interrupted_runs(scheduler.lake, events, "OTHER")
    later = datetime.now(UTC) + timedelta(hours=2)
    assert [run_reports(events, now=now)[0].state for now in (None, later)] == ["RUNNING", "INTERRUPTED"]
    AnyEventLog(scheduler.lake, scheduler.reports()[0].run).write(RUN, {"workflow": "breweries", "state": "FAILED"})
    scheduler.start("transform", source.url)  # it comes after all
    assert scheduler.reports()[0].state == "RUNNING"
