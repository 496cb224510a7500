"""Aggregate: the silver tables become the gold tables, which add up to silver, and silver to the source's counts."""

from __future__ import annotations

from collections.abc import Callable

from brewhouse.checks.accounting import gold_sums, source_counts
from brewhouse.checks.check import Check, demand
from brewhouse.errors import BrewhouseError
from brewhouse.jobs.inputs import BREWERIES, RAW_SNAPSHOT
from brewhouse.jobs.publishing import (
    JobResult,
    Workbench,
    is_published,
    publish,
    refresh_views,
    workbench,
    write_models,
)
from brewhouse.lake.lake import Lake
from brewhouse.lake.snapshots import RawSnapshot, find
from brewhouse.models.model import models_of
from brewhouse.settings import Settings


def aggregate(
    lake: Lake,
    settings: Settings,
    run: str,
    *,
    progress: Callable[[str], None],
    record: Callable[[list[Check]], None],
) -> JobResult:
    """Make the gold tables of the published silver tables.

    Args:
        lake: Holds the tables.
        settings: The engine's memory.
        run: Id of the run this is part of.
        progress: Told the name of each model before it runs.
        record: Told what the checks found, before a failed one stops the job.

    Raises:
        BrewhouseError: There are no silver tables.
        ChecksFailed: A check of severity error found something; the tables are as they were.
    """
    with workbench(lake, settings, run, progress, record) as bench:
        names = {model.name for model in models_of("silver")}
        if not names <= set(bench.tables.names()) or (silver := bench.tables.current(BREWERIES)) is None:
            raise BrewhouseError(f"The lake {lake.root} has no silver tables.", hint="Run `brewhouse transform` first.")
        snapshot = find(lake, silver.properties[RAW_SNAPSHOT])
        if is_published(bench.tables, models_of("gold"), snapshot.run):
            refresh_views(lake, bench.tables)  # a run killed right after its commit did not come to it
            return JobResult(f"gold already shows snapshot {snapshot.run}; nothing to do")
        result = publish_gold(bench, snapshot)
        refresh_views(lake, bench.tables)
    return result


def publish_gold(bench: Workbench, snapshot: RawSnapshot, *, anew: bool = False) -> JobResult:
    """Make the gold tables of the current silver tables, check them and commit them.

    Args:
        bench: What it works with.
        snapshot: The raw snapshot that silver was made of.
        anew: Whether the tables begin again with this snapshot, whatever they hold.

    Raises:
        ChecksFailed: A check of severity error found something; nothing is committed.
    """
    for model in models_of("silver"):
        bench.engine.attach_table(bench.tables.describe(model.name), bench.tables.files(model.name))
    models = models_of("gold")
    publications, checks = write_models(bench, models, {"snapshot_date": snapshot.manifest.finished_at[:10]}, anew=anew)
    checks += gold_sums(bench.engine)
    checks += source_counts(bench.engine, snapshot.manifest)
    bench.record(checks)
    demand(checks)
    published = publish(bench, publications, models, snapshot.run, anew=anew)
    return JobResult(
        f"gold shows snapshot {snapshot.run}",
        counts={str(entry["table"]): int(entry["rows"]) for entry in published},
        checks=checks,
        published=published,
    )
