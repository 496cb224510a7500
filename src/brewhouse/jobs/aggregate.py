"""Aggregate: the silver tables become the gold tables, which must add up to the source's own counts."""

from __future__ import annotations

from collections.abc import Callable

from brewhouse.checks.accounting import gold_sums, source_counts
from brewhouse.checks.check import Check, demand
from brewhouse.errors import BrewhouseError
from brewhouse.jobs.publishing import (
    MODELS,
    RAW_SNAPSHOT,
    RUN,
    JobResult,
    checksum,
    is_published,
    publish,
    refresh_views,
    write_models,
)
from brewhouse.lake.lake import Lake
from brewhouse.lake.snapshots import find
from brewhouse.models.project import models_of
from brewhouse.settings import Settings

_SILVER = ("silver.breweries", "silver.rejected_breweries")


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
    models = models_of("gold", folder=settings.models)
    inputs = sorted({*_SILVER, *(need for model in models for need in model.needs if need.startswith("silver."))})
    if not set(inputs) <= set(tables.names()) or (silver := tables.current(_SILVER[0])) is None:
        raise BrewhouseError(f"The lake {lake.root} lacks silver tables.", hint="Run `brewhouse transform` first.")
    snapshot = find(lake, silver.properties[RAW_SNAPSHOT])
    if is_published(tables, models, snapshot.run):
        refresh_views(lake, tables)  # a run killed right after its commit did not come to it
        return JobResult(f"gold already shows snapshot {snapshot.run}; nothing to do")

    engine = DuckDBEngine(settings.memory_limit_mb)
    try:
        for name in inputs:
            engine.attach_table(tables.describe(name), tables.files(name))
        publications, checks = write_models(engine, tables, models, progress)
        checks += gold_sums(engine)
        checks += source_counts(engine, snapshot.manifest)
    finally:
        engine.close()
    record(checks)
    demand(checks)

    properties = {RAW_SNAPSHOT: snapshot.run, MODELS: checksum(models), RUN: run}
    published = publish(lake, tables, publications, properties)
    return JobResult(
        f"gold shows snapshot {snapshot.run}",
        counts={str(entry["table"]): int(entry["rows"]) for entry in published},
        checks=checks,
        published=published,
    )
