"""Results of queries: their formats, and writing one to standard output or a file."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import typer

from brewhouse.cli.output import print_json, print_table
from brewhouse.errors import BrewhouseError, UsageError


class Format(StrEnum):
    """How a result is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


FormatOption = Annotated[Format, typer.Option("--format", help="How the result is written.")]
OutputOption = Annotated[Path | None, typer.Option("--output", help="File to write instead of standard output.")]
SavedOption = Annotated[
    str | None, typer.Option("--saved", help="Run a saved query; `brewhouse queries` lists them.", show_default=False)
]


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
