"""What a command prints: rows, the report of a run, and its progress on standard error."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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
        table.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_text(value)) for value in row))
    Console(width=None if sys.stdout.isatty() else PIPED_WIDTH).print(table)


def shorten(text: str, characters: int) -> str:
    """Cut a text for one line of output, marking the cut with an ellipsis."""
    return text if len(text) <= characters else f"{text[:characters]}…"


def os_reason(error: OSError) -> str:
    """Return the operating system's message of an error, without what libraries add to it."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


def _text(value: object) -> str:
    if value is None:
        return ""
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

    if log_format == "json":
        yield ()
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bars:
            yield (_progress_bars(bars),)
    else:
        yield (progress_printer(sys.stderr),)


def _progress_bars(bars: Progress) -> Listener:
    """Create a listener that shows a bar for each running job."""
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
                bars.update(tasks[job], advance=1, description=model)
            case JobEnded(job_name=job) if job in tasks:
                bars.remove_task(tasks.pop(job))
                if detail.state == "SUCCEEDED":
                    line = f"[green]✓[/] {job:<10} {detail.seconds:6.2f} s  {detail.message}"
                    bars.console.print(line, highlight=False)

    return listen
