"""A worker or the driver is killed in the middle of a run on Spark: the next run, or this one, makes it good."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from brewhouse.demo.dataset import generate
from brewhouse.demo.stand_in import StandIn
from brewhouse.lake.lake import Lake
from brewhouse.lake.reading import connect
from brewhouse.lake.tables import Tables

ROWS = 600
PROC = Path("/proc")
TABLES = (
    "silver.breweries",
    "silver.rejected_breweries",
    "silver.brewery_changes",
    "gold.breweries_by_type_and_location",
)
pytestmark = [
    pytest.mark.xdist_group("spark"),
    pytest.mark.skipif(not PROC.exists(), reason="needs Linux's /proc, to find the workers"),
    pytest.mark.skipif(shutil.which("java") is None, reason="needs Java 17"),
]


def do(lake: Lake, *command: str) -> None:
    """Do something with the embedded engine, which takes a second where Spark takes twenty to begin."""
    catalog = {"BREWHOUSE_CATALOG_DATABASE": lake.shared.catalog_database}
    subprocess.run(
        [sys.executable, "-m", "brewhouse", *command, "--lake", str(lake.root)],
        check=True,
        capture_output=True,
        env={**os.environ, **catalog},
    )


def start(lake: Lake, master: str) -> subprocess.Popen[str]:
    """Begin a transform on Spark."""
    pytest.importorskip("pyspark", reason="needs PySpark, as `pip install 'brewhouse[spark]'` brings it")
    command = [sys.executable, "-m", "brewhouse", "transform", "--lake", str(lake.root)]
    quick = {"BREWHOUSE_MEMORY_LIMIT_MB": "1024", "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
    quick["BREWHOUSE_CATALOG_DATABASE"] = lake.shared.catalog_database
    return subprocess.Popen(
        [*command, "--engine", "spark", "--spark-master", master],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **quick},
    )


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    assert process.stderr is not None
    said = []
    for text in process.stderr:
        said.append(text)
        if text.startswith(line):
            return
    raise AssertionError("".join(said))


def below(pid: int) -> Iterator[tuple[int, str]]:
    """List the processes that a process started, and those that these started, with their command lines."""
    children = (PROC / str(pid) / "task" / str(pid) / "children").read_text().split()
    for thread in (PROC / str(pid) / "task").iterdir():
        children += (thread / "children").read_text().split()
    for child in sorted(set(map(int, children))):
        try:
            command = (PROC / str(child) / "cmdline").read_text().replace("\0", " ")
            yield child, command
            yield from below(child)
        except FileNotFoundError:  # it ended meanwhile
            continue


def content(lake: Lake) -> dict[str, list[tuple[object, ...]]]:
    """Every row of some tables, apart from which snapshot it came from."""
    with closing(connect(lake)) as connection:
        return {
            table: connection.execute(
                f"SELECT COLUMNS(lambda c: NOT starts_with(c, 'snapshot_')) FROM {table} ORDER BY ALL"
            ).fetchall()
            for table in TABLES
        }


@pytest.fixture(scope="module")
def source() -> Iterator[StandIn]:
    with StandIn(generate(ROWS, unusable=5)) as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def expected(source: StandIn, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[object, ...]]]:
    """What the embedded engine makes of it, undisturbed."""
    lake = Lake(tmp_path_factory.mktemp("undisturbed") / "lake")
    do(lake, "run", "--source-url", source.url)
    return content(lake)


def test_a_transform_on_s3_outlives_the_loss_of_a_worker_of_a_cluster(
    source: StandIn, expected: dict[str, list[tuple[object, ...]]], shared_lake: Lake
) -> None:
    lake = shared_lake
    do(lake, "extract", "--source-url", source.url)
    process = start(lake, "local-cluster[2,1,1024]")
    wait_for(process, "model silver.breweries")  # the staged records are kept by the workers now
    executors = [pid for pid, command in below(process.pid) if "CoarseGrainedExecutorBackend" in command]
    assert len(executors) == 2
    os.kill(executors[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    do(lake, "aggregate")
    assert content(lake) == expected


def test_a_driver_killed_in_the_middle_publishes_nothing_and_the_next_run_completes(
    source: StandIn, expected: dict[str, list[tuple[object, ...]]], tmp_path: Path
) -> None:
    lake = Lake(tmp_path / "lake")
    do(lake, "extract", "--source-url", source.url)
    process = start(lake, "local[2]")
    wait_for(process, "model silver.rejected_breweries")  # silver.breweries is written, this is being
    machines = [pid for pid, _ in below(process.pid)]
    process.kill()
    process.communicate()
    assert Tables(lake).names() == []
    deadline = time.monotonic() + 60
    while any((PROC / str(pid) / "exe").exists() for pid in machines) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in machines if (PROC / str(pid) / "exe").exists()], "Spark goes on without its driver"
    do(lake, "run", "--source-url", source.url)
    assert content(lake) == expected
