"""Temporary folders on this machine: spilled rows, cached objects, query results.

Each is deleted when its owner is done with it. A killed process leaves its folder behind, perhaps with gigabytes, but
the kernel releases the lock inside it: the next process that creates a folder deletes it.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path

from brewhouse.lake.local_files import is_own, open_regular, try_lock

_PREFIX = "brewhouse-"
_LOCK = "in-use"


class TempDir:
    """A temporary folder with a lock file; deleted with this object, at the latest when the process exits."""

    def __init__(self) -> None:
        _delete_abandoned()
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        descriptor = open_regular(self.path / _LOCK, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try_lock(descriptor)
        os.write(descriptor, b"1")  # an empty file is not locked yet, and left alone
        self._finalizer = weakref.finalize(self, _delete, self.path, descriptor)

    def delete(self) -> None:
        """Delete the folder now."""
        self._finalizer()


def _delete(folder: Path, descriptor: int) -> None:
    os.close(descriptor)  # first, as Windows deletes no open file
    shutil.rmtree(folder, ignore_errors=True)


def _delete_abandoned() -> None:
    """Delete the folders of killed processes; other users may have put anything under these names."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # in use, or not ours
            status = folder.lstat()
            if stat.S_ISDIR(status.st_mode) and is_own(status) and _is_abandoned(folder / _LOCK):
                shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(lock: Path) -> bool:
    with os.fdopen(open_regular(lock, os.O_RDONLY), "rb") as file:
        status = os.fstat(file.fileno())
        return is_own(status) and status.st_size > 0 and try_lock(file.fileno())
