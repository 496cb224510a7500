"""Rollback: tables show an earlier state again, as a run with one transaction; the later states are kept."""

from __future__ import annotations

from collections.abc import Sequence

from brewhouse.errors import UsageError
from brewhouse.events.event import Listener, read_events
from brewhouse.events.run_reports import run_reports
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake
from brewhouse.pipeline.publishing import list_states, refresh_views
from brewhouse.pipeline.run_context import JobResult, RunContext
from brewhouse.pipeline.runner import run_jobs
from brewhouse.query.connection import missing_state, published_tables
from brewhouse.settings import Settings


def run_rollback(
    lake: Lake, settings: Settings, target: str, snapshot: int | None = None, *, listeners: Sequence[Listener] = ()
) -> str:
    """Roll back all tables to the state as of a run, or one table to one of its snapshots; return the run id.

    Args:
        target: Run id, or the name of the table if `snapshot` is given.

    Raises:
        UsageError: There is no such run or snapshot.
        BrewhouseError: There is no such table, or another run holds the lake.
    """

    def states(tables: Tables) -> dict[str, int]:
        if snapshot is not None:
            tables.describe(target, snapshot)  # fails unless it exists
            return {target: snapshot}
        histories = {name: tables.history(name) for name in tables.names()}
        own = {name: s for name, history in histories.items() for s in history if s.run == target}
        if found := own or tables.as_of(target):
            at = max(state.committed_at for state in found.values())
            others = {name: tables.snapshot_at(name, at) for name in histories if name not in found}
            return {name: state.snapshot_id for name, state in {**others, **found}.items() if state}
        reports = [report for report in run_reports(read_events(lake)) if report.run == target]
        known = {(name, state.snapshot_id) for name, history in histories.items() for state in history}
        moved = {(entry["table"], entry["snapshot"]) for report in reports for entry in report.published}
        if moved and moved <= known:  # the run was a rollback
            return dict(moved)
        raise missing_state(lake, tables, target) or UsageError(
            f"The lake {lake.root} has no run {target}.", hint="`brewhouse history TABLE` lists runs and snapshots."
        )

    def rollback(context: RunContext) -> JobResult:
        tables = context.tables
        with tables.atomically():
            chosen = states(tables)
            for name, snapshot_id in chosen.items():
                tables.rollback(name, snapshot_id)
            context.ignore_stops()
        refresh_views(lake, tables, context.warn)
        return JobResult(
            message=f"{len(chosen)} of {len(tables.names())} tables show {snapshot or f'run {target}'} again",
            published=list_states(tables, chosen),
        )

    states(published_tables(lake))  # before anything is recorded
    return run_jobs(lake, settings, "rollback", {"rollback": rollback}, listeners=listeners)
