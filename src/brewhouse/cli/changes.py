"""Commands about what changes, and about places: changes, diff, places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from brewhouse.cli.options import EngineOption, JsonOption, LakeOption, MasterOption, settings_and_lake
from brewhouse.cli.output import print_json, print_rows
from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.lake.lake import Lake


class ChangeKind(StrEnum):
    """What can happen to a brewery from one snapshot to the next."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"
    CLOSED = "closed"
    REOPENED = "reopened"


LimitOption = Annotated[int, typer.Option("--limit", min=1, help="How many rows at the most.")]
KindOption = Annotated[list[ChangeKind] | None, typer.Option("--kind", help="Only these kinds; may be repeated.")]
CountryOption = Annotated[str | None, typer.Option("--country", help="ISO code of a country, as BE.")]


def changes(
    since: Annotated[str | None, typer.Option("--since", help="First day of the snapshots, as 2026-04-01.")] = None,
    country: CountryOption = None,
    kind: KindOption = None,
    limit: LimitOption = 100,
    lake: LakeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what changed from snapshot to snapshot, newest first.

    Example: brewhouse changes --since 2026-04-01 --country BE --kind added --kind reopened
    """
    _, place = settings_and_lake(lake)
    conditions = ["true"]
    values: list[object] = []
    if since is not None:
        conditions.append("snapshot_time >= CAST(? AS DATE)")
        values.append(_day(since))
    if country is not None:
        conditions.append("country_code = upper(?)")
        values.append(country)
    if kind:
        conditions.append("list_contains(?, kind)")
        values.append([one.value for one in kind])
    rows = _published(
        place,
        f"SELECT * FROM silver.brewery_changes WHERE {' AND '.join(conditions)} ORDER BY snapshot_run DESC, kind, id",
        values,
    )
    _show(rows, limit, as_json=as_json)


def diff(
    first: Annotated[str, typer.Argument(help="Run id of a raw snapshot, its date, or `last`.")],
    second: Annotated[str, typer.Argument(help="The same, of the one it is compared with.")],
    limit: LimitOption = 100,
    lake: LakeOption = None,
    engine: EngineOption = None,
    spark_master: MasterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare any two raw snapshots of the lake.

    Example: brewhouse diff 2026-05-14 last
    """
    from brewhouse.pipeline.compare import compare

    settings, place = settings_and_lake(lake, engine=engine, spark_master=spark_master)
    _show(compare(place, settings, first, second), limit, as_json=as_json)


def places(
    unmatched: Annotated[bool, typer.Option("--unmatched", help="Only those that ISO 3166 does not know.")] = False,
    lake: LakeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the countries and states as the source names them, with their ISO 3166 codes and names.

    Example: brewhouse places --unmatched
    """
    _, place = settings_and_lake(lake)
    rows = _published(
        place,
        "SELECT country, state_province, country_code, country_name, state_code, state_name, place_match, "
        "count(*) AS breweries FROM silver.breweries WHERE place_match = 'none' OR NOT ? GROUP BY ALL ORDER BY ALL",
        [unmatched],
    )
    print_json(rows) if as_json else print_rows(rows)


def _published(lake: Lake, sql: str, values: Sequence[object]) -> list[dict[str, Any]]:
    """Query the published tables, which a lake of an earlier version may lack.

    Raises:
        BrewhouseError: They cannot answer.
    """
    import duckdb

    from brewhouse.query.connection import connect

    try:
        result = connect(lake).execute(sql, values)
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        raise BrewhouseError(
            f"The tables of the lake {lake.root} are of an earlier version.",
            hint="Make them anew with `brewhouse rebuild`.",
        ) from error
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _show(rows: list[dict[str, Any]], limit: int, *, as_json: bool) -> None:
    """Print changes: all of them as JSON, else the first ones and how many there are of each kind."""
    if as_json:
        print_json(rows)
        return
    print_rows([_row(row) for row in rows[:limit]])
    kinds = Counter(str(row["kind"]) for row in rows)
    told = ", ".join(f"{number} {name}" for name, number in sorted(kinds.items())) or "nothing changed"
    print(told if len(rows) <= limit else f"{told}; {limit} are shown, --limit shows more")


def _row(row: Mapping[str, Any]) -> dict[str, object]:
    names = (row["changed_fields"] or "").split(", ")
    shown = [f"{name}: {row[f'{name}_before']} -> {row[name]}" for name in names if name]
    return {
        "snapshot": row["snapshot_time"].date(),
        "kind": row["kind"],
        "id": row["id"],
        "name": row["name"],
        "place": ", ".join(filter(None, (row["city"], row["state_province"], row["country"]))),
        "what": "; ".join(shown),
    }


def _day(text: str) -> date:
    try:
        return datetime.fromisoformat(text).date()
    except ValueError as error:
        raise UsageError(f"{text!r} is no date.", hint="Write it as 2026-04-01.") from error


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (changes, diff, places):
        app.command()(command)
