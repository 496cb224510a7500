"""The sample of real breweries is what its rule chooses, and tests of real data pass with it alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.data.sample import read, sample
from tests.real_data import DATES, SAMPLE, WHOLE

ROOT = Path(__file__).parents[1]
READERS = sorted(
    str(file.relative_to(ROOT))
    for file in (ROOT / "tests").glob("*/test_*.py")
    if "tests.real_data import" in file.read_text("utf-8")
)


@pytest.mark.skipif(not WHOLE.is_dir(), reason="needs every row of the public dataset, in ../shared/data")
def test_the_sample_is_what_its_rule_chooses() -> None:
    for name, rows in sample(WHOLE).items():
        assert list(read(SAMPLE / name).values()) == rows


def test_the_sample_holds_some_hundred_breweries_of_each_version() -> None:
    assert all(200 < len(read(SAMPLE / f"breweries-{date}.csv")) < 500 for date in DATES)


@pytest.mark.slow
def test_tests_of_real_data_pass_with_the_sample_alone() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *READERS]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"BREWERY_DATA": str(SAMPLE)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
