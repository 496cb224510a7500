"""Whole processes, measured by the operating system's own accounting."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Usage(NamedTuple):
    """What a process and its children used; `peak_mb` is that of the largest one."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def measure(command: Sequence[str], variables: Mapping[str, str] = MappingProxyType({})) -> Usage:
    """Run a command once, with further environment variables."""
    began = perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **variables}
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with exit code {process.returncode}")
    return Usage(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


@contextmanager
def source(*options: str) -> Iterator[str]:
    """Serve a dataset and yield its URL."""
    command = [sys.executable, "-m", "tests.mock_api", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split(" at ")[1].split(";")[0]
    finally:
        process.terminate()
        process.wait()
