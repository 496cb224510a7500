"""The workflow: extract, then transform, then aggregate, one run at a time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial

from brewhouse.events.alerts import WORKFLOW
from brewhouse.events.event import Listener
from brewhouse.lake.lake import Lake
from brewhouse.lake.raw_snapshots import require_written
from brewhouse.pipeline.aggregate import aggregate
from brewhouse.pipeline.dry_run import dry_run
from brewhouse.pipeline.extract import extract
from brewhouse.pipeline.runner import ExternalRun, Job, run_jobs
from brewhouse.pipeline.transform import transform
from brewhouse.settings import Settings

JOBS = ("extract", "transform", "aggregate")


def run_workflow(
    lake: Lake,
    settings: Settings,
    jobs: Sequence[str] = JOBS,
    snapshot_run: str | None = None,
    *,
    listeners: Sequence[Listener] = (),
    external: ExternalRun | None = None,
) -> str:
    """Run the workflow, or some of its jobs in order, as one run; return its id.

    Args:
        snapshot_run: Run id of the raw snapshot to transform; None is the newest.
        external: The part of an external run that these jobs are; None when they are the whole run.

    Raises:
        ModelError: A user-defined model cannot run; nothing was started.
        BrewhouseError: Another run holds the lake, or a job failed; its event says why.
    """
    if settings.models is not None and set(jobs) & {"transform", "aggregate"}:
        dry_run(settings)
    if "extract" not in jobs:
        require_written(lake)
    every: dict[str, Job] = {
        "extract": extract,
        "transform": partial(transform, snapshot_run=snapshot_run),
        "aggregate": aggregate,
    }
    chosen = {name: every[name] for name in jobs}
    if jobs[0] == "extract" and len(jobs) > 1:  # it mostly waits for the network
        # No process waits for it: a signal in the middle of an import can leave Python's import lock held forever.
        threading.Thread(target=_prepare_later_jobs, daemon=True).start()
    return run_jobs(lake, settings, WORKFLOW, chosen, listeners=listeners, external=external)


def _prepare_later_jobs() -> None:
    """Import the heavy libraries of the later jobs, and read their models and the names of places, as needed first."""
    import brewhouse.engines.duckdb
    from brewhouse.models.project import models_of
    from brewhouse.places.matching import Location, match_places

    models_of()
    match_places([Location("Ireland", "Laois", None, 1)])

    import brewhouse.iceberg.tables  # noqa: F401
