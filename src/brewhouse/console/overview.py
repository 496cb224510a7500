"""Counts and places of the overview, as functions of a lake state and filters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from brewhouse.console.lake_reader import LakeState
from brewhouse.ids import day_of
from brewhouse.places import reference
from brewhouse.query.connection import NothingPublishedError

UNKNOWN = "none"
"""Key of a country, state or type that is missing."""

_MAX_CHANGES = 25
_MAX_OF_KIND = 6  # so that every kind is shown
_SQL = Path(__file__).parent / "sql"
_COPIED = {
    "silver.breweries": "breweries", "gold.brewery_counts_over_time": "counts", "silver.brewery_changes": "changes",
}  # fmt: skip
"""Published tables, and the file that copies the columns that every request reads into memory."""
CHANGES = "silver.brewery_changes"
CHANGE_KINDS = ("added", "closed", "removed", "reopened", "changed")
_COUNT = "coalesce(sum(breweries) FILTER ({}), 0)".format
_MEASURES = {
    "breweries": _COUNT("true"),
    "operating": _COUNT("type NOT IN ('closed', 'planning')"),
    "planned": _COUNT("type = 'planning'"),
    "closed": _COUNT("type = 'closed'"),
    "countries": "count(DISTINCT country)",
    "cities": "count(DISTINCT (country, state, city)) FILTER (country IS NOT NULL)",
}
"""Select list of the fields of `Totals`, but for the last."""


Key = Annotated[str, Field(max_length=200)]
"""A filter value; empty for all."""


class OverviewFilters(BaseModel):
    """Filters on breweries, empty for all: ISO 3166-1 country and ISO 3166-2 state, by name if without code; type."""

    country: Key = ""
    state: Key = ""
    type: Key = ""


@dataclass(frozen=True)
class Totals:
    """Number of breweries and places; a brewery operates when it is neither closed nor planned."""

    breweries: int
    operating: int
    planned: int
    closed: int
    countries: int
    cities: int
    with_coordinates: int


@dataclass(frozen=True)
class BreweryCount:
    """Number of breweries by type, country or state; keys are filter values, and `country` is that of a state."""

    key: str
    name: str
    breweries: int
    country: str = ""


@dataclass(frozen=True)
class DayCount:
    """Number of breweries in a day's snapshot."""

    day: date
    breweries: int


@dataclass(frozen=True)
class BreweryChange:
    """A change of a brewery between two snapshots, seen when the later one was complete.

    The kind is added, removed, closed, reopened or changed; changed fields are column names, separated by commas.
    """

    seen_at: datetime
    kind: str
    id: str
    name: str
    type: str
    city: str | None
    country: str | None
    changed_fields: str | None


@dataclass(frozen=True)
class Overview:
    """Counts of the filtered breweries; those by type, country and state each ignore their own filter.

    The largest counts, the oldest days and the newest changes come first.
    """

    filters: OverviewFilters
    totals: Totals
    by_type: list[BreweryCount]
    by_country: list[BreweryCount]
    by_state: list[BreweryCount]
    over_time: list[DayCount]
    changes: list[BreweryChange]


@dataclass(frozen=True)
class BreweryLocation:
    """A brewery with coordinates in degrees; type, country and state are keys of filters."""

    id: str
    name: str
    type: str
    country: str
    state: str
    city: str | None
    longitude: float
    latitude: float


def has_breweries(state: LakeState) -> bool:
    """Check whether breweries are published."""
    return "silver.breweries" in state.tables


def require_breweries(state: LakeState) -> None:
    """Check that breweries are published."""
    if not has_breweries(state):
        raise NothingPublishedError("No breweries are published yet.", hint="Run `brewhouse run` first.")


def overview(state: LakeState, filters: OverviewFilters) -> Overview:
    """Count the filtered breweries and list their newest changes."""
    rows = reader(state, vars(filters))
    breweries = "FROM memory.main.console_breweries WHERE {where}"
    totals = rows(f"SELECT {', '.join(_MEASURES.values())}, count(longitude) {breweries}")
    types = rows(f"SELECT type, type, count(*) {breweries} GROUP BY ALL ORDER BY 3 DESC, 1", type="")
    countries = rows(
        f"SELECT country, coalesce(any_value(country_name), country), count(*) {breweries} "
        "GROUP BY country ORDER BY 3 DESC, 2",
        country="",
        state="",
    )
    states = rows(
        f"SELECT state, coalesce(any_value(state_name), state), count(*), country {breweries} "
        "GROUP BY country, state ORDER BY 3 DESC, 2",
        state="",
    )
    days = changes = []
    if "gold.brewery_counts_over_time" in state.tables:
        days = rows(
            "SELECT day, CAST(sum(brewery_count) AS BIGINT) FROM memory.main.console_counts WHERE {where} "
            "GROUP BY day ORDER BY day"
        )
    if CHANGES in state.tables:
        changes = rows(
            "SELECT snapshot_time, kind, id, name, type, city, country_name, changed_fields FROM "
            "memory.main.console_changes WHERE {where} QUALIFY row_number() OVER (PARTITION BY snapshot_run, kind "
            f"ORDER BY name, id) <= {_MAX_OF_KIND} ORDER BY snapshot_run DESC, kind, name LIMIT {_MAX_CHANGES}"
        )
    return Overview(
        filters,
        Totals(*map(int, totals[0])),
        by_type=[BreweryCount(*row) for row in types],
        by_country=[BreweryCount(*row) for row in countries],
        by_state=[BreweryCount(*row) for row in states],
        over_time=[DayCount(*row) for row in days],
        changes=[BreweryChange(*row) for row in changes],
    )


