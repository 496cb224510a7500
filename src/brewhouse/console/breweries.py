"""Single breweries: search with facets, and all that is known of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from brewhouse.console.lake_reader import LakeState
from brewhouse.console.overview import UNKNOWN, BreweryCount, create_table, require_breweries
from brewhouse.console.quality import SUSPECT_QUERIES
from brewhouse.errors import NotFoundError

PAGE_ROWS = 50
_FACETS = {"country": "country_name", "state": "state_name", "city": "city_name", "type": "type"}
"""Names of the values of each filter, which is a column of the table."""


@dataclass(frozen=True)
class BreweryFilters:
    """Words that the name, address or place contains, and keys of places and a type; empty for all."""

    q: str = ""
    country: str = ""
    state: str = ""
    city: str = ""
    type: str = ""


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


@dataclass(frozen=True)
class BreweryList:
    """A page of the matching breweries; each facet ignores its own filter, and `total` counts all pages."""

    breweries: list[BreweryRow]
    facets: dict[str, list[BreweryCount]]
    total: int
    page: int
    pages: int


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


def search(state: LakeState, filters: BreweryFilters, page: int) -> BreweryList:
    """Find breweries whose name, address or place contains each word, ignoring case and accents."""
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
    [(total,)] = rows("SELECT count(*) FROM {table}")
    pages = max(1, -(-total // PAGE_ROWS))
    page = min(page, pages)
    found = rows(
        "SELECT id, name, type, address, city_name, state_name, country_name, website_url FROM {table} "
        "ORDER BY starts_with(plain_name, lower(strip_accents(?))) DESC, plain_name, id "
        f"LIMIT {PAGE_ROWS} OFFSET {(page - 1) * PAGE_ROWS}",
        [filters.q.strip() or "-"],
    )
    return BreweryList([BreweryRow(*row) for row in found], facets, total, page, pages)


def brewery_detail(state: LakeState, id_: str) -> BreweryDetail:
    """Read all that is known of a brewery, also of a removed one.

    Raises:
        NotFoundError: It was never published.
    """
    require_breweries(state)
    cursor = state.cursor()

    def rows(table: str, sql: str) -> list[dict[str, Any]]:
        if table not in state.tables:
            return []
        result = cursor.execute(f"SELECT * FROM {table} {sql}", [id_])
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    changes = rows("silver.brewery_changes", "WHERE id = ? ORDER BY snapshot_run DESC")
    current = rows("silver.breweries", "WHERE id = ?")
    if not current and not changes:
        raise NotFoundError(f"Brewery {id_} not found.", hint="Search for its name.")
    known = current or [{name: changes[0][name] for name in changes[0] if not name.endswith("_before")}]
    records = rows("bronze.breweries", "WHERE contains(record, ?)")
    sql = f"SELECT {SUSPECT_QUERIES['suspects'].category}, detail FROM silver.suspect_breweries WHERE id = ?"
    findings = cursor.execute(sql, [id_]).fetchall() if "silver.suspect_breweries" in state.tables else []
    return BreweryDetail(
        known[0],
        [_history_entry(change) for change in changes],
        [(str(reason), str(detail)) for reason, detail in findings],
        next((record["record"] for record in records if record["id"] == id_), None),
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
        active = {name: value for name, value in {**vars(filters), **changes}.items() if value and name != "q"}
        words = filters.q.split()
        conditions = [*(f"{name} = ?" for name in active), *["contains(words, lower(strip_accents(?)))"] * len(words)]
        table = f"(FROM memory.main.console_search WHERE {' AND '.join(['true', *conditions])})"
        return cursor.execute(sql.format(table=table), [*active.values(), *words, *(parameters or [])]).fetchall()

    return rows
