"""The script of the Glue jobs runs each job of the workflow on a lake, and prints its progress."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.aws.functions.normalize import WORKFLOWS
from brewhouse.aws.glue_job import arguments_of, main, start_spark
from brewhouse.errors import BrewhouseError
from brewhouse.events.event import read_events
from brewhouse.events.run_reports import run_reports
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate
from brewhouse.query.connection import connect

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS = 60
RunJob = Callable[..., None]


@pytest.fixture
def source() -> Iterator[MockApiServer]:
    with MockApiServer(generate(ROWS)) as server:
        yield server


@pytest.fixture
def run_job(source: MockApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunJob:
    """Run a job as Glue does, on a local lake."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "BREWHOUSE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_REGION", "us-east-1")

    def run(job: str, *arguments: str, engine: str = "duckdb") -> None:
        ours = ["--job", job, "--lake", str(tmp_path / "lake"), "--engine", engine, "--source-url", source.url]
        ours += ["--catalog-database-prefix", "brewhouse", "--aws-region", "eu-central-1"]
        main([*ours, *arguments])

    return run


@pytest.mark.parametrize("job", WORKFLOWS)
def test_arguments_of_glue_are_accepted_and_ignored(job: str) -> None:
    required = {"--lake": "s3://b/lake", "--engine": "spark", "--source-url": "u", "--aws-region": "eu-central-1"}
    ours = ["--job", job, "--catalog-database-prefix", "c", *(text for pair in required.items() for text in pair)]
    glue = ["--JOB_NAME", "x", "--JOB_RUN_ID", "jr_1", "--job-bookmark-option", "job-bookmark-disable", "true"]
    given = arguments_of([*glue[:4], *ours, *glue[4:]])
    assert (given.job, given.lake, given.engine, given.job_run) == (job, "s3://b/lake", "spark", "jr_1")
    assert (given.workflow_run, given.retries) == (None, 0)


@pytest.mark.parametrize("arguments", [["--job", "crawl"], ["--job", "extract"], []])
def test_a_missing_or_invalid_argument_ends_the_script(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments_of(arguments)
    assert ended.value.code == 2
    assert "--" in capsys.readouterr().err


def test_the_jobs_of_a_workflow_run_are_one_run_of_the_lake(
    run_job: RunJob, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for job in ("extract", "transform", "aggregate"):
        run_job(job, "--WORKFLOW_RUN_ID", "wr_1", "--JOB_RUN_ID", f"jr_{job}", "--retries", "1")
    printed = capsys.readouterr().out.splitlines()
    started = [line.removesuffix(": started") for line in printed if line.endswith(": started")]
    assert started == ["extract", "transform", "aggregate"]
    assert any(line.endswith(" pages") for line in printed)
    assert "model silver.breweries" in printed
    lake = Lake(tmp_path / "lake")
    [report] = run_reports(read_events(lake))
    assert (report.state, report.workflow_run) == ("SUCCEEDED", "wr_1")
    assert [job.state for job in report.jobs] == ["SUCCEEDED"] * 3
    with closing(connect(lake)) as connection:
        assert connection.execute("SELECT count(*) FROM silver.breweries").fetchall() == [(ROWS,)]


def test_a_job_outside_of_a_workflow_run_is_a_run_of_its_own(run_job: RunJob, tmp_path: Path) -> None:
    for job in WORKFLOWS:
        run_job(job)
    reports = run_reports(read_events(Lake(tmp_path / "lake")))
    assert [(report.planned or [report.workflow], report.workflow_run, report.state) for report in reports] == [
        ([job], "", "SUCCEEDED") for job in WORKFLOWS
    ]


def test_a_failed_job_raises_its_error(run_job: RunJob) -> None:
    with pytest.raises(BrewhouseError, match="extract"):
        run_job("transform", "--WORKFLOW_RUN_ID", "wr_1", "--JOB_RUN_ID", "jr_1")


def test_the_region_of_the_stack_is_used_unless_one_is_set(run_job: RunJob, monkeypatch: pytest.MonkeyPatch) -> None:
    run_job("extract")
    assert os.environ["AWS_REGION"] == "us-east-1"
    monkeypatch.delenv("AWS_REGION")
    run_job("extract")
    assert os.environ["AWS_REGION"] == "eu-central-1"


@pytest.mark.slow  # it needs a session of its own
def test_spark_shuffles_into_twice_as_many_partitions_as_the_executors_have_cores(spark_session: SparkSession) -> None:
    spark_session.createDataFrame([], "n int")  # makes it the active one, whatever ran before
    before = spark_session.conf.get("spark.sql.shuffle.partitions")
    try:
        for worker_type, workers, partitions in (("G.1X", 2, "8"), ("G.2X", 6, "80"), ("G.1X", 50, "392")):
            start_spark(worker_type, workers)
            assert spark_session.conf.get("spark.sql.shuffle.partitions") == partitions
    finally:
        spark_session.conf.set("spark.sql.shuffle.partitions", str(before))


def test_extract_and_duckdb_start_no_spark(run_job: RunJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    run_job("extract", engine="spark")
    run_job("transform", engine="duckdb")
    with pytest.raises(ImportError, match="pyspark"):
        run_job("transform", engine="spark")
