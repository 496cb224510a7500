"""The log of a run: one JSON line per message, in a file that stays complete when the process is killed.

Code logs with `logging`; during a run the `brewhouse` loggers write to `logs/date=…/<run>.jsonl` (on S3, to one
`<run>.<id>.jsonl` per process of a run) and, with `log_format = "json"`, to standard error. Messages of libraries are
left out, since they may contain URLs with secrets.
"""

from __future__ import annotations

import glob
import logging
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TextIO

import msgspec

from brewhouse.errors import BrewhouseError, UsageError, redacted
from brewhouse.events.details import Detail, JobEnded, JobStarted, ModelStarted, PagesFetched, SnapshotsProcessed
from brewhouse.events.envelope import Event
from brewhouse.events.event import Listener
from brewhouse.ids import new_id
from brewhouse.lake.lake import Lake, read_file

_LEVEL_NAMES = {"WARNING": "WARN", "CRITICAL": "ERROR", "DEBUG": "INFO"}
_LEVELS = {"WARN": logging.WARNING, "ERROR": logging.ERROR}
_PROGRESS_LINES = 10
_logger = logging.getLogger("brewhouse")
_logger.addHandler(logging.NullHandler())


class LogLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of a run's log; its time is ISO 8601, UTC, and the job empty between jobs."""

    time: str
    level: str
    run: str
    job: str = ""
    message: str
    logger: str = ""
    traceback: str = ""


class RunLog(logging.Handler):
    """Writes what is logged during a run, and logs the run's events as their listener."""

    def __init__(self, run: str, streams: list[TextIO]) -> None:
        super().__init__(logging.INFO)
        self._run = run
        self._job = ""
        self._streams = streams
        self._tracebacks = logging.Formatter()

    def listen(self, detail: Detail, _: Event) -> None:
        """Log an event's message, and note which job is running."""
        if isinstance(detail, JobStarted):
            self._job = detail.job_name
        if message := detail.message or _progress(detail):
            _logger.log(_LEVELS.get(detail.severity, logging.INFO), "%s", message)
        if isinstance(detail, JobEnded):
            self._job = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; failing to write, as on a full disk, does not fail the run."""
        try:
            line = msgspec.json.encode(self._line(record)).decode() + "\n"
            for stream in self._streams:
                stream.write(line)
                stream.flush()
        except Exception:  # noqa: BLE001 - as `logging` demands of its handlers
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Drop a line that cannot be written."""

    def _line(self, record: logging.LogRecord) -> LogLine:
        error = record.exc_info
        is_unexpected = error is not None and not isinstance(error[1], BrewhouseError)
        return LogLine(
            time=datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            level=_LEVEL_NAMES.get(record.levelname, record.levelname),
            run=self._run,
            job=self._job,
            message=record.getMessage(),
            logger=record.name,
            traceback=redacted(self._tracebacks.formatException(error)) if error and is_unexpected else "",
        )


class _RedactingFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


def log_to_stderr() -> None:
    """Write warnings and errors to standard error, for a process that is not a run, such as the console."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(_RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    _logger.addHandler(handler)


def progress_printer(stream: TextIO) -> Listener:
    """Create a listener that prints a line per step of a run, for output that is not a terminal, such as a pipe."""

    def listen(detail: Detail, _: Event) -> None:
        job = detail.job_name
        match detail:
            case JobStarted():
                line = f"{job}: started"
            case JobEnded(state="SUCCEEDED", message=message, seconds=seconds):
                line = f"{job}: {message} ({seconds:.2f} s)"
            case PagesFetched() | SnapshotsProcessed() if progress := _progress(detail):
                line = f"{job}: {progress}"
            case ModelStarted():
                line = _progress(detail)
            case _:
                return
        print(line, file=stream, flush=True)

    return listen


def _progress(detail: Detail) -> str:
    """Describe progress; empty between milestones, which are about every tenth of the total and its end."""
    match detail:
        case ModelStarted(model=name):
            return f"model {name}"
        case PagesFetched(done=done, total=total):
            text = f"{done} of {total} pages"
        case SnapshotsProcessed(done=done, total=total):
            text = f"{done} of {total} snapshots"
        case _:
            return ""
    return text if done == total or done % max(total // _PROGRESS_LINES, 1) == 0 else ""


@contextmanager
def run_log(lake: Lake, run: str, *, to_stderr: bool = False) -> Iterator[RunLog]:
    """Write what is logged during the block to the log of a run, and to standard error if asked."""
    with _open_file(lake, run) as file:
        handler = RunLog(run, [file, sys.stderr] if to_stderr else [file])
        _logger.addHandler(handler)
        _logger.setLevel(logging.INFO)
        try:
            yield handler
        finally:
            _logger.removeHandler(handler)
            _logger.setLevel(logging.NOTSET)


@contextmanager
def _open_file(lake: Lake, run: str) -> Iterator[TextIO]:
    """Open a run's log; objects on S3 cannot be appended to, so there it is uploaded when the run ends."""
    folder = lake.logs / f"date={datetime.now(UTC).date()}"
    if lake.is_local:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{run}.jsonl").open("a", encoding="utf-8") as file:
            yield file
        return
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
        try:
            yield file
        finally:
            file.seek(0)
            name = (folder / f"{run}.{new_id()}.jsonl").relative_to(lake.root).as_posix()
            lake.store.put(name, file.read().encode(), mode="create")


def read_log(lake: Lake, run: str, job: str | None = None) -> list[LogLine]:
    """Read the log of a run, or only the lines of one of its jobs; a line cut off by a kill is skipped.

    Raises:
        UsageError: The lake has no log of this run.
    """
    found = lake.logs.glob(f"date=*/{glob.escape(run)}.*")
    files = [file for file in found if file.name.partition(".")[0] == run]
    if not files:
        what = f"The lake {lake.root} has no log of run {run}: no file is named logs/date=*/{run}.jsonl."
        raise UsageError(what, hint="`brewhouse runs` lists the runs; logs are kept for `log_retention_days`.")
    lines = (line for file in sorted(files) for line in read_file(file).splitlines())
    decoded: list[LogLine] = []
    for line in lines:
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            decoded.append(msgspec.json.decode(line, type=LogLine))
    return [line for line in decoded if job in (None, line.job)]
