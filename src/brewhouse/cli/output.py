"""What a command prints: rows, the report of a run, and its progress on standard error.

Printing is safe for the terminal, which is sent no control character of the data, and for the command: a letter that
the terminal's encoding lacks is escaped, and once a command's work counts, a closed or full output does not fail it.
"""

from __future__ import annotations

import codecs
import io
import logging
import os
import re
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

import msgspec

from brewhouse.errors import redacted

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from brewhouse.events.details import Detail
    from brewhouse.events.envelope import Event
    from brewhouse.events.event import Listener
    from brewhouse.events.run_reports import RunReport

MAX_ROWS = 50
PIPED_WIDTH = 200
is_quiet = False
"""Whether neither progress nor the report of a run is printed; the option --quiet sets it."""

_GAP = "  "
_MIN_CUT = 40  # ids, times and most names are shorter
_MIN_PROSE = 24
_EXAMPLE_CHARACTERS = 160
# Controls (C0, DEL, C1) except tab and newline, separators of lines, marks and overrides of direction, invisible tags.
_UNSAFE = re.compile("[\\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f]")


def visible(text: str) -> str:
    r"""Escape the characters that a terminal obeys or hides, as JSON does.

    Example:
        >>> print(visible("Ale \x1b[2J"))
        Ale \u001b[2J
    """
    return _UNSAFE.sub(lambda match: _escaped(match[0]), text)


def _escaped(text: str) -> str:
    units = text.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2], strict=True))


