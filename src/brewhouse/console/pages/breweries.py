"""Breweries: search as you type with facets, and all that is known of each."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from brewhouse.console.lake_reader import LakeState
from brewhouse.console.overview import (
    UNKNOWN,
    BreweryCount,
    Key,
    OverviewFilters,
    counts_with,
    create_table,
    require_breweries,
)
from brewhouse.console.web import API, HTML, LakeStateDep, Paged, PageNumber, page, paginate
from brewhouse.errors import NotFoundError

router = APIRouter(tags=["breweries"])

PAGE_ROWS = 50
_SHOWN_BY_FACET = 8
_FACETS = {"country": "country_name", "state": "state_name", "city": "city_name", "type": "type"}
"""Names of the values of each filter, which is a column of the table."""


class BreweryFilters(OverviewFilters):
    """Words that the name, address or place contains, keys of places and a type, empty for all, and the page."""

    q: Key = ""
    city: Key = ""
    page: PageNumber = 1


_Query = Annotated[BreweryFilters, Query()]


@dataclass(frozen=True)
class BreweryRow:
    """A brewery in the list."""

    id: str
    name: str
    type: str
    address: str
    city: str | None
    state: str | None
    country: str | None
    website_url: str | None


@dataclass(frozen=True, kw_only=True)
class BreweryList(Paged):
    """A page of the matching breweries; each facet ignores its own filter."""

    breweries: list[BreweryRow]
    facets: dict[str, list[BreweryCount]]


@dataclass(frozen=True)
class FieldChange:
    """A field of a brewery before and after a change."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True)
class HistoryEntry:
    """What a snapshot changed of a brewery; the first snapshot of the lake is where its history begins."""

    seen_at: datetime
    run: str
    kind: str
    fields: list[FieldChange] = field(default_factory=list)


@dataclass(frozen=True)
class BreweryDetail:
    """A brewery with its history, newest first, the findings of checks, and its record as received."""

    fields: dict[str, Any]
    history: list[HistoryEntry]
    findings: list[tuple[str, str]]
    record: str | None


@router.get("/breweries", **HTML)
def show(request: Request, state: LakeStateDep, filters: _Query) -> Response:
    """Show the matching breweries and the facets."""
    found = list_breweries(state, filters)
    facets = {name: counts_with(counts, getattr(filters, name)) for name, counts in found.facets.items()}
    return page(request, "breweries.html", found=found, facets=facets, filters=filters, shown=_SHOWN_BY_FACET)


@router.get("/breweries/{brewery}", **HTML)
def show_brewery(request: Request, state: LakeStateDep, brewery: str) -> Response:
    """Show a brewery."""
    detail = get_brewery(state, brewery)
    place = {name: detail.fields.get(name) for name in ("id", "name", "city", "longitude", "latitude")}
    is_located = place["longitude"] is not None and place["latitude"] is not None
    map_data = {"place": place, "countries": {}, "states": [], "words": {}} if is_located else None
    record = json.dumps(json.loads(detail.record), indent=2, ensure_ascii=False) if detail.record else ""
    return page(request, "brewery.html", detail=detail, map_data=map_data, record=record)


@router.get(f"{API}/breweries")
def list_breweries(state: LakeStateDep, filters: _Query) -> BreweryList:
    """Search breweries by words of their name, address or place, and count them by country, state, city and type.

    Case and accents are ignored.
    """
    rows = _reader(state, filters)
    facets = {
        name: [
            BreweryCount(*row)
            for row in rows(
                f"SELECT {name}, coalesce(any_value({title}), '{UNKNOWN}'), count(*) FROM {{table}} GROUP BY 1 "
                "ORDER BY 3 DESC, 2",
                **({name: "", "state": "", "city": ""} if name == "country" else {name: ""}),
            )
        ]
        for name, title in _FACETS.items()
    }
    part, pages = paginate(rows("SELECT count(*) FROM {table}")[0][0], filters.page, PAGE_ROWS)
    found = rows(
        "SELECT id, name, type, address, city_name, state_name, country_name, website_url FROM {table} "
        "ORDER BY starts_with(plain_name, lower(strip_accents(?))) DESC, plain_name, id "
        f"LIMIT {PAGE_ROWS} OFFSET {part.start}",
        [filters.q.strip() or "-"],
    )
    return BreweryList(breweries=[BreweryRow(*row) for row in found], facets=facets, **pages)


@router.get(f"{API}/breweries/{{brewery}}")
def get_brewery(state: LakeStateDep, brewery: str) -> BreweryDetail:
    """Return all that is known of a brewery, also of a removed one."""
    require_breweries(state)
    cursor = state.cursor()

    def rows(table: str, sql: str) -> list[dict[str, Any]]:
        if table not in state.tables:
            return []
        result = cursor.execute(f"SELECT * FROM {table} {sql}", [brewery])
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    changes = rows("silver.brewery_changes", "WHERE id = ? ORDER BY snapshot_run DESC")
    current = rows("silver.breweries", "WHERE id = ?")
    if not current and not changes:
        raise NotFoundError(f"Brewery {brewery} not found.", hint="Search for its name.")
    known = current or [{name: changes[0][name] for name in changes[0] if not name.endswith("_before")}]
    records = rows("bronze.breweries", "WHERE contains(record, ?)")
    return BreweryDetail(
        known[0],
        [_history_entry(change) for change in changes],
        [(str(row["doubt"]), str(row["detail"])) for row in rows("silver.suspect_breweries", "WHERE id = ?")],
        next((record["record"] for record in records if record["id"] == brewery), None),
    )


def _history_entry(change: dict[str, Any]) -> HistoryEntry:
    names = [name for name in str(change["changed_fields"] or "").split(", ") if name]
    fields = [FieldChange(name, change[f"{name}_before"], change[name]) for name in names]
    kind = change["kind"] if change["previous_run"] else "first"
    return HistoryEntry(change["snapshot_time"], change["snapshot_run"], kind, fields)


def _reader(state: LakeState, filters: BreweryFilters) -> Callable[..., list[tuple[Any, ...]]]:
    """Return a function that runs a query on the filtered breweries, or with some filters changed."""
    require_breweries(state)
    cursor = state.cursor()
    state.cached("search table", lambda: create_table(state, "search"))

    def rows(sql: str, parameters: list[Any] | None = None, **changes: str) -> list[tuple[Any, ...]]:
        active = {name: value for name in _FACETS if (value := changes.get(name, getattr(filters, name)))}
        words = filters.q.split()
        conditions = [*(f"{name} = ?" for name in active), *["contains(words, lower(strip_accents(?)))"] * len(words)]
        table = f"(FROM memory.main.console_search WHERE {' AND '.join(['true', *conditions])})"
        return cursor.execute(sql.format(table=table), [*active.values(), *words, *(parameters or [])]).fetchall()

    return rows
