"""Aggregate: the silver tables become the gold tables, which add up to silver, and silver to the source's counts."""

from __future__ import annotations

from brewhouse.checks.data_contract import contract_checks
from brewhouse.checks.reconciliation import reconcile_gold
from brewhouse.errors import BrewhouseError
from brewhouse.lake.raw_snapshots import RawSnapshot, find
from brewhouse.models.project import models_of
from brewhouse.pipeline.input_tables import BREWERIES, MODELS
from brewhouse.pipeline.publishing import attach_staged, check, find_published, publish, stage_models, version_of
from brewhouse.pipeline.run_context import JobResult, RunContext, StagedTables


def aggregate(context: RunContext) -> JobResult:
    """Publish the gold tables: of the silver tables that transform staged in this run, else of the published ones.

    Raises:
        BrewhouseError: There are no silver tables.
        ChecksFailed: A check of severity error failed; the tables are unchanged, silver included.
    """
    if not context.is_elsewhere("transform"):
        return _publish_with_gold(context, context.staged[0]) if context.staged else _aggregate_published(context)

    from brewhouse.pipeline.staged_publication import drop_staged, find_staged

    if (silver := find_staged(context)) is None:
        return _aggregate_published(context)
    result = _publish_with_gold(context, silver)
    drop_staged(context)
    return result


def _publish_with_gold(context: RunContext, silver: StagedTables) -> JobResult:
    attach_staged(context, silver)
    return _publish_gold(context, find(context.lake, silver.raw_snapshot), silver.version, silver)


def _publish_gold(context: RunContext, snapshot: RawSnapshot, silver_version: str, *before: StagedTables) -> JobResult:
    gold = stage_gold(context, snapshot, silver_version)
    check(context, gold)
    return publish(context, *before, gold)


def _aggregate_published(context: RunContext) -> JobResult:
    tables = context.tables
    models = models_of("gold", folder=context.settings.models)
    inputs = {model.name for model in models_of("silver")}  # which the checks read
    inputs |= {name for model in models for name in model.depends_on if name.startswith("silver.")}
    missing = sorted(inputs - set(tables.names()))
    if missing or (current := tables.current(BREWERIES)) is None:
        names = ", ".join(missing) or BREWERIES
        raise BrewhouseError(f"The lake {context.lake.root} has no {names}.", hint="Run `brewhouse transform` first.")
    snapshot, version = find(context.lake, current.raw_snapshot), current.properties[MODELS]
    if result := find_published(context, "gold", models, version_of(models, version), snapshot.run):
        return result
    for name in sorted(inputs):
        context.engine.attach_table(tables.describe(name), tables.files(name))
    return _publish_gold(context, snapshot, version)


def stage_gold(
    context: RunContext, snapshot: RawSnapshot, silver_version: str, *, rebuilds: bool = False
) -> StagedTables:
    """Stage and check the gold tables of the silver tables that are attached to the engine; see `stage_silver`."""
    models = models_of("gold", folder=context.settings.models)
    version = version_of(models, silver_version)
    publications = stage_models(context, models, snapshot, version, rebuilds=rebuilds)
    checks = contract_checks(context.engine, *models) + reconcile_gold(context.engine, snapshot.manifest)
    return StagedTables("gold", version, snapshot.run, publications, checks)
