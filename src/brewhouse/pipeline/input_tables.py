"""Inputs of the silver models: a raw snapshot, the ISO names of its places, the breweries of the previous snapshot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from brewhouse.engines.engine import Engine
from brewhouse.errors import BrewhouseError
from brewhouse.lake.raw_snapshots import RawSnapshot, complete_runs, find
from brewhouse.models.inputs import INPUTS
from brewhouse.models.model import Model
from brewhouse.models.project import models_of
from brewhouse.places.matching import Location, match_places
from brewhouse.places.reference import country_boxes

if TYPE_CHECKING:
    from brewhouse.iceberg.tables import Tables
    from brewhouse.lake.lake import Lake

RAW_SNAPSHOT = "brewhouse.raw-snapshot"
SNAPSHOT_TIME = "brewhouse.snapshot-time"
MODELS = "brewhouse.models"
COMPARED_WITH = "brewhouse.compared-with"
BREWERIES = "silver.breweries"
_CHANGES = "silver.brewery_changes"
_PREVIOUS = "previous.breweries"
_RECEIVED = ("country", "state_province", "city")


def attach_snapshot(engine: Engine, snapshot: RawSnapshot, on_model: Callable[[str], None] = lambda _: None) -> None:
    """Attach a raw snapshot, its cleaned records and the ISO names of their places.

    Args:
        on_model: Called with the name of each staging model before it runs.

    Raises:
        BrewhouseError: A page is missing or damaged.
    """
    files = snapshot.files if engine.verifies_pages else snapshot.verified_files()
    try:
        engine.attach_raw_snapshot(files, snapshot.run, snapshot.manifest.finished_at)
        for model in models_of("staging"):
            on_model(model.name)
            engine.compute(model)
        attach_places(engine)
    except Exception:
        snapshot.verified_files()  # names a damaged page, which an engine may not
        raise


def attach_places(engine: Engine) -> None:
    """Attach the ISO codes and names of every place in the staged records, as `reference.places`."""
    places = engine.rows(
        "SELECT country, state_province, city, count(*) AS breweries FROM staging.cleaned_records "
        "GROUP BY country, state_province, city"
    )
    named = [
        (*(place[name] for name in _RECEIVED), *msgspec.structs.astuple(iso))
        for place, iso in zip(places, match_places([Location(**place) for place in places]), strict=True)
    ]
    for name, rows in {"reference.places": named, "reference.country_boxes": country_boxes()}.items():
        engine.attach_rows(name, _columns(name), rows)


def attach_previous(engine: Engine, lake: Lake, tables: Tables, breweries: Model, run: str, version: str) -> bool:
    """Attach the breweries of an earlier raw snapshot as `previous.breweries`, as the current models make them.

    They are read from the table that was published of it. If other models made that table, or it has expired, the raw
    snapshot is cleaned again, so that a change of the models is not a change of a brewery.

    Returns:
        Whether the earlier raw snapshot is attached now, in place of the current one.

    Raises:
        BrewhouseError: Neither the table nor the raw snapshot exists any more.
    """
    engine.attach_rows("previous.snapshot", {"run": "string"}, [(run,)])
    history = tables.history(BREWERIES) if BREWERIES in tables.names() else []
    published = [snapshot for snapshot in history if snapshot.raw_snapshot == run]
    fitting = [snapshot for snapshot in published if snapshot.properties.get(MODELS) == version]
    if not fitting and run in complete_runs(lake):
        attach_snapshot(engine, find(lake, run))
        engine.compute(replace(breweries, name=_PREVIOUS))
        return True
    if published:
        seen = (fitting or published)[-1].snapshot_id
        files = tables.files(BREWERIES, seen, verified=True)
        engine.attach_table(replace(tables.describe(BREWERIES, seen), name=_PREVIOUS), files)
        return False
    raise BrewhouseError(
        f"Changes cannot be computed: the raw snapshot {run} and the table made of it no longer exist.",
        hint="Restore its folder in bronze/, or rebuild all tables from the other snapshots: `brewhouse rebuild`.",
    )


def attach_nothing_previous(engine: Engine) -> None:
    """Attach an empty `previous.breweries`: there is no previous snapshot."""
    engine.attach_rows("previous.snapshot", {"run": "string"}, [(None,)])
    engine.attach_rows(_PREVIOUS, _columns(_PREVIOUS), [])


def _columns(table: str) -> dict[str, str]:
    return {column.name: column.type for column in INPUTS[table]}


def previous_snapshot(engine: Engine, tables: Tables, run: str) -> str | None:
    """Find the raw snapshot to compare another with: the newest before it in the change log, if there is one.

    Only snapshots that the log's current state was made from count, since the last rebuild: what was rolled back, or
    left out by a rebuild, is not in it. A snapshot older than the newest one in the log is compared with itself, since
    the log already leads past it.
    """
    names = tables.names()
    if BREWERIES not in names:
        return None
    history = tables.history(_CHANGES if _CHANGES in names else BREWERIES)
    made = [(one.raw_snapshot, one.properties.get(COMPARED_WITH)) for one in history if not one.rolled_back]
    rebuilt_at = max((number for number, (_, compared_with) in enumerate(made) if compared_with == ""), default=0)
    known = {raw for raw, compared_with in made[rebuilt_at:] if raw != compared_with}
    if _CHANGES in names:
        log = "published.brewery_changes"
        engine.attach_table(replace(tables.describe(_CHANGES), name=log), tables.files(_CHANGES))
        known |= {row["run"] for row in engine.rows(f"SELECT DISTINCT snapshot_run AS run FROM {log}")}
    if run not in known and run < max(known):
        return run
    return max((earlier for earlier in known if earlier and earlier < run), default=None)
