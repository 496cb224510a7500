"""The run lock: one run at a time on a lake.

On a local lake it is `flock` on `run.lock`, released by the kernel when the holder exits. On S3, `run.lock` is an
object that expires unless its holder renews it: created by a create-only put, renewed and taken over by conditional
puts. A released lock stays as an expired object, so that every change of it is conditional.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from brewhouse.errors import BrewhouseError
from brewhouse.ids import CLOCK_TOLERANCE, later, new_id
from brewhouse.lake.lake import Lake, require_relocated
from brewhouse.lake.local_files import open_regular, try_lock

_ATTEMPTS = 5
_PAUSE_S = 0.02
_RENEWALS_PER_TTL = 4
_MAX_BYTES = 65536
_renewals: dict[Path, _Renewal] = {}  # of the leases that this process holds, by the roots of their lakes


class LockInfo(msgspec.Struct, frozen=True):
    """The holder of a lake's lock; `host` is empty on a local lake."""

    run: str
    started_at: str
    pid: int
    host: str = ""


class _Lease(LockInfo, frozen=True, kw_only=True):
    """The content of the lock object on S3; the lock is free from `expires_at` on.

    The holder's clock may be wrong. So a lease that was read expires at the latest `ttl_s` and the tolerance between
    clocks after S3 received it.
    """

    expires_at: datetime
    ttl_s: float = 0

    @property
    def is_held(self) -> bool:
        return self.expires_at > datetime.now(UTC)


def run_lock(lake: Lake, run: str, *, is_moved: bool = False) -> AbstractContextManager[LockInfo | None]:
    """Hold a lake's lock while the block runs; yields the previous holder, None if there was none.

    Args:
        is_moved: Whether the block may write a lake that was moved or copied and is not relocated yet.

    Raises:
        BrewhouseError: Another run holds the lock, or acquired it because this one could not renew it in time; or the
            lake was moved or copied.
    """
    if not is_moved:
        require_relocated(lake)
    return _file_lock(lake, run) if lake.is_local else _object_lock(lake, run)


def new_run_id(lake: Lake) -> str:
    """Create the id of a run, which sorts after that of the last run even if the clock was set back since."""
    last = last_holder(lake)
    return later(new_id(), last.run) if last else new_id()


def require_lock(lake: Lake) -> None:
    """Renew the lease that this process holds on a lake, if any, before a change that only its holder may make.

    Raises:
        BrewhouseError: Another run acquired the lock, since this process slept for longer than its TTL.
    """
    if (renewal := _renewals.get(lake.root)) and not renewal.renew():
        raise renewal.loss


def holder(lake: Lake) -> LockInfo | None:
    """Return the current holder of a lake's lock, None if it is free."""
    if not lake.is_local:
        lease, _ = _read_lease(lake)
        return lease if lease and lease.is_held else None
    try:
        with os.fdopen(open_regular(lake.lock_file, os.O_RDONLY), "rb") as file:
            is_free = try_lock(file.fileno(), is_shared=True)
    except OSError:  # never acquired; or not a file, which a run refuses
        return None
    return None if is_free else _read_file(lake)


def last_holder(lake: Lake) -> LockInfo | None:
    """Return the current or the last holder of a lake's lock, None if it was never acquired."""
    return _read_file(lake) if lake.is_local else _read_lease(lake)[0]


@contextmanager
def _file_lock(lake: Lake, run: str) -> Iterator[LockInfo | None]:
    try:
        lake.root.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:  # in /proc, for example
        what = f"The folder {lake.root} cannot be created: {error.strerror}."
        raise BrewhouseError(what, hint="Choose another --lake.") from error
    with os.fdopen(open_regular(lake.lock_file, os.O_RDWR | os.O_CREAT), "r+b") as file:
        if not _acquire(file.fileno()):
            raise _in_use(lake, _read_file(lake))
        before = _read_file(lake)
        file.truncate(0)
        file.write(msgspec.json.encode(LockInfo(run, datetime.now(UTC).isoformat(timespec="seconds"), os.getpid())))
        file.flush()
        yield before


def _acquire(descriptor: int) -> bool:
    """Try to lock a file, a few times, since `holder` in another process locks it for an instant."""
    for _ in range(_ATTEMPTS):
        if try_lock(descriptor):
            return True
        time.sleep(_PAUSE_S)
    return False


def _read_file(lake: Lake) -> LockInfo | None:
    try:
        with os.fdopen(open_regular(lake.lock_file, os.O_RDONLY), "rb") as file:
            return msgspec.json.decode(file.read(_MAX_BYTES), type=LockInfo)
    except (OSError, ValueError, RecursionError):  # never acquired, acquired but not written yet, or damaged
        return None


