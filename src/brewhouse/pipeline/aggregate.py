"""Aggregate: the silver tables become the gold tables, which add up to silver, and silver to the source's counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from brewhouse.checks.check import Check, raise_on_failure
from brewhouse.checks.reconciliation import gold_sums, source_counts
from brewhouse.errors import BrewhouseError
from brewhouse.lake.lake import Lake
from brewhouse.lake.raw_snapshots import RawSnapshot, find
from brewhouse.models.model import Model
from brewhouse.models.project import models_of
from brewhouse.pipeline.input_tables import BREWERIES, MODELS, RAW_SNAPSHOT
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
        models = models_of("gold", folder=settings.models)
        lacking = sorted(_silver_for(models) - set(bench.tables.names()))
        if lacking or (silver := bench.tables.current(BREWERIES)) is None:
            names = ", ".join(lacking) or BREWERIES
            raise BrewhouseError(f"The lake {lake.root} lacks {names}.", hint="Run `brewhouse transform` first.")
        snapshot = find(lake, silver.properties[RAW_SNAPSHOT])
        if is_published(bench.tables, models, version_of(models, silver.properties[MODELS]), snapshot.run):
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
    models = models_of("gold", folder=bench.settings.models)
    silver = bench.tables.current(BREWERIES)
    assert silver is not None
    for name in sorted(_silver_for(models)):
        bench.engine.attach_table(bench.tables.describe(name), bench.tables.files(name))
    publications, checks = write_models(bench, models, snapshot, anew=anew)
    checks += gold_sums(bench.engine)
    checks += source_counts(bench.engine, snapshot.manifest)
    bench.record(checks)
    raise_on_failure(checks)
    published = publish(bench, publications, version_of(models, silver.properties[MODELS]), snapshot.run)
    return JobResult(
        f"gold shows snapshot {snapshot.run}",
        counts={str(entry["table"]): int(entry["rows"]) for entry in published},
        checks=checks,
        published=published,
    )


def _silver_for(models: Sequence[Model]) -> set[str]:
    """Name the silver tables that gold models and the checks need."""
    built_in = {model.name for model in models_of("silver")}
    return built_in | {need for model in models for need in model.depends_on if need.startswith("silver.")}
