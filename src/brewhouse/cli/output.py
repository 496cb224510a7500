"""What a command prints: rows, the report of a run, and its progress on standard error.

Printing is safe for the terminal, which is sent no control character of the data, and for the command: a letter that
the terminal's encoding lacks is escaped, and once a command's work counts, a closed or full output does not fail it.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

import msgspec

from brewhouse.errors import UsageError
from brewhouse.lake.lake import Lake

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from brewhouse.events.details import Detail
    from brewhouse.events.event import Event, Listener
    from brewhouse.events.run_reports import RunReport

PIPED_WIDTH = 200
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

    def unescaped(self) -> TextIO:
        """Return this stream for text that is formatted for a terminal."""
        return cast("TextIO", SafeStream(self._stream, is_optional=self.is_optional, escape=str))

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


def _terminal(stream: TextIO) -> TextIO:
    return stream.unescaped() if isinstance(stream, SafeStream) else stream


def print_file(file: Path) -> None:
    """Print a file of UTF-8 text: exactly, or in a terminal with control characters escaped."""
    binary = None if sys.stdout.isatty() else getattr(sys.stdout, "buffer", None)
    if binary is None:
        with file.open(encoding="utf-8", newline="") as text:
            sys.stdout.writelines(text)
        return
    sys.stdout.flush()
    with file.open("rb") as source:
        shutil.copyfileobj(source, binary)


def print_result(rows: Sequence[Mapping[str, Any]], *, as_json: bool, value: object = None) -> None:
    """Print rows as a table, or as JSON the value that they show: by default the rows themselves."""
    if as_json:
        print_json(rows if value is None else value)
    else:
        print_rows(rows)


def print_json(value: object) -> None:
    """Print a value as indented JSON."""
    print(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode())


def print_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as a table with the columns of the first row, or `(no rows)`."""
    if rows:
        print_table(list(rows[0]), [list(row.values()) for row in rows])
    else:
        print("(no rows)")


def print_table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table as wide as the terminal, or 200 characters when piped; longer cells wrap."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(names):
        numeric = any(isinstance(row[index], int | float) for row in rows)
        table.add_column(Text(visible(name)), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(_text(value))) for value in row))
    Console(file=_terminal(sys.stdout), width=None if sys.stdout.isatty() else PIPED_WIDTH).print(table)


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


def reports_of(lake: Lake) -> list[RunReport]:
    """Return the reports of all runs of a lake, oldest first."""
    from brewhouse.events.event import read_events
    from brewhouse.events.run_reports import run_reports
    from brewhouse.lake.run_lock import holder

    held = holder(lake)
    return run_reports(read_events(lake), held.run if held else None)


def report_of(lake: Lake, run: str) -> RunReport:
    """Return the report of a run id or of the `last` run.

    Raises:
        UsageError: The lake has no such run.
    """
    for report in reversed(reports_of(lake)):
        if run in ("last", report.run):
            return report
    raise UsageError(f"The lake {lake.root} has no run {run}.", hint="`brewhouse runs` lists them.")


def print_report(report: RunReport, *, as_json: bool) -> None:
    """Print a run's report as JSON or as text."""
    if as_json:
        print_json(report)
        return
    seconds = f" in {report.seconds:.2f} s" if report.seconds is not None else ""
    print(f"run {report.run} {report.state.lower()}{seconds}, started {report.started_at[:19]}Z")
    if report.error:
        print(f"error: {report.error}")
    print_rows(
        [{"job": j.name, "state": j.state.lower(), "seconds": j.seconds, "result": j.message} for j in report.jobs]
    )
    if report.published:
        print_rows(report.published)
    if report.checks:
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
    if log_format == "json":
        yield ()
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        console = Console(file=_terminal(sys.stderr))
        with Progress(console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bars:
            yield (_progress_bars(bars),)
    else:
        yield (progress_printer(sys.stderr),)


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
