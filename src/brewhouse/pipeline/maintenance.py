"""Maintenance: expire old table snapshots, compact small files, delete orphan files and old logs.

Readers are not disturbed: files of an expired snapshot stay for a day, and what a run is writing is younger than that.
Each step is one commit or can be repeated, so that a kill at any moment leaves a consistent lake.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from types import MappingProxyType

import msgspec

from brewhouse.checks.reconciliation import same_rows
from brewhouse.errors import UsageError
from brewhouse.events.event import Listener
from brewhouse.iceberg.maintenance_rules import BYTES_PER_MB, StoredFile, compactions, expired
from brewhouse.iceberg.pending_delete import (
    add_pending,
    drop_expired_records,
    orphans_by_table,
    pending_files,
    stored_files,
)
from brewhouse.iceberg.snapshots import MANY_MANIFESTS
from brewhouse.iceberg.tables import Rewrite, Tables
from brewhouse.ids import new_id
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import run_lock
from brewhouse.models.model import parse
from brewhouse.models.project import models_of
from brewhouse.pipeline.publishing import list_states, raise_on_failure, refresh_views
from brewhouse.pipeline.run_context import JobResult, RunContext
from brewhouse.pipeline.runner import run_jobs
from brewhouse.pipeline.staged_publication import abandoned_files, staged_publications
from brewhouse.query.connection import nothing_published, published_tables
from brewhouse.settings import Settings

_BEFORE = "staging.before_compaction"


class TableMaintenance(msgspec.Struct, kw_only=True):
    """What maintenance did, or would do, with one table.

    Attributes:
        table: Zone and table; `logs` for logs of runs, `staged` for tables that a run staged and never published.
        files_compacted: Number of small files that were combined.
        files_written: Number of files they became; a lower bound in a preview.
        files_removed: Number of deleted files, metadata included.
        bytes_freed: Their size.
        files_waiting: Number of orphan files that have been orphans for less than a day.
        bytes_waiting: Their size.
    """

    table: str
    snapshots_expired: int = 0
    files_compacted: int = 0
    files_written: int = 0
    files_removed: int = 0
    bytes_freed: int = 0
    files_waiting: int = 0
    bytes_waiting: int = 0


_COUNTS = TableMaintenance.__struct_fields__[1:]


@dataclass(frozen=True)
class _Plan:
    """What maintenance does with a table before it deletes files."""

    expired: list[int]
    groups: list[tuple[str, ...]]
    merges_manifests: bool
    report: TableMaintenance


def run_maintenance(lake: Lake, settings: Settings, *, listeners: Sequence[Listener] = ()) -> list[TableMaintenance]:
    """Maintain the tables as one run with one job; return what was done with each table.

    Raises:
        BrewhouseError: Another run holds the lake, or there are no tables.
        ChecksFailed: Compaction would have changed rows; nothing was changed.
    """
    _require_tables(lake)
    done: list[TableMaintenance] = []
    run_jobs(lake, settings, "maintain", {"maintain": partial(_maintain, done=done)}, listeners=listeners)
    return done


def require_droppable(lake: Lake, settings: Settings, name: str) -> None:
    """Refuse to drop a table that does not exist, or that the next run would publish again.

    Raises:
        BrewhouseError: There is no such table, or nothing is published.
        UsageError: The table has a model.
    """
    published_tables(lake).describe(name)
    if found := next((m for m in models_of("silver", "gold", folder=settings.models) if m.name == name), None):
        raise UsageError(
            f"{name} has a model, so that the next run would publish it again.",
            hint=f"Delete {found.file} first." if found.user_defined else "Built-in tables cannot be dropped.",
        )


def drop_table(lake: Lake, settings: Settings, name: str, *, listeners: Sequence[Listener] = ()) -> None:
    """Delete a table with its files and its history, as a run with one job.

    Raises:
        BrewhouseError: Another run holds the lake, or there is no such table.
    """

    def drop(context: RunContext) -> JobResult:
        folder = context.tables.folders()[name]
        context.tables.drop(name)
        refresh_views(lake, context.tables, context.warn)
        for file in stored_files(lake, folder):
            lake.store.delete(file.path)
        if lake.is_local:
            shutil.rmtree(lake.root / folder, ignore_errors=True)
        return JobResult(message=f"{name} was deleted")

    run_jobs(lake, settings, "drop", {"drop": drop}, listeners=listeners)


def relocate(lake: Lake, warn: Callable[[str], None]) -> list[str]:
    """Let the tables and views of a local lake refer to its present place; return the tables that did not.

    Args:
        warn: Called if the views cannot be written.

    Raises:
        UsageError: The lake is on S3.
        BrewhouseError: A run holds the lake, there are no tables, or one has missing or damaged files.
    """
    _require_tables(lake)
    with run_lock(lake, new_id(), is_moved=True):
        tables = Tables(lake)
        moved = tables.relocate()
        refresh_views(lake, tables, warn)  # in any case, since an earlier attempt may have been killed before it
    return moved


def preview_maintenance(lake: Lake, settings: Settings) -> list[TableMaintenance]:
    """List what maintenance would do with each table, without doing it."""
    _require_tables(lake)
    tables, now = Tables(lake), datetime.now(UTC)
    with tables.reading():
        plans = _plans(lake, tables, settings, now)
        reports = {name: plan.report for name, plan in plans.items()}
        _choose_files(lake, settings, tables, now, reports, {name: plan.expired for name, plan in plans.items()})
    return list(reports.values())


def _maintain(context: RunContext, done: list[TableMaintenance]) -> JobResult:
    lake, tables, now = context.lake, context.tables, datetime.now(UTC)
    plans = _plans(lake, tables, context.settings, now)
    rewrites = _compact(context, plans)
    tables.rewrite(rewrites)

    expiring = {name: plan.expired for name, plan in plans.items()}
    add_pending(lake, context.run, tables.files_of(expiring), now)
    known = tables.runs()
    tables.expire(expiring)

    for rewrite in rewrites:
        plans[rewrite.table].report.files_written = len(rewrite.after)
    reports = {name: plan.report for name, plan in plans.items()}
    # First, since the views of a killed run may point at files that are deleted now.
    refresh_views(lake, tables, context.warn)
    for path in _choose_files(lake, context.settings, tables, now, reports):
        lake.store.delete(path)
    drop_expired_records(lake, now)

    done += reports.values()
    total = total_of(done)
    return JobResult(
        message=f"{total.snapshots_expired} snapshots expired, {total.files_compacted} files compacted to "
        f"{total.files_written}, {total.files_removed} files removed, {total.bytes_freed} bytes freed",
        counts={name: getattr(total, name) for name in _COUNTS},
        published=list_states(tables, [rewrite.table for rewrite in rewrites]),
        expired_runs=sorted(known - tables.runs()),
    )


def total_of(reports: Sequence[TableMaintenance]) -> TableMaintenance:
    """Add up what was done with all tables."""
    return TableMaintenance(table="total", **{name: sum(getattr(each, name) for each in reports) for name in _COUNTS})


def _require_tables(lake: Lake) -> None:
    if not lake.may_have_tables:
        raise nothing_published(lake)


def _plans(lake: Lake, tables: Tables, settings: Settings, now: datetime) -> dict[str, _Plan]:
    """Plan the maintenance of each table; one that a run is about to publish keeps its files and current snapshot."""
    live, _ = staged_publications(lake, now)
    staged = {name for publication in live for name in publication.bases}
    days, number = settings.snapshot_retention_days, settings.min_snapshots_to_keep
    plans = {}
    for name in tables.folders():
        old = expired(tables.history(name), tables.protected(name), now, keep_days=days, keep_last=number)
        files = [] if name in staged else tables.current_files(name)
        groups = compactions(files, settings.target_file_mb * BYTES_PER_MB)
        merges_manifests = name not in staged and tables.manifests(name) > MANY_MANIFESTS
        compacted = sum(map(len, groups))
        report = TableMaintenance(
            table=name, snapshots_expired=len(old), files_compacted=compacted, files_written=len(groups)
        )
        plans[name] = _Plan(old, groups, merges_manifests, report)
    return plans


def _compact(context: RunContext, plans: Mapping[str, _Plan]) -> list[Rewrite]:
    """Let the engine combine each group of small files, and check that the rows are the same."""
    rewrites = []
    for name, plan in plans.items():
        if plan.groups or plan.merges_manifests:
            before = tuple(file for group in plan.groups for file in group)
            after = tuple(file for group in plan.groups for file in _combine(context, name, group))
            rewrites.append(Rewrite(name, before, after))
    return rewrites


def _combine(context: RunContext, name: str, group: tuple[str, ...]) -> tuple[str, ...]:
    engine, tables = context.engine, context.tables
    spec = tables.describe(name)
    engine.attach_table(replace(spec, name=_BEFORE), group)
    engine.compute(parse(name, f"SELECT * FROM {_BEFORE}"))
    files = engine.write(spec, tables.field_ids(spec), tables.data_folder(name))
    raise_on_failure([same_rows(engine, _BEFORE, spec)])
    return files


def _choose_files(
    lake: Lake,
    settings: Settings,
    tables: Tables,
    now: datetime,
    reports: dict[str, TableMaintenance],
    expiring: Mapping[str, Collection[int]] = MappingProxyType({}),
) -> list[str]:
    """Choose the files to delete, and report them: orphans, what runs staged and never published, and old logs.

    Args:
        expiring: Snapshots that are about to expire, by table.
    """
    live, abandoned = staged_publications(lake, now)
    referenced = tables.referenced(expiring)
    pending = pending_files(lake, now).union(tables.files_of(expiring), *(each.files for each in live))
    chosen: list[StoredFile] = []
    for name, (old, waiting) in orphans_by_table(lake, tables, referenced, pending, now).items():
        report = reports[name]
        report.files_removed, report.bytes_freed = len(old), _size(old)
        report.files_waiting, report.bytes_waiting = len(waiting), _size(waiting)
        chosen += old
    first = f"date={(now - timedelta(days=settings.log_retention_days)).date()}"
    logs = {folder: stored_files(lake, folder) for folder in ("logs", "job_logs")}
    others = {
        "staged": abandoned_files(lake, abandoned, referenced, tables.folders().values()),
        "logs": [file for folder, files in logs.items() for file in files if file.path < f"{folder}/{first}"],
    }
    for name, files in others.items():
        if files:
            reports[name] = TableMaintenance(table=name, files_removed=len(files), bytes_freed=_size(files))
            chosen += files
    return [file.path for file in chosen]


def _size(files: Sequence[StoredFile]) -> int:
    return sum(file.size_bytes for file in files)
