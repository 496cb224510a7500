"""A temporary folder is deleted with its owner, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
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


def test_a_folder_without_a_lock_file_is_not_ours_to_delete(folder: Path) -> None:
    (folder / "brewhouse-new").mkdir()  # created by another process that has not locked it yet
    (folder / "brewhouse-new" / "in-use.new").touch()
    (folder / "other").mkdir()
    (folder / "other" / "in-use").touch()
    TempDir().delete()
    assert sorted(path.name for path in folder.iterdir()) == ["brewhouse-new", "other"]


def test_an_abandoned_folder_goes_with_all_it_contains(folder: Path) -> None:
    process, left = hold()
    (left / "deep" / "er").mkdir(parents=True)
    (left / "deep" / "er" / "file").write_bytes(b"1")
    (left / "outside").symlink_to(folder / "kept")
    (folder / "kept").mkdir()
    process.kill()
    process.communicate()
    temporary = TempDir()
    assert sorted(folder.iterdir()) == sorted([temporary.path, folder / "kept"])


def test_threads_create_and_delete_folders_concurrently(folder: Path) -> None:
    def use(number: int) -> bool:
        temporary = TempDir()
        file = temporary.path / "file"
        file.write_text(str(number))
        TempDir().delete()
        is_intact = file.read_text() == str(number)
        temporary.delete()
        return is_intact and not temporary.path.exists()

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(use, range(40)))
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_deleted_does_not_prevent_a_new_one(folder: Path) -> None:
    lock = folder / "brewhouse-odd" / "in-use"
    lock.mkdir(parents=True)  # a folder instead of a file: it cannot be opened
    temporary = TempDir()
    assert temporary.path.exists()
    assert lock.exists()
