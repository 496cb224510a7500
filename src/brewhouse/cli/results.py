"""Query texts and query results: their options, formats and files."""

from __future__ import annotations

import csv
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from brewhouse.cli.output import os_reason, print_json, print_table
from brewhouse.errors import BrewhouseError, UsageError

Format = Literal["table", "csv", "json", "parquet"]
FormatOption = Annotated[Format, typer.Option("--format", help="Format of the result.")]
OutputOption = Annotated[Path | None, typer.Option("--output", help="Output file. Default: standard output")]
SavedOption = Annotated[
    str | None, typer.Option("--saved", help="Name of a saved query; `brewhouse queries` lists them.")
]


def query_text(sql: str | None, saved: str | None, convert: Callable[[str], str] = str) -> str:
    """Return the SQL of a command, or that of a saved query converted to the engine's dialect.

    Raises:
        UsageError: Neither or both are given, or no saved query has that name.
    """
    from brewhouse.query.saved_queries import saved_query

    if sql is not None and saved is None:
        return sql
    if saved is not None and sql is None:
        return convert(saved_query(saved).sql)
    raise UsageError("Pass either a SELECT or --saved NAME.", hint="`brewhouse queries` lists the saved queries.")


def write(result: Any, output_format: Format, output: Path | None) -> None:  # noqa: ANN401 - DuckDB's result or alike
    """Write a result with `description`, `fetchall` and `to_arrow_reader` to a file, or print it.

    Raises:
        BrewhouseError: Writing the file failed.
    """
    if output is None:
        _write(result, output_format)
    else:
        with writing(output):
            _write(result, output_format, output)


@contextmanager
def writing(output: Path) -> Iterator[None]:
    """Report a file that cannot be written as an error with a hint."""
    try:
        yield
    except OSError as error:
        raise BrewhouseError(
            f"Failed to write {output}: {os_reason(error)}.", hint="Choose another file with --output."
        ) from error


def _write(result: Any, output_format: Format, output: Path | None = None) -> None:  # noqa: ANN401 - DuckDB's result
    if output_format == "parquet":
        _write_parquet(result, output)
        return
    names, rows = [column[0] for column in result.description], result.fetchall()
    if output is None:
        _print(names, rows, output_format)
    else:
        with output.open("w", encoding="utf-8", newline="") as file, redirect_stdout(file):
            _print(names, rows, output_format)


def _print(names: list[str], rows: list[tuple[Any, ...]], output_format: Format) -> None:
    if output_format == "json":
        keys = _unique(names)
        print_json([dict(zip(keys, row, strict=True)) for row in rows])
    elif output_format == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)
    else:
        print_table(names, rows)
        print(f"{len(rows)} row{'' if len(rows) == 1 else 's'}")


def _unique(names: Iterable[str]) -> list[str]:
    """Number repeated names as DuckDB does; a JSON object would keep only the last of them.

    Example:
        >>> _unique(["id", "n", "id", "id"])
        ['id', 'n', 'id_1', 'id_2']
    """
    unique: dict[str, None] = {}
    for name in names:
        numbered = (f"{name}_{number}" for number in count(1))
        unique[name if name not in unique else next(other for other in numbered if other not in unique)] = None
    return list(unique)


def _write_parquet(result: Any, output: Path | None) -> None:  # noqa: ANN401 - DuckDB's result
    import pyarrow.parquet as pq

    if output is None:
        raise UsageError("Parquet cannot be printed.", hint="Name a file: --output result.parquet.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # DuckDB prefers con.sql(), which would run the query twice
        batches = result.to_arrow_reader()
    with pq.ParquetWriter(output, batches.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
