"""One run at a time, and a dead run's lock does not stay."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from brewhouse.errors import BrewhouseError
from brewhouse.lake.lake import Lake
from brewhouse.lake.lock import holder, run_lock

HOLD = """
import sys, time
from pathlib import Path
from brewhouse.lake.lake import Lake
from brewhouse.lake.lock import run_lock
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
