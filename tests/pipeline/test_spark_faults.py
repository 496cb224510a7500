"""Workers and the driver are killed, tasks fail or run twice: what a run on Spark publishes has each row once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyarrow import BufferReader, parquet
from tests.mock_api.server import MockApiServer

from brewhouse.engines.spark import SparkEngine
from brewhouse.iceberg.table_spec import Column, TableSpec
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake, path_at
from brewhouse.lake.run_lock import holder
from brewhouse.mock_api.dataset import generate
from brewhouse.models.model import parse
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.settings import Settings, load

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

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
        "BREWHOUSE_LOCK_TTL_S": "2",
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
    process.communicate()
    raise AssertionError("".join(said))


def kill(process: subprocess.Popen[str], lake: Lake) -> None:
    """Kill a driver and wait for the end of its lock, which on S3 is a lease."""
    process.kill()
    process.communicate()
    while holder(lake):
        time.sleep(0.05)


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


@pytest.fixture(params=["in a folder", "on S3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake") if request.param == "in a folder" else request.getfixturevalue("shared_lake")


@pytest.mark.slow
def test_a_run_outlives_the_loss_of_a_worker_in_each_of_its_jobs(
    source: MockApiServer,
    expected: dict[str, list[tuple[object, ...]]],
    lake: Lake,
    small_spark: Mapping[str, str],
    content: Content,
) -> None:
    process = start(lake, source.url, "local-cluster[2,1,1024]", small_spark)
    killed: set[int] = set()
    for line in ("model silver.rejected_breweries", "model gold.breweries_by_type_and_location"):
        wait_for(process, line)  # what came before it is kept by the workers now
        there = {pid for pid, command in below(process.pid).items() if "CoarseGrainedExecutorBackend" in command}
        one = min(there - killed)  # the cluster starts another for it
        os.kill(one, signal.SIGKILL)
        killed.add(one)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert content(lake) == expected


@pytest.mark.slow
def test_a_driver_killed_in_each_job_publishes_nothing_and_the_next_run_completes(
    source: MockApiServer,
    expected: dict[str, list[tuple[object, ...]]],
    lake: Lake,
    small_spark: Mapping[str, str],
    content: Content,
) -> None:
    for line in ("model silver.suspect_breweries", "model gold.breweries_by_type_and_location"):
        process = start(lake, source.url, "local[2]", small_spark)
        wait_for(process, line)
        kill(process, lake)
        assert Tables(lake).names() == []
    process = start(lake, source.url, "local[2]", small_spark)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert content(lake) == expected


@pytest.mark.slow
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
    kill(process, lake)
    assert Tables(lake).names() == []
    deadline = time.monotonic() + 60
    while any((PROC / str(pid) / "exe").exists() for pid in machines) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in machines if (PROC / str(pid) / "exe").exists()], "Spark goes on without its driver"
    spark_session.createDataFrame([], "n int")  # makes it the active one, whatever ran before
    run_workflow(lake, settings("spark", source.url))
    assert content(lake) == expected


NUMBERS = 20_000
SPEC = TableSpec("silver.numbers", "", (Column("n", "long", "", 1), Column("half", "int", "", 2)), ("half",), ("n",))


def write_numbers(session: SparkSession, folder: Path, passes: Callable[[int], bool]) -> dict[str, list[Any]]:
    """Write numbers, each of which has to pass in the tasks that write; return those in each file of the table."""
    from pyspark.sql import functions as f

    # Without type hints, which PySpark would interpret; nondeterministic, so that it stays where it is in the plan.
    passing = f.udf(lambda n: passes(n), "boolean").asNondeterministic()  # noqa: PLW0108

    class Engine(SparkEngine):
        def _write_files(self, rows: DataFrame, folder: Path) -> list[str]:
            return super()._write_files(rows.where(passing("n")), folder)

    engine = Engine(session)
    half = "CAST(n % 2 AS INT) AS half"
    engine.compute(parse(SPEC.name, f"SELECT n, {half} FROM (SELECT explode(sequence(1, {NUMBERS})) AS n) AS numbers"))
    files = engine.write(SPEC, {"n": 1, "half": 2}, folder)
    assert engine.rows("SELECT count(*) AS n, count(DISTINCT n) AS d FROM silver.numbers") == [
        {"n": NUMBERS, "d": NUMBERS}
    ]
    engine.close()
    return {file: numbers_of(path_at(file)) for file in files}


def numbers_of(file: Path) -> list[Any]:
    """Read a file without threads: those of PyArrow may abort a process that ends soon after (apache/arrow#34314)."""
    return parquet.ParquetFile(BufferReader(file.read_bytes())).read(["n"], use_threads=False)["n"].to_pylist()


@pytest.fixture(params=["in a folder", "on S3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path if request.param == "in a folder" else path_at(f"{request.getfixturevalue('spark_on_s3')}/attempts")


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_a_task_that_fails_after_it_wrote_leaves_no_row_twice_and_no_file(
    spark_session: SparkSession, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    failed = tmp_path_factory.mktemp("failed")
    spark_session.sparkContext.pythonExec = sys.executable

    def passes(n: int) -> bool:
        from pyspark import TaskContext

        context = TaskContext.get()
        if context is not None and context.attemptNumber() == 0 and n > NUMBERS - 100:  # the last of its task
            (failed / str(context.partitionId())).touch()
            raise RuntimeError("the first attempt fails")
        return True

    files = write_numbers(spark_session, folder, passes)
    assert list(failed.iterdir())
    assert sorted(n for numbers in files.values() for n in numbers) == list(range(1, NUMBERS + 1))
    assert {str(path) for path in folder.rglob("*.parquet")} == set(files)


SPECULATION = {
    "spark.speculation": "true",
    "spark.speculation.interval": "100ms",
    "spark.speculation.minTaskRuntime": "100ms",
    "spark.speculation.multiplier": "1.1",
    "spark.speculation.quantile": "0.1",
    "spark.speculation.task.duration.threshold": "1s",
}
SPECULATE = """
import json, os, sys, time
from pathlib import Path
sys.path.insert(0, os.environ["TESTS"])
from tests.pipeline.test_spark_faults import write_numbers
from brewhouse.engines.spark_session import open_session
from brewhouse.lake.lake import path_at

seen, place = Path(sys.argv[1]), sys.argv[2]

def passes(n):
    from pyspark import TaskContext
    context = TaskContext.get()
    (seen / f"{context.partitionId()}-{context.attemptNumber()}").touch()
    if context.attemptNumber() == 0 and context.partitionId() == 0:
        time.sleep(0.5)
    return True

session = open_session(os.environ["BREWHOUSE_SPARK_MASTER"], 512, s3a=place.startswith("s3://"))
session.sparkContext.pythonExec = sys.executable
print("FILES", json.dumps(write_numbers(session, path_at(place), passes)))
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """The URL of a master with two workers of different hosts, as a speculative copy of a task runs on another host."""
    pyspark = pytest.importorskip("pyspark", reason="needs PySpark, as `pip install 'brewhouse[spark]'` brings it")
    program = str(Path(pyspark.__file__).with_name("bin") / "spark-class")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    url, package = f"spark://127.0.0.1:{port}", "org.apache.spark.deploy"
    commands = [[f"{package}.master.Master", "--host", "127.0.0.1", "--port", port, "--webui-port", "0"]]
    for host in ("127.0.0.2", "127.0.0.3"):
        options = ["--host", host, "--cores", "1", "--memory", "800m", "--webui-port", "0"]
        commands.append([f"{package}.worker.Worker", *options, "--work-dir", str(tmp_path / host), url])
    processes = [
        subprocess.Popen([program, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for command in commands
    ]
    yield url
    for process in processes[::-1]:
        process.terminate()
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("where", ["in a folder", "on S3"])
def test_a_task_that_runs_twice_by_speculation_leaves_no_row_twice(
    where: str, cluster: str, tmp_path: Path, small_spark: Mapping[str, str], request: pytest.FixtureRequest
) -> None:
    place = str(tmp_path / "data") if where == "in a folder" else f"{request.getfixturevalue('bucket')}/speculation"
    (seen := tmp_path / "seen").mkdir()
    Path(tmp_path / "data").mkdir()
    options = {**SPECULATION, "spark.executor.memory": "700m", "spark.driver.host": "127.0.0.1"}
    arguments = " ".join(f"--conf {name}={value}" for name, value in options.items())
    ended = subprocess.run(
        [sys.executable, "-c", SPECULATE, str(seen), place],
        env={
            **os.environ,
            **small_spark,
            "PYSPARK_SUBMIT_ARGS": f"{arguments} {small_spark['PYSPARK_SUBMIT_ARGS']}",
            "PYSPARK_PYTHON": sys.executable,
            "BREWHOUSE_SPARK_MASTER": cluster,
            "TESTS": str(Path(__file__).parents[2]),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    assert (seen / "0-1").exists()
    files = json.loads(ended.stdout.rpartition("FILES ")[2])
    assert sorted(n for numbers in files.values() for n in numbers) == list(range(1, NUMBERS + 1))
