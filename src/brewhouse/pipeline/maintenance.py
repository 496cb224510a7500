"""Maintain: expire old snapshots of the tables, make few files of many, delete what nothing refers to.

Nobody is disturbed: what a snapshot referred to stays for a day after it expired, and what a run is writing is younger
than that. Each step is one commit, or can be done again, so that a kill at any moment leaves a good lake.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from brewhouse.checks.check import raise_on_failure
from brewhouse.checks.compaction import same_rows
from brewhouse.engines.choose import open_engine
from brewhouse.engines.engine import Engine
from brewhouse.errors import BrewhouseError
from brewhouse.events.event import EventLog
from brewhouse.iceberg.maintenance_rules import MANY_MANIFESTS, compactions, expired, orphan_files
from brewhouse.iceberg.pending_delete import add_pending, drop_expired_records, pending_files, stored_files
from brewhouse.lake.lake import Lake
from brewhouse.models.model import parse
from brewhouse.pipeline.publishing import JobResult, refresh_views
from brewhouse.pipeline.runner import Progress, run_jobs
from brewhouse.settings import Settings

if TYPE_CHECKING:
    from brewhouse.iceberg.tables import Rewrite, Tables

_BEFORE = "staging.before_compaction"
_BYTES_PER_MB = 1024 * 1024


class TableMaintenance(msgspec.Struct, kw_only=True):
    """What maintenance did, or would do, with one table.

    Attributes:
        table: Zone and table; `brewhouse.duckdb` for what is left of views that were never finished.
        snapshots_expired: How many snapshots were forgotten.
        files_compacted: How many files were made fewer.
        files_written: How many they became; at least, when nothing is done yet.
        files_removed: How many files were deleted, metadata included.
        bytes_freed: Their size.
        files_waiting: How many no snapshot refers to, that are not a day out of use yet.
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


@dataclass(frozen=True)
class _Plan:
    """What is to be done with a table before files are deleted."""

    expired: list[int]
    groups: list[tuple[str, ...]]
    merges_manifests: bool


def run_maintenance(lake: Lake, settings: Settings, *, progress: Progress | None = None) -> list[TableMaintenance]:
    """Maintain the tables as one run with one job.

    Args:
        lake: Whose tables; it is locked meanwhile.
        settings: How many snapshots are kept, how large files should be, the engine's memory.
        progress: Shows how it gets on.

    Returns:
        What was done with each table.

    Raises:
        BrewhouseError: Another run is going, or there are no tables.
        ChecksFailed: Compaction would have changed rows; nothing was changed.
    """
    _require_tables(lake)
    done: list[TableMaintenance] = []

    def job(log: EventLog, shown: Progress) -> JobResult:
        del shown
        result, reports = _maintain(lake, settings, log.run)
        done.extend(reports)
        return result

    run_jobs(lake, settings, "maintain", {"maintain": job}, progress=progress)
    return done


def preview_maintenance(lake: Lake, settings: Settings) -> list[TableMaintenance]:
    """Tell what maintenance would do with each table, and do nothing.

    Args:
        lake: Whose tables.
        settings: As for `run_maintenance`.

    Raises:
        BrewhouseError: There are no tables.
    """
    from brewhouse.iceberg.tables import Tables

    _require_tables(lake)
    tables, now = Tables(lake), datetime.now(UTC)
    with tables.reading():
        plans = _plans(tables, settings, now)
        going = {name: plan.expired for name, plan in plans.items()}
        before, after = tables.referenced(), tables.referenced(going)
        reports = _reports(plans, {name: len(plan.groups) for name, plan in plans.items()})
        _sort_out(lake, tables, after, pending_files(lake, now) | (before - after), now, reports)
    _sweep_views(lake, reports, delete=False)
    return list(reports.values())


def _maintain(lake: Lake, settings: Settings, run: str) -> tuple[JobResult, list[TableMaintenance]]:
    from brewhouse.iceberg.tables import Tables

    tables, now = Tables(lake), datetime.now(UTC)
    plans = _plans(tables, settings, now)
    rewrites = _compact(tables, plans, settings)
    tables.rewrite(rewrites)

    going = {name: plan.expired for name, plan in plans.items()}
    before, after = tables.referenced(), tables.referenced(going)
    add_pending(lake, run, before - after, now)
    tables.expire(going)

    reports = _reports(plans, {rewrite.table: len(rewrite.after) for rewrite in rewrites})
    _sweep_views(lake, reports, delete=True)
    refresh_views(lake, tables)  # before files are deleted that a killed run's views may still point at
    removed = _sort_out(lake, tables, tables.referenced(), pending_files(lake, now), now, reports)
    for path in removed:
        lake.store.delete(path)
    drop_expired_records(lake, now)

    states = [tables.current(rewrite.table) for rewrite in rewrites]
    done = list(reports.values())
    total = total_of(done)
    return JobResult(
        f"{total.snapshots_expired} snapshots expired, {total.files_compacted} files made {total.files_written}, "
        f"{total.files_removed} files removed, {total.bytes_freed} bytes freed",
        counts={name: value for name, value in msgspec.structs.asdict(total).items() if name != "table"},
        published=[{"table": s.table, "snapshot": s.snapshot_id, "rows": s.rows} for s in states if s],
    ), done


