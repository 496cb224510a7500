"""Quality: check results over time, rejected records, unmatched places and suspect breweries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from brewhouse.console.web import API, HTML, ConsoleDep, LakeStateDep, Paged, PageNumber, page, paginate
from brewhouse.events.run_reports import RunReport
from brewhouse.lake.run_lock import holder
from brewhouse.query.connection import NothingPublishedError

router = APIRouter(tags=["quality"])

Kind = Annotated[
    Literal["rejected", "places", "suspects"],
    Path(description="Rejected records, unmatched places or suspect breweries"),
]
MAX_RUNS = 20
PAGE_ROWS = 50


@dataclass(frozen=True)
class CheckedRun:
    """A run that made checks."""

    run: str
    started_at: datetime


@dataclass(frozen=True)
class CheckHistory:
    """Results of a check over several runs.

    Attributes:
        found: Number of violations in each run; null where the check was not made.
        example: A violation of the newest run that reports one, else empty.
    """

    table: str
    name: str
    severity: str
    found: list[int | None]
    example: str


@dataclass(frozen=True)
class ChecksOverTime:
    """Check results of the newest runs, oldest run first; checks with violations come first."""

    runs: list[CheckedRun]
    checks: list[CheckHistory]


@dataclass(frozen=True)
class CategoryCount:
    """Number of suspect rows of a category."""

    name: str
    count: int


@dataclass(frozen=True, kw_only=True)
class SuspectRows(Paged):
    """A page of suspect rows, by column name; the counts by category cover all pages."""

    groups: list[CategoryCount]
    rows: list[dict[str, Any]]


class _SuspectQuery(NamedTuple):
    table: str
    category: str  # column
    size: str  # aggregate
    order: str
    sql: str


SUSPECT_QUERIES = {
    "rejected": _SuspectQuery(
        "silver.rejected_breweries",
        "reasons",
        "count(*)",
        "page, id",
        "SELECT reasons, id, name, country, page, record FROM silver.rejected_breweries",
    ),
    "places": _SuspectQuery(
        "silver.breweries",
        "country",
        "sum(breweries)",
        "breweries DESC, country, state_province",
        "SELECT coalesce(country, '') AS country, coalesce(state_province, '') AS state_province, "
        "count(*) AS breweries FROM silver.breweries WHERE place_match = 'none' GROUP BY ALL",
    ),
    "suspects": _SuspectQuery(
        "silver.suspect_breweries",
        "doubt",
        "count(*)",
        "doubt, country_name, id",
        "SELECT doubt, id, name, city_name, country_name, detail FROM silver.suspect_breweries",
    ),
}
"""Kinds of suspect rows."""


@router.get("/quality", **HTML)
def show_checks(request: Request, console: ConsoleDep) -> Response:
    """Show the check results over time."""
    return page(request, "quality.html", kind="checks", checks=list_checks(console), suspects=None)


@router.get("/quality/{kind}", **HTML)
def show_suspect_rows(request: Request, state: LakeStateDep, kind: Kind, number: PageNumber = 1) -> Response:
    """Show rejected records, unmatched places or suspect breweries."""
    return page(request, "quality.html", kind=kind, checks=None, suspects=list_suspect_rows(state, kind, number))


@router.get(f"{API}/quality/checks")
def list_checks(console: ConsoleDep) -> ChecksOverTime:
    """List the check results of the newest runs."""
    return checks_over_time(console.event_feed.reports(holder(console.lake)))


def checks_over_time(reports: Iterable[RunReport]) -> ChecksOverTime:
    """Collect the check results of the newest runs from reports that are sorted newest first."""
    runs = list(islice((report for report in reports if report.checks), MAX_RUNS))[::-1]
    histories: dict[tuple[str, str], CheckHistory] = {}
    for index, report in enumerate(runs):
        for check in report.checks:
            key = str(check.get("table", "")), str(check.get("name", ""))
            earlier = histories.get(key)
            found: list[int | None] = earlier.found if earlier else [None for _ in runs]
            found[index] = int(check.get("found") or 0)
            example = str(check.get("example") or "") or (earlier.example if earlier else "")
            histories[key] = CheckHistory(*key, str(check.get("severity", "")), found, example)
    checks = sorted(
        histories.values(), key=lambda check: (not any(check.found), check.severity != "error", check.table)
    )
    return ChecksOverTime([CheckedRun(r.run, datetime.fromisoformat(r.started_at)) for r in runs], checks)


@router.get(f"{API}/quality/{{kind}}")
def list_suspect_rows(state: LakeStateDep, kind: Kind, number: PageNumber = 1) -> SuspectRows:
    """List rejected records, unmatched places or suspect breweries."""
    query = SUSPECT_QUERIES[kind]
    if query.table not in state.tables:
        raise NothingPublishedError(f"The table {query.table} is not published.", hint="Run `brewhouse run` first.")

    def count() -> tuple[list[CategoryCount], int]:
        sql = f"SELECT {query.category}, {query.size}, count(*) FROM ({query.sql}) GROUP BY 1 ORDER BY 2 DESC, 1"
        rows = state.cursor().execute(sql).fetchall()
        return [CategoryCount(str(name), int(number)) for name, number, _ in rows], sum(row[2] for row in rows)

    groups, total = state.cached(("suspect rows", kind), count)
    part, pages = paginate(total, number, PAGE_ROWS)
    result = state.cursor().execute(f"{query.sql} ORDER BY {query.order} LIMIT {PAGE_ROWS} OFFSET {part.start}")
    names = [description[0] for description in result.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    return SuspectRows(groups=groups, rows=rows, **pages)
