"""Aggregate: the silver tables become the gold tables, which add up to silver, and silver to the source's counts."""

from __future__ import annotations

from collections.abc import Sequence

from brewhouse.checks.reconciliation import gold_sums, source_counts
from brewhouse.errors import BrewhouseError
from brewhouse.lake.raw_snapshots import RawSnapshot, find
from brewhouse.models.model import Model
from brewhouse.models.project import models_of
from brewhouse.pipeline.input_tables import BREWERIES, MODELS, RAW_SNAPSHOT
from brewhouse.pipeline.publishing import (
    StagedTables,
    check_and_publish,
    is_published,
    refresh_views,
    stage_models,
    version_of,
)
from brewhouse.pipeline.run_context import JobResult, RunContext


def aggregate(context: RunContext) -> JobResult:
    """Publish the gold tables of the published silver tables.

    Raises:
        BrewhouseError: There are no silver tables.
        ChecksFailed: A check of severity error failed; the tables are unchanged.
    """
    tables = context.tables
    models = models_of("gold", folder=context.settings.models)
    missing = sorted(_silver_inputs(models) - set(tables.names()))
    if missing or (silver := tables.current(BREWERIES)) is None:
        names = ", ".join(missing) or BREWERIES
        raise BrewhouseError(f"The lake {context.lake.root} has no {names}.", hint="Run `brewhouse transform` first.")
    snapshot = find(context.lake, silver.properties[RAW_SNAPSHOT])
    if is_published(tables, models, version_of(models, silver.properties[MODELS]), snapshot.run):
        refresh_views(context.lake, tables)  # missing if a run was killed right after its commit
        return JobResult(message=f"gold already shows snapshot {snapshot.run}; nothing to do")
    return check_and_publish(context, stage_gold(context, snapshot))


def stage_gold(context: RunContext, snapshot: RawSnapshot, *, rebuilds: bool = False) -> StagedTables:
    """Stage the gold tables of the current silver tables and check them.

    Args:
        snapshot: The raw snapshot that silver was made of.
        rebuilds: Whether the tables start over with this snapshot, as a part of a rebuild.
    """
    engine, tables = context.engine, context.tables
    models = models_of("gold", folder=context.settings.models)
    silver = tables.current(BREWERIES)
    assert silver is not None
    for name in sorted(_silver_inputs(models)):
        engine.attach_table(tables.describe(name), tables.files(name))
    publications, checks = stage_models(context, models, snapshot, rebuilds=rebuilds)
    checks += gold_sums(engine)
    checks += source_counts(engine, snapshot.manifest)
    return StagedTables(
        zone="gold",
        version=version_of(models, silver.properties[MODELS]),
        raw_snapshot=snapshot.run,
        publications=publications,
        checks=checks,
    )


def _silver_inputs(models: Sequence[Model]) -> set[str]:
    """List the silver tables that gold models and the checks read."""
    built_in = {model.name for model in models_of("silver")}
    return built_in | {name for model in models for name in model.depends_on if name.startswith("silver.")}
