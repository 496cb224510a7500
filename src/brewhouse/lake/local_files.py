"""Local files where POSIX and Windows differ: locks, how a file is opened, what can be flushed."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

try:
    import fcntl
except ImportError:
    _IS_WINDOWS = True
else:
    _IS_WINDOWS = False

_FLAGS = ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY", "O_NOINHERIT")
_OPEN = sum(getattr(os, flag, 0) for flag in _FLAGS)
_LOCKED_BYTE = 1 << 30  # after any content, since other processes cannot read what Windows locks
_seek = threading.Lock()


def open_regular(file: Path, flags: int, mode: int = 0o666) -> int:
    """Open a regular file by its name: never a link, and without waiting for a pipe.

    Raises:
        OSError: It cannot be opened, or is not a regular file.
    """
    descriptor = os.open(file, flags | _OPEN, mode)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "It is not a regular file", str(file))
    return descriptor


def try_lock(descriptor: int, *, is_shared: bool = False) -> bool:
    """Lock an open file until it is closed or the process ends; return whether it was free.

    Args:
        is_shared: Whether others may hold a shared lock as well, which Windows does not have.
    """
    try:
        if not _IS_WINDOWS:
            fcntl.flock(descriptor, fcntl.LOCK_NB | (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX))
        else:
            import msvcrt

            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            try:
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            finally:
                os.lseek(descriptor, 0, os.SEEK_SET)
    except (BlockingIOError, PermissionError):
        return False
    return True


def is_own(status: os.stat_result) -> bool:
    """Return whether a file belongs to this user; on Windows, where folders of users are separate, always."""
    return _IS_WINDOWS or status.st_uid == os.geteuid()


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk; Windows flushes no folders, and files only if they may be written."""
    if _IS_WINDOWS and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if _IS_WINDOWS else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_at(descriptor: int, size: int, position: int) -> bytes:
    """Read from a position; threads may do so at once."""
    if not _IS_WINDOWS:
        return os.pread(descriptor, size, position)
    with _seek:
        os.lseek(descriptor, position, os.SEEK_SET)
        return os.read(descriptor, size)
