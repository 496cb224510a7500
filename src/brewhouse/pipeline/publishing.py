"""Write, audit, publish: tables are staged as files, checked, and published all together or not at all.

A run publishes once: a job that runs before another one that publishes leaves its staged tables to that one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from brewhouse.checks.check import Check
from brewhouse.engines.engine import Engine
from brewhouse.errors import BrewhouseError, ChecksFailed
from brewhouse.iceberg.maintenance_rules import BYTES_PER_MB, compactions, expired
from brewhouse.iceberg.pending_delete import PENDING, add_pending, sweep_if_due
from brewhouse.iceberg.table_spec import Publication, TableSpec
from brewhouse.lake.lake import Lake
from brewhouse.lake.raw_snapshots import RawSnapshot
from brewhouse.models.model import Model
from brewhouse.pipeline.input_tables import COMPARED_WITH, MODELS, RAW_SNAPSHOT, SNAPSHOT_TIME
from brewhouse.pipeline.run_context import REBUILD, JobResult, RunContext, StagedTables
from brewhouse.places.reference import FOLDER as REFERENCE

if TYPE_CHECKING:
    from brewhouse.iceberg.tables import Tables

RUN = "brewhouse.run"
_MANY_FILES = 50
_ANY_AGE_DAYS = 36_500


def stage_models(
    context: RunContext,
    models: Sequence[Model],
    snapshot: RawSnapshot,
    version: str,
    compared_with: str | None = None,
    *,
    rebuilds: bool = False,
) -> list[Publication]:
    """Let the engine write each model's table into files, which it reads by the model's name from then on.

    Args:
        snapshot: What they are made of; incremental tables get its rows as a batch.
        version: Of the models.
        compared_with: Run id of the raw snapshot that this one was compared with; None when there is none.
        rebuilds: Whether incremental tables start over with this batch.
    """
    engine, tables = context.engine, context.tables
    properties = {
        RAW_SNAPSHOT: snapshot.run,
        SNAPSHOT_TIME: snapshot.manifest.finished_at,
        COMPARED_WITH: compared_with or "",
        MODELS: version,
    }
    batch = {"snapshot_run": snapshot.run, "snapshot_date": snapshot.manifest.finished_at[:10]}
    known = frozenset(() if rebuilds else tables.names())
    publications: list[Publication] = []
    for model in models:
        context.emit_model(model.name)
        spec = model.spec(engine.compute(model))
        kept: list[str] = []
        mixed: list[str] = []
        if model.incremental_by and model.name in known:
            mixed, kept = _files_to_rewrite(context, model, batch[model.incremental_by])
            if mixed:
                _compute_with_rows_of(engine, model, spec, mixed, batch[model.incremental_by])
        alike = () if mixed else (model.incremental_by,)  # of one value, by which sorting takes a fifth of the time
        written = replace(spec, sort=tuple(name for name in spec.sort if name not in alike))
        files = engine.write(written, tables.field_ids(spec), tables.data_folder(spec.name))
        publications.append(Publication(spec, files, tuple(kept), properties))
    return publications


def _files_to_rewrite(context: RunContext, model: Model, value: str) -> tuple[list[str], list[str]]:
    """Separate the files of an incremental table whose rows are written again with a batch from those that stay.

    Those that may have rows of the batch are, and small files once there are many: each run adds one at least.
    """
    mixed, kept = context.tables.files_by_value(model.name, model.incremental_by, value)
    if len(kept) < _MANY_FILES:
        return mixed, kept
    target_bytes = context.settings.target_file_mb * BYTES_PER_MB
    files = [file for file in context.tables.current_files(model.name) if file.path in kept]
    small = {path for group in compactions(files, target_bytes) for path in group}
    return [*mixed, *sorted(small)], [path for path in kept if path not in small]


def _compute_with_rows_of(engine: Engine, model: Model, spec: TableSpec, files: Sequence[str], value: str) -> None:
    """Compute an incremental model together with the rows of other batches in some of its files."""
    old = f"published.{model.name.replace('.', '_')}"
    engine.attach_table(replace(spec, name=old), files)
    columns = ", ".join(column.name for column in spec.columns)
    others = f"SELECT {columns} FROM {old} WHERE {model.incremental_by} <> '{value}'"
    engine.compute(replace(model, sql=f"SELECT {columns} FROM ({model.sql}) AS batch UNION ALL {others}"))


def check(context: RunContext, staged: StagedTables) -> None:
    """Emit the results of the checks of staged tables.

    Raises:
        ChecksFailed: A check of severity error failed; nothing was published.
    """
    context.emit_checks(staged.checks)
    raise_on_failure(staged.checks)


def publish(context: RunContext, *stages: StagedTables) -> JobResult:
    """Publish staged tables that passed their checks in one transaction, and refresh the views."""
    known = context.tables.runs()
    context.ignore_stops()
    published = commit(context, *stages)
    refresh_views(context.lake, context.tables, context.warn)
    _sweep(context)
    last = stages[-1]
    zones = " and ".join(stage.zone for stage in stages)
    rows = {str(entry["table"]): int(entry["rows"]) for entry in published}
    return JobResult(
        message=f"{zones} show{'s' if len(stages) == 1 else ''} snapshot {last.raw_snapshot}",
        counts=last.counts or {each.spec.name: rows[each.spec.name] for each in last.publications},
        checks=last.checks,
        published=published,
        expired_runs=sorted(known - context.tables.runs()),
    )


def raise_on_failure(checks: Iterable[Check]) -> None:
    """Block the publication when a check of severity error failed.

    Raises:
        ChecksFailed: Lists each failed check with its number of violations and an example.
    """
    failed = [check for check in checks if check.severity == "error" and check.violations]
    if failed:
        facts = "; ".join(
            f"{check.table}: {check.name} ({check.violations} violations, for example {check.example})"
            for check in failed
        )
        raise ChecksFailed(
            f"Nothing was published, because {len(failed)} check(s) failed: {facts}.",
            hint="The published tables are unchanged; inspect the run with `brewhouse show`, then run again.",
        )


def commit(context: RunContext, *stages: StagedTables) -> list[dict[str, str | int]]:
    """Commit staged tables in one transaction; return each table with its snapshot and rows."""
    publications = [publication for staged in stages for publication in staged.publications]
    context.tables.publish(publications, {RUN: context.run}, _expiring(context, publications))
    return list_states(context.tables, [publication.spec.name for publication in publications])


def list_states(tables: Tables, names: Iterable[str], run: str | None = None) -> list[dict[str, str | int]]:
    """List the current snapshot and rows of tables, by default of any run."""
    current = [now for name in names if (now := tables.current(name)) and run in (None, now.run)]
    return [{"table": now.table, "snapshot": now.snapshot_id, "rows": now.rows} for now in current]


def _expiring(context: RunContext, publications: Sequence[Publication]) -> dict[str, list[int]]:
    """Choose the snapshots that expire with a publication: metadata, rewritten by each, lists all that are left.

    The last one of each day stays until maintenance finds it too old. A rebuild publishes many snapshots at once; the
    next run expires those that need not stay.
    """
    tables, now = context.tables, datetime.now(UTC)
    number = context.settings.min_snapshots_to_keep
    names = {publication.spec.name for publication in publications} & set(tables.names())
    histories = {name: tables.history(name) for name in names}
    if context.job == REBUILD or all(len(history) <= number for history in histories.values()):
        return {}
    expiring = {
        name: expired(history, tables.protected(name), now, keep_days=_ANY_AGE_DAYS, keep_last=number)
        for name, history in histories.items()
    }
    add_pending(context.lake, context.run, tables.files_of(expiring), now)
    return expiring


def _sweep(context: RunContext) -> None:
    """Delete the files of snapshots that expired more than a day ago; on S3, `brewhouse maintain` does."""
    lake = context.lake
    if lake.is_local and (lake.root / PENDING).is_dir():
        try:
            sweep_if_due(lake, datetime.now(UTC))
        except Exception as error:  # noqa: BLE001 - the tables are published
            what = "Files of expired table snapshots could not be deleted, which the next run tries again"
            context.warn(f"{what}: {error}")


def attach_staged(context: RunContext, staged: StagedTables) -> None:
    """Attach staged tables to the engine, as readers will see them."""
    for publication in staged.publications:
        ids = context.tables.field_ids(publication.spec)
        columns = tuple(replace(column, field_id=ids[column.name]) for column in publication.spec.columns)
        spec = replace(publication.spec, columns=columns)
        context.engine.attach_table(spec, [*publication.kept, *publication.files])


def refresh_views(lake: Lake, tables: Tables, warn: Callable[[str], None]) -> None:
    """Point the views at the tables' current files and the raw snapshot of silver; `warn` if they cannot be written."""
    if not lake.is_local:  # which has no views
        return
    from brewhouse.query.views import shown_pages, views_copy, write_views

    copy = views_copy(lake)  # before the tables: it must never be newer than they are
    current = {name: (tables.describe(name), tables.files(name)) for name in tables.names()}
    try:
        write_views(lake, current, shown_pages(lake, tables), copy)
    except BrewhouseError as error:
        warn(str(error))


def find_published(
    context: RunContext, zone: str, models: Sequence[Model], version: str, raw_snapshot: str
) -> JobResult | None:
    """Return the result of a job with nothing to do, if these models have published the raw snapshot already."""
    tables = context.tables
    if not {model.name for model in models} <= set(tables.names()):
        return None
    current = [tables.current(model.name) for model in models]
    if any(now is None or (now.raw_snapshot, now.properties.get(MODELS)) != (raw_snapshot, version) for now in current):
        return None
    refresh_views(context.lake, tables, context.warn)  # missing if a run was killed right after its commit
    return JobResult(f"{zone} already shows snapshot {raw_snapshot}; nothing to do")


def version_of(models: Sequence[Model], upstream: str = "") -> str:
    """Identify the version of models, of the reference data next to them, and of the models upstream."""
    lines = [upstream, *(f"{model.name} {model.version}" for model in models)]
    digest = hashlib.sha256("\n".join(lines).encode())
    for file in sorted(REFERENCE.glob("*.csv")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
