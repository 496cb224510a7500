"""The lock of a lake on S3: one object, held as long as it is renewed.

It is made by a create-only put, or taken over by a conditional one once it has expired; the object stays when the lock
is free, so that every change of it is conditional. Whoever dies stops renewing it.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from brewhouse.errors import BrewhouseError
from brewhouse.lake.lake import Lake

_RENEWALS = 4  # so many within the time after which it expires


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a lake's lock, and until when.

    Attributes:
        run: The run's id.
        started_at: ISO 8601, UTC.
        pid: Its process.
        host: The machine of that.
        expires_at: From then on anybody may take it.
    """

    run: str
    started_at: str
    pid: int
    host: str
    expires_at: datetime


def read(lake: Lake) -> tuple[Lease | None, str | None]:
    """Read a lake's lock and the version of its object; None when nobody holds it, or there is no object."""
    lease, version = last(lake)
    return (lease if lease and lease.expires_at > datetime.now(UTC) else None), version


def last(lake: Lake) -> tuple[Lease | None, str | None]:
    """Read who holds a lake's lock or held it last, and the version of its object; None when nobody ever did."""
    try:
        found = lake.store.get(lake.lock_file.name)
    except FileNotFoundError:
        return None, None
    return msgspec.json.decode(bytes(found.bytes()), type=Lease), found.meta["e_tag"]


@contextmanager
def hold(lake: Lake, run: str, pid: int) -> Iterator[Lease | None]:
    """Hold a lake's lock while the block runs, and renew it meanwhile.

    Args:
        lake: A lake on S3.
        run: Id of the run that takes it.
        pid: Its process.

    Yields:
        Who holds it instead; None when it was taken.

    Raises:
        BrewhouseError: Another run took it meanwhile, since it could not be renewed in time.
    """
    held, version = read(lake)
    if held is not None:
        yield held
        return
    now = datetime.now(UTC)
    lease = Lease(
        run=run,
        started_at=now.isoformat(timespec="seconds"),
        pid=pid,
        host=socket.gethostname(),
        expires_at=now + timedelta(seconds=lake.shared.lock_ttl_s),
    )
    version = _put(lake, lease, version)
    if version is None:
        yield read(lake)[0] or lease
        return
    keeper = _Keeper(lake, lease, version)
    keeper.start()
    try:
        yield None
    finally:
        keeper.stop()
    if keeper.is_lost:
        raise BrewhouseError(
            f"Run {run} lost the lock of {lake.root}: it could not renew it in time, and another run took it.",
            hint="Look at `brewhouse runs`, then run again.",
        )


class _Keeper(threading.Thread):
    """Renews a lease until it is told to stop, then lets go of it."""

    def __init__(self, lake: Lake, lease: Lease, version: str) -> None:
        super().__init__(daemon=True, name="brewhouse-lock")
        self._lake = lake
        self._lease = lease
        self._version: str | None = version
        self._done = threading.Event()

    @property
    def is_lost(self) -> bool:
        """Whether somebody else took it."""
        return self._version is None

    def run(self) -> None:
        """Renew it again and again."""
        for_s = self._lake.shared.lock_ttl_s
        while not self._done.wait(for_s / _RENEWALS) and self._version is not None:
            self._renew(datetime.now(UTC) + timedelta(seconds=for_s))

    def stop(self) -> None:
        """Stop renewing, and let it expire now."""
        self._done.set()
        self.join()
        if self._version is not None:
            self._renew(datetime.now(UTC))

    def _renew(self, until: datetime) -> None:
        from obstore.exceptions import BaseError

        try:
            renewed = msgspec.structs.replace(self._lease, expires_at=until)
            self._version = _put(self._lake, renewed, self._version)
        except BaseError:  # the network, perhaps: there is time for some more attempts
            return


def _put(lake: Lake, lease: Lease, version: str | None) -> str | None:
    """Write the lock's object, if it still is as it was; gives its new version, None when it is not."""
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    mode: Any = "create" if version is None else {"e_tag": version}
    try:
        return lake.store.put(lake.lock_file.name, msgspec.json.encode(lease), mode=mode)["e_tag"]
    except (AlreadyExistsError, PreconditionError):
        return None
