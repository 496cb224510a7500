"""The workflow: extract, then transform, then aggregate, one run at a time, every step told as an event."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeAlias

import msgspec

from brewhouse.checks.check import Check
from brewhouse.errors import BrewhouseError
from brewhouse.events.event import CHECK, DRIFT, JOB, PUBLISHED, RUN, EventLog
from brewhouse.ids import new_id
from brewhouse.jobs.aggregate import aggregate
from brewhouse.jobs.extract import extract
from brewhouse.jobs.publishing import JobResult
from brewhouse.jobs.transform import transform
from brewhouse.lake.faults import in_words
from brewhouse.lake.lake import Lake
from brewhouse.lake.lock import run_lock
from brewhouse.settings import Settings

JOBS = ("extract", "transform", "aggregate")


class Progress(Protocol):
    """Shows how a run gets on."""

    def job_started(self, name: str) -> None:
        """A job begins."""

    def pages(self, done: int, total: int) -> None:
        """So many pages of so many are there."""

    def model(self, name: str) -> None:
        """A model's SQL begins to run."""

    def snapshots(self, done: int, total: int) -> None:
        """So many raw snapshots of so many are done."""

    def job_ended(self, name: str, message: str, seconds: float) -> None:
        """A job is done."""


Job: TypeAlias = Callable[[EventLog, Progress], JobResult]
"""Does its work, tells what happens on the way, and what came of it."""


def run_workflow(
    lake: Lake, settings: Settings, progress: Progress, jobs: Sequence[str] = JOBS, snapshot_run: str | None = None
) -> str:
    """Run the workflow, or some of its jobs, as one run.

    Args:
        lake: The lake to run on; it is locked meanwhile.
        settings: Of this run.
        progress: Shows how it gets on.
        jobs: Which jobs, in order.
        snapshot_run: Run id of the raw snapshot to transform; None takes the newest.

    Returns:
        The run id.

    Raises:
        BrewhouseError: Another run is going, or a job failed; the event log says so too.
    """
    every: dict[str, Job] = {
        "extract": partial(_extract, lake, settings),
        "transform": partial(_transform, lake, settings, snapshot_run),
        "aggregate": partial(_aggregate, lake, settings),
    }
    work = {name: every[name] for name in jobs}
    return run_jobs(lake, work, progress, while_waiting=_import_what_comes_next)


def run_jobs(
    lake: Lake, jobs: Mapping[str, Job], progress: Progress, while_waiting: Callable[[], None] | None = None
) -> str:
    """Run jobs as one run, each told as events.

    Args:
        lake: The lake to run on; it is locked meanwhile.
        jobs: By name, in order.
        progress: Shows how they get on.
        while_waiting: Done by a thread beside the first job.

    Returns:
        The run id.

    Raises:
        BrewhouseError: Another run is going, or a job failed; the event log says so too.
    """
    run = new_id()
    with run_lock(lake, run):
        if while_waiting is not None:
            threading.Thread(target=while_waiting, daemon=True).start()
        log = EventLog(lake, run)
        log.emit(RUN, {"state": "STARTED", "jobs": list(jobs)})
        started = time.monotonic()
        try:
            for name, work in jobs.items():
                _run_job(name, work, log, progress)
        except BaseException as error:
            log.emit(RUN, {"state": "FAILED", "message": _words(error), "seconds": _since(started)})
            raise
        log.emit(RUN, {"state": "SUCCEEDED", "seconds": _since(started)})
    return run


def _run_job(name: str, work: Job, log: EventLog, progress: Progress) -> None:
    """Run one job and tell what it did, in events shaped as AWS Glue's."""
    job = {"jobName": name, "jobRunId": f"{name}-{log.run}"}
    log.emit(JOB, {**job, "state": "STARTED", "severity": "INFO", "message": ""})
    progress.job_started(name)
    started = time.monotonic()
    try:
        with in_words():
            result = work(log, progress)
    except BaseException as error:
        failed = {
            "state": "FAILED",
            "severity": "ERROR",
            "message": _words(error),
            "seconds": _since(started),
        }
        log.emit(JOB, {**job, **failed})
        raise
    if result.published:
        log.emit(PUBLISHED, {"jobName": name, "tables": result.published})
    succeeded = {
        "state": "SUCCEEDED",
        "severity": "INFO",
        "message": result.message,
        "seconds": _since(started),
    }
    log.emit(JOB, {**job, **succeeded, "counts": result.counts})
    progress.job_ended(name, result.message, _since(started))


def _extract(lake: Lake, settings: Settings, log: EventLog, progress: Progress) -> JobResult:
    done = extract(lake, settings, log.run, progress.pages)
    manifest = done.snapshot.manifest
    for drift in manifest.drift:
        log.emit(DRIFT, {"jobName": "extract", **msgspec.to_builtins(drift)})
    for hole in manifest.holes:
        log.emit(
            DRIFT,
            {
                "jobName": "extract",
                "name": "hole",
                "count": 1,
                "detail": "the source cannot give a row",
                "example": msgspec.json.encode(hole).decode(),
            },
        )
    message = f"snapshot {done.snapshot.run} is complete: {done.snapshot.records} records"
    if done.resumed_pages:
        message += f"; {done.resumed_pages} pages were there already"
    if manifest.holes:
        message += f"; it lacks {len(manifest.holes)} that the source cannot give"
    return JobResult(
        message,
        counts={
            "records": done.snapshot.records,
            "requested_pages": done.requested_pages,
            "resumed_pages": done.resumed_pages,
            "holes": len(manifest.holes),
        },
    )


def _transform(
    lake: Lake, settings: Settings, snapshot_run: str | None, log: EventLog, progress: Progress
) -> JobResult:
    record = recorder(log, "transform")
    return transform(lake, settings, log.run, progress=progress.model, record=record, snapshot_run=snapshot_run)


def _aggregate(lake: Lake, settings: Settings, log: EventLog, progress: Progress) -> JobResult:
    return aggregate(lake, settings, log.run, progress=progress.model, record=recorder(log, "aggregate"))


def recorder(log: EventLog, job: str) -> Callable[[list[Check]], None]:
    """Make a function that tells what checks found, as an event of a job."""

    def record(checks: list[Check]) -> None:
        facts = [{**msgspec.to_builtins(check), "passed": check.passed} for check in checks]
        log.emit(CHECK, {"jobName": job, "checks": facts})

    return record


def _import_what_comes_next() -> None:
    """Import the heavy libraries of the later jobs while the first one waits for the network."""
    import brewhouse.engines.duckdb
    import brewhouse.lake.tables
    import brewhouse.lake.views  # noqa: F401


def _words(error: BaseException) -> str:
    return str(error) if isinstance(error, BrewhouseError) else f"{type(error).__name__}: {error}"


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
