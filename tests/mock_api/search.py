"""Select and order rows; the order of equal rows is unstable, as in the service.

Rows that compare equal have another order in each request, as a database may return them, and every request's
order is complete. It is computed for the window only, so its cost does not depend on the number of rows.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections import Counter, OrderedDict
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from tests.mock_api.query import NO_FILTERS, Filters, Query, like_pattern
from tests.mock_api.store import GROUP_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from random import Random

    from tests.mock_api.store import Store

Response = TypeVar("Response")
KEPT_ANSWERS = 16
EARTH_RADIUS_KM = 6371.0


class Ordering(NamedTuple):
    """Ordered rows, and the start of each run of equal rows; `None` if no rows are equal."""

    rows: Sequence[int]
    runs: Sequence[int] | None


class Counts(NamedTuple):
    """The number of selected rows, in total and per non-null value of the group columns."""

    total: int
    groups: dict[str, dict[str, int]]


class Search:
    """Run queries on a store and cache results until it changes."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, object] = OrderedDict()

    def window(self, store: Store, query: Query, chance: Random) -> list[int]:
        """Return the rows of a query's page."""
        ordering = self._ordering(store, query.filters, query.sort)
        start = (query.page - 1) * query.per_page
        stop = min(start + query.per_page, len(ordering.rows))
        if start >= stop:
            return []
        if ordering.runs is None:
            return list(ordering.rows[start:stop])
        return _shuffled_window(ordering.rows, ordering.runs, (start, stop), chance)

    def counts(self, store: Store, filters: Filters) -> Counts:
        """Count the rows that match filters."""
        key = ("counts", store.stamp, filters)
        kept = self._kept.get(key)
        if isinstance(kept, Counts):
            return kept
        rows = chosen_rows(store, filters)
        groups: dict[str, dict[str, int]] = {}
        for column in GROUP_COLUMNS:
            values = store.column(column)
            counter = Counter(values[row] for row in rows)
            groups[column] = {str(value): count for value, count in counter.items() if value is not None}
        return self._keep(key, Counts(len(rows), groups))

    def _ordering(self, store: Store, filters: Filters, sort: tuple[tuple[str, bool], ...]) -> Ordering:
        if sort == (("id", False),) and filters == NO_FILTERS:
            return Ordering(store.rows, None)
        key = ("ordering", store.stamp, filters, sort)
        kept = self._kept.get(key)
        return kept if isinstance(kept, Ordering) else self._keep(key, ordered(store, filters, sort))

    def _keep(self, key: Hashable, answer: Response) -> Response:
        self._kept[key] = answer
        if len(self._kept) > KEPT_ANSWERS:
            self._kept.popitem(last=False)
        return answer


def chosen_rows(store: Store, filters: Filters) -> Sequence[int]:
    """Return the rows that match filters, ordered by id."""
    rows: Sequence[int] = store.rows
    for wanted in _conditions(store, filters):
        rows = array("I", filter(wanted, rows))
    return rows


def found_rows(store: Store, text: str) -> list[int]:
    """Return the rows that contain every word of a text in name, city, state or country."""
    words = text.casefold().split()
    columns = [store.column(name) for name in ("name", "city", "state_province", "country")]
    found = []
    for row in store.rows:
        haystack = " ".join(str(values[row]) for values in columns if values[row] is not None).casefold()
        if all(word in haystack for word in words):
            found.append(row)
    return found


def ordered(store: Store, filters: Filters, sort: tuple[tuple[str, bool], ...]) -> Ordering:
    """Order the rows that match filters: by distance if a place is given, then by each field.

    Nulls come last in ascending order and first in descending order, as in PostgreSQL.
    """
    chosen = chosen_rows(store, filters)
    columns = [(store.column(field), descending) for field, descending in sort]
    if filters.near is not None:
        columns.insert(0, (_distances_km(store, filters.near), False))
    if not columns:
        return Ordering(chosen, [0])
    rows = list(chosen)
    for values, descending in reversed(columns):
        rows.sort(key=lambda row, values=values: _nulls_last(values[row]), reverse=descending)  # type: ignore[misc]
    runs = [0] if rows else []
    for at, (one, other) in enumerate(pairwise(rows), start=1):
        if any(values[one] != values[other] for values, _ in columns):
            runs.append(at)
    return Ordering(array("I", rows), None if len(runs) == len(rows) else runs)


def _nulls_last(value: str | float | None) -> tuple[bool, str | float]:
    return (True, "") if value is None else (False, value)


def _conditions(store: Store, filters: Filters) -> list[Callable[[int], bool]]:
    conditions: list[Callable[[int], bool]] = []
    types = store.column("brewery_type")
    if filters.types:
        conditions.append(lambda row: types[row] in filters.types)
    if filters.without_types:
        conditions.append(lambda row: types[row] is not None and types[row] not in filters.without_types)
    if filters.ids is not None:
        ids = set(filters.ids)
        conditions.append(lambda row: store.id_of(row) in ids)
    conditions += [_like(store, column, pattern) for column, pattern in filters.like]
    if filters.near is not None and filters.radius_km is not None:
        distances, radius_km = _distances_km(store, filters.near), filters.radius_km
        conditions.append(lambda row: (distance := distances[row]) is not None and distance <= radius_km)
    return conditions


def _like(store: Store, column: str, pattern: str) -> Callable[[int], bool]:
    values, search = store.column(column), like_pattern(pattern).search
    known: dict[str | float | None, bool] = {None: False}

    def matches(row: int) -> bool:
        value = values[row]
        if value not in known:
            known[value] = search(str(value)) is not None
        return known[value]

    return matches


def _distances_km(store: Store, near: tuple[float, float]) -> list[float | None]:
    latitudes, longitudes = store.column("latitude"), store.column("longitude")
    return [
        None if latitude is None or longitude is None else _distance_km(near, (float(latitude), float(longitude)))
        for latitude, longitude in zip(latitudes, longitudes, strict=True)
    ]


def _distance_km(one: tuple[float, float], other: tuple[float, float]) -> float:
    north, east, other_north, other_east = map(math.radians, (*one, *other))
    half = math.sin((other_north - north) / 2) ** 2
    half += math.cos(north) * math.cos(other_north) * math.sin((other_east - east) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(min(1.0, max(0.0, half))))


def _shuffled_window(rows: Sequence[int], runs: Sequence[int], window: tuple[int, int], chance: Random) -> list[int]:
    at, stop = window
    found: list[int] = []
    while at < stop:
        run = bisect_right(runs, at) - 1
        first = runs[run]
        end = runs[run + 1] if run + 1 < len(runs) else len(rows)
        size = end - first
        step, shift = _coprime(size, chance), chance.randrange(size)
        found += [rows[first + (step * (place - first) + shift) % size] for place in range(at, min(end, stop))]
        at = end
    return found


def _coprime(size: int, chance: Random) -> int:
    while True:
        step = chance.randrange(size) + 1
        if math.gcd(step, size) == 1:
            return step