@contextmanager
def _object_lock(lake: Lake, run: str) -> Iterator[LockInfo | None]:
    before, version = _read_lease(lake)
    if before and before.is_held:
        raise _in_use(lake, before)
    now = datetime.now(UTC)
    lease = _Lease(
        run=run,
        started_at=now.isoformat(timespec="seconds"),
        pid=os.getpid(),
        host=socket.gethostname(),
        expires_at=now + timedelta(seconds=lake.shared.lock_ttl_s),
        ttl_s=lake.shared.lock_ttl_s,
    )
    version = _put_lease(lake, lease, version)
    if version is None:
        raise _in_use(lake, _read_lease(lake)[0])
    renewal = _renewals[lake.root] = _Renewal(lake, lease, version)
    renewal.start()
    try:
        yield before
    finally:
        _renewals.pop(lake.root, None)
        renewal.stop()
    if renewal.is_lost:
        raise renewal.loss


class _Renewal(threading.Thread):
    """Renews a lease until it is stopped, then releases it."""

    def __init__(self, lake: Lake, lease: _Lease, version: str) -> None:
        super().__init__(daemon=True, name="brewhouse-lock")
        self._lake, self._lease, self._stopped = lake, lease, threading.Event()
        self._version: str | None = version
        self._turn = threading.Lock()

    @property
    def is_lost(self) -> bool:
        """Whether another run acquired the lock."""
        return self._version is None

    @property
    def loss(self) -> BrewhouseError:
        """The error that another run acquired the lock."""
        return BrewhouseError(
            f"Run {self._lease.run} lost the lock of {self._lake.root}: it could not renew it in time, and another run "
            "acquired it.",
            hint="Check `brewhouse runs`, then run again.",
        )

    def run(self) -> None:
        while not self._stopped.wait(self._lake.shared.lock_ttl_s / _RENEWALS_PER_TTL) and not self.is_lost:
            self.renew()

    def renew(self) -> bool:
        """Renew the lease; returns whether it is held."""
        self._put(datetime.now(UTC) + timedelta(seconds=self._lake.shared.lock_ttl_s))
        return not self.is_lost and self._lease.is_held

    def stop(self) -> None:
        """Stop renewing, and let the lease expire now."""
        self._stopped.set()
        self.join()
        self._put(datetime.now(UTC))

    def _put(self, until: datetime) -> None:
        from obstore.exceptions import BaseError

        with self._turn, suppress(BaseError):  # such as a network error; the TTL leaves time for more attempts
            if self._version is not None:
                lease = msgspec.structs.replace(self._lease, expires_at=until)
                self._version = _put_lease(self._lake, lease, self._version)
                self._lease = lease


def _read_lease(lake: Lake) -> tuple[_Lease | None, str | None]:
    """Read the lock object and its version; None if the lock was never acquired."""
    try:
        found = lake.store.get(lake.lock_file.name)
    except FileNotFoundError:
        return None, None
    written_at = found.meta["last_modified"]
    try:
        lease = msgspec.json.decode(bytes(found.bytes()), type=_Lease)
        latest = written_at + timedelta(seconds=lease.ttl_s or lake.shared.lock_ttl_s) + CLOCK_TOLERANCE
        lease = msgspec.structs.replace(lease, expires_at=min(lease.expires_at, latest))
    except (ValueError, RecursionError):
        # Damaged, or of a later version: it may be held, so it counts as renewed when it was written.
        expires_at = written_at + timedelta(seconds=lake.shared.lock_ttl_s)
        lease = _Lease(run="", started_at=written_at.isoformat(timespec="seconds"), pid=0, expires_at=expires_at)
    return lease, found.meta["e_tag"]


def _put_lease(lake: Lake, lease: _Lease, version: str | None) -> str | None:
    """Write the lock object if it still has this version; returns the new version, None if another run changed it."""
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    mode: Any = "create" if version is None else {"e_tag": version}
    try:
        return lake.store.put(lake.lock_file.name, msgspec.json.encode(lease), mode=mode)["e_tag"]
    except (AlreadyExistsError, PreconditionError):
        stored, version = _read_lease(lake)  # an earlier renewal may have succeeded although its response was lost
        is_ours = stored and msgspec.structs.replace(stored, expires_at=lease.expires_at) == lease
        return version if is_ours else None


def _in_use(lake: Lake, held: LockInfo | None) -> BrewhouseError:
    if held and not held.run:
        return BrewhouseError(
            f"The lock {lake.lock_file} is damaged, so it is unknown whether a run holds it.",
            hint=f"Run again in {lake.shared.lock_ttl_s:g} s, or delete it if no run is active.",
        )
    host = f" on {held.host}" if held and held.host else ""
    by = f"run {held.run}, started at {held.started_at} (process {held.pid}{host})" if held else "a run that just began"
    killed = f", or if it was killed until {held.expires_at:%H:%M:%S} UTC" if isinstance(held, _Lease) else ""
    return BrewhouseError(
        f"The lake {lake.root} is locked by {by}.", hint=f"Wait for it to end{killed}, then run again."
    )
