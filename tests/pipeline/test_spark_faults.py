"""A worker or the driver is killed in the middle of a run on Spark: the next run, or this one, makes it good."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.settings import Settings, load

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Content = Callable[..., dict[str, list[tuple[object, ...]]]]
ROWS = 600
PROC = Path("/proc")
pytestmark = [
    pytest.mark.xdist_group("spark"),
    pytest.mark.skipif(not PROC.exists(), reason="needs Linux's /proc, to find the workers"),
    pytest.mark.skipif(shutil.which("java") is None, reason="needs Java 17"),
]


def settings(engine: str, url: str) -> Settings:
    return load({"engine": engine, "source_url": url, "extract_retry_wait_s": 0}, environ={})


def start(lake: Lake, url: str, master: str, small_spark: Mapping[str, str]) -> subprocess.Popen[str]:
    """Begin a run on Spark."""
    pytest.importorskip("pyspark", reason="needs PySpark, as `pip install 'brewhouse[spark]'` brings it")
    variables = {
        **small_spark,
        "BREWHOUSE_SPARK_MASTER": master,
        "BREWHOUSE_LAKE": str(lake.root),
        "BREWHOUSE_CATALOG_DATABASE_PREFIX": lake.shared.catalog_database_prefix,
        "BREWHOUSE_SOURCE_URL": url,
        "BREWHOUSE_EXTRACT_RETRY_WAIT_S": "0",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "brewhouse", "run"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
    )


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    assert process.stderr is not None
    said = []
    for text in process.stderr:
        said.append(text)
        if text.startswith(line):
            return
    raise AssertionError("".join(said))


def below(pid: int) -> dict[int, str]:
    """Give the processes that a process started, and those that these started, with their command lines."""
    parents, commands = {}, {}
    for folder in PROC.glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            commands[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return {child: commands.get(child, "") for child in found - {pid}}


@pytest.fixture(scope="module")
def source() -> Iterator[MockApiServer]:
    with MockApiServer(generate(ROWS, unusable=5)) as server:
        yield server


@pytest.fixture(scope="module")
def expected(
    source: MockApiServer, tmp_path_factory: pytest.TempPathFactory, content: Content
) -> dict[str, list[tuple[object, ...]]]:
    """What the embedded engine makes of it, undisturbed."""
    lake = Lake(tmp_path_factory.mktemp("undisturbed") / "lake")
    run_workflow(lake, settings("duckdb", source.url))
    return content(lake)


@pytest.mark.slow
def test_a_run_on_s3_outlives_the_loss_of_a_worker_in_each_of_its_jobs(
    source: MockApiServer,
    expected: dict[str, list[tuple[object, ...]]],
    shared_lake: Lake,
    small_spark: Mapping[str, str],
    content: Content,
) -> None:
    process = start(shared_lake, source.url, "local-cluster[2,1,1024]", small_spark)
    killed: set[int] = set()
    for line in ("model silver.rejected_breweries", "model gold.breweries_by_type_and_location"):
        wait_for(process, line)  # what came before it is kept by the workers now
        there = {pid for pid, command in below(process.pid).items() if "CoarseGrainedExecutorBackend" in command}
        one = min(there - killed)  # the cluster starts another for it
        os.kill(one, signal.SIGKILL)
        killed.add(one)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert content(shared_lake) == expected


def test_a_driver_killed_in_the_middle_publishes_nothing_and_the_next_run_completes(
    source: MockApiServer,
    expected: dict[str, list[tuple[object, ...]]],
    tmp_path: Path,
    small_spark: Mapping[str, str],
    spark_session: SparkSession,
    content: Content,
) -> None:
    lake = Lake(tmp_path / "lake")
    process = start(lake, source.url, "local[2]", small_spark)
    wait_for(process, "model silver.rejected_breweries")  # silver.breweries is written, this is being
    machines = list(below(process.pid))
    process.kill()
    process.communicate()
    assert Tables(lake).names() == []
    deadline = time.monotonic() + 60
    while any((PROC / str(pid) / "exe").exists() for pid in machines) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in machines if (PROC / str(pid) / "exe").exists()], "Spark goes on without its driver"
    spark_session.createDataFrame([], "n int")  # makes it the active one, whatever ran before
    run_workflow(lake, settings("spark", source.url))
    assert content(lake) == expected
