"""Local files: locks, opening and flushing, on POSIX and with the calls that Windows has."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from brewhouse.lake.local_files import open_regular, read_at, sync, try_lock

ROOT = Path(__file__).parents[2]
HIDDEN = "from tests.lake.windows import hide_posix; hide_posix()\n"
LOCK = """
import os, sys
from pathlib import Path
from brewhouse.lake.local_files import open_regular, try_lock
file = os.fdopen(open_regular(Path(sys.argv[1]), os.O_RDWR | os.O_CREAT), "r+b")
print(try_lock(file.fileno()), flush=True)
file.write(b"content")
file.flush()
input()
"""


def hold(file: Path, before: str) -> subprocess.Popen[str]:
    """Start a process that tries to lock a file, and holds it until it gets a line."""
    command = [sys.executable, "-c", before + LOCK, str(file)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("before", ["", HIDDEN], ids=["posix", "windows"])
def test_one_process_locks_a_file_which_others_can_read(tmp_path: Path, before: str) -> None:
    file = tmp_path / "run.lock"
    first = hold(file, before)
    assert answer(first) == "True"
    second = hold(file, before)
    assert answer(second) == "False"
    assert file.read_bytes() == b"content"
    second.communicate("\n")
    first.kill()
    first.communicate()
    third = hold(file, before)
    assert answer(third) == "True", "the system releases the lock of a killed process"
    third.communicate("\n")


def test_brewhouse_runs_without_what_only_posix_has(tmp_path: Path) -> None:
    """Commands that lock, flush, spill, read and stop; in one process, as each takes a second to start."""
    script = f"""{HIDDEN}
import sys
from brewhouse.cli.main import app
from typer.testing import CliRunner
for command in sys.stdin.read().splitlines():
    result = CliRunner().invoke(app, command.split())
    print(command, "->", result.exit_code, result.output if result.exit_code else "", result.exception or "")
import brewhouse.console.app, brewhouse.console.sandbox, brewhouse.cli.serve, brewhouse.pipeline.run_launcher
assert brewhouse.console.sandbox._limit_process(brewhouse.console.sandbox.QueryLimits()) is None
"""
    commands = ["demo --rows 60 --lake lake", "runs", "tables", "query SELECT(1)", "changes", "maintain"]
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        input="\n".join(commands),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.split("\n")[:-1]) == (0, [f"{command} -> 0  " for command in commands]), (
        done.stderr
    )
    assert [path.name for path in tmp_path.iterdir()] == ["lake"], "no temporary folder is left"


def test_the_content_of_a_locked_file_and_folders_are_flushed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    for path in (tmp_path, tmp_path / "file"):
        sync(path)
    with (tmp_path / "file").open("rb") as file:
        assert read_at(file.fileno(), 2, 3) == b"45"
        assert try_lock(file.fileno(), is_shared=True)


def test_only_a_regular_file_is_opened_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "socket"))
    with os.fdopen(open_regular(tmp_path / "file", os.O_RDONLY), "rb") as file:
        assert file.read() == b"1"
    for name in ("link", "folder", "pipe", "socket"):
        for flags in (os.O_RDONLY, os.O_RDWR | os.O_CREAT):
            with pytest.raises(OSError, match=name):
                open_regular(tmp_path / name, flags)
    with pytest.raises(OSError, match="not a regular file"):
        open_regular(Path("/dev/null"), os.O_RDWR)
