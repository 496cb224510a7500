"""Changes of breweries between snapshots: filtered, counted by kind and month, summarised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from brewhouse.console.event_list import Day
from brewhouse.console.lake_reader import LakeState
from brewhouse.console.overview import BreweryChange, reader
from brewhouse.ids import day_of
from brewhouse.query.connection import NothingPublishedError

PAGE_ROWS = 100
KINDS = ("added", "closed", "removed", "reopened", "changed")
CHANGES = "silver.brewery_changes"
_CHANGES = "memory.main.console_changes WHERE {where}"
_ROW = "snapshot_time, kind, id, name, type, city, country_name, changed_fields"
_Key = Annotated[str, Field(max_length=200)]


class ChangeQuery(BaseModel):
    """Filters and page of the changes, as in the query of their address; the first snapshot is left out."""

    kind: Annotated[Literal["", "added", "closed", "removed", "reopened", "changed"], Field(description="Kind")] = ""
    since: Annotated[Day, Field(description="First day")] = None
    until: Annotated[Day, Field(description="Last day")] = None
    country: _Key = ""
    state: _Key = ""
    city: _Key = ""
    type: _Key = ""
    page: Annotated[int, Field(ge=1, le=1_000_000, description="One past the end becomes the last")] = 1


@dataclass(frozen=True)
class MonthCount:
    """Number of changes of a month by kind."""

    month: date
    counts: dict[str, int]


@dataclass(frozen=True)
class ChangeList:
    """A page of the matching changes, newest first; counts by kind ignore the filter by kind."""

    changes: list[BreweryChange]
    kinds: dict[str, int]
    months: list[MonthCount]
    total: int
    page: int
    pages: int


@dataclass(frozen=True)
class LatestChanges:
    """Number of changes by kind in the newest snapshot with any, and the days of it and of the one before."""

    kinds: dict[str, int]
    day: date
    since: date | None


def list_changes(state: LakeState, query: ChangeQuery) -> ChangeList:
    """Select a page of the matching changes."""
    rows = _reader(state, query)
    by_kind = dict(rows(f"SELECT kind, count(*) FROM {_CHANGES} GROUP BY 1", kind=""))
    months: dict[date, dict[str, int]] = {}
    for month, kind, count in rows(
        f"SELECT date_trunc('month', day)::DATE, kind, count(*) FROM {_CHANGES} GROUP BY ALL ORDER BY 1"
    ):
        months.setdefault(month, {})[kind] = count
    total = sum(count for counts in months.values() for count in counts.values())
    pages = max(1, -(-total // PAGE_ROWS))
    page = min(query.page, pages)
    order = f"ORDER BY snapshot_run DESC, kind, name, id LIMIT {PAGE_ROWS} OFFSET {(page - 1) * PAGE_ROWS}"
    shown = [BreweryChange(*row) for row in rows(f"SELECT {_ROW} FROM {_CHANGES} {order}")]
    kinds = {kind: by_kind[kind] for kind in KINDS if kind in by_kind}
    return ChangeList(shown, kinds, [MonthCount(*month) for month in months.items()], total, page, pages)


def all_changes(state: LakeState, query: ChangeQuery) -> list[tuple[Any, ...]]:
    """Return all matching changes as rows of a table, the first of which has the names of the columns."""
    names = ("detected", "kind", "id", "name", "type", "city", "state", "country", "changed_fields")
    select = "SELECT strftime(snapshot_time, '%Y-%m-%d'), kind, id, name, type, city, state_province, country_name, "
    return [
        names,
        *_reader(state, query)(f"{select} changed_fields FROM {_CHANGES} ORDER BY snapshot_run DESC, kind, name"),
    ]


def latest_changes(state: LakeState, query: ChangeQuery) -> LatestChanges | None:
    """Count the matching changes of the newest snapshot that changed anything; None if there is none."""
    if CHANGES not in state.tables:
        return None
    newest = "snapshot_run = (SELECT max(snapshot_run) FROM memory.main.console_changes)"
    found = _reader(state, query)(
        f"SELECT kind, count(*), any_value(day), any_value(previous_run) FROM {_CHANGES} AND {newest} GROUP BY kind"
    )
    if not found:
        return None
    counts = {kind: count for kind, count, _, _ in found}
    since = day_of(found[0][3])
    kinds = {kind: counts[kind] for kind in KINDS if kind in counts}
    return LatestChanges(kinds, found[0][2], date.fromisoformat(since) if since else None)


def _reader(state: LakeState, query: ChangeQuery) -> Callable[..., list[tuple[Any, ...]]]:
    if CHANGES not in state.tables:
        raise NothingPublishedError(f"The table {CHANGES} is not published.", hint="Run `brewhouse run` first.")
    filters = query.model_dump(include={"kind", "country", "state", "city", "type"})
    return reader(state, {**filters, "day >=": query.since, "day <=": query.until})
