"""Commands that read the published tables: query, queries, tables, describe, history, rejected."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import typer

from brewhouse.cli.options import JsonOption, LakeOption, settings_and_lake
from brewhouse.cli.output import print_json, print_rows, print_table
from brewhouse.errors import BrewhouseError, UsageError


class Place(StrEnum):
    """What answers a query."""

    HERE = "here"
    ATHENA = "athena"


class Format(StrEnum):
    """How a result is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


FormatOption = Annotated[Format, typer.Option("--format", help="How the result is written.")]
OutputOption = Annotated[Path | None, typer.Option("--output", help="File to write instead of standard output.")]
AtOption = Annotated[str | None, typer.Option("--at", help="Read as of a time, a table snapshot id or a run id.")]
SavedOption = Annotated[
    str | None, typer.Option("--saved", help="Run a saved query; `brewhouse queries` lists them.", show_default=False)
]
TableArgument = Annotated[str, typer.Argument(help="Zone and table, as silver.breweries.")]


def query(
    sql: Annotated[str | None, typer.Argument(help="One SELECT, in DuckDB's SQL.", show_default=False)] = None,
    saved: SavedOption = None,
    lake: LakeOption = None,
    output_format: FormatOption = Format.TABLE,
    output: OutputOption = None,
    at: AtOption = None,
    on: Annotated[Place, typer.Option("--on", help="`athena` asks the stack `brewhouse` in its account.")] = Place.HERE,
    as_json: JsonOption = False,
) -> None:
    """Query the published tables with SQL; schemas bronze, silver and gold.

    Example: brewhouse query "SELECT country_name, sum(operating_count) FROM gold.breweries_by_location GROUP BY 1"
    """
    from brewhouse.lake.reading import connect
    from brewhouse.lake.reading import query as run_query
    from brewhouse.queries import for_duckdb, saved_query

    if on is Place.ATHENA:
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
    from brewhouse.queries import saved_queries

    rows = [{"name": query.name, "question": query.question} for query in saved_queries()]
    print_json(rows) if as_json else print_rows(rows)


def tables(lake: LakeOption = None, as_json: JsonOption = False) -> None:
    """List the published tables.

    Example: brewhouse tables
    """
    from brewhouse.lake.reading import published_tables

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
    from brewhouse.lake.reading import published_tables

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
    from brewhouse.lake.reading import published_tables

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
    from brewhouse.lake.reading import connect
    from brewhouse.lake.reading import query as run_query

    _, place = settings_and_lake(lake)
    sql = f"SELECT reasons, page, record FROM silver.rejected_breweries ORDER BY page, record LIMIT {limit}"
    write(run_query(connect(place), sql), Format.JSON if as_json else Format.TABLE, None)


def write(result: Any, output_format: Format, output: Path | None) -> None:  # noqa: ANN401 - DuckDB's own result, or alike
    """Write a result as asked.

    Args:
        result: Has `description`, `fetchall` and `to_arrow_reader`, as DuckDB's.
        output_format: How.
        output: File to write; None prints.

    Raises:
        BrewhouseError: The file cannot be written.
    """
    try:
        _write(result, output_format, output)
    except OSError as error:
        if output is None:
            raise
        raise BrewhouseError(
            f"{output} cannot be written: {error.strerror or error}.", hint="Name another file with --output."
        ) from error


def _write(result: Any, output_format: Format, output: Path | None) -> None:  # noqa: ANN401 - DuckDB's own result
    if output_format is Format.PARQUET:
        _write_parquet(result, output)
        return
    names = [column[0] for column in result.description]
    rows = result.fetchall()
    if output is None:
        _print(names, rows, output_format)
        return
    with output.open("w", encoding="utf-8", newline="") as file:
        before, sys.stdout = sys.stdout, file
        try:
            _print(names, rows, output_format)
        finally:
            sys.stdout = before


def _print(names: list[str], rows: list[tuple[Any, ...]], output_format: Format) -> None:
    import csv

    if output_format is Format.JSON:
        keys = _different(names)
        print_json([dict(zip(keys, row, strict=True)) for row in rows])
    elif output_format is Format.CSV:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)
    else:
        print_table(names, rows)
        print(f"{len(rows)} row{'' if len(rows) == 1 else 's'}")


def _different(names: Iterable[str]) -> list[str]:
    """Number names that are there already, as DuckDB does: an object would keep the last of them only.

    Example:
        >>> _different(["id", "n", "id", "id"])
        ['id', 'n', 'id_1', 'id_2']
    """
    different: dict[str, None] = {}
    for name in names:
        numbered = (f"{name}_{number}" for number in count(1))
        different[name if name not in different else next(other for other in numbered if other not in different)] = None
    return list(different)


def _write_parquet(result: Any, output: Path | None) -> None:  # noqa: ANN401 - DuckDB's own result
    import pyarrow.parquet as pq

    if output is None:
        raise UsageError("Parquet is no text to print.", hint="Name a file: --output result.parquet.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # DuckDB prefers con.sql(), which would run the text a second time
        batches = result.to_arrow_reader()
    with pq.ParquetWriter(output, batches.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (query, queries, tables, describe, history, rejected):
        app.command()(command)
