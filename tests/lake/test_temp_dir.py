"""A folder for a while goes with its user, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from brewhouse.lake.temp_dir import TempDir

HOLD = """
from brewhouse.lake.temp_dir import TempDir
scratch = TempDir()
(scratch.path / "rows").write_bytes(bytes(1000))
print(scratch.path, flush=True)
input()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def hold() -> tuple[subprocess.Popen[str], Path]:
    """Start a process that has one."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_it_is_deleted_by_who_is_done_with_it_or_forgets_it(folder: Path) -> None:
    scratch, forgotten = TempDir(), TempDir()
    scratch.delete()
    scratch.delete()
    del forgotten
    assert list(folder.iterdir()) == []


def test_it_goes_with_the_process() -> None:
    process, path = hold()
    assert (path / "rows").exists()
    process.communicate("\n")
    assert not path.exists()


def test_what_a_killed_process_left_is_deleted_by_the_next_one_and_what_is_in_use_is_not(folder: Path) -> None:
    (living, theirs), (killed, left) = hold(), hold()
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert (left / "rows").exists()
    (folder / "brewhouse-of-another-kind").mkdir()
    mine = TempDir()
    assert sorted(folder.iterdir()) == sorted([theirs, mine.path, folder / "brewhouse-of-another-kind"])
    assert (theirs / "rows").exists()
    living.communicate("\n")
