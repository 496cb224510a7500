"""The workflow on S3: the same rows as locally, one run at a time, and nothing half done when it is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath

import pytest
from tests.fault_proxy import FaultProxy, lost
from tests.mock_api.server import MockApiServer

from brewhouse.cli.jobs import run_jobs
from brewhouse.events.event import read_events
from brewhouse.events.run_reports import run_reports
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake
from brewhouse.lake.raw_snapshots import complete_runs
from brewhouse.lake.run_lock import holder, run_lock
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.runner import ExternalRun
from brewhouse.pipeline.workflow import JOBS, run_workflow
from brewhouse.query.connection import connect
from brewhouse.settings import load

Content = Callable[..., dict[str, list[tuple[object, ...]]]]
ROWS = 400
LINES = ("extract: 1 of", "model silver.rejected", "transform: silver")


@pytest.fixture(scope="module")
def source() -> Iterator[MockApiServer]:
    with MockApiServer(generate(ROWS, unusable=4)) as server:
        yield server


def start(lake: Lake, url: str) -> subprocess.Popen[bytes]:
    variables = {
        "BREWHOUSE_LAKE": str(lake.root),
        "BREWHOUSE_CATALOG_DATABASE_PREFIX": lake.shared.catalog_database_prefix,
        "BREWHOUSE_LOCK_TTL_S": str(lake.shared.lock_ttl_s),
        "BREWHOUSE_SOURCE_URL": url,
        "BREWHOUSE_EXTRACT_RETRY_WAIT_S": "0",
    }
    command = [sys.executable, "-m", "brewhouse", "run"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, **variables})


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()


def kill_after(process: subprocess.Popen[bytes], line: str) -> None:
    """Wait until a run says it is there, then kill it."""
    assert process.stderr is not None
    while (said := process.stderr.readline()) and not said.decode().startswith(line):
        pass
    process.kill()
    process.communicate()


def test_the_same_runs_give_the_same_rows_as_locally(
    shared_lake: Lake,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: Content,
) -> None:
    local = Lake(tmp_path / "lake")
    records = list(generate(ROWS, unusable=4))
    with MockApiServer(records[20:]) as source:
        settings = load({"source_url": source.url, "extract_retry_wait_s": 0})
        for lake in (local, shared_lake):
            run_jobs(lake, settings, JOBS, as_json=True)
        source.add(records[:20])
        source.remove([str(record["id"]) for record in records[30:35]])
        for lake in (local, shared_lake):
            run_jobs(lake, settings, JOBS, as_json=True)
    assert '"state": "SUCCEEDED"' in capsys.readouterr().out
    assert content(shared_lake, "bronze.breweries") == content(local, "bronze.breweries")
    assert len(content(local)["silver.brewery_changes"]) == ROWS - 20 - 4 + 20 + 5

    first = complete_runs(shared_lake)[0]
    with closing(connect(shared_lake, first)) as then, closing(connect(local, complete_runs(local)[0])) as locally:
        count = "SELECT count(*), min(name), max(name) FROM silver.breweries"
        assert then.execute(count).fetchall() == locally.execute(count).fetchall()


def test_a_killed_run_on_s3_leaves_nothing_half_published(
    shared_lake: Lake,
    source: MockApiServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: Content,
) -> None:
    settings = load({"source_url": source.url, "extract_retry_wait_s": 0})
    undisturbed = Lake(tmp_path / "lake")
    run_jobs(undisturbed, settings, JOBS, as_json=True)
    expected = content(undisturbed, "bronze.breweries")
    for line in LINES:
        kill_after(start(shared_lake, source.url), line)
        while holder(shared_lake) is not None:  # it expires
            time.sleep(0.1)
        found = content(shared_lake, "bronze.breweries") if Tables(shared_lake).names() else {}
        assert found == {name: expected[name] for name in found}
    run_jobs(shared_lake, settings, JOBS, as_json=True)
    assert content(shared_lake, "bronze.breweries") == expected
    states = [report.state for report in run_reports(read_events(shared_lake))]
    assert states == ["FAILED"] * len(LINES) + ["SUCCEEDED"]
    capsys.readouterr()


@pytest.mark.parametrize("status", [None, 500])
def test_a_run_that_loses_the_first_response_to_every_write_succeeds(
    shared_lake: Lake, source: MockApiServer, faulty_aws: FaultProxy, status: int | None
) -> None:
    settings = load({"source_url": source.url, "extract_retry_wait_s": 0})
    fault = faulty_aws.fail(lost("PUT /|DELETE /|CreateTable|UpdateTable", status=status, times=None))
    for job in JOBS:
        run_workflow(shared_lake, settings, (job,), external=ExternalRun("wr_1", f"jr_{job}", JOBS))
    names = {PurePosixPath(line.split()[1]).name for line in fault.hits}
    assert {"run.lock", "started.json", "manifest.json", "commit.json"} <= names
    assert len([name for name in names if name.startswith("page-")]) == ROWS // 200
    assert any("/staged/" in line for line in fault.hits)
    assert any("/events/" in line for line in fault.hits)
    faulty_aws.faults = []
    (report,) = run_reports(read_events(shared_lake))
    assert (report.state, holder(shared_lake)) == ("SUCCEEDED", None)
    with closing(connect(shared_lake)) as connection:
        assert connection.execute("SELECT count(*) FROM silver.breweries").fetchall() == [(ROWS - 4,)]


def test_a_second_run_is_refused_and_changes_nothing(shared_lake: Lake, source: MockApiServer) -> None:
    with run_lock(shared_lake, "FIRST"):
        before = sorted(map(str, shared_lake.root.rglob("*")))
        second = start(shared_lake, source.url)
        _, errors = second.communicate(timeout=60)
    assert second.returncode == 1
    assert "locked by run FIRST, started at" in errors.decode()
    assert sorted(map(str, shared_lake.root.rglob("*"))) == before
