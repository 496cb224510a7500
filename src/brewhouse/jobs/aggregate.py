"""Aggregate: the silver tables become the gold tables, which must add up to silver, and silver to the source's counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from brewhouse.checks.accounting import gold_sums, source_counts
from brewhouse.checks.check import Check, demand
from brewhouse.engines.engine import Engine
from brewhouse.errors import BrewhouseError
from brewhouse.jobs.inputs import BREWERIES, MODELS, RAW_SNAPSHOT
from brewhouse.jobs.publishing import RUN, JobResult, checksum, is_published, publish, refresh_views, write_models
from brewhouse.lake.lake import Lake
from brewhouse.lake.snapshots import RawSnapshot, find
from brewhouse.models.model import models_of
from brewhouse.settings import Settings

if TYPE_CHECKING:
    from brewhouse.lake.tables import Tables


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
    from brewhouse.engines.duckdb import DuckDBEngine
    from brewhouse.lake.tables import Tables

    tables = Tables(lake)
    names = [model.name for model in models_of("silver")]
    if not set(names) <= set(tables.names()) or (silver := tables.current(BREWERIES)) is None:
        raise BrewhouseError(f"The lake {lake.root} has no silver tables.", hint="Run `brewhouse transform` first.")
    snapshot = find(lake, silver.properties[RAW_SNAPSHOT])
    if is_published(tables, models_of("gold"), snapshot.run):
        refresh_views(lake, tables)  # a run killed right after its commit did not come to it
        return JobResult(f"gold already shows snapshot {snapshot.run}; nothing to do")
    engine = DuckDBEngine(settings.memory_limit_mb)
    try:
        for name in names:
            engine.attach_table(tables.describe(name), tables.files(name))
        result = publish_gold(engine, tables, run, snapshot, progress=progress, record=record)
    finally:
        engine.close()
    refresh_views(lake, tables)
    return result


def publish_gold(
    engine: Engine,
    tables: Tables,
    run: str,
    snapshot: RawSnapshot,
    *,
    progress: Callable[[str], None],
    record: Callable[[list[Check]], None],
    anew: bool = False,
) -> JobResult:
    """Make the gold tables of the silver tables an engine reads, check them and commit them.

    Args:
        engine: Runs the models and reads the silver tables.
        tables: Get the gold tables.
        run: Id of the run this is part of.
        snapshot: The raw snapshot that silver was made of.
        progress: Told the name of each model before it runs.
        record: Told what the checks found, before a failed one stops the job.
        anew: Whether the tables begin again with this snapshot, whatever they hold.

    Raises:
        ChecksFailed: A check of severity error found something; nothing is committed.
    """
    models = models_of("gold")
    batch = {"snapshot_date": snapshot.manifest.finished_at[:10]}
    publications, checks = write_models(engine, tables, models, batch, progress, anew=anew)
    checks += gold_sums(engine)
    checks += source_counts(engine, snapshot.manifest)
    record(checks)
    demand(checks)
    published = publish(tables, publications, {RAW_SNAPSHOT: snapshot.run, MODELS: checksum(models), RUN: run})
    return JobResult(
        f"gold shows snapshot {snapshot.run}",
        counts={str(entry["table"]): int(entry["rows"]) for entry in published},
        checks=checks,
        published=published,
    )
