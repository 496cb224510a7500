"""Progress as lines of text: a listener for output that is not a terminal, such as a pipe or the log of a Glue job."""

from __future__ import annotations

from typing import TextIO

from brewhouse.events.details import Detail, JobEnded, JobStarted, ModelStarted, PagesFetched, SnapshotsProcessed
from brewhouse.events.event import Event, Listener
from brewhouse.events.run_log import is_milestone


def progress_printer(stream: TextIO) -> Listener:
    """Create a listener that prints a line per step, and pages and snapshots by tenths."""

    def listen(detail: Detail, _: Event) -> None:
        if line := progress_line(detail):
            print(line, file=stream, flush=True)

    return listen


def progress_line(detail: Detail) -> str:
    """Describe a step of a run in a line; empty for events that are not steps.

    Example:
        >>> progress_line(JobEnded(job_name="extract", state="SUCCEEDED", message="9 records", seconds=1.5))
        'extract: 9 records (1.50 s)'
    """
    match detail:
        case JobStarted(job_name=job):
            return f"{job}: started"
        case PagesFetched(job_name=job, done=done, total=total) if is_milestone(done, total):
            return f"{job}: {done} of {total} pages"
        case SnapshotsProcessed(job_name=job, done=done, total=total) if is_milestone(done, total):
            return f"{job}: {done} of {total} snapshots"
        case ModelStarted(model=model):
            return f"model {model}"
        case JobEnded(job_name=job, state="SUCCEEDED", message=message, seconds=seconds):
            return f"{job}: {message} ({seconds:.2f} s)"
    return ""
