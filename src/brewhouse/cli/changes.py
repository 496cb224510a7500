"""Commands about changes between snapshots and about places: changes, diff, places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from brewhouse.cli import options
from brewhouse.cli.options import (
    AllOption,
    CountryOption,
    JsonOption,
    LakeOption,
    LimitOption,
    country_code,
    open_lake,
    settings_and_lake,
)
from brewhouse.cli.output import print_json, print_result, print_rows
from brewhouse.cli.results import shown_rows
from brewhouse.errors import UsageError


class ChangeKind(StrEnum):
    """Kind of a change of a brewery between two snapshots."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"
    CLOSED = "closed"
    REOPENED = "reopened"


def changes(
    since: Annotated[str | None, typer.Option("--since", help="First snapshot date, such as 2026-04-01.")] = None,
    country: CountryOption = None,
    kind: Annotated[list[ChangeKind] | None, typer.Option("--kind", help="Only this kind; repeatable.")] = None,
    limit: LimitOption = None,
    show_all: AllOption = False,
    lake: LakeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the changes between consecutive snapshots, newest first.

    Example: brewhouse changes --since 2026-04-01 --country BE --kind added --kind reopened
    """
    first = _parse_date(since) if since is not None else None
    code = country_code(country) if country is not None else None
    rows = open_lake(lake).changes(first, code, kind)
    _print_changes(rows, shown_rows(limit, show_all=show_all, as_data=as_json), as_json=as_json)


def diff(
    first: Annotated[str, typer.Argument(help="Run id or date of a raw snapshot, or `last`.")],
    second: Annotated[str, typer.Argument(help="Run id or date of the raw snapshot to compare with, or `last`.")],
    limit: LimitOption = None,
    show_all: AllOption = False,
    lake: LakeOption = None,
    engine: options.EngineOption = None,
    spark_master: options.MasterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two raw snapshots.

    Example: brewhouse diff 2026-05-14 last
    """
    from brewhouse.pipeline.compare import compare

    settings, place = settings_and_lake(lake, engine=engine, spark_master=spark_master)
    most = shown_rows(limit, show_all=show_all, as_data=as_json)
    _print_changes(compare(place, settings, first, second), most, as_json=as_json)


def places(
    unmatched: Annotated[bool, typer.Option("--unmatched", help="Only places without an ISO 3166 match.")] = False,
    lake: LakeOption = None,
    limit: LimitOption = None,
    show_all: AllOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the countries and states of the source with their ISO 3166 codes and names.

    Example: brewhouse places --unmatched
    """
    sql = (
        "SELECT country, state_province, country_code, country_name, state_code, state_name, place_match, "
        "count(*) AS breweries FROM silver.breweries WHERE place_match = 'none' OR NOT $unmatched "
        "GROUP BY ALL ORDER BY ALL"
    )
    rows = open_lake(lake).query(sql, {"unmatched": unmatched}).rows()
    print_result(rows, as_json=as_json, limit=shown_rows(limit, show_all=show_all, as_data=as_json))


def _print_changes(rows: list[dict[str, Any]], limit: int | None, *, as_json: bool) -> None:
    """Print the first changes and the count of each kind, or all as JSON unless they are limited."""
    if as_json:
        print_json(rows[:limit])
        return
    print_rows([_row(row) for row in rows], limit=limit)
    kinds = Counter(str(row["kind"]) for row in rows)
    print(", ".join(f"{number} {name}" for name, number in sorted(kinds.items())) or "no changes")


def _row(row: Mapping[str, Any]) -> dict[str, object]:
    names = (row["changed_fields"] or "").split(", ")
    return {
        "snapshot": row["snapshot_time"].date(),
        "kind": row["kind"],
        "name": row["name"],
        "id": row["id"],
        "place": ", ".join(filter(None, (row["city"], row["state_province"], row["country"]))),
        "changes": "; ".join(f"{name}: {row[f'{name}_before']} -> {row[name]}" for name in names if name),
    }


def _parse_date(text: str) -> date:
    try:
        return datetime.fromisoformat(text).date()
    except ValueError as error:
        raise UsageError(f"{text!r} is not a date.", hint="Write it as 2026-04-01.") from error
