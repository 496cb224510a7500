"""The run lock of a local lake: exclusive, and released when its holder exits."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from brewhouse.errors import BrewhouseError
from brewhouse.lake.error_translation import translated_errors
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import LockInfo, holder, last_holder, run_lock

HOLD = """
import sys, time
from pathlib import Path
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import run_lock
with run_lock(Lake(Path(sys.argv[1])), "FIRST"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_refused_until_the_process_of_the_first_exits(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    held = holder(lake)
    assert held is not None
    assert (held.run, held.pid) == ("FIRST", process.pid)
    with pytest.raises(BrewhouseError, match="locked by run FIRST, started at"), run_lock(lake, "SECOND"):
        pass
    process.kill()
    process.communicate()
    assert holder(lake) is None
    with run_lock(lake, "SECOND"):
        again = holder(lake)
    assert again is not None
    assert again.run == "SECOND"


def test_an_error_releases_it(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "new")
    assert holder(lake) is None
    with pytest.raises(ZeroDivisionError), run_lock(lake, "R1"):
        raise ZeroDivisionError
    assert holder(lake) is None


def test_reading_the_holder_never_refuses_a_run(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            holder(lake)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for number in range(300):
            with run_lock(lake, f"R{number}"):
                pass
    finally:
        done.set()
        thread.join()


def test_a_holder_that_has_not_written_its_name_yet_is_unknown(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with run_lock(lake, "R1"):
        lake.lock_file.write_bytes(b"")
        with pytest.raises(BrewhouseError, match="locked by a run that just began"), run_lock(lake, "R2"):
            pass


TRY = """
import sys
from pathlib import Path
from brewhouse.errors import BrewhouseError
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import run_lock
print("ready", flush=True)
sys.stdin.readline()
try:
    with run_lock(Lake(Path(sys.argv[1])), sys.argv[2]):
        print("held", flush=True)
        sys.stdin.readline()
except BrewhouseError as error:
    print(error, flush=True)
"""


def test_one_of_several_processes_acquires_it(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TRY, str(tmp_path), f"R{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("go\n")
        process.stdin.flush()
    lines = [process.stdout.readline() for process in processes if process.stdout]
    winner = lines.index("held\n")
    assert [line for line in lines if line == "held\n"] == ["held\n"]
    held = holder(Lake(tmp_path))
    assert held is not None
    assert (held.run, held.pid) == (f"R{winner}", processes[winner].pid)
    assert sum("is locked by" in line for line in lines) == 3
    for process in processes:
        process.communicate("end\n")
    assert holder(Lake(tmp_path)) is None


def test_the_previous_holder_is_reported_also_after_it_was_killed(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert last_holder(lake) is None
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.communicate()
    last = last_holder(lake)
    assert last is not None
    with run_lock(lake, "SECOND") as before:
        assert before == last == LockInfo("FIRST", last.started_at, process.pid)
    with run_lock(lake, "THIRD") as before:
        assert before is not None
        assert before.run == "SECOND"


def test_the_same_process_cannot_hold_it_twice(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with run_lock(lake, "R1"):
        for run in ("R1", "R2"):
            with pytest.raises(BrewhouseError, match="locked by run R1"), run_lock(lake, run):
                pass
        held = holder(lake)
        assert held is not None
        assert held.run == "R1"


@pytest.mark.parametrize(
    ("content", "run"),
    [
        (b'{"run":"OLD","started_at":"2026-01-01T00:00:00+00:00","pid":7}', "OLD"),
        (b'{"run":"NEW","started_at":"2026-01-01T00:00:00+00:00","pid":7,"host":"","later":1}', "NEW"),
        (b'{"run":"\xff"}', None),
        (b"[", None),
        (b'{"run":"OLD","x":' + b"[" * 50_000, None),
        (bytes(200_000), None),
        (b"", None),
    ],
)
def test_a_lock_file_of_another_version_or_damaged_is_no_obstacle(
    tmp_path: Path, content: bytes, run: str | None
) -> None:
    lake = Lake(tmp_path)
    lake.lock_file.write_bytes(content)
    assert holder(lake) is None
    last = last_holder(lake)
    assert (last and last.run) == run
    with run_lock(lake, "NEXT") as before:
        assert (before and before.run) == run
    last = last_holder(lake)
    assert last is not None
    assert last.run == "NEXT"


def test_two_lakes_have_two_locks(tmp_path: Path) -> None:
    one, two = Lake(tmp_path / "one"), Lake(tmp_path / "two")
    with run_lock(one, "R1"), run_lock(two, "R2"):
        holders = holder(one), holder(two)
    assert [held.run for held in holders if held] == ["R1", "R2"]


def test_what_is_no_file_in_place_of_the_lock_refuses_a_run_at_once(tmp_path: Path) -> None:
    lake, target = Lake(tmp_path / "lake"), tmp_path / "target"
    lake.root.mkdir()
    target.write_bytes(b"kept")
    makers: list[Callable[[], object]] = [
        lambda: os.mkfifo(lake.lock_file),
        lambda: lake.lock_file.symlink_to(target),
        lambda: lake.lock_file.symlink_to("/dev/zero"),
        lake.lock_file.mkdir,
    ]
    for make in makers:
        make()
        assert holder(lake) is None
        assert last_holder(lake) is None
        with pytest.raises(BrewhouseError, match=r"A file cannot be accessed: .*run\.lock"), translated_errors():
            run_lock(lake, "R1").__enter__()
        if lake.lock_file.is_dir():
            break
        lake.lock_file.unlink()
    assert target.read_bytes() == b"kept"


def test_a_folder_that_cannot_be_created_is_named() -> None:
    with (
        pytest.raises(BrewhouseError, match="The folder /proc/lake cannot be created: No such file or directory"),
        run_lock(Lake.at("/proc/lake"), "R"),
    ):
        pass
