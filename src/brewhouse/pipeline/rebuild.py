"""Rebuild: all silver and gold tables anew, from every raw snapshot of the bronze zone, one after the other.

Each snapshot goes through the same steps and checks as in the run that took it. All is committed as one transaction:
readers see the tables as they were until everything is made, and then the newest snapshot, with its history behind it.
"""

from __future__ import annotations

from collections.abc import Callable

from brewhouse.checks.check import Check
from brewhouse.errors import BrewhouseError, ChecksFailed
from brewhouse.events.event import EventLog
from brewhouse.lake.lake import Lake
from brewhouse.lake.raw_snapshots import RawSnapshot, complete_runs, find
from brewhouse.pipeline.aggregate import publish_gold
from brewhouse.pipeline.dry_run import dry_run
from brewhouse.pipeline.input_tables import BREWERIES, RAW_SNAPSHOT
from brewhouse.pipeline.publishing import RUN, JobResult, Workbench, refresh_views, workbench
from brewhouse.pipeline.runner import Progress, SilentProgress, check_reporter, run_jobs
from brewhouse.pipeline.transform import publish_silver
from brewhouse.settings import Settings


def run_rebuild(lake: Lake, settings: Settings, *, progress: Progress | None = None) -> str:
    """Rebuild as a run of its own.

    Args:
        lake: The lake; it is locked meanwhile.
        settings: Of this run.
        progress: Shows how it gets on.

    Returns:
        The run id.

    Raises:
        BrewhouseError: Another run is going, or there is no raw snapshot whose checks pass.
    """

    def job(log: EventLog, progress: Progress) -> JobResult:
        return rebuild(lake, settings, log.run, progress=progress.snapshots, record=check_reporter(log, "rebuild"))

    return run_jobs(lake, settings, "rebuild", {"rebuild": job}, progress=progress)


def rebuild(
    lake: Lake,
    settings: Settings,
    run: str,
    *,
    progress: Callable[[int, int], None],
    record: Callable[[list[Check]], None],
) -> JobResult:
    """Make all silver and gold tables anew.

    A snapshot whose checks fail is left out, as the run that took it left it out, and told as a warning.

    Args:
        lake: Holds the raw snapshots and gets the tables.
        settings: The threshold of the fall, and the engine's memory.
        run: Id of the run this is part of.
        progress: Told how many raw snapshots of how many are done.
        record: Told what the checks of the newest snapshot found, and which snapshots were left out.

    Raises:
        BrewhouseError: There is no raw snapshot, or none whose checks pass; the tables are as they were.
    """
    if settings.models is not None:
        dry_run(settings)
    runs = complete_runs(lake)
    found: list[Check] = []
    with workbench(lake, settings, run, SilentProgress().model, found.extend) as bench:
        rebuilding = _Rebuilding(bench)
        with bench.tables.atomically():
            for done, snapshot_run in enumerate(runs, start=1):
                found.clear()
                rebuilding.add(find(lake, snapshot_run))
                progress(done, len(runs))
            record([*found, rebuilding.check()])
            if rebuilding.silver is None or rebuilding.gold is None:
                raise BrewhouseError(
                    f"The lake {lake.root} has no raw snapshot whose checks pass, of {len(runs)}.",
                    hint="Run `brewhouse show` for the reasons, or `brewhouse run` for a new one.",
                )
        refresh_views(lake, bench.tables)
        every = [bench.tables.current(name) for name in bench.tables.names()]
    published = [now for now in every if now and now.properties.get(RUN) == run]
    return JobResult(
        f"{len(published)} tables are made anew of {len(runs) - len(rebuilding.left_out)} raw snapshots; "
        f"silver shows {rebuilding.silver}",
        counts={"raw_snapshots": len(runs), "left_out": len(rebuilding.left_out)},
        published=[{"table": now.table, "snapshot": now.snapshot_id, "rows": now.rows} for now in published],
    )


def is_rebuilt(lake: Lake) -> bool:
    """Say whether the tables were made of every raw snapshot of the lake, as far as their history goes."""
    from brewhouse.iceberg.tables import Tables

    tables = Tables(lake)
    if BREWERIES not in tables.names():
        return False
    known = {snapshot.properties.get(RAW_SNAPSHOT) for snapshot in tables.history(BREWERIES)}
    return known.issuperset(complete_runs(lake))


class _Rebuilding:
    """How far a rebuild is.

    Attributes:
        silver: Run id of the raw snapshot the silver tables show, None before the first.
        gold: The same of the gold tables.
        left_out: The raw snapshots whose checks failed, and why.
    """

    def __init__(self, bench: Workbench) -> None:
        self.silver: str | None = None
        self.gold: str | None = None
        self.left_out: list[str] = []
        self._bench = bench

    def add(self, snapshot: RawSnapshot) -> None:
        """Publish one more raw snapshot, inside the transaction."""
        try:
            publish_silver(self._bench, snapshot, self.silver, anew=self.silver is None)
            self.silver = snapshot.run
            publish_gold(self._bench, snapshot, anew=self.gold is None)
            self.gold = snapshot.run
        except ChecksFailed as error:
            self.left_out.append(f"{snapshot.run}: {error.what}")

    def check(self) -> Check:
        """Tell whether any raw snapshot was left out."""
        return Check(
            name="every raw snapshot passes its checks",
            table="bronze.breweries",
            severity="warning",
            violations=len(self.left_out),
            example="; ".join(self.left_out) or None,
        )
