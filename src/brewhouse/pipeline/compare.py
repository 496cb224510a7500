"""Compare: what changed between any two raw snapshots of the lake, by today's models. Nothing is published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brewhouse.engines.choose import open_engine
from brewhouse.errors import UsageError
from brewhouse.lake.lake import Lake
from brewhouse.lake.raw_snapshots import complete_runs, find
from brewhouse.models.project import models_of
from brewhouse.pipeline.input_tables import BREWERIES, attach_previous, attach_snapshot
from brewhouse.pipeline.publishing import version_of
from brewhouse.pipeline.runner import SilentProgress
from brewhouse.settings import Settings

if TYPE_CHECKING:
    from brewhouse.engines.engine import Row

_CHANGES = "silver.brewery_changes"


def compare(lake: Lake, settings: Settings, first: str, second: str) -> list[Row]:
    """Tell what changed from one raw snapshot to another.

    Args:
        lake: Holds both.
        settings: The engine's memory.
        first: Run id, date (its last snapshot) or `last`.
        second: The same, of the one compared with it; it may be the older one.

    Returns:
        Rows as of `silver.brewery_changes`, by id.

    Raises:
        UsageError: The lake has no such snapshot.
    """
    from brewhouse.iceberg.tables import Tables

    before, after = named(lake, first), named(lake, second)
    silver = {model.name: model for model in models_of("silver", folder=settings.models)}
    with open_engine(settings) as engine:
        attach_previous(engine, lake, Tables(lake), silver[BREWERIES], before, version_of(list(silver.values())))
        attach_snapshot(engine, find(lake, after), SilentProgress().model)
        engine.compute(silver[BREWERIES])
        engine.compute(silver[_CHANGES])
        return engine.rows(f"SELECT * FROM {_CHANGES} ORDER BY id")


def named(lake: Lake, name: str) -> str:
    """Find the raw snapshot that a user names.

    Args:
        lake: Holds it.
        name: Run id, date (its last snapshot) or `last`.

    Returns:
        Its run id.

    Raises:
        UsageError: The lake has no such snapshot.
    """
    runs = complete_runs(lake)
    if name == "last" and runs:
        return runs[-1]
    if name in runs:
        return name
    folder = lake.bronze / f"date={name}"
    of_date = [run for run in runs if (folder / f"run={run}").is_dir()]
    if of_date:
        return of_date[-1]
    raise UsageError(
        f"The lake {lake.root} has no raw snapshot {name}; it has {_some(runs)}.",
        hint="Name one by its run id or its date, as 2026-08-02.",
    )


def _some(runs: list[str]) -> str:
    shown = runs[-5:]
    return ("among others " if len(runs) > len(shown) else "") + (", ".join(shown) or "none")
