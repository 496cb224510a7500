"""The quality of the data: what the checks found over time, and the records, places and breweries that are doubtful."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from brewhouse.console.lake_reader import LakeState
from brewhouse.events.run_reports import RunReport

RUNS = 20
PAGE_ROWS = 50


@dataclass(frozen=True)
class CheckedRun:
    """A run whose checks were made.

    Attributes:
        run: Its id.
        started_at: When it began.
    """

    run: str
    started_at: datetime


@dataclass(frozen=True)
class CheckHistory:
    """A check over time.

    Attributes:
        table: About which table.
        name: What must hold.
        severity: What it is when it does not: error or warning.
        found: In how many rows it did not hold, by run; null where it was not made.
        example: One of them, of the newest run that has one.
    """

    table: str
    name: str
    severity: str
    found: list[int | None]
    example: str


@dataclass(frozen=True)
class ChecksOverTime:
    """The checks of the newest runs.

    Attributes:
        runs: Oldest first.
        checks: Those that found something in one of them first.
    """

    runs: list[CheckedRun]
    checks: list[CheckHistory]


@dataclass(frozen=True)
class Group:
    """How often something is there.

    Attributes:
        name: What.
        count: How often.
    """

    name: str
    count: int


@dataclass(frozen=True)
class SuspectRows:
    """A page of doubtful rows of the published tables.

    Attributes:
        groups: How many there are of each sort.
        rows: Those of this page, by column.
        total: How many there are.
        page: Which page, from 1.
        pages: How many pages.
    """

    groups: list[Group]
    rows: list[dict[str, Any]]
    total: int
    page: int
    pages: int


_UNMATCHED = (
    "SELECT coalesce(country, '') AS country, coalesce(state_province, '') AS state_province, count(*) AS breweries "
    "FROM silver.breweries WHERE place_match = 'none' GROUP BY ALL"
)
DOUBTS = {
    "rejected": (
        "reasons",
        "SELECT reasons, id, name, country, page, record FROM silver.rejected_breweries",
        "page, id",
    ),
    "places": ("country", _UNMATCHED, "breweries DESC, country, state_province"),
    "suspects": (
        "doubt",
        "SELECT doubt, id, name, city_name, country_name, detail FROM silver.suspect_breweries",
        "doubt, country_name, id",
    ),
}
"""What can be looked at: by which column it is grouped, its rows, and their order."""


def checks_over_time(reports: Iterable[RunReport]) -> ChecksOverTime:
    """Put the checks of the newest runs side by side.

    Args:
        reports: Of all runs, newest first.
    """
    chosen = list(islice((report for report in reports if report.checks), RUNS))[::-1]
    histories: dict[tuple[str, str], CheckHistory] = {}
    for index, report in enumerate(chosen):
        for check in report.checks:
            key = str(check.get("table", "")), str(check.get("name", ""))
            before = histories.get(key)
            found: list[int | None] = before.found if before else [None for _ in chosen]
            found[index] = int(check.get("found") or 0)
            example = str(check.get("example") or "") or (before.example if before else "")
            histories[key] = CheckHistory(*key, str(check.get("severity", "")), found, example)
    checks = sorted(
        histories.values(), key=lambda check: (not any(check.found), check.severity != "error", check.table)
    )
    return ChecksOverTime([CheckedRun(r.run, datetime.fromisoformat(r.started_at)) for r in chosen], checks)


def doubtful(state: LakeState, kind: str, page: int) -> SuspectRows:
    """Read a page of doubtful rows.

    Args:
        state: What the lake shows.
        kind: A key of `DOUBTS`.
        page: From 1; one too far becomes the last.
    """
    column, sql, order = DOUBTS[kind]
    groups = state.once(("doubtful", kind), lambda: _groups(state, column, sql))
    total = state.once(("doubtful rows", kind), lambda: _count(state, sql))
    pages = max(1, -(-total // PAGE_ROWS))
    page = min(max(page, 1), pages)
    result = state.cursor().execute(f"{sql} ORDER BY {order} LIMIT {PAGE_ROWS} OFFSET {(page - 1) * PAGE_ROWS}")
    names = [description[0] for description in result.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    return SuspectRows(groups, rows, total, page, pages)


def _groups(state: LakeState, column: str, sql: str) -> list[Group]:
    weight = "sum(breweries)" if "breweries" in sql.partition(" FROM ")[0] else "count(*)"
    rows = state.cursor().execute(f"SELECT {column}, {weight} FROM ({sql}) GROUP BY 1 ORDER BY 2 DESC, 1").fetchall()
    return [Group(str(name), int(count)) for name, count in rows]


def _count(state: LakeState, sql: str) -> int:
    row = state.cursor().execute(f"SELECT count(*) FROM ({sql})").fetchone()
    return int(row[0]) if row else 0
