"""Transform: a complete raw snapshot becomes the silver tables.

One clean row per brewery, every record that cannot be used with the reasons why, and what changed since the snapshot
before. Nothing is seen before all checks passed, and then everything at once.
"""

from __future__ import annotations

from collections.abc import Callable

from brewhouse.checks.check import Check, raise_on_failure
from brewhouse.checks.reconciliation import count_drop, reconcile_silver
from brewhouse.engines.engine import Engine
from brewhouse.errors import BrewhouseError
from brewhouse.lake.lake import Lake
from brewhouse.lake.raw_snapshots import RawSnapshot, find, newest
from brewhouse.models.project import models_of
from brewhouse.pipeline.input_tables import (
    BREWERIES,
    attach_nothing_previous,
    attach_previous,
    attach_snapshot,
    snapshot_before,
)
from brewhouse.pipeline.publishing import (
    JobResult,
    Workbench,
    is_published,
    publish,
    refresh_views,
    version_of,
    workbench,
    write_models,
)
from brewhouse.settings import Settings

_COUNTED = {"breweries": "breweries", "rejected": "rejected_breweries", "changes": "brewery_changes"}


def transform(
    lake: Lake,
    settings: Settings,
    run: str,
    *,
    progress: Callable[[str], None],
    record: Callable[[list[Check]], None],
    snapshot_run: str | None = None,
) -> JobResult:
    """Make the silver tables of a complete raw snapshot.

    Args:
        lake: Holds the snapshot and gets the tables.
        settings: The threshold of the fall, and the engine's memory.
        run: Id of the run this is part of.
        progress: Told the name of each model before it runs.
        record: Told what the checks found, before a failed one stops the job.
        snapshot_run: Run id of the raw snapshot; None takes the newest.

    Raises:
        BrewhouseError: There is no complete raw snapshot, or not that one.
        ChecksFailed: A check of severity error found something; the tables are as they were.
    """
    snapshot = find(lake, snapshot_run) if snapshot_run else newest(lake)
    if snapshot is None:
        raise BrewhouseError(
            f"The lake {lake.root} has no complete raw snapshot.", hint="Run `brewhouse extract` first."
        )
    with workbench(lake, settings, run, progress, record) as bench:
        models = models_of("silver", folder=settings.models)
        if is_published(bench.tables, models, version_of(models), snapshot.run):
            refresh_views(lake, bench.tables)  # a run killed right after its commit did not come to it
            return JobResult(f"silver already shows snapshot {snapshot.run}; nothing to do")
        result = publish_silver(bench, snapshot, snapshot_before(bench.engine, bench.tables, snapshot.run))
        refresh_views(lake, bench.tables)
    return result


def publish_silver(bench: Workbench, snapshot: RawSnapshot, before: str | None, *, anew: bool = False) -> JobResult:
    """Make the silver tables of one raw snapshot, check them and commit them.

    Args:
        bench: What it works with.
        snapshot: The raw snapshot.
        before: Run id of the raw snapshot it is compared with; None when there is none.
        anew: Whether the tables begin again with this snapshot, whatever they hold.

    Raises:
        BrewhouseError: What changed cannot be told any more.
        ChecksFailed: A check of severity error found something; nothing is committed.
    """
    engine, tables = bench.engine, bench.tables
    models = models_of("silver", folder=bench.settings.models)
    breweries = next(model for model in models if model.name == BREWERIES)
    if before:
        attach_previous(engine, bench.lake, tables, breweries, before, version_of(models))
    attach_snapshot(engine, snapshot, bench.progress)
    if not before:
        attach_nothing_previous(engine, breweries)

    publications, checks = write_models(bench, models, snapshot, anew=anew)
    counts = {name: _count(engine, f"silver.{table}") for name, table in _COUNTED.items()}
    published = None if anew or BREWERIES not in tables.names() else tables.current(BREWERIES)
    checks += reconcile_silver(engine, snapshot.manifest)
    limit = bench.settings.max_count_drop_percent
    checks.append(count_drop(counts["breweries"], published.rows if published else None, limit))
    bench.record(checks)
    raise_on_failure(checks)
    return JobResult(
        f"silver shows snapshot {snapshot.run}",
        counts={"records": snapshot.records, **counts},
        checks=checks,
        published=publish(bench, publications, version_of(models), snapshot.run, before),
    )


def _count(engine: Engine, table: str) -> int:
    return int(engine.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"])
