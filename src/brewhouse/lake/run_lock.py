"""One run at a time on a lake: a lock the kernel lets go of when its holder dies, or on S3 one that expires."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec

from brewhouse.errors import BrewhouseError
from brewhouse.lake import s3_lock
from brewhouse.lake.lake import Lake

_ATTEMPTS = 5
_PAUSE_S = 0.02


class LockInfo(msgspec.Struct, frozen=True):
    """Who holds a lake's lock.

    Attributes:
        run: The run's id.
        started_at: ISO 8601, UTC.
        pid: Its process.
        host: The machine of that; empty when it is this one.
    """

    run: str
    started_at: str
    pid: int
    host: str = ""


@contextmanager
def run_lock(lake: Lake, run: str) -> Iterator[LockInfo | None]:
    """Hold a lake's lock while the block runs.

    Args:
        lake: The lake.
        run: Id of the run that takes it.

    Yields:
        Who held it before, None when nobody ever did.

    Raises:
        BrewhouseError: Another run holds it; names that run and when it began.
    """
    if not lake.is_local:
        last, _ = s3_lock.last(lake)
        with s3_lock.hold(lake, run, os.getpid()) as held:
            if held is not None:
                raise _refusal(lake, _holder_of(held))
            yield _holder_of(last) if last else None
        return
    lake.root.mkdir(parents=True, exist_ok=True)
    with lake.lock_file.open("a+b") as file:
        if not _take(file.fileno()):
            raise _refusal(lake, _read(lake))
        before = _read(lake)
        file.truncate(0)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        file.write(msgspec.json.encode(LockInfo(run, now, os.getpid())))
        file.flush()
        yield before


def holder(lake: Lake) -> LockInfo | None:
    """Tell who holds a lake's lock, None when nobody does."""
    if not lake.is_local:
        held, _ = s3_lock.read(lake)
        return _holder_of(held) if held else None
    try:
        with lake.lock_file.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return _read(lake)
    return None


def last_holder(lake: Lake) -> LockInfo | None:
    """Tell who holds a lake's lock or held it last, None when nobody ever did."""
    if not lake.is_local:
        held, _ = s3_lock.last(lake)
        return _holder_of(held) if held else None
    return _read(lake)


def _take(descriptor: int) -> bool:
    """Try to lock a file; a few times, since somebody who only asks for the holder has it for an instant."""
    for attempt in range(_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt < _ATTEMPTS - 1:
                time.sleep(_PAUSE_S)
        else:
            return True
    return False


def _read(lake: Lake) -> LockInfo | None:
    try:
        return msgspec.json.decode(lake.lock_file.read_bytes(), type=LockInfo)
    except (FileNotFoundError, msgspec.DecodeError):  # never taken, or this very moment and not yet signed
        return None


def _holder_of(held: s3_lock.Lease) -> LockInfo:
    return LockInfo(held.run, held.started_at, held.pid, held.host)


def _refusal(lake: Lake, held: LockInfo | None) -> BrewhouseError:
    at = f" on {held.host}" if held and held.host else ""
    who = (
        f"Run {held.run} has been going on it since {held.started_at} (process {held.pid}{at})"
        if held
        else "A run began"
    )
    return BrewhouseError(f"The lake {lake.root} is in use: {who}.", hint="Wait for it to end, then run again.")
