"""The numbers of the overview: pure functions of what the lake shows and of the filters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from brewhouse.console.lake_reader import LakeState
from brewhouse.console.projection import NORTH_DEGREES, SOUTH_DEGREES, SQL
from brewhouse.errors import BrewhouseError

if TYPE_CHECKING:
    import duckdb

UNKNOWN = "none"
"""Key of what has no code and no name."""

_NEWEST = 25
_KEYS = (
    f"coalesce(country_code, {{country_name}}, '{UNKNOWN}') AS country, "
    f"coalesce(state_code, {{state_name}}, '{UNKNOWN}') AS state, coalesce(brewery_type, '{UNKNOWN}') AS type"
)
_CANONICAL = _KEYS.format(country_name="country_name", state_name="state_name")
_RECEIVED = _KEYS.format(country_name="country", state_name="state_province")
_COPIES = {  # small tables in memory, of what the pages ask for again and again
    "silver.breweries": f"""
        CREATE TABLE memory.main.console_breweries AS
        SELECT {_CANONICAL}, country_name, state_name, city_name, id, name, longitude, latitude,
            latitude BETWEEN {SOUTH_DEGREES} AND {NORTH_DEGREES} AS on_map, {SQL}
        FROM silver.breweries""",
    "gold.brewery_counts_over_time": f"""
        CREATE TABLE memory.main.console_counts AS
        SELECT {_CANONICAL}, snapshot_date AS day, brewery_count FROM gold.brewery_counts_over_time""",
    "silver.brewery_changes": f"""
        CREATE TABLE memory.main.console_changes AS
        SELECT {_RECEIVED}, snapshot_time, kind, id, name, city, country AS country_name, changed_fields
        FROM silver.brewery_changes""",
}


@dataclass(frozen=True)
class OverviewFilters:
    """Which breweries are looked at.

    Attributes:
        country: ISO 3166-1 code, or the name of one without; empty for all.
        state: ISO 3166-2 code, or the name of one without; empty for all.
        type: Brewery type; empty for all.
    """

    country: str = ""
    state: str = ""
    type: str = ""


@dataclass(frozen=True)
class Totals:
    """How many breweries there are.

    Attributes:
        breweries: All of them.
        operating: Those neither closed nor planned.
        planned: Those planned.
        closed: Those closed.
        countries: In how many countries they are.
        cities: In how many cities they are.
        with_coordinates: How many have coordinates.
    """

    breweries: int
    operating: int
    planned: int
    closed: int
    countries: int
    cities: int
    with_coordinates: int


@dataclass(frozen=True)
class Count:
    """How many breweries there are of a type, or in a place.

    Attributes:
        key: What a filter takes.
        name: What a reader sees.
        breweries: How many.
        country: The country of a state, as a filter takes it.
    """

    key: str
    name: str
    breweries: int
    country: str = ""


@dataclass(frozen=True)
class DayCount:
    """How many breweries a snapshot had.

    Attributes:
        day: The snapshot's.
        breweries: How many.
    """

    day: date
    breweries: int


@dataclass(frozen=True)
class BreweryChange:
    """What happened to a brewery from one snapshot to the next.

    Attributes:
        seen_at: When the later snapshot was complete.
        kind: added, removed, closed, reopened or changed.
        id: The brewery's.
        name: The brewery's.
        type: Its type.
        city: Its city.
        country: Its country.
        changed_fields: Columns that changed, separated by commas.
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
    """What the overview shows; the counts by type, country and state each leave their own filter out.

    Attributes:
        filters: Which breweries.
        totals: How many.
        by_type: By brewery type, most first.
        by_country: By country, most first.
        by_state: By state, most first.
        over_time: By day of the snapshots, oldest first.
        changes: The newest ones.
    """

    filters: OverviewFilters
    totals: Totals
    by_type: list[Count]
    by_country: list[Count]
    by_state: list[Count]
    over_time: list[DayCount]
    changes: list[BreweryChange]


@dataclass(frozen=True)
class Spot:
    """A brewery on the map.

    Attributes:
        id: The brewery's.
        name: The brewery's.
        type: Its type.
        country: Its country, as a filter takes it.
        state: Its state, as a filter takes it.
        city: Its city.
        longitude: Degrees east.
        latitude: Degrees north.
    """

    id: str
    name: str
    type: str
    country: str
    state: str
    city: str | None
    longitude: float
    latitude: float


@dataclass(frozen=True)
class Region:
    """The breweries of a state, drawn on the map as one path.

    Attributes:
        country: As a filter takes it.
        state: As a filter takes it.
        name: Of the state, or of the country where there is none.
        breweries: How many have coordinates.
        path: A dot for each place with some.
    """

    country: str
    state: str
    name: str
    breweries: int
    path: str


def is_there(state: LakeState) -> bool:
    """Say whether there are breweries to look at."""
    return "silver.breweries" in state.tables


def require(state: LakeState) -> None:
    """Refuse to count what is not published.

    Raises:
        BrewhouseError: There are no breweries to look at.
    """
    if not is_there(state):
        raise BrewhouseError("No breweries are published yet.", hint="The first run does that.")


