"""Transform: the newest complete raw snapshot becomes the silver tables.

One clean row per brewery, and every record that cannot be used with the reasons why. Nothing is seen before
all checks passed, and then everything at once.
"""

from __future__ import annotations

from collections.abc import Callable

from brewhouse.checks.accounting import count_drop, silver_accounts
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
from brewhouse.lake.snapshots import newest
from brewhouse.models.project import models_of
from brewhouse.settings import Settings


def transform(
    lake: Lake,
    settings: Settings,
    run: str,
    *,
    progress: Callable[[str], None],
    record: Callable[[list[Check]], None],
) -> JobResult:
    """Make the silver tables of the newest complete raw snapshot.

    Args:
        lake: Holds the snapshot and gets the tables.
        settings: The threshold of the fall, and the engine's memory.
        run: Id of the run this is part of.
        progress: Told the name of each model before it runs.
        record: Told what the checks found, before a failed one stops the job.

    Raises:
        BrewhouseError: There is no complete raw snapshot.
        ChecksFailed: A check of severity error found something; the tables are as they were.
    """
    from brewhouse.engines.duckdb import DuckDBEngine
    from brewhouse.lake.tables import Tables

    snapshot = newest(lake)
    if snapshot is None:
        raise BrewhouseError(
            f"The lake {lake.root} has no complete raw snapshot.", hint="Run `brewhouse extract` first."
        )
    tables = Tables(lake)
    models = models_of("staging", "silver", folder=settings.models)
    if is_published(tables, models, snapshot.run):
        refresh_views(lake, tables)  # a run killed right after its commit did not come to it
        return JobResult(f"silver already shows snapshot {snapshot.run}; nothing to do")

    engine = DuckDBEngine(settings.memory_limit_mb)
    try:
        engine.attach_raw_snapshot(snapshot.files, snapshot.run, snapshot.manifest.finished_at)
        publications, checks = write_models(engine, tables, models, progress)
        breweries = engine.rows("SELECT count(*) AS n FROM silver.breweries")[0]["n"]
        rejected = engine.rows("SELECT count(*) AS n FROM silver.rejected_breweries")[0]["n"]
        published = tables.current("silver.breweries") if "silver.breweries" in tables.names() else None
        checks += silver_accounts(engine, snapshot.manifest)
        checks.append(count_drop(breweries, published.rows if published else None, settings.max_count_drop_percent))
    finally:
        engine.close()
    record(checks)
    demand(checks)

    properties = {RAW_SNAPSHOT: snapshot.run, MODELS: checksum(models), RUN: run}
    return JobResult(
        f"silver shows snapshot {snapshot.run}",
        counts={"records": snapshot.records, "breweries": breweries, "rejected": rejected},
        checks=checks,
        published=publish(lake, tables, publications, properties),
    )