def with_counts(
    shown: Overview, filters: OverviewFilters, change: Callable[[list[BreweryCount], str], list[BreweryCount]]
) -> Overview:
    """Change the counts by type, country and state with a function of each and of its filter."""
    return replace(
        shown,
        by_type=change(shown.by_type, filters.type),
        by_country=change(shown.by_country, filters.country),
        by_state=change(shown.by_state, filters.state),
    )


def counts_with(counts: list[BreweryCount], key: str) -> list[BreweryCount]:
    """Add a chosen type or place, by its ISO name, if no brewery has it, so that it can be seen and cleared."""
    if not key or any(count.key == key for count in counts):
        return counts
    names = {each.code: each.title for each in (*reference.countries(), *reference.subdivisions(key[:2]))}
    return [*counts, BreweryCount(key, names.get(key, key), 0, key[:2])]


def figures_over_time(state: LakeState, filters: OverviewFilters) -> dict[str, list[int]]:
    """Return the totals of the filtered breweries in each of the newest days' snapshots, by the names of `Totals`."""
    if not {"gold.brewery_counts_over_time", CHANGES} <= state.tables.keys():
        return {}
    state.cached("overview days", lambda: create_table(state, "days"))
    rows = reader(state, vars(filters))(
        f"SELECT {', '.join(_MEASURES.values())} FROM (SELECT DISTINCT day FROM memory.main.console_days) "
        "LEFT JOIN (FROM memory.main.console_days WHERE {where}) USING (day) GROUP BY day ORDER BY day"
    )
    return {name: [int(row[index]) for row in rows] for index, name in enumerate(_MEASURES)}


def latest_changes(state: LakeState, filters: OverviewFilters) -> dict[str, Any] | None:
    """Count the filtered changes of the newest snapshot with any by kind, with its day and that of the one before."""
    if CHANGES not in state.tables:
        return None
    found = reader(state, vars(filters))(
        "SELECT kind, count(*), any_value(day), any_value(previous_run) FROM memory.main.console_changes "
        "WHERE {where} AND snapshot_run = (SELECT max(snapshot_run) FROM memory.main.console_changes) GROUP BY kind"
    )
    if not found:
        return None
    counts, since = {kind: count for kind, count, _, _ in found}, day_of(found[0][3])
    kinds = {kind: counts[kind] for kind in CHANGE_KINDS if kind in counts}
    return {"kinds": kinds, "day": found[0][2], "since": date.fromisoformat(since) if since else None}


def brewery_locations(state: LakeState, filters: OverviewFilters) -> list[BreweryLocation]:
    """List the filtered breweries that have coordinates."""
    rows = reader(state, vars(filters))(
        "SELECT id, name, type, country, state, city, longitude, latitude "
        "FROM memory.main.console_breweries WHERE {where} AND longitude IS NOT NULL ORDER BY id"
    )
    return [BreweryLocation(*row) for row in rows]


def create_table(state: LakeState, name: str) -> None:
    """Create the table in memory that a file of the folder `sql` defines."""
    state.cursor().execute((_SQL / f"{name}.sql").read_text("utf-8"))


def reader(state: LakeState, filters: Mapping[str, object]) -> Callable[..., list[tuple[Any, ...]]]:
    """Return a function that runs a query with filters, or some of them changed, in place of `{where}`.

    Args:
        filters: Values by column, or by condition such as `day >=`; empty ones are left out.
    """
    cursor = state.cursor()

    def create_tables() -> None:
        for table, name in _COPIED.items():
            if table in state.tables:
                create_table(state, name)

    def rows(sql: str, **changes: str) -> list[tuple[Any, ...]]:
        active = {name: value for name, value in {**filters, **changes}.items() if value}
        where = " AND ".join(["true", *(f"{name} ?" if name.endswith("=") else f"{name} = ?" for name in active)])
        return cursor.execute(sql.format(where=where), list(active.values())).fetchall()

    state.cached("overview tables", create_tables)
    return rows
