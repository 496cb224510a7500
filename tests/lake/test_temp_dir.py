"""A temporary folder is deleted with its owner, however that ends."""

from __future__ import annotations

import os
import signal
import stat
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
    (folder / "brewhouse-unlocked").mkdir()
    (folder / "brewhouse-unlocked" / "in-use").touch()
    (folder / "other").mkdir()
    (folder / "other" / "in-use").write_bytes(b"1")
    TempDir().delete()
    assert sorted(path.name for path in folder.iterdir()) == ["brewhouse-new", "brewhouse-unlocked", "other"]


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


def abandoned(folder: Path, name: str) -> Path:
    """Make what looks like the folder of a killed process, without its lock file."""
    path = folder / f"brewhouse-{name}"
    path.mkdir()
    (path / "rows").touch()
    return path


def test_what_is_no_lock_file_of_ours_is_left_alone(folder: Path) -> None:
    (folder / "victim").mkdir()
    (folder / "victim" / "in-use").write_bytes(b"1")
    os.mkfifo(abandoned(folder, "pipe") / "in-use")
    (abandoned(folder, "link") / "in-use").symlink_to(folder / "victim" / "in-use")
    (abandoned(folder, "device") / "in-use").symlink_to("/dev/zero")
    (folder / "brewhouse-linked").symlink_to(folder / "victim")
    (folder / "brewhouse-file").touch()
    before = sorted(folder.rglob("*"))
    TempDir().delete()  # does not wait for the pipe
    assert sorted(folder.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("given", ["folder", "lock"])
def test_what_belongs_to_another_user_is_left_alone(folder: Path, given: str) -> None:
    path = abandoned(folder, "theirs")
    (path / "in-use").write_bytes(b"1")
    os.chown(path if given == "folder" else path / "in-use", 12345, -1)
    TempDir().delete()
    assert (path / "rows").exists()


def test_nobody_else_can_read_it(folder: Path) -> None:
    before = os.umask(0)
    try:
        temporary = TempDir()
    finally:
        os.umask(before)
    assert stat.S_IMODE(temporary.path.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in temporary.path.iterdir()] == [0o600]
    assert temporary.path.parent == folder
