"""One run at a time, and a dead run's lock does not stay."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from brewhouse.errors import BrewhouseError
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import holder, run_lock

HOLD = """
import sys, time
from pathlib import Path
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import run_lock
with run_lock(Lake(Path(sys.argv[1])), "FIRST"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_refused_until_the_first_ones_process_is_gone(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    held = holder(lake)
    assert held is not None
    assert (held.run, held.pid) == ("FIRST", process.pid)
    with pytest.raises(BrewhouseError, match="Run FIRST has been going on"), run_lock(lake, "SECOND"):
        pass
    process.kill()
    process.communicate()
    assert holder(lake) is None
    with run_lock(lake, "SECOND"):
        again = holder(lake)
    assert again is not None
    assert again.run == "SECOND"


def test_an_error_lets_go(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "new")
    assert holder(lake) is None
    with pytest.raises(ZeroDivisionError), run_lock(lake, "R1"):
        raise ZeroDivisionError
    assert holder(lake) is None


def test_asking_for_the_holder_does_not_refuse_a_run(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            holder(lake)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for number in range(300):
            with run_lock(lake, f"R{number}"):
                pass
    finally:
        done.set()
        thread.join()


def test_who_took_it_this_very_moment_is_not_known(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with run_lock(lake, "R1"):
        lake.lock_file.write_bytes(b"")
        with pytest.raises(BrewhouseError, match="A run began"), run_lock(lake, "R2"):
            pass