def _escape_unencodable(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    return _escaped(error.object[error.start : error.end]), error.end


codecs.register_error("brewhouse.escape", _escape_unencodable)


class SafeStream:
    """Standard output or error of a command; its other attributes are those of the stream.

    Attributes:
        is_optional: Whether a failure to write, as to a closed pipe or a full disk, is ignored.
    """

    def __init__(self, stream: TextIO | None, *, is_optional: bool, escape: Callable[[str], str] = visible) -> None:
        self._stream = stream or io.StringIO()  # None: it was closed when the process started
        self._escape = escape
        self.is_optional = is_optional
        if isinstance(self._stream, io.TextIOWrapper):
            self._stream.reconfigure(errors="brewhouse.escape")

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of the stream
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, with control characters escaped."""
        with self._failures():
            self._stream.write(self._escape(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts as `write` does."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write what is buffered."""
        with self._failures():
            self._stream.flush()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            with suppress(OSError), Path(os.devnull).open("wb") as nothing:
                os.dup2(nothing.fileno(), self._stream.fileno())  # what is still buffered is discarded at exit
            if not self.is_optional:
                raise


@contextmanager
def safe_streams() -> Iterator[None]:
    """Print through `SafeStream` during the block."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: without this, a file of the lake would become standard output
            os.open(os.devnull, os.O_RDWR)
    streams = sys.stdout, sys.stderr
    sys.stdout = cast("TextIO", SafeStream(sys.stdout, is_optional=False))
    sys.stderr = cast("TextIO", SafeStream(sys.stderr, is_optional=True))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams


def make_output_optional() -> None:
    """Let the work of a command decide over its exit code, whether or not its output can be written."""
    if isinstance(sys.stdout, SafeStream):
        sys.stdout.is_optional = True


def is_output_optional() -> bool:
    """Return whether `make_output_optional` was called."""
    return getattr(sys.stdout, "is_optional", False)


def print_text(text: str) -> None:
    """Print a text; one longer than the terminal goes to the pager ($PAGER), unless it follows work like a run."""
    height = shutil.get_terminal_size().lines
    is_interactive = sys.stdin.isatty() and sys.stdout.isatty() and not is_output_optional()
    if is_interactive and text.count("\n") >= height > 1:
        from pydoc import pager

        os.environ.setdefault("LESS", "FRSX")  # as git does: leave the text on the screen, do not wrap lines
        sys.stdout.flush()
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which is the pager's
        try:
            pager(visible(text))
        finally:
            signal.signal(signal.SIGINT, before)
    else:
        print(text, end="")


def print_file(file: Path) -> None:
    """Print a file of UTF-8 text: exactly, or in a terminal with control characters escaped."""
    binary = None if sys.stdout.isatty() else getattr(sys.stdout, "buffer", None)
    if binary is None:
        print_text(file.read_bytes().decode())
        return
    sys.stdout.flush()
    with file.open("rb") as source:
        shutil.copyfileobj(source, binary)


def print_result(
    rows: Sequence[Mapping[str, Any]], *, as_json: bool, value: object = None, limit: int | None = None
) -> None:
    """Print rows as a table, or as JSON the value that they show: by default the rows themselves."""
    if as_json:
        shown = rows if value is None else value
        print_json(shown[:limit] if isinstance(shown, Sequence) else shown)
    else:
        print_rows(rows, limit=limit)


def print_json(value: object) -> None:
    """Print a value as indented JSON."""
    print_text(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode() + "\n")


def print_rows(rows: Sequence[Mapping[str, Any]], *, limit: int | None = None) -> None:
    """Print rows as a table with the columns of the first row, or `(no rows)`; the last column may wrap."""
    if rows:
        shown, more = rows[:limit], len(rows[limit:]) if limit is not None else 0
        print_text(table_text(list(rows[0]), [list(row.values()) for row in shown], more=more, is_prose=True))
    else:
        print("(no rows)")


def table_text(
    names: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    more: int = 0,
    is_prose: bool = False,
    is_complete: bool = False,
) -> str:
    """Format a table as wide as the terminal, or 200 characters when piped.

    Ids and names stay whole: long texts are cut, and columns that do not fit are listed below the table.

    Args:
        is_prose: Whether the last column wraps, if it does not fit.
        is_complete: Whether all columns and texts are shown in full, whatever the width.
    """
    cells = [[_line(_text(value)) for value in row] for row in (names, *rows)]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    available = sum(widths) + len(_GAP) * len(widths) if is_complete else _terminal_width()
    fitted = _fit(widths, available, is_prose=is_prose)
    right = [any(isinstance(row[at], int | float) for row in rows) for at in range(len(names))]
    lines = [line for row in cells for line in _row_lines(row, fitted, right, is_prose=is_prose)]
    lines.insert(1, "─" * (sum(fitted) + len(_GAP) * (len(fitted) - 1)))
    if more:
        lines.append(f"… {more:,} more (--all)")
    if hidden := names[len(fitted) :]:
        hint = "--json" if is_prose else "--format lines"
        what = f"… {len(hidden)} more column{'' if len(hidden) == 1 else 's'} ({hint}): {_line(', '.join(hidden))}"
        lines.append(_padded(what, min(available, _width(what))))
    return "".join(f"{line}\n" for line in lines)


def record_text(names: Sequence[str], rows: Sequence[Sequence[Any]], *, more: int = 0) -> str:
    """Format rows with one value per line, and an empty line between rows."""
    width = max(map(_width, map(_line, names)))
    blocks = [
        "".join(f"{_padded(_line(name), width)}{_GAP}{_line(_text(value))}".rstrip() + "\n" for name, value in pairs)
        for pairs in (zip(names, row, strict=True) for row in rows)
    ]
    return "\n".join([*blocks, *([f"… {more:,} more (--all)\n"] if more else [])])


def fits(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> bool:
    """Return whether `table_text` shows all columns of a table."""
    widths = [max(_width(_line(_text(value))) for value in column) for column in zip(names, *rows, strict=True)]
    return len(_fit(widths, _terminal_width(), is_prose=False)) == len(names)


def _terminal_width() -> int:
    return shutil.get_terminal_size((PIPED_WIDTH, 24)).columns


def _fit(widths: Sequence[int], available: int, *, is_prose: bool) -> list[int]:
    """Return the widths of the columns that fit: the last one shrinks if it wraps, else all long ones to one size."""
    space = available - len(_GAP) * (len(widths) - 1)
    if is_prose and len(widths) > 1 and space - sum(widths[:-1]) >= min(_MIN_PROSE, widths[-1]):
        return [*widths[:-1], min(widths[-1], space - sum(widths[:-1]))]
    for cap in range(max(available, _MIN_CUT), _MIN_CUT - 1, -1):
        if sum(fitted := [min(width, cap) for width in widths]) <= space:
            return fitted
    while len(fitted) > 1 and sum(fitted) + len(_GAP) * (len(fitted) - 1) > available:
        fitted.pop()
    return fitted


def _row_lines(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool], *, is_prose: bool) -> Iterator[str]:
    """Format a row: one line, unless its last column wraps."""
    import textwrap

    last = [""]
    if is_prose and len(widths) == len(cells) and _width(cells[-1]) > widths[-1]:
        last = textwrap.wrap(cells[-1], widths[-1])
        cells = [*cells[:-1], last[0]]
    shown = zip(cells, widths, right, strict=False)
    yield _GAP.join(_padded(cell, width, to_right=number) for cell, width, number in shown).rstrip()
    indent = " " * (sum(widths[:-1]) + len(_GAP) * (len(widths) - 1))
    yield from (indent + line for line in last[1:])


def _padded(text: str, width: int, *, to_right: bool = False) -> str:
    """Pad a text to a number of terminal cells, or cut it."""
    from rich.cells import set_cell_size

    if (missing := width - _width(text)) < 0:
        return set_cell_size(text, width - 1) + "…"
    return " " * missing + text if to_right else text + " " * missing


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _line(text: str) -> str:
    """Escape a text for one line of a table."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def minute(time: object) -> str:
    """Shorten a time in ISO 8601 to minutes, for a table.

    Example:
        >>> minute("2026-11-28T20:38:29.465+00:00")
        '2026-11-28 20:38'
    """
    return str(time or "")[:16].replace("T", " ")


def shorten(text: str, characters: int) -> str:
    """Cut a text for one line of output, marking the cut with an ellipsis."""
    return text if len(text) <= characters else f"{text[:characters]}…"


def os_reason(error: OSError) -> str:
    """Return the operating system's message of an error, without what libraries add to it."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def print_progress(text: str) -> None:
    """Print what a command does, unless it is to be quiet."""
    if not is_quiet:
        print(text, file=sys.stderr, flush=True)


def print_report(report: RunReport, *, as_json: bool) -> None:
    """Print a run's report as JSON or as text."""
    if as_json:
        print_json(report)
        return
    seconds = f" in {report.seconds:.2f} s" if report.seconds is not None else ""
    print(f"run {report.run} {report.state.lower()}{seconds}, started {report.started_at[:19]}Z")
    if report.error:
        print(f"error: {report.error}")
    print()
    print_rows(
        [{"job": j.name, "state": j.state.lower(), "seconds": j.seconds, "result": j.message} for j in report.jobs]
    )
    if report.published:
        print()
        print_rows(report.published)
    if report.checks:
        print()
        _print_checks(report.checks)
    for drift in report.drift:
        print(f"schema drift: {drift['name']} {drift['detail']}, {drift['count']} times; example: {drift['example']}")


def _print_checks(checks: list[dict[str, Any]]) -> None:
    failed = [check for check in checks if not check["passed"]]
    counts = [f"{len(checks) - len(failed)} checks passed"]
    for severity, number in sorted(Counter(check["severity"] for check in failed).items()):
        counts.append(f"{number} {severity}{'s' if number > 1 else ''}")
    print(", ".join(counts))
    for check in failed:
        violations = f"{check['found']} violation{'' if check['found'] == 1 else 's'}"
        facts = f"{violations}; {shorten(check['example'] or '', _EXAMPLE_CHARACTERS)}"
        print(f"{check['severity']}: {check['table']}: {check['name']}: {facts}")


@contextmanager
def progress_listeners(log_format: str) -> Iterator[Sequence[Listener]]:
    """Choose the listeners that show progress: bars in a terminal, lines when piped; none if the log goes there."""
    from brewhouse.events.run_log import progress_printer

    make_output_optional()
    if log_format == "json" or is_quiet:
        yield ()
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        console = Console(file=cast("TextIO", SafeStream(sys.__stderr__, is_optional=True, escape=str)))
        with (
            Progress(console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bars,
            _delays_shown(lambda text: console.print(text, markup=False, highlight=False)),
        ):
            yield (_progress_bars(bars),)
    else:
        with _delays_shown(lambda text: print(text, file=sys.stderr, flush=True)):
            yield (progress_printer(sys.stderr),)


@contextmanager
def _delays_shown(show: Callable[[str], object]) -> Iterator[None]:
    """Show why requests to the source wait, such as its rate limit, and for how long."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            show(f"extract: {visible(redacted(record.getMessage()))}")

    handler, logger = Handler(logging.WARNING), logging.getLogger("brewhouse.api")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _progress_bars(bars: Progress) -> Listener:
    """Create a listener that shows a bar for each running job."""
    from rich.markup import escape

    from brewhouse.events.details import JobEnded, JobStarted, ModelStarted, PagesFetched, SnapshotsProcessed

    tasks: dict[str, TaskID] = {}

    def listen(detail: Detail, _: Event) -> None:
        match detail:
            case JobStarted(job_name=job):
                tasks[job] = bars.add_task(job, total=None)
            case PagesFetched(job_name=job, done=done, total=total):
                bars.update(tasks[job], completed=done, total=total, description=f"{job}  page {done} of {total}")
            case SnapshotsProcessed(job_name=job, done=done, total=total):
                bars.update(tasks[job], completed=done, total=total, description=f"{job}  snapshot {done} of {total}")
            case ModelStarted(job_name=job, model=model):
                bars.update(tasks[job], advance=1, description=escape(visible(model)))
            case JobEnded(job_name=job) if job in tasks:
                bars.remove_task(tasks.pop(job))
                if detail.state == "SUCCEEDED":
                    line = f"[green]✓[/] {job:<10} {detail.seconds:6.2f} s  {escape(visible(detail.message))}"
                    bars.console.print(line, highlight=False)

    return listen
