"""What the silver models read: a raw snapshot, the ISO names of its places, the breweries of the snapshot before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from brewhouse.engines.engine import Engine
from brewhouse.errors import BrewhouseError
from brewhouse.lake.raw_snapshots import RawSnapshot, complete_runs, find
from brewhouse.models.model import Model
from brewhouse.models.project import models_of
from brewhouse.places.boxes import Box, country_boxes
from brewhouse.places.matching import Location, match_places

if TYPE_CHECKING:
    from brewhouse.iceberg.tables import Tables
    from brewhouse.lake.lake import Lake

RAW_SNAPSHOT = "brewhouse.raw-snapshot"
MODELS = "brewhouse.models"
COMPARED_WITH = "brewhouse.compared-with"
BREWERIES = "silver.breweries"
_CHANGES = "silver.brewery_changes"
_PREVIOUS = "previous.breweries"
_RECEIVED = ("country", "state_province", "city")
_NAMED = ("country_code", "country_name", "state_code", "state_name", "city_name", "place_match")


def attach_snapshot(engine: Engine, snapshot: RawSnapshot, progress: Callable[[str], None]) -> None:
    """Make a raw snapshot, its cleaned records and the ISO names of their places readable.

    Args:
        engine: Runs the staging models.
        snapshot: The raw snapshot.
        progress: Told the name of each model before it runs.
    """
    engine.attach_raw_snapshot(snapshot.files, snapshot.run, snapshot.manifest.finished_at)
    for model in models_of("staging"):
        progress(model.name)
        engine.compute(model)
    attach_places(engine)


def attach_places(engine: Engine) -> None:
    """Give every place that the staged records name its ISO codes and names, as `reference.places`.

    Args:
        engine: Has the staging models computed.
    """
    places = engine.rows(
        "SELECT country, state_province, city, count(*) AS breweries FROM staging.records "
        "GROUP BY country, state_province, city ORDER BY country, state_province, city"
    )
    named = [
        (*(place[name] for name in _RECEIVED), iso.country_code, iso.country_name, iso.state_code, iso.state_name,
         iso.city_name, iso.match)
        for place, iso in zip(places, match_places([Location(**place) for place in places]), strict=True)
    ]  # fmt: skip
    engine.attach_rows("reference.places", dict.fromkeys((*_RECEIVED, *_NAMED), "string"), named)
    columns = {name: "string" if name == "country_code" else "double" for name in Box._fields}
    engine.attach_rows("reference.country_boxes", columns, country_boxes())


def attach_previous(engine: Engine, lake: Lake, tables: Tables, breweries: Model, run: str, version: str) -> None:
    """Make the breweries of an earlier raw snapshot readable as `previous.breweries`, as today's models make them.

    They are read from the table that was published of it. When that was made by other models, or is no more, the raw
    snapshot is cleaned once more, so that a change of the models is no change of a brewery.

    Args:
        engine: Gets them; another raw snapshot is to be attached to it afterwards.
        lake: Holds the raw snapshots.
        tables: Hold what was published.
        breweries: The model of `silver.breweries`.
        run: The earlier raw snapshot.
        version: Of today's models.

    Raises:
        BrewhouseError: Neither the table nor the raw snapshot is there any more.
    """
    engine.attach_rows("previous.snapshot", {"run": "string"}, [(run,)])
    history = tables.history(BREWERIES) if BREWERIES in tables.names() else []
    published = [snapshot for snapshot in history if snapshot.properties.get(RAW_SNAPSHOT) == run]
    fitting = [snapshot for snapshot in published if snapshot.properties.get(MODELS) == version]
    if not fitting and run in complete_runs(lake):
        attach_snapshot(engine, find(lake, run), lambda _: None)
        engine.compute(replace(breweries, name=_PREVIOUS))
    elif published:
        seen = (fitting or published)[-1].snapshot_id
        engine.attach_table(replace(tables.describe(BREWERIES, seen), name=_PREVIOUS), tables.files(BREWERIES, seen))
    else:
        raise BrewhouseError(
            f"What changed cannot be told: the raw snapshot {run} and the table made of it are gone.",
            hint="Restore its folder in bronze/, or make all tables anew from what is there with `brewhouse rebuild`.",
        )


def attach_nothing_previous(engine: Engine, breweries: Model) -> None:
    """Make `previous.breweries` readable as an empty table: there is no snapshot before.

    Args:
        engine: Gets it; a raw snapshot is attached to it.
        breweries: The model of `silver.breweries`.
    """
    engine.attach_rows("previous.snapshot", {"run": "string"}, [(None,)])
    engine.compute(replace(breweries, name=_PREVIOUS, sql=f"SELECT * FROM ({breweries.sql}) AS none WHERE false"))


def snapshot_before(engine: Engine, tables: Tables, run: str) -> str | None:
    """Find the raw snapshot to compare another with: the newest before it of which the tables were made.

    They count since they last began anew: what a rebuild left out is not in the log of changes any more. A snapshot
    that comes late, behind newer ones in the log, is compared with itself: the log already leads past it.

    Args:
        engine: Reads the log of changes.
        tables: Hold it.
        run: The other one.

    Returns:
        Its run id; None when there is none.
    """
    names = tables.names()
    if BREWERIES not in names:
        return None
    history = tables.history(BREWERIES)
    made = [(one.properties.get(RAW_SNAPSHOT, ""), one.properties.get(COMPARED_WITH)) for one in history]
    began = max((number for number, (_, compared_with) in enumerate(made) if compared_with == ""), default=0)
    known = {raw for raw, compared_with in made[began:] if raw != compared_with}
    if _CHANGES in names:
        log = "published.brewery_changes"
        engine.attach_table(replace(tables.describe(_CHANGES), name=log), tables.files(_CHANGES))
        known |= {row["run"] for row in engine.rows(f"SELECT DISTINCT snapshot_run AS run FROM {log}")}
    if run not in known and run < max(known):
        return run
    return max((earlier for earlier in known if earlier and earlier < run), default=None)
