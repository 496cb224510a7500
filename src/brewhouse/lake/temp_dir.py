"""Folders on this machine for what is needed only for a while: spilled rows, copies of objects, results of queries.

Each is deleted when its user is done with it. A process that was killed leaves its folder behind, with gigabytes
perhaps, but holds the lock in it no more: whoever makes the next folder deletes that one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path

_PREFIX = "brewhouse-"
_LOCK = "in-use"


class TempDir:
    """A folder that is there as long as this object, and no longer than the process.

    Attributes:
        path: Where it is; it is empty but for the lock.
    """

    def __init__(self) -> None:
        _delete_abandoned()
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        coming = self.path / f"{_LOCK}.coming"
        descriptor = os.open(coming, os.O_CREAT | os.O_RDWR)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        coming.rename(self.path / _LOCK)  # no other process sees a lock that is not held yet
        self._end = weakref.finalize(self, _delete, self.path, descriptor)

    def delete(self) -> None:
        """Delete it now."""
        self._end()


def _delete(folder: Path, descriptor: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(descriptor)


def _delete_abandoned() -> None:
    for lock in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        with suppress(OSError), lock.open("rb") as file:  # also where it is another user's, or in use
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)
