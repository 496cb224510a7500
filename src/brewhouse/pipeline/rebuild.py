"""Rebuild: all silver and gold tables from every raw snapshot of the bronze zone, oldest first.

Each snapshot goes through the steps and checks of the run that fetched it. All is committed as one transaction:
readers see the tables before, and then the newest snapshot with its whole history.
"""

from __future__ import annotations

from collections.abc import Sequence

from brewhouse.checks.check import Check
from brewhouse.checks.data_contract import check_result
from brewhouse.errors import BrewhouseError, ChecksFailed
from brewhouse.events.event import Listener
from brewhouse.iceberg.tables import Tables
from brewhouse.ids import new_id
from brewhouse.lake.lake import Lake, recorded_root
from brewhouse.lake.raw_snapshots import RawSnapshot, complete_runs, find, nothing_extracted, require_written
from brewhouse.lake.run_lock import run_lock
from brewhouse.pipeline.aggregate import stage_gold
from brewhouse.pipeline.dry_run import dry_run
from brewhouse.pipeline.input_tables import BREWERIES, attach_snapshot
from brewhouse.pipeline.publishing import attach_staged, commit, list_states, raise_on_failure, refresh_views
from brewhouse.pipeline.run_context import REBUILD, JobResult, RunContext, StagedTables
from brewhouse.pipeline.runner import run_jobs
from brewhouse.pipeline.transform import stage_silver
from brewhouse.settings import Settings


def run_rebuild(lake: Lake, settings: Settings, *, listeners: Sequence[Listener] = ()) -> str:
    """Rebuild as a run of its own; return its id. A lake that was moved or copied is relocated first.

    Raises:
        BrewhouseError: Another run holds the lake, or no raw snapshot passes its checks.
    """
    require_written(lake)
    if recorded_root(lake) is not None:
        with run_lock(lake, new_id(), is_moved=True):
            Tables(lake).relocate(forget_incomplete=True)
    return run_jobs(lake, settings, REBUILD, {REBUILD: rebuild}, listeners=listeners)


def rebuild(context: RunContext) -> JobResult:
    """Rebuild all silver and gold tables.

    A snapshot whose checks fail is left out, as by the run that fetched it, with a warning. A lost or damaged catalog
    is replaced, and a table with damaged metadata starts over without its history.

    Raises:
        BrewhouseError: There is no raw snapshot, one is damaged, or none passes its checks; the tables are unchanged.
    """
    lake = context.lake
    if not (runs := complete_runs(lake)):
        raise nothing_extracted(lake)
    tables = context.tables = Tables(lake, replaces=True)
    if context.settings.models is not None:
        dry_run(context.settings)
    shown: str | None = None
    checks: list[Check] = []
    left_out: list[str] = []
    with tables.atomically():
        for error in tables.forget_damaged():
            context.warn(f"A table starts over without its history, since it is damaged: {error.what}")
        for done, snapshot_run in enumerate(runs, start=1):
            checks = []
            try:
                _add(context, find(lake, snapshot_run), shown, checks)
                shown = snapshot_run
            except ChecksFailed as error:
                left_out.append(f"{snapshot_run}: {error.what}")
            context.emit_snapshots(done, len(runs))
        name = "every raw snapshot passes its checks"
        checks.append(check_result(name, "bronze.breweries", len(left_out), "; ".join(left_out), "warning"))
        context.emit_checks(checks)
        if shown is None:
            what = f"None of the {len(runs)} raw snapshots in {lake.root} passes its checks."
            raise BrewhouseError(what, hint="Run `brewhouse show` for the reasons, or `brewhouse run` for a new one.")
        context.ignore_stops()
    refresh_views(lake, tables, context.warn)
    published = list_states(tables, tables.names(), context.run)
    return JobResult(
        message=f"{len(published)} tables rebuilt from {len(runs) - len(left_out)} raw snapshots; they show {shown}",
        counts={"raw_snapshots": len(runs), "left_out": len(left_out)},
        published=published,
    )


def is_rebuilt(lake: Lake) -> bool:
    """Return whether the current tables were made of every raw snapshot of the lake, as far as history reaches."""
    tables = Tables(lake)
    if BREWERIES not in tables.names():
        return False
    known = {snapshot.raw_snapshot for snapshot in tables.history(BREWERIES) if not snapshot.rolled_back}
    return known.issuperset(complete_runs(lake))


def _add(context: RunContext, snapshot: RawSnapshot, previous: str | None, checks: list[Check]) -> None:
    """Publish one more raw snapshot, inside the transaction, and add the results of its checks, whatever they are."""

    def require(staged: StagedTables) -> None:
        checks.extend(staged.checks)
        raise_on_failure(staged.checks)

    attach_snapshot(context.engine, snapshot)
    silver = stage_silver(context, snapshot, previous, rebuilds=previous is None)
    require(silver)
    attach_staged(context, silver)
    gold = stage_gold(context, snapshot, silver.version, rebuilds=previous is None)
    require(gold)
    commit(context, silver, gold)