def total_of(reports: Sequence[TableMaintenance]) -> TableMaintenance:
    """Sum up what was done with all tables.

    Example:
        >>> total_of([TableMaintenance(table=name, bytes_freed=2) for name in ("gold.a", "gold.b")]).bytes_freed
        4
    """
    sums: dict[str, int] = defaultdict(int)
    for report in reports:
        for name, value in msgspec.structs.asdict(report).items():
            if name != "table":
                sums[name] += value
    return TableMaintenance(table="total", **sums)


def _require_tables(lake: Lake) -> None:
    if lake.is_local and not lake.catalog_file.exists():  # opening it would make it
        raise BrewhouseError(f"The lake {lake.root} has no tables.", hint="`brewhouse run` makes them.")


def _plans(tables: Tables, settings: Settings, now: datetime) -> dict[str, _Plan]:
    return {
        name: _Plan(
            expired(
                tables.history(name),
                tables.protected(name),
                now,
                keep_days=settings.snapshot_retention_days,
                keep_last=settings.min_snapshots_to_keep,
            ),
            compactions(tables.current_files(name), settings.target_file_mb * _BYTES_PER_MB),
            tables.manifests(name) > MANY_MANIFESTS,
        )
        for name in tables.folders()
    }


def _compact(tables: Tables, plans: Mapping[str, _Plan], settings: Settings) -> list[Rewrite]:
    """Have the engine write each group of small files as one, and prove that the rows are the same."""
    from brewhouse.iceberg.tables import Rewrite

    rewrites = []
    with open_engine(settings) as engine:
        for name, plan in plans.items():
            if plan.groups or plan.merges_manifests:
                before = tuple(file for group in plan.groups for file in group)
                after = tuple(file for group in plan.groups for file in _merge(engine, tables, name, group))
                rewrites.append(Rewrite(name, before, after))
    return rewrites


def _merge(engine: Engine, tables: Tables, name: str, group: tuple[str, ...]) -> tuple[str, ...]:
    spec = tables.describe(name)
    engine.attach_table(replace(spec, name=_BEFORE), group)
    engine.compute(parse(name, f"SELECT * FROM {_BEFORE}"))
    files = engine.write(spec, tables.field_ids(spec), tables.data_folder(name))
    raise_on_failure([same_rows(engine, _BEFORE, spec)])
    return files


def _reports(plans: Mapping[str, _Plan], files_written: Mapping[str, int]) -> dict[str, TableMaintenance]:
    return {
        name: TableMaintenance(
            table=name,
            snapshots_expired=len(plan.expired),
            files_compacted=sum(map(len, plan.groups)),
            files_written=files_written.get(name, 0),
        )
        for name, plan in plans.items()
    }


def _sort_out(
    lake: Lake,
    tables: Tables,
    referenced: set[str],
    let_go: set[str],
    now: datetime,
    reports: Mapping[str, TableMaintenance],
) -> list[str]:
    """Choose the files that are deleted, and add them to the reports."""
    paths = []
    for name, folder in tables.folders().items():
        old, waiting = orphan_files(stored_files(lake, folder), referenced, let_go, now)
        report = reports[name]
        report.files_removed, report.bytes_freed = len(old), sum(file.size_bytes for file in old)
        report.files_waiting, report.bytes_waiting = len(waiting), sum(file.size_bytes for file in waiting)
        paths += [file.path for file in old]
    return paths


def _sweep_views(lake: Lake, reports: dict[str, TableMaintenance], *, delete: bool) -> None:
    """Delete views that a killed run did not finish; nobody else makes any while this run has the lock."""
    leftovers = list(lake.root.glob(f"{lake.views_file.name}.*.tmp*")) if lake.is_local else []
    if leftovers:
        size = sum(file.stat().st_size for file in leftovers)
        name = lake.views_file.name
        reports[name] = TableMaintenance(table=name, files_removed=len(leftovers), bytes_freed=size)
    for file in leftovers if delete else ():
        file.unlink(missing_ok=True)
