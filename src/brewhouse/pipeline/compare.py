"""Compare: the changes between any two raw snapshots, by the current models. Nothing is published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brewhouse.errors import UsageError
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake
from brewhouse.lake.raw_snapshots import complete_runs, find, nothing_extracted
from brewhouse.models.project import models_of
from brewhouse.pipeline.input_tables import BREWERIES, attach_previous, attach_snapshot
from brewhouse.pipeline.publishing import version_of
from brewhouse.pipeline.run_context import open_engine
from brewhouse.query.connection import missing_state
from brewhouse.settings import Settings

if TYPE_CHECKING:
    from brewhouse.engines.engine import Row

_CHANGES = "silver.brewery_changes"
_SHOWN = 5


def compare(lake: Lake, settings: Settings, first: str, second: str) -> list[Row]:
    """List the changes from one raw snapshot to another, maybe an older one, as rows of `silver.brewery_changes`.

    Args:
        first: Run id, date (its last snapshot) or `last`.

    Raises:
        UsageError: The lake has no such snapshot.
    """
    before, after = named(lake, first), named(lake, second)
    silver = {model.name: model for model in models_of("silver", folder=settings.models)}
    with open_engine(settings) as engine:
        attach_previous(engine, lake, Tables(lake), silver[BREWERIES], before, version_of(list(silver.values())))
        attach_snapshot(engine, find(lake, after))
        engine.compute(silver[BREWERIES])
        engine.compute(silver[_CHANGES])
        return engine.rows(f"SELECT * FROM {_CHANGES} ORDER BY id")


def named(lake: Lake, name: str) -> str:
    """Return the run id of the raw snapshot that a user names by run id, date (its last snapshot) or `last`.

    Raises:
        UsageError: The lake has no such snapshot.
        BrewhouseError: It is a run that was expired, or published nothing.
    """
    if not (runs := complete_runs(lake)):
        raise nothing_extracted(lake)
    if name == "last":
        return runs[-1]
    if name in runs:
        return name
    folder = lake.bronze / f"date={name}"
    of_date = [run for run in runs if (folder / f"run={run}").is_dir()]
    if of_date:
        return of_date[-1]
    some = f"{'among others ' if len(runs) > _SHOWN else ''}{', '.join(runs[-_SHOWN:])}"
    raise missing_state(lake, Tables(lake), name) or UsageError(
        f"The lake {lake.root} has no raw snapshot {name}; it has {some}.",
        hint="Name one by its run id or its date, as 2026-08-02.",
    )
