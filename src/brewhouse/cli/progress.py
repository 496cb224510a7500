"""Progress of a run on standard error: bars in a terminal, lines of text when piped."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from brewhouse.events.details import Detail, JobEnded, JobStarted, ModelStarted, PagesFetched, SnapshotsProcessed
from brewhouse.events.event import Event, Listener
from brewhouse.events.run_log import progress_printer

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


@contextmanager
def progress_listeners(log_format: str = "text") -> Iterator[Sequence[Listener]]:
    """Choose the listeners that show progress; none when the run's log goes to standard error as JSON."""
    if log_format == "json":
        yield ()
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress as RichProgress

        with RichProgress(console=Console(stderr=True), transient=True) as bars:
            yield (_TerminalProgress(bars).listen,)
    else:
        yield (progress_printer(sys.stderr),)


class _TerminalProgress:
    """A bar for each running job."""

    def __init__(self, bars: RichProgress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def listen(self, detail: Detail, _: Event) -> None:
        """Update the bar of the event's job."""
        match detail:
            case JobStarted(job_name=job):
                self._tasks[job] = self._bars.add_task(job, total=None)
            case PagesFetched(job_name=job, done=done, total=total):
                text = f"{job}  page {done} of {total}"
                self._bars.update(self._tasks[job], completed=done, total=total, description=text)
            case SnapshotsProcessed(job_name=job, done=done, total=total):
                text = f"{job}  snapshot {done} of {total}"
                self._bars.update(self._tasks[job], completed=done, total=total, description=text)
            case ModelStarted(job_name=job, model=model):
                self._bars.update(self._tasks[job], advance=1, description=model)
            case JobEnded(job_name=job) if job in self._tasks:
                self._bars.remove_task(self._tasks.pop(job))
                if detail.state == "SUCCEEDED":
                    line = f"[green]✓[/] {job:<10} {detail.seconds:6.2f} s  {detail.message}"
                    self._bars.console.print(line, highlight=False)
