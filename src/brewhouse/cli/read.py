"""Commands that read the published tables: query, queries, tables, describe, history, rejected."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from brewhouse.cli.options import JsonOption, LakeOption, settings_and_lake
from brewhouse.cli.output import print_json, print_rows
from brewhouse.cli.results import Format, FormatOption, OutputOption, SavedOption, write
from brewhouse.errors import UsageError


class QueryTarget(StrEnum):
    """What answers a query."""

    HERE = "here"
    ATHENA = "athena"


AtOption = Annotated[str | None, typer.Option("--at", help="Read as of a time, a table snapshot id or a run id.")]
TableArgument = Annotated[str, typer.Argument(help="Zone and table, as silver.breweries.")]


def query(
    sql: Annotated[str | None, typer.Argument(help="One SELECT, in DuckDB's SQL.", show_default=False)] = None,
    saved: SavedOption = None,
    lake: LakeOption = None,
    output_format: FormatOption = Format.TABLE,
    output: OutputOption = None,
    at: AtOption = None,
    on: Annotated[
        QueryTarget, typer.Option("--on", help="`athena` asks the stack `brewhouse` in its account.")
    ] = QueryTarget.HERE,
    as_json: JsonOption = False,
) -> None:
    """Query the published tables with SQL; schemas bronze, silver and gold.

    Example: brewhouse query "SELECT country_name, sum(operating_count) FROM gold.breweries_by_location GROUP BY 1"
    """
    from brewhouse.query.connection import connect
    from brewhouse.query.connection import query as run_query
    from brewhouse.query.saved_queries import for_duckdb, saved_query

    if on is QueryTarget.ATHENA:
        from brewhouse.cli.aws import query_on_athena

        query_on_athena(sql, saved, "brewhouse", Format.JSON if as_json else output_format, output)
        return
    if (sql is None) == (saved is None):
        raise UsageError("Give either a SELECT or --saved NAME.", hint="`brewhouse queries` lists the saved ones.")
    _, place = settings_and_lake(lake)
    result = run_query(connect(place, at), for_duckdb(saved_query(saved or "").sql) if sql is None else sql)
    write(result, Format.JSON if as_json else output_format, output)


def queries(as_json: JsonOption = False) -> None:
    """List the saved queries: what an analyst asks first.

    Example: brewhouse queries && brewhouse query --saved top_cities
    """
    from brewhouse.query.saved_queries import saved_queries

    rows = [{"name": query.name, "question": query.question} for query in saved_queries()]
    print_json(rows) if as_json else print_rows(rows)


def tables(lake: LakeOption = None, as_json: JsonOption = False) -> None:
    """List the published tables.

    Example: brewhouse tables
    """
    from brewhouse.query.connection import published_tables

    _, place = settings_and_lake(lake)
    known = published_tables(place)
    rows = []
    for name in known.names():
        now = known.current(name)
        rows.append(
            {
                "table": name,
                "rows": now.rows if now else 0,
                "published": now.committed_at.isoformat(timespec="milliseconds") if now else None,
                "description": known.describe(name).description,
            }
        )
    print_json(rows) if as_json else print_rows(rows)


def describe(table: TableArgument, lake: LakeOption = None, as_json: JsonOption = False) -> None:
    """Describe a table: what a row is, its columns, partition and sort order.

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
    """List a table's snapshots, oldest first.

    Example: brewhouse history gold.breweries_by_location
    """
    from brewhouse.query.connection import published_tables

    _, place = settings_and_lake(lake)
    rows = [
        {
            "snapshot": snapshot.snapshot_id,
            "committed": snapshot.committed_at.isoformat(timespec="milliseconds"),
            "run": snapshot.properties.get("brewhouse.run"),
            "raw_snapshot": snapshot.properties.get("brewhouse.raw-snapshot"),
            "rows": snapshot.rows,
            "current": snapshot.current,
        }
        for snapshot in published_tables(place).history(table)
    ]
    print_json(rows) if as_json else print_rows(rows)


def rejected(
    lake: LakeOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many at the most.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """List the records of the newest snapshot that cannot be used, with every reason.

    Example: brewhouse rejected --limit 5
    """
    from brewhouse.query.connection import connect
    from brewhouse.query.connection import query as run_query

    _, place = settings_and_lake(lake)
    sql = f"SELECT reasons, page, record FROM silver.rejected_breweries ORDER BY page, record LIMIT {limit}"
    write(run_query(connect(place), sql), Format.JSON if as_json else Format.TABLE, None)


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (query, queries, tables, describe, history, rejected):
        app.command()(command)
