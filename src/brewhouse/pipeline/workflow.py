"""The workflow: extract, then transform, then aggregate, one run at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from brewhouse.events.alerts import WORKFLOW
from brewhouse.events.event import EventLog
from brewhouse.lake.lake import Lake
from brewhouse.pipeline.aggregate import aggregate
from brewhouse.pipeline.dry_run import dry_run
from brewhouse.pipeline.extract import extract
from brewhouse.pipeline.publishing import JobResult
from brewhouse.pipeline.runner import ExternalRun, Job, Progress, check_reporter, emit_drift, run_jobs
from brewhouse.pipeline.transform import transform
from brewhouse.settings import Settings
from brewhouse.source import SchemaDrift

JOBS = ("extract", "transform", "aggregate")


def run_workflow(
    lake: Lake,
    settings: Settings,
    jobs: Sequence[str] = JOBS,
    snapshot_run: str | None = None,
    *,
    progress: Progress | None = None,
    part: ExternalRun | None = None,
) -> str:
    """Run the workflow, or some of its jobs, as one run.

    Args:
        lake: The lake to run on; it is locked meanwhile.
        settings: Of this run.
        progress: Shows how it gets on.
        jobs: Which jobs, in order.
        snapshot_run: Run id of the raw snapshot to transform; None takes the newest.
        part: Which part of a run these jobs are; None is all of it.

    Returns:
        The run id.

    Raises:
        BrewhouseError: Another run is going, or a job failed; the event log says so too.
    """
    if settings.models is not None and set(jobs) & {"transform", "aggregate"}:
        dry_run(settings)
    every: dict[str, Job] = {
        "extract": partial(_extract, lake, settings),
        "transform": partial(_transform, lake, settings, snapshot_run),
        "aggregate": partial(_aggregate, lake, settings),
    }
    work = {name: every[name] for name in jobs}
    return run_jobs(
        lake, settings, WORKFLOW, work, progress=progress, while_waiting=_prepare_what_comes_next, part=part
    )


def _extract(lake: Lake, settings: Settings, log: EventLog, progress: Progress) -> JobResult:
    done = extract(lake, settings, log.run, progress.pages, partial(emit_drift, log, "extract"))
    manifest = done.snapshot.manifest
    missing_rows = [
        SchemaDrift(
            name="hole",
            count=1,
            detail="the source cannot give a row",
            example=msgspec.json.encode(hole).decode(),
        )
        for hole in manifest.missing_rows
    ]
    emit_drift(log, "extract", missing_rows)
    message = f"snapshot {done.snapshot.run} is complete: {done.snapshot.records} records"
    if done.resumed_pages:
        message += f"; {done.resumed_pages} pages were there already"
    if manifest.missing_rows:
        message += f"; it lacks {len(manifest.missing_rows)} that the source cannot give"
    return JobResult(
        message,
        counts={
            "records": done.snapshot.records,
            "requested_pages": done.requested_pages,
            "resumed_pages": done.resumed_pages,
            "holes": len(manifest.missing_rows),
        },
    )


def _transform(
    lake: Lake, settings: Settings, snapshot_run: str | None, log: EventLog, progress: Progress
) -> JobResult:
    record = check_reporter(log, "transform")
    return transform(lake, settings, log.run, progress=progress.model, record=record, snapshot_run=snapshot_run)


def _aggregate(lake: Lake, settings: Settings, log: EventLog, progress: Progress) -> JobResult:
    return aggregate(lake, settings, log.run, progress=progress.model, record=check_reporter(log, "aggregate"))


def _prepare_what_comes_next() -> None:
    """Import the heavy libraries of the later jobs and read their models, while the first one waits for the network."""
    import brewhouse.engines.duckdb
    import brewhouse.iceberg.tables
    import brewhouse.query.views  # noqa: F401
    from brewhouse.models.project import models_of

    models_of()
