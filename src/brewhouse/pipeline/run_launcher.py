"""Starts, retries and stops runs from a long-lived process such as the console: each run is a process of its own.

A run outlives the process that started it: it holds the lake's lock and writes its log and events, so that any process
with access to the lake sees it and can stop it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.events.alerts import WORKFLOW
from brewhouse.events.details import TRIGGER_VARIABLE
from brewhouse.events.run_reports import ENDED, RunReport
from brewhouse.lake.lake import Lake
from brewhouse.lake.raw_snapshots import complete_runs
from brewhouse.lake.run_lock import LockInfo, holder, last_holder
from brewhouse.settings import Settings, as_environment

RUN = ("run",)
"""The command that runs the whole workflow."""

_POLL_S = 0.05
_START_S = 30.0
_LINES = 12


class RunLauncher:
    """Starts runs on a lake, one at a time, with the given settings."""

    def __init__(self, lake: Lake, settings: Settings) -> None:
        self._lake = lake
        self._environment = as_environment(settings)
        self._turn = threading.Lock()

    def start(self, command: Sequence[str] = RUN, trigger: str = "console") -> str:
        """Start a run by its command-line arguments, wait until it holds the lock, and return its id.

        Raises:
            BrewhouseError: It did not start, since another run holds the lock or a setting is invalid.
        """
        with self._turn, tempfile.TemporaryFile() as output:
            if (held := holder(self._lake)) is not None:
                raise _refusal(held)
            before = last_holder(self._lake)
            child = subprocess.Popen(  # noqa: S603 - a command of our own
                [sys.executable, "-m", "brewhouse", *command, "--lake", str(self._lake.root)],
                env={**os.environ, **self._environment, TRIGGER_VARIABLE: trigger},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=output,  # a file: a pipe would break when this process ends
                start_new_session=True,  # Ctrl-C in the terminal of this process must not stop the run
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
            )
            threading.Thread(target=child.wait, daemon=True).start()  # reaps it
            deadline = time.monotonic() + _START_S
            while time.monotonic() < deadline:
                has_ended = child.poll() is not None
                owner = last_holder(self._lake)
                if owner is not None and owner != before and _is_here(owner) and owner.pid == child.pid:
                    return owner.run
                if has_ended:
                    output.seek(0)
                    why = _error_in(output.read().decode(errors="replace"))
                    raise BrewhouseError(why or "The run did not start.", hint="" if why else "See `brewhouse doctor`.")
                time.sleep(_POLL_S)
            what = f"The run did not start within {_START_S:.0f} s (process {child.pid})."
            raise BrewhouseError(what, hint="See `brewhouse runs`.")

    def retry(self, report: RunReport) -> str:
        """Start a run of the jobs that a failed run did not complete, and return its id.

        Raises:
            UsageError: There is nothing to retry.
            BrewhouseError: It did not start.
        """
        fetched = [job.raw_snapshot for job in report.jobs if job.raw_snapshot] or complete_runs(self._lake)
        return self.start(retry_command(report, fetched[-1] if fetched else None))

    def stop(self, run: str) -> None:
        """Send SIGTERM to a run, which then stops within seconds and leaves the tables unchanged.

        Raises:
            UsageError: It is not running, not on this machine, or belongs to another user.
        """
        held = holder(self._lake)
        if held is None or held.run != run:
            raise UsageError(f"Run {run} is not running.", hint="`brewhouse runs` lists the runs.")
        if not _is_here(held) or not _is_holder(held, self._lake):
            where = held.host or "another machine or container"
            what = f"Run {run} is running on {where} (process {held.pid}) and can only be stopped there."
            raise UsageError(what, hint=f"Run there: kill {held.pid}")
        try:
            os.kill(held.pid, signal.SIGTERM)
        except ProcessLookupError:
            return  # it has just ended
        except PermissionError as error:
            raise UsageError(
                f"Run {run} belongs to another user (process {held.pid}).", hint="Stop it as that user, or as root."
            ) from error


def retry_command(report: RunReport, snapshot: str | None) -> tuple[str, ...]:
    """Return the command-line arguments that retry a failed run from the job that failed.

    Args:
        snapshot: Run id of the raw snapshot that the later jobs continue with.

    Raises:
        UsageError: The run succeeded or is running, or it is unknown how it was started.

    Example:
        >>> from brewhouse.events.run_reports import JobReport
        >>> jobs = [JobReport(name="extract", state="SUCCEEDED", started_at=""),
        ...         JobReport(name="transform", state="FAILED", started_at="")]
        >>> report = RunReport(run="R", state="FAILED", started_at="", workflow="breweries", jobs=jobs,
        ...                    planned=["extract", "transform", "aggregate"])
        >>> retry_command(report, "R")
        ('run', '--snapshot', 'R')
    """
    if report.state == "SUCCEEDED" or report.state not in {*ENDED, "INTERRUPTED"}:
        what = f"Run {report.run} {'succeeded' if report.state == 'SUCCEEDED' else 'is running'}: nothing to retry."
        raise UsageError(what, hint="Run the workflow instead.")
    if report.workflow in {"rebuild", "maintain"}:
        return (report.workflow,)
    if report.workflow != WORKFLOW:
        what = f"A run of {report.workflow or 'an unknown workflow'} cannot be retried here."
        raise UsageError(what, hint=f"Repeat the `brewhouse {report.workflow}` command on the command line.")
    done = {job.name for job in report.jobs if job.state == "SUCCEEDED"}
    if "aggregate" in report.planned and "aggregate" not in done:
        done.discard("transform")  # its tables were staged, and are published with gold only
    left = [name for name in report.planned if name not in done]
    if left == ["transform", "aggregate"] and snapshot is not None:
        return ("run", "--snapshot", snapshot)
    return (left[0],) if len(left) == 1 else RUN


def _is_here(held: LockInfo) -> bool:
    return held.host in {"", socket.gethostname()}


def _is_holder(held: LockInfo, lake: Lake) -> bool:
    """Return whether a process of this machine is the run, as far as can be known: its number may have been reused."""
    process = Path("/proc") / str(held.pid)
    if not process.parent.exists():
        return True
    try:
        if not lake.is_local:
            return b"brewhouse" in (process / "cmdline").read_bytes()
        return any(_same(file, lake.lock_file) for file in (process / "fd").iterdir())
    except PermissionError:
        return True
    except OSError:
        return False


def _same(file: Path, other: Path) -> bool:
    try:
        return file.samefile(other)
    except OSError:
        return False


def _refusal(held: LockInfo) -> BrewhouseError:
    where = f"process {held.pid}{f' on {held.host}' if held.host else ''}"
    what = f"One run at a time: run {held.run} has been running since {held.started_at} ({where})."
    return BrewhouseError(what, hint="Wait for it to end, or stop it.")


def _error_in(output: str) -> str:
    """Extract the error from a process's output, where it comes last."""
    lines = [line for line in output.strip().splitlines()[-_LINES:] if line.strip()]
    start = next((index for index in range(len(lines) - 1, -1, -1) if lines[index].startswith("brewhouse: ")), 0)
    return "\n".join(lines[start:]).removeprefix("brewhouse: ")
