"""Transform: a complete raw snapshot becomes the silver tables.

One clean row per brewery, every rejected record with its reasons, and the changes since the previous snapshot. The
tables are published all at once after every check has passed, in a run of the workflow together with gold.
"""

from __future__ import annotations

from brewhouse.checks.data_contract import checks_and_counts
from brewhouse.checks.reconciliation import ACCOUNTED, count_drop, reconcile_silver
from brewhouse.lake.raw_snapshots import RawSnapshot, find, newest, nothing_extracted
from brewhouse.models.project import models_of
from brewhouse.pipeline.input_tables import (
    BREWERIES,
    attach_nothing_previous,
    attach_previous,
    attach_snapshot,
    previous_snapshot,
)
from brewhouse.pipeline.publishing import check, find_published, publish, stage_models, version_of
from brewhouse.pipeline.run_context import JobResult, RunContext, StagedTables


def transform(context: RunContext, snapshot_run: str | None = None) -> JobResult:
    """Publish the silver tables of a complete raw snapshot: by its run id, else the run's own, else the newest.

    Raises:
        BrewhouseError: The lake has no complete raw snapshot, or not that one.
        ChecksFailed: A check of severity error failed; the tables are unchanged.
    """
    lake = context.lake
    wanted = snapshot_run or context.raw_snapshot
    snapshot = find(lake, wanted) if wanted else newest(lake)
    if snapshot is None:
        raise nothing_extracted(lake)
    models = models_of("silver", folder=context.settings.models)
    if "extract" not in context.jobs and (
        result := find_published(context, "silver", models, version_of(models), snapshot.run)
    ):
        return result
    attach_snapshot(context.engine, snapshot, context.emit_model)  # without the tables: PyIceberg is still imported
    staged = stage_silver(context, snapshot, previous_snapshot(context.engine, context.tables, snapshot.run))
    check(context, staged)
    if not context.is_followed_by("aggregate"):
        return publish(context, staged)
    context.staged.append(staged)
    if context.is_elsewhere("aggregate"):
        from brewhouse.pipeline.staged_publication import leave_staged

        leave_staged(context, staged)
    return JobResult(f"silver of snapshot {snapshot.run} is staged", counts=staged.counts, checks=staged.checks)


def stage_silver(
    context: RunContext, snapshot: RawSnapshot, previous: str | None, *, rebuilds: bool = False
) -> StagedTables:
    """Stage the silver tables of a raw snapshot that is attached to the engine, and check them.

    Args:
        previous: Run id of the raw snapshot it is compared with; None when there is none.
        rebuilds: Whether the tables start over with this snapshot, as a part of a rebuild.

    Raises:
        BrewhouseError: The previous snapshot is neither published nor in the bronze zone any more.
    """
    engine, tables = context.engine, context.tables
    models = models_of("silver", folder=context.settings.models)
    version = version_of(models)
    breweries = next(model for model in models if model.name == BREWERIES)
    if not previous:
        attach_nothing_previous(engine)
    elif attach_previous(engine, context.lake, tables, breweries, previous, version):
        attach_snapshot(engine, snapshot)
    publications = stage_models(context, models, snapshot, version, previous, rebuilds=rebuilds)
    checks, counts = checks_and_counts(engine, models, {**ACCOUNTED, "changes": "`silver`.`brewery_changes`"})
    published = None if rebuilds or BREWERIES not in tables.names() else tables.current(BREWERIES)
    checks += reconcile_silver(engine, snapshot.manifest, counts)
    engine.attach_rows("staging.cleaned_records", {"id": "string"}, [])  # frees its memory, as no model reads it now
    limit = context.settings.max_count_drop_percent
    checks.append(count_drop(counts["breweries"], published.rows if published else None, limit))
    return StagedTables(
        zone="silver",
        version=version,
        raw_snapshot=snapshot.run,
        publications=publications,
        checks=checks,
        counts={"records": snapshot.records} | {part: counts[part] for part in ("breweries", "rejected", "changes")},
    )
