"""How a run gets on: bars in a terminal, plain lines when piped."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_LINES_PER_DOWNLOAD = 10


class PlainProgress(AbstractContextManager["PlainProgress"]):
    """A line for each thing that happens, on standard error."""

    def __exit__(self, *_: object) -> None:
        """There is nothing to let go of."""

    def job_started(self, name: str) -> None:
        """See `running.Progress`."""
        print(f"{name}: started", file=sys.stderr, flush=True)

    def pages(self, done: int, total: int) -> None:
        """See `running.Progress`."""
        if done == total or done % max(total // _LINES_PER_DOWNLOAD, 1) == 0:
            print(f"extract: {done} of {total} pages", file=sys.stderr, flush=True)

    def snapshots(self, done: int, total: int) -> None:
        """See `running.Progress`."""
        if done == total or done % max(total // _LINES_PER_DOWNLOAD, 1) == 0:
            print(f"{done} of {total} snapshots", file=sys.stderr, flush=True)

    def model(self, name: str) -> None:
        """See `running.Progress`."""
        print(f"model {name}", file=sys.stderr, flush=True)

    def job_ended(self, name: str, message: str, seconds: float) -> None:
        """See `running.Progress`."""
        print(f"{name}: {message} ({seconds:.2f} s)", file=sys.stderr, flush=True)


class SilentProgress(AbstractContextManager["SilentProgress"]):
    """Shows nothing, since the log is shown."""

    def __exit__(self, *_: object) -> None:
        """There is nothing to let go of."""

    def job_started(self, name: str) -> None:
        """See `running.Progress`."""

    def pages(self, done: int, total: int) -> None:
        """See `running.Progress`."""

    def snapshots(self, done: int, total: int) -> None:
        """See `running.Progress`."""

    def model(self, name: str) -> None:
        """See `running.Progress`."""

    def job_ended(self, name: str, message: str, seconds: float) -> None:
        """See `running.Progress`."""


class TerminalProgress(AbstractContextManager["TerminalProgress"]):
    """A bar for the pages and one for the models."""

    _bars: RichProgress
    _task: TaskID

    def __enter__(self) -> TerminalProgress:
        from rich.console import Console
        from rich.progress import Progress as RichProgress

        self._bars = RichProgress(console=Console(stderr=True), transient=True)
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def job_started(self, name: str) -> None:
        """See `running.Progress`."""
        self._task = self._bars.add_task(name, total=None)

    def pages(self, done: int, total: int) -> None:
        """See `running.Progress`."""
        self._bars.update(self._task, completed=done, total=total, description=f"extract  page {done} of {total}")

    def snapshots(self, done: int, total: int) -> None:
        """See `running.Progress`."""
        self._bars.update(self._task, completed=done, total=total, description=f"snapshot {done} of {total}")

    def model(self, name: str) -> None:
        """See `running.Progress`."""
        self._bars.update(self._task, advance=1, description=name)

    def job_ended(self, name: str, message: str, seconds: float) -> None:
        """See `running.Progress`."""
        self._bars.remove_task(self._task)
        self._bars.console.print(f"[green]✓[/] {name:<10} {seconds:6.2f} s  {message}", highlight=False)


def progress_for_output(log_format: str = "text") -> PlainProgress | TerminalProgress | SilentProgress:
    """Choose by whether a person watches standard error, or a program reads the log there.

    Args:
        log_format: The setting: text or json.
    """
    if log_format == "json":
        return SilentProgress()
    return TerminalProgress() if sys.stderr.isatty() else PlainProgress()
