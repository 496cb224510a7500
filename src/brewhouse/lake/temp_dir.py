"""Temporary folders on this machine: spilled rows, cached objects, query results.

Each is deleted when its owner is done with it. A killed process leaves its folder behind, perhaps with gigabytes, but
the kernel releases the lock inside it: the next process that creates a folder deletes it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import tempfile
import weakref
from collections.abc import Callable
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
        descriptor = open_regular(unlocked, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        unlocked.rename(self.path / _LOCK)  # other processes never see a lock file that is not locked yet
        self._finalizer = weakref.finalize(self, _delete, self.path, descriptor)

    def delete(self) -> None:
        """Delete the folder now."""
        self._finalizer()


def open_regular(file: Path, flags: int, mode: int = 0o666) -> int:
    """Open a regular file by its name: never a link, and without waiting for a pipe.

    Raises:
        OSError: It cannot be opened, or is not a regular file.
    """
    descriptor = os.open(file, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "It is not a regular file", str(file))
    return descriptor


def _delete(folder: Path, descriptor: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(descriptor)


def _delete_abandoned() -> None:
    """Delete the folders of killed processes; other users may have put anything under these names."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # in use, or not ours
            if not _is_own(folder.lstat(), stat.S_ISDIR):
                continue
            with os.fdopen(open_regular(folder / _LOCK, os.O_RDONLY), "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_own(os.fstat(file.fileno()), stat.S_ISREG):
                    shutil.rmtree(folder, ignore_errors=True)


def _is_own(status: os.stat_result, is_kind: Callable[[int], bool]) -> bool:
    return is_kind(status.st_mode) and status.st_uid == os.geteuid()
