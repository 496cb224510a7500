"""Changes of breweries between snapshots: filtered, counted by kind and month, and as a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field

from brewhouse.console import overview
from brewhouse.console.lake_reader import LakeState
from brewhouse.console.overview import CHANGE_KINDS, CHANGES, BreweryChange, Key, OverviewFilters
from brewhouse.console.web import API, HTML, Day, LakeStateDep, Paged, PageNumber, page, paginate
from brewhouse.query.connection import NothingPublishedError

router = APIRouter(tags=["changes"])

PAGE_ROWS = 100
_CHANGES = "memory.main.console_changes WHERE {where}"
_ROW = "snapshot_time, kind, id, name, type, city, country_name, changed_fields"
_COLUMNS = ("detected", "kind", "id", "name", "type", "city", "state", "country", "changed_fields")


class ChangeQuery(OverviewFilters):
    """Filters and page of the changes, as in the query of their address; the first snapshot is left out."""

    kind: Annotated[Literal["", "added", "closed", "removed", "reopened", "changed"], Field(description="Kind")] = ""
    since: Annotated[Day, Field(description="First day")] = None
    until: Annotated[Day, Field(description="Last day")] = None
    city: Key = ""
    page: PageNumber = 1


_Query = Annotated[ChangeQuery, Query()]


@dataclass(frozen=True)
class MonthCount:
    """Number of changes of a month by kind."""

    month: date
    counts: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class ChangeList(Paged):
    """A page of the matching changes, newest first; counts by kind ignore the filter by kind."""

    changes: list[BreweryChange]
    kinds: dict[str, int]
    months: list[MonthCount]


@router.get("/changes", **HTML)
def show(request: Request, state: LakeStateDep, query: _Query) -> Response:
    """Show the matching changes."""
    found = list_changes(state, query)
    counts = overview.overview(state, OverviewFilters(country=query.country))
    counts = overview.with_counts(counts, query, overview.counts_with)
    most = max((sum(month.counts.values()) for month in found.months), default=1)
    return page(request, "changes.html", found=found, query=query, kinds=CHANGE_KINDS, counts=counts, most=most)


@router.get("/changes.csv", include_in_schema=False)
def download(state: LakeStateDep, query: _Query) -> Response:
    """Download all matching changes."""
    rows = _reader(state, query)(
        "SELECT strftime(snapshot_time, '%Y-%m-%d'), kind, id, name, type, city, state_province, country_name, "
        f"changed_fields FROM {_CHANGES} ORDER BY snapshot_run DESC, kind, name"
    )
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_COLUMNS, *rows])
    headers = {"Content-Disposition": 'attachment; filename="brewhouse-changes.csv"'}
    return Response(text.getvalue(), media_type="text/csv", headers=headers)


@router.get(f"{API}/changes")
def list_changes(state: LakeStateDep, query: _Query) -> ChangeList:
    """List the changes of breweries, newest first, and count them by kind and month."""
    rows = _reader(state, query)
    by_kind = dict(rows(f"SELECT kind, count(*) FROM {_CHANGES} GROUP BY 1", kind=""))
    months: dict[date, dict[str, int]] = {}
    for month, kind, count in rows(
        f"SELECT date_trunc('month', day)::DATE, kind, count(*) FROM {_CHANGES} GROUP BY ALL ORDER BY 1"
    ):
        months.setdefault(month, {})[kind] = count
    part, pages = paginate(sum(sum(counts.values()) for counts in months.values()), query.page, PAGE_ROWS)
    order = f"ORDER BY snapshot_run DESC, kind, name, id LIMIT {PAGE_ROWS} OFFSET {part.start}"
    return ChangeList(
        changes=[BreweryChange(*row) for row in rows(f"SELECT {_ROW} FROM {_CHANGES} {order}")],
        kinds={kind: by_kind[kind] for kind in CHANGE_KINDS if kind in by_kind},
        months=[MonthCount(*month) for month in months.items()],
        **pages,
    )


def _reader(state: LakeState, query: ChangeQuery) -> Callable[..., list[tuple[Any, ...]]]:
    if CHANGES not in state.tables:
        raise NothingPublishedError(f"The table {CHANGES} is not published.", hint="Run `brewhouse run` first.")
    filters = query.model_dump(include={"kind", "country", "state", "city", "type"})
    return overview.reader(state, {**filters, "day >=": query.since, "day <=": query.until})