def overview(state: LakeState, filters: OverviewFilters) -> Overview:
    """Count the breweries that the filters leave.

    Args:
        state: What the lake shows.
        filters: Which breweries.
    """
    return _overview(_cursor(state), state, filters)


def extent(state: LakeState, filters: OverviewFilters) -> tuple[int, int, int, int] | None:
    """Give the least x and y and the greatest x and y on the map of the breweries that the filters leave, if any."""
    where, values = _where(filters)
    sql = f"SELECT min(x), min(y), max(x), max(y) FROM memory.main.console_breweries WHERE {where} AND on_map"
    row = _cursor(state).execute(sql, values).fetchone()
    return None if row is None or row[0] is None else (row[0], row[1], row[2], row[3])


def regions(state: LakeState, filters: OverviewFilters, grid: int = 1) -> list[Region]:
    """Draw the breweries that the filters leave, by country and state.

    Args:
        state: What the lake shows.
        filters: Which breweries.
        grid: Units of the map that need not be told apart.
    """
    where, values = _where(filters)
    x, y = (f"{axis} - {axis} % {grid} + {grid // 2}" for axis in "xy")
    dot = f"concat('M', {x}, ' ', {y}, 'h0')"
    sql = (
        "SELECT country, state, coalesce(any_value(state_name), any_value(country_name), country), count(*), "
        f"string_agg(DISTINCT {dot}, '' ORDER BY {dot}) "
        f"FROM memory.main.console_breweries WHERE {where} AND on_map GROUP BY country, state ORDER BY 1, 2"
    )
    return [Region(*row) for row in _cursor(state).execute(sql, values).fetchall()]


def spots(state: LakeState, filters: OverviewFilters) -> list[Spot]:
    """List the breweries with coordinates that the filters leave."""
    where, values = _where(filters)
    sql = (
        "SELECT id, name, type, country, state, city_name, longitude, latitude "
        f"FROM memory.main.console_breweries WHERE {where} AND longitude IS NOT NULL ORDER BY id"
    )
    return [Spot(*row) for row in _cursor(state).execute(sql, values).fetchall()]


def _cursor(state: LakeState) -> duckdb.DuckDBPyConnection:
    cursor = state.cursor()

    def copy() -> bool:
        for table, statement in _COPIES.items():
            if table in state.tables:
                cursor.execute(statement)
        return True

    state.once("overview's copies", copy)
    return cursor


def _where(filters: OverviewFilters) -> tuple[str, list[str]]:
    chosen = {name: value for name in ("country", "state", "type") if (value := getattr(filters, name))}
    return " AND ".join(["true", *(f"{name} = ?" for name in chosen)]), list(chosen.values())


def _overview(cursor: duckdb.DuckDBPyConnection, state: LakeState, filters: OverviewFilters) -> Overview:
    def rows(sql: str, by: OverviewFilters = filters) -> list[tuple[Any, ...]]:
        where, values = _where(by)
        return cursor.execute(sql.format(where=where), values).fetchall()

    breweries = "FROM memory.main.console_breweries WHERE {where}"
    totals = rows(
        "SELECT count(*), count(*) FILTER (type NOT IN ('closed', 'planning')), count(*) FILTER (type = 'planning'), "
        "count(*) FILTER (type = 'closed'), count(DISTINCT country), count(DISTINCT (country, state, city_name)), "
        f"count(longitude) {breweries}"
    )
    types = rows(f"SELECT type, type, count(*) {breweries} GROUP BY ALL ORDER BY 3 DESC, 1", replace(filters, type=""))
    countries = rows(
        f"SELECT country, coalesce(any_value(country_name), country), count(*) {breweries} "
        "GROUP BY country ORDER BY 3 DESC, 2",
        replace(filters, country="", state=""),
    )
    states = rows(
        f"SELECT state, coalesce(any_value(state_name), state), count(*), country {breweries} "
        "GROUP BY country, state ORDER BY 3 DESC, 2",
        replace(filters, state=""),
    )
    days = changes = []
    if "gold.brewery_counts_over_time" in state.tables:
        days = rows(
            "SELECT day, CAST(sum(brewery_count) AS BIGINT) FROM memory.main.console_counts WHERE {where} "
            "GROUP BY day ORDER BY day"
        )
    if "silver.brewery_changes" in state.tables:
        changes = rows(
            "SELECT snapshot_time, kind, id, name, type, city, country_name, changed_fields "
            f"FROM memory.main.console_changes WHERE {{where}} ORDER BY snapshot_time DESC, kind, name LIMIT {_NEWEST}"
        )
    return Overview(
        filters=filters,
        totals=Totals(*totals[0]),
        by_type=[Count(*row) for row in types],
        by_country=[Count(*row) for row in countries],
        by_state=[Count(*row) for row in states],
        over_time=[DayCount(*row) for row in days],
        changes=[BreweryChange(*row) for row in changes],
    )
