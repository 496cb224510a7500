"""Query texts and query results: their options, formats and files."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from brewhouse.cli.output import os_reason, print_file, print_table
from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.ids import new_id
from brewhouse.lake.temp_dir import TempDir

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

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


@contextmanager
def result_file(output_format: Format, output: Path | None) -> Iterator[Path | None]:
    """Yield a file for a result, which replaces `output` or is printed when complete; None to print a table.

    Raises:
        UsageError: Parquet without a file.
        BrewhouseError: Writing the file failed.
    """
    if output is not None:
        with writing(output) as file:
            yield file
    elif output_format == "parquet":
        raise UsageError("Parquet cannot be printed.", hint="Name a file: --output result.parquet.")
    elif output_format == "table":
        yield None
    else:
        folder = TempDir()
        try:
            yield folder.path / "result"
            print_file(folder.path / "result")
        finally:
            folder.delete()


def write(result: DuckDBPyRelation, output_format: Format, file: Path | None) -> None:
    """Write a result to a file of `result_file`, or print it as a table."""
    from brewhouse.query.export import converted, export, storable

    stored = storable(result)
    if output_format != "table":
        assert file is not None
        export(stored, result.columns, result.types, output_format, file)
        return
    rows = stored.project(", ".join(converted(result.types, "csv"))).fetchall()
    if file is None:
        _print(result.columns, rows)
        return
    with file.open("w", encoding="utf-8") as text, redirect_stdout(text):
        _print(result.columns, rows)


def _print(names: list[str], rows: list[tuple[object, ...]]) -> None:
    print_table(names, rows)
    print(f"{len(rows)} row{'' if len(rows) == 1 else 's'}")


@contextmanager
def writing(output: Path) -> Iterator[Path]:
    """Yield a new file next to the output file, which it replaces when complete; after a failure nothing has changed.

    Raises:
        BrewhouseError: The file cannot be written.
    """
    scratch: TempDir | None = None
    new = target = output
    try:
        target = Path(os.path.realpath(output))
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if target.exists() and not target.is_file():  # a device or a pipe is written to, not replaced
            scratch = TempDir()
        new = (scratch.path if scratch else target.parent) / f".brewhouse-{new_id()}{target.suffix}"
        new.touch()
        yield new
        if scratch:
            with new.open("rb") as source, target.open("wb") as pipe:
                shutil.copyfileobj(source, pipe)
        else:
            if target.exists():
                shutil.copymode(target, new)
            new.replace(target)
    except OSError as error:
        if error.filename not in {None, str(new), str(target)}:
            raise
        raise BrewhouseError(
            f"Failed to write {output}: {os_reason(error)}.", hint="Choose another file with --output."
        ) from error
    finally:
        if new != output:
            new.unlink(missing_ok=True)
        if scratch:
            scratch.delete()
