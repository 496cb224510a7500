"""The run lock of a local lake: exclusive, and released when its holder exits."""

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
