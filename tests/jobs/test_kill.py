"""kill -9 at many moments of a run: nothing half-published is seen, and the next run makes it good."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from brewhouse.demo.dataset import generate
from brewhouse.demo.stand_in import StandIn
from brewhouse.events.event import read_events
from brewhouse.events.runs import run_reports
from brewhouse.lake.lake import Lake
from brewhouse.lake.lock import holder
from brewhouse.lake.reading import connect

ROWS = 3000
MOMENTS = 14
TABLES = (
    "silver.breweries",
    "silver.rejected_breweries",
    "gold.breweries_by_type_and_location",
    "gold.breweries_by_location",
)


def start(lake: Lake, url: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "brewhouse", "run", "--lake", str(lake.root), "--source-url", url]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()


def content(lake: Lake) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, apart from which snapshot it came from."""
    with closing(connect(lake)) as connection:
        return {
            table: connection.execute(
                f"SELECT COLUMNS(lambda c: NOT starts_with(c, 'snapshot_')) FROM {table} ORDER BY ALL"
            ).fetchall()
            for table in TABLES
        }


@contextmanager
def reading_all_the_while(lake: Lake) -> Iterator[list[str]]:
    """Query like an analyst until the block ends; what looks half-published, or fails, is listed."""
    wrong: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.wait(0.02):
            if not lake.views_file.exists():
                continue
            try:
                with closing(connect(lake)) as connection:
                    breweries, distinct, rejected = connection.execute(
                        "SELECT count(*), count(DISTINCT id), (SELECT count(*) FROM silver.rejected_breweries) "
                        "FROM silver.breweries"
                    ).fetchall()[0]
                if breweries != distinct or breweries + rejected != ROWS:
                    wrong.append(f"{breweries} breweries, {distinct} ids, {rejected} rejected")
            except Exception as error:  # noqa: BLE001 - whatever a reader meets is a finding
                wrong.append(repr(error))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield wrong
    finally:
        done.set()
        thread.join()


@pytest.fixture(scope="module")
def source() -> Iterator[StandIn]:
    with StandIn(generate(ROWS, unusable=5)) as stand_in:
        yield stand_in


def test_a_run_killed_at_any_moment_leaves_nothing_half_done(source: StandIn, tmp_path: Path) -> None:
    undisturbed = Lake(tmp_path / "undisturbed")
    began = time.monotonic()
    finish(start(undisturbed, source.url))
    duration = time.monotonic() - began
    expected = content(undisturbed)

    lake = Lake(tmp_path / "killed")
    killed = 0
    with reading_all_the_while(lake) as wrong:
        for moment in range(1, MOMENTS + 1):
            process = start(lake, source.url)
            time.sleep(duration * moment / MOMENTS)
            process.kill()
            process.communicate()
            killed += process.returncode == -9
            assert holder(lake) is None, "a killed run's lock stays"
        finish(start(lake, source.url))
        assert content(lake) == expected
    assert wrong == []
    assert killed > MOMENTS // 2

    states = [report.state for report in run_reports(read_events(lake))]
    assert "INTERRUPTED" in states
    assert states[-1] == "SUCCEEDED"
