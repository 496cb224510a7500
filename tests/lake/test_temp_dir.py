"""A temporary folder is deleted with its owner, however that ends."""

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
temporary = TempDir()
(temporary.path / "rows").write_bytes(bytes(1000))
print(temporary.path, flush=True)
input()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def hold() -> tuple[subprocess.Popen[str], Path]:
    """Start a process that holds a temporary folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_it_is_deleted_explicitly_or_with_its_object(folder: Path) -> None:
    temporary, forgotten = TempDir(), TempDir()
    temporary.delete()
    temporary.delete()
    del forgotten
    assert list(folder.iterdir()) == []


def test_it_is_deleted_when_the_process_exits() -> None:
    process, path = hold()
    assert (path / "rows").exists()
    process.communicate("\n")
    assert not path.exists()


def test_the_next_process_deletes_folders_of_killed_ones_but_none_in_use(folder: Path) -> None:
    (living, theirs), (killed, left) = hold(), hold()
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert (left / "rows").exists()
    (folder / "brewhouse-of-another-kind").mkdir()
    mine = TempDir()
    assert sorted(folder.iterdir()) == sorted([theirs, mine.path, folder / "brewhouse-of-another-kind"])
    assert (theirs / "rows").exists()
    living.communicate("\n")
