"""Run Brewhouse where Windows begins: without what only POSIX has.

Its locks are those of `msvcrt`, which are played with byte ranges of POSIX: like these, they keep other processes from
locking the same bytes. Everything else of Windows, such as its paths, is as here.
"""

from __future__ import annotations

import asyncio.unix_events
import multiprocessing
import os
import shutil
import signal
import stat
import subprocess  # it asks for msvcrt when it is imported
import sys
import tempfile
import types

MODULES = ("fcntl", "resource", "termios", "pty", "tty", "pwd", "grp", "readline", "curses", "syslog")
NAMES = (
    *("fork", "forkpty", "getuid", "geteuid", "getgid", "getegid", "pread", "pwrite", "mkfifo", "chown"),
    *("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_DIRECTORY", "O_SYNC", "sysconf", "uname", "nice", "killpg", "setsid"),
)
SIGNALS = ("SIGHUP", "SIGKILL", "SIGALRM", "SIGPIPE", "SIGQUIT", "SIGUSR1", "SIGUSR2", "pthread_sigmask", "sigwait")
USED_BY_LIBRARIES = (asyncio.unix_events, multiprocessing, shutil, subprocess, tempfile)
"""Python's own modules that read these names when they are imported, and have others on Windows."""


def hide_posix() -> None:
    """Take away what Windows lacks, and add what it has."""
    lockf, unlock, lock = os.lockf, os.F_ULOCK, os.F_TLOCK
    open_file, fsync, folders = os.open, os.fsync, set[int]()

    def locking(descriptor: int, mode: int, count: int) -> None:
        lockf(descriptor, lock if mode else unlock, count)

    def open_no_folder(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        descriptor = open_file(path, flags, mode, dir_fd=dir_fd)
        (folders.add if stat.S_ISDIR(os.fstat(descriptor).st_mode) else folders.discard)(descriptor)
        return descriptor

    def fsync_file(descriptor: int) -> None:
        if descriptor in folders:
            raise PermissionError(13, "Permission denied")
        fsync(descriptor)

    msvcrt = types.ModuleType("msvcrt")
    msvcrt.locking, msvcrt.LK_NBLCK, msvcrt.LK_UNLCK = locking, 2, 0  # type: ignore[attr-defined]
    sys.modules["msvcrt"] = msvcrt
    for module in MODULES:
        sys.modules[module] = None  # type: ignore[assignment]
    for owner, names in ((os, NAMES), (signal, SIGNALS)):
        for name in names:
            if hasattr(owner, name):
                delattr(owner, name)
    if hasattr(shutil, "_rmtree_unsafe"):  # the one of systems without folders' descriptors
        vars(shutil).update(_use_fd_functions=False, _rmtree_impl=shutil._rmtree_unsafe)
    vars(os).update(open=open_no_folder, fsync=fsync_file)
