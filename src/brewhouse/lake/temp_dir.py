"""Temporary folders on this machine: spilled rows, cached objects, query results.

Each is deleted when its owner is done with it. A killed process leaves its folder behind, perhaps with gigabytes, but
the kernel releases the lock inside it: the next process that creates a folder deletes it.
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
    """A temporary folder with a lock file; deleted with this object, at the latest when the process exits."""

    def __init__(self) -> None:
        _delete_abandoned()
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        unlocked = self.path / f"{_LOCK}.new"
        descriptor = os.open(unlocked, os.O_CREAT | os.O_RDWR)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        unlocked.rename(self.path / _LOCK)  # other processes never see a lock file that is not locked yet
        self._finalizer = weakref.finalize(self, _delete, self.path, descriptor)

    def delete(self) -> None:
        """Delete the folder now."""
        self._finalizer()


def _delete(folder: Path, descriptor: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(descriptor)


def _delete_abandoned() -> None:
    for lock in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        with suppress(OSError), lock.open("rb") as file:  # OSError: in use, or owned by another user
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)
