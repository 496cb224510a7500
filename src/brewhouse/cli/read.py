"""Commands that read tables: query, queries, tables, describe, history, rejected, changes, diff, places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Literal

import typer

from brewhouse.cli.options import (
    AllOption,
    AtOption,
    CountryOption,
    EngineOption,
    JsonOption,
    LakeOption,
    LimitOption,
    MasterOption,
    complete_table,
    country_code,
    open_lake,
    reject_together,
    settings_and_lake,
)
from brewhouse.cli.output import minute, print_json, print_result, print_rows
from brewhouse.cli.results import (
    FileOption,
    Format,
    FormatOption,
    OutputOption,
    SavedOption,
    parse_parameters,
    query_text,
    result_file,
    result_format,
    shown_rows,
    write,
)
from brewhouse.errors import UsageError

ChangeKind = StrEnum("ChangeKind", ["ADDED", "CHANGED", "REMOVED", "CLOSED", "REOPENED"])
TableArgument = Annotated[
    str, typer.Argument(help="Zone and table, such as silver.breweries.", autocompletion=complete_table)
]


def query(
    sql: Annotated[str | None, typer.Argument(help="A SELECT in DuckDB's SQL; - reads it from standard input.")] = None,
    saved: SavedOption = None,
    file: FileOption = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", help="Value of $name in the SQL, as name=value; repeatable.")
    ] = None,
    lake: LakeOption = None,
    output_format: FormatOption = None,
    output: OutputOption = None,
    limit: LimitOption = None,
    show_all: AllOption = False,
    at: AtOption = None,
    on: Annotated[Literal["here", "athena"], typer.Option("--on", help="`athena`: the stack `brewhouse`.")] = "here",
    as_json: JsonOption = False,
) -> None:
    """Query the published tables with SQL; the schemas are bronze, silver, gold and monitoring.

    Example: brewhouse query "SELECT country_name, sum(operating_count) FROM gold.breweries_by_location GROUP BY 1"
    """
    from brewhouse.query.saved_queries import for_duckdb

    chosen = result_format(output_format, output, as_json=as_json)
    rows = shown_rows(limit, show_all=show_all, as_data=output is not None or chosen not in {"table", "lines"})
    if on == "athena":
        from brewhouse.cli.aws import query_on_athena

        for option, value in {"--at": at, "--lake": lake, "--param": param}.items():
            reject_together(**{"--on athena": True, option: value})
        query_on_athena(query_text(sql, saved, file), "brewhouse", chosen, output, rows)
        return
    text, values = query_text(sql, saved, file, for_duckdb), parse_parameters(param)
    with result_file(chosen, output) as target:
        result = open_lake(lake).query(text, values, at=at, output=target.parent if target else None)
        result.read(partial(write, output_format=chosen, file=target, limit=rows))


def queries(as_json: JsonOption = False) -> None:
    """List the saved queries and the questions they answer.

    Example: brewhouse queries && brewhouse query --saved top_cities
    """
    from brewhouse.query.saved_queries import saved_queries

    print_result([{"name": query.name, "question": query.question} for query in saved_queries()], as_json=as_json)


def tables(lake: LakeOption = None, as_json: JsonOption = False) -> None:
    """List the published tables.

    Example: brewhouse tables
    """
    rows = open_lake(lake).tables
    print_result([{**row, "published": minute(row["published"])} for row in rows], as_json=as_json, value=rows)


def describe(table: TableArgument, lake: LakeOption = None, as_json: JsonOption = False) -> None:
    """Describe a table: the meaning of a row, columns, partitions and sort order.

    Example: brewhouse describe silver.breweries
    """
    from brewhouse.query.connection import published_tables

    _, place = settings_and_lake(lake)
    spec = published_tables(place).describe(table)
    if as_json:
        print_json(spec)
        return
    print(f"{spec.name}: {spec.description}")
    print(f"partitioned by {', '.join(spec.partition) or 'nothing'}; sorted by {', '.join(spec.sort) or 'nothing'}")
    print_rows([{"column": c.name, "type": c.type, "description": c.description} for c in spec.columns])


def history(
    table: TableArgument,
    lake: LakeOption = None,
    limit: LimitOption = None,
    show_all: AllOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the snapshots of a table, newest first; with --json oldest first.

    Example: brewhouse history gold.breweries_by_location
    """
    rows = open_lake(lake).history(table)
    shown = [
        {
            "committed": minute(row["committed"]),
            "rows": row["rows"],
            "state": "rolled back" if row["rolled_back"] else "current" if row["current"] else "",
            **{name: row[name] for name in ("snapshot", "run", "raw_snapshot", "branch")},
        }
        for row in reversed(rows)
    ]
    most = shown_rows(limit, show_all=show_all, as_data=as_json)
    print_result(shown, as_json=as_json, value=rows[-(most or 0) :], limit=most)


def rejected(
    lake: LakeOption = None, limit: LimitOption = None, show_all: AllOption = False, as_json: JsonOption = False
) -> None:
    """List the rejected records of the newest snapshot with all reasons.

    Example: brewhouse rejected --limit 5
    """
    rows = shown_rows(limit, show_all=show_all, as_data=as_json)
    sql = "SELECT reasons, page, record FROM silver.rejected_breweries ORDER BY page, record"
    output_format: Format = "json" if as_json else "table"
    with result_file(output_format, None) as file:
        result = open_lake(lake).query(sql, output=file.parent if file else None)
        result.read(partial(write, output_format=output_format, file=file, limit=rows))


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
    engine: EngineOption = None,
    spark_master: MasterOption = None,
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
