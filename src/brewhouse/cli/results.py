"""Query texts and query results: their options, formats and files."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from brewhouse.cli.options import complete_saved, reject_together
from brewhouse.cli.output import MAX_ROWS, fits, os_reason, print_file, print_text, record_text, table_text
from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.ids import new_id
from brewhouse.lake.temp_dir import TempDir

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

Format = Literal["table", "lines", "csv", "json", "parquet"]
FormatOption = Annotated[
    Format | None,
    typer.Option("--format", help="Format; lines is one value per line. The ending of --output selects it, too."),
]
_ENDINGS: dict[str, Format] = {"": "table", ".txt": "table", ".csv": "csv", ".json": "json", ".parquet": "parquet"}
OutputOption = Annotated[Path | None, typer.Option("--output", help="Output file. Default: standard output")]
SavedOption = Annotated[
    str | None,
    typer.Option(
        "--saved", help="Name of a saved query; `brewhouse queries` lists them.", autocompletion=complete_saved
    ),
]
FileOption = Annotated[Path | None, typer.Option("-f", "--file", help="File of a SELECT; - is standard input.")]


def query_text(
    sql: str | None, saved: str | None, file: Path | None = None, convert: Callable[[str], str] = str
) -> str:
    """Return the SQL of a command, from its argument, a file, or a saved query converted to the engine's dialect.

    Raises:
        UsageError: None or several are given, no saved query has that name, or the file cannot be read.
    """
    from brewhouse.query.saved_queries import saved_query

    if sum(given is not None for given in (sql, saved, file)) != 1:
        raise UsageError(
            "Pass either a SELECT, -f FILE or --saved NAME.", hint="`brewhouse queries` lists the saved queries."
        )
    if saved is not None:
        return convert(saved_query(saved).sql)
    try:
        if file is not None and str(file) != "-":
            return file.read_text("utf-8-sig")
        text = sys.stdin.read() if sql in {None, "-"} else str(sql)
        return text.encode("utf-8", "surrogateescape").decode()  # what the locale cannot decode are surrogates
    except (OSError, UnicodeError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else "it is not UTF-8 text"
        place = file or ("-" if sql == "-" else "the command line")
        raise UsageError(f"The SQL of {place} cannot be read: {reason}.", hint="Check the file.") from error


def parse_parameters(given: list[str] | None) -> dict[str, str]:
    """Parse parameters written as name=value.

    Example:
        >>> parse_parameters(["country=BE"])
        {'country': 'BE'}
    """
    values: dict[str, str] = {}
    for each in given or []:
        name, equals, value = each.partition("=")
        if not (name and equals):
            raise UsageError(f"{each!r} is not a parameter.", hint="Write it as name=value.")
        if name in values:
            raise UsageError(f"{name} has two values, {values[name]} and {value}.", hint="Pass one of them.")
        values[name] = value
    return values


def result_format(output_format: Format | None, output: Path | None, *, as_json: bool) -> Format:
    """Return the format that the options of a command select.

    Raises:
        UsageError: Options contradict each other, or the ending of the file, which is unknown without them.
    """
    reject_together(**{"--json": as_json, f"--format {output_format}": output_format not in {None, "json"}})
    chosen: Format | None = "json" if as_json else output_format
    ending = output.suffix.lower() if output else ""
    by_ending = _ENDINGS.get(ending)
    if chosen is None and by_ending is None:
        known = ", ".join(filter(None, _ENDINGS))
        raise UsageError(f"The format of {output} is unknown.", hint=f"End its name with {known}, or pass --format.")
    if ending and chosen and by_ending and chosen != by_ending and (chosen, by_ending) != ("lines", "table"):
        raise UsageError(f"The format {chosen} contradicts the name of {output}.", hint="Omit --format and --json.")
    return chosen or by_ending or "table"


@contextmanager
def result_file(output_format: Format, output: Path | None) -> Iterator[Path | None]:
    """Yield a file for a result, which replaces `output` or is printed when complete; None to print a table or lines.

    Raises:
        UsageError: Parquet without a file.
        BrewhouseError: Writing the file failed.
    """
    if output is not None:
        with writing(output) as file:
            yield file
    elif output_format == "parquet":
        raise UsageError("Parquet cannot be printed.", hint="Name a file: --output result.parquet.")
    elif output_format in {"table", "lines"}:
        yield None
    else:
        folder = TempDir()
        try:
            yield folder.path / "result"
            print_file(folder.path / "result")
        finally:
            folder.delete()


def write(result: DuckDBPyRelation, output_format: Format, file: Path | None, limit: int | None = None) -> None:
    """Write a result to a file of `result_file`, or print it."""
    from brewhouse.query.export import converted, export, storable

    stored = storable(result if limit is None else result.limit(limit + 1))
    names, kinds = result.columns, result.types
    if output_format not in {"table", "lines"}:
        assert file is not None
        export(stored if limit is None else stored.limit(limit), names, kinds, output_format, file)
        return
    rows = stored.project(", ".join(converted(kinds, "csv"))).fetchall()
    more = 0
    if limit is not None and len(rows) > limit:
        more = result.aggregate("count(*)").fetchall()[0][0] - limit  # only then is the query run twice
        del rows[limit:]
    is_wide = file is None and len(rows) == 1 and not fits(names, rows)
    if output_format == "lines" or is_wide:
        text = record_text(names, rows, more=more)
    else:
        text = table_text(names, rows, more=more, is_complete=file is not None)
    text += "" if more else f"{len(rows):,} row{'' if len(rows) == 1 else 's'}\n"
    if file is None:
        print_text(text)
    else:
        file.write_text(text, "utf-8")


def shown_rows(limit: int | None, *, show_all: bool, as_data: bool = False) -> int | None:
    """Return the maximum number of rows to print; None is all, the default of data for programs."""
    reject_together(**{"--limit": limit is not None, "--all": show_all})
    return limit if limit is not None or show_all or as_data else MAX_ROWS


@contextmanager
def writing(output: Path) -> Iterator[Path]:
    """Yield a new file next to the output file, which it replaces when complete; a failure changes nothing.

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
