"""What `python3 -m unittest discover -s tests` reads first: the tests need pytest, so it says what to run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

if "pytest" not in sys.modules:
    print("Brewhouse's tests run with pytest: `make test` installs it and runs them.", file=sys.stderr, flush=True)
    os._exit(2)  # unittest would report the SystemExit of a module as one of many errors


def test_unittest_names_the_command_that_runs_the_tests() -> None:
    command = [sys.executable, "-m", "unittest", "discover", "-s", "tests"]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "`make test`" in done.stderr
