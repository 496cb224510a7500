"""Commands that read the published tables: query, queries, tables, describe, history, rejected."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import typer

from brewhouse.cli.options import AtOption, JsonOption, LakeOption, LimitOption, settings_and_lake
from brewhouse.cli.output import print_json, print_result, print_rows
from brewhouse.cli.results import Format, FormatOption, OutputOption, SavedOption, query_text, result_file, write

TableArgument = Annotated[str, typer.Argument(help="Zone and table, such as silver.breweries.")]


def query(
    sql: Annotated[str | None, typer.Argument(help="A SELECT in DuckDB's SQL.")] = None,
    saved: SavedOption = None,
    lake: LakeOption = None,
    output_format: FormatOption = "table",
    output: OutputOption = None,
    at: AtOption = None,
    on: Annotated[Literal["here", "athena"], typer.Option("--on", help="`athena`: the stack `brewhouse`.")] = "here",
    as_json: JsonOption = False,
) -> None:
    """Query the published tables with SQL; the schemas are bronze, silver, gold and monitoring.

    Example: brewhouse query "SELECT country_name, sum(operating_count) FROM gold.breweries_by_location GROUP BY 1"
    """
    from brewhouse.query.connection import connect
    from brewhouse.query.connection import query as run_query
    from brewhouse.query.saved_queries import for_duckdb

    if as_json:
        output_format = "json"
    if on == "athena":
        from brewhouse.cli.aws import query_on_athena

        query_on_athena(query_text(sql, saved), "brewhouse", output_format, output)
        return
    text = query_text(sql, saved, for_duckdb)
    _, place = settings_and_lake(lake)
    with result_file(output_format, output) as file:
        connection = connect(place, at, file.parent if file else None)
        run_query(connection, text, partial(write, output_format=output_format, file=file))


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
    from brewhouse.query.connection import published_tables

    _, place = settings_and_lake(lake)
    published = published_tables(place)
    rows = []
    for name in published.names():
        current, description = published.current(name), published.describe(name).description
        published_at = current.committed_at.isoformat(timespec="milliseconds") if current else None
        count = current.rows if current else 0
        rows.append({"table": name, "rows": count, "published": published_at, "description": description})
    print_result(rows, as_json=as_json)


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


def history(table: TableArgument, lake: LakeOption = None, as_json: JsonOption = False) -> None:
    """List the snapshots of a table, oldest first.

    Example: brewhouse history gold.breweries_by_location
    """
    from brewhouse.query.connection import published_tables

    _, place = settings_and_lake(lake)
    rows = [
        {
            "snapshot": snapshot.snapshot_id,
            "committed": snapshot.committed_at.isoformat(timespec="milliseconds"),
            "run": snapshot.run or None,
            "raw_snapshot": snapshot.raw_snapshot or None,
            "rows": snapshot.rows,
            "current": snapshot.current,
            "rolled_back": snapshot.rolled_back,
            "branch": snapshot.branch or None,
        }
        for snapshot in published_tables(place).history(table)
    ]
    print_result(rows, as_json=as_json)


def rejected(lake: LakeOption = None, limit: LimitOption = 100, as_json: JsonOption = False) -> None:
    """List the rejected records of the newest snapshot with all reasons.

    Example: brewhouse rejected --limit 5
    """
    from brewhouse.query.connection import connect
    from brewhouse.query.connection import query as run_query

    _, place = settings_and_lake(lake)
    sql = f"SELECT reasons, page, record FROM silver.rejected_breweries ORDER BY page, record LIMIT {limit}"
    output_format: Format = "json" if as_json else "table"
    with result_file(output_format, None) as file:
        connection = connect(place, output=file.parent if file else None)
        run_query(connection, sql, partial(write, output_format=output_format, file=file))
