"""The log of a run: what its jobs say on the way, a JSON line each, in one file that a kill leaves as it was.

`logging` is used as everywhere in Python; while a run goes on, its lines go to `logs/date=…/<run>.jsonl` (on S3 to
`<run>.<id>.jsonl`, one for each process of a run), and as JSON to standard error when that is wanted. What libraries
say does not: it may hold addresses with secrets in them.
"""

from __future__ import annotations

import glob
import logging
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TextIO

import msgspec

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.ids import new_id
from brewhouse.lake.lake import Lake

_LEVELS = {"WARNING": "WARN", "CRITICAL": "ERROR", "DEBUG": "INFO"}
_ROOM = logging.getLogger("brewhouse")
_ROOM.addHandler(logging.NullHandler())


class LogLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of a run's log.

    Attributes:
        time: ISO 8601, UTC.
        level: INFO, WARN or ERROR.
        run: The run's id.
        job: The job that was going on; empty between jobs.
        message: What is said.
        logger: Which part of the program says it.
        traceback: Where an unexpected error came from; empty otherwise.
    """

    time: str
    level: str
    run: str
    job: str = ""
    message: str
    logger: str = ""
    traceback: str = ""


class RunLog(logging.Handler):
    """Takes what is logged while a run goes on.

    Args:
        run: The run's id.
        streams: Where each line goes, at once.

    Attributes:
        job: The job that is going on.
    """

    def __init__(self, run: str, streams: list[TextIO]) -> None:
        super().__init__(logging.INFO)
        self.job = ""
        self._run = run
        self._streams = streams
        self._tracebacks = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; a disk that is full is not the run's failure."""
        try:
            line = msgspec.json.encode(self._line(record)).decode() + "\n"
            for stream in self._streams:
                stream.write(line)
                stream.flush()
        except Exception:  # noqa: BLE001 - as `logging` demands of its handlers
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Let a line go that cannot be written."""

    def _line(self, record: logging.LogRecord) -> LogLine:
        error = record.exc_info
        is_unexpected = error is not None and not isinstance(error[1], BrewhouseError)
        return LogLine(
            time=datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            level=_LEVELS.get(record.levelname, record.levelname),
            run=self._run,
            job=self.job,
            message=record.getMessage(),
            logger=record.name,
            traceback=self._tracebacks.formatException(error) if error and is_unexpected else "",
        )


@contextmanager
def run_log(lake: Lake, run: str, *, to_stderr: bool = False) -> Iterator[RunLog]:
    """Keep what is logged while the block runs.

    Args:
        lake: Gets the file.
        run: The run's id.
        to_stderr: Whether each line is written to standard error too.
    """
    with _file(lake, run) as file:
        handler = RunLog(run, [file, sys.stderr] if to_stderr else [file])
        _ROOM.addHandler(handler)
        _ROOM.setLevel(logging.INFO)
        try:
            yield handler
        finally:
            _ROOM.removeHandler(handler)
            _ROOM.setLevel(logging.NOTSET)


@contextmanager
def _file(lake: Lake, run: str) -> Iterator[TextIO]:
    """Open the log of a run; on S3, where nothing can be added to an object, it is put there when the run ends."""
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
    """Read the log of a run; a line that was cut off by a kill is passed over.

    Args:
        lake: Whose run.
        run: Its id.
        job: Only the lines of this job; None reads all.

    Raises:
        UsageError: There is no log of this run.
    """
    found = lake.logs.glob(f"date=*/{glob.escape(run)}.*")
    files = [file for file in found if file.name.partition(".")[0] == run]
    if not files:
        raise UsageError(f"The lake {lake.root} has no log of run {run}.", hint="`brewhouse runs` lists the runs.")
    lines = (line for file in sorted(files) for line in file.read_bytes().splitlines())
    decoded = (_decoded(line) for line in lines)
    return [line for line in decoded if line is not None and job in (None, line.job)]


def _decoded(line: bytes) -> LogLine | None:
    try:
        return msgspec.json.decode(line, type=LogLine)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
