"""The workflow as a whole: twice, one run at a time, and when a check fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.errors import BrewhouseError, ChecksFailed
from brewhouse.events.event import read_events
from brewhouse.events.run_reports import run_reports
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import run_lock
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.query.connection import connect
from brewhouse.query.views import views_copy
from brewhouse.settings import load


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def run(lake: Lake, url: str, jobs: tuple[str, ...] = ("extract", "transform", "aggregate"), **changes: object) -> str:
    quick = {"retry_initial_wait_s": 0.0, "extract_retry_wait_s": 0.0, "max_attempts": 2}
    return run_workflow(lake, load({"source_url": url, **quick, **changes}, environ={}), jobs)


def totals(lake: Lake, column: str, at: str | None = None) -> dict[str, int]:
    sql = f"SELECT {column}, sum(brewery_count) FROM gold.breweries_by_type_and_location GROUP BY 1"
    with closing(connect(lake, at)) as connection:
        return {name: int(number) for name, number in connection.execute(sql).fetchall()}


def test_rejected_records_are_kept_apart_and_counted(lake: Lake) -> None:
    with MockApiServer(generate(500, unusable=7)) as server:
        run(lake, server.url)
    tables = Tables(lake)
    rows = {name: now.rows for name in tables.names() if (now := tables.current(name))}
    assert (rows["silver.breweries"], rows["silver.rejected_breweries"]) == (493, 7)


def test_a_run_ends_though_the_preparation_of_its_later_jobs_never_does(tmp_path: Path) -> None:
    prepares_forever = (
        "import threading, brewhouse.pipeline.workflow as workflow; from brewhouse.cli.main import start; "
        "workflow._prepare_later_jobs = threading.Event().wait; start()"
    )
    flags = ("run", "--lake", str(tmp_path / "lake"), "--source-url", "http://127.0.0.1:1")
    ended = subprocess.run(
        [sys.executable, "-c", prepares_forever, *flags],
        env=os.environ | {"BREWHOUSE_MAX_ATTEMPTS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, "Cannot connect" in ended.stderr) == (1, True), ended.stderr


def test_a_repeated_job_has_nothing_to_do(lake: Lake) -> None:
    with MockApiServer(generate(300)) as server:
        run(lake, server.url)
        before = {name: Tables(lake).history(name) for name in Tables(lake).names()}
        run(lake, server.url, ("transform", "aggregate"))
    assert {name: Tables(lake).history(name) for name in Tables(lake).names()} == before
    report = run_reports(read_events(lake))[-1]
    assert all("nothing to do" in job.message for job in report.jobs)


def test_a_second_run_is_refused_with_the_first_ones_id_and_start(lake: Lake) -> None:
    with run_lock(lake, "FIRST"), pytest.raises(BrewhouseError, match=r"locked by run FIRST, started at \d{4}-"):
        run(lake, "http://127.0.0.1:1/v1")


def test_a_drop_of_the_count_fails_the_checks(lake: Lake) -> None:
    with MockApiServer(generate(500)) as server:
        run(lake, server.url)
        before = Tables(lake).current("silver.breweries")
        server.remove([str(record["id"]) for record in generate(500)][:150])
        with pytest.raises(ChecksFailed, match="500 published, 350 now"):
            run(lake, server.url)
        assert Tables(lake).current("silver.breweries") == before
        report = run_reports(read_events(lake))[-1]
        assert report.state == "FAILED"
        assert [check["found"] for check in report.checks if not check["passed"]] == [150]
        run(lake, server.url, max_count_drop_percent=40)
    assert sum(totals(lake, "country_name").values()) == 350


def test_an_unavailable_source_fails_the_run_with_the_reason(lake: Lake) -> None:
    with pytest.raises(BrewhouseError, match="ClientConnectorError"):
        run(lake, "http://127.0.0.1:1/v1")
    assert not lake.views_file.exists()
    assert "ClientConnectorError" in run_reports(read_events(lake))[-1].error


def test_gold_that_disagrees_with_the_source_is_not_published(lake: Lake) -> None:
    with MockApiServer(generate(300)) as server:
        run(lake, server.url, ("extract", "transform"))
    (file,) = lake.root.rglob("manifest.json")
    manifest = json.loads(file.read_bytes())
    manifest["meta_after"]["by_type"]["micro"] += 3
    file.write_text(json.dumps(manifest))
    before = Tables(lake).names()
    with pytest.raises(ChecksFailed, match="by_type") as failure:
        run(lake, "http://127.0.0.1:1/v1", ("aggregate",))
    assert failure.value.exit_code == 3
    assert Tables(lake).names() == before
    assert not any(name.startswith("gold.") for name in before)
    report = run_reports(read_events(lake))[-1]
    assert [check["name"] for check in report.checks if not check["passed"]] == ["its counts equal /meta's own by_type"]


def test_an_incomplete_extract_publishes_nothing(lake: Lake) -> None:
    with MockApiServer(generate(300)) as server:
        run(lake, server.url)
        before = {name: Tables(lake).history(name) for name in Tables(lake).names()}
        server.inject("meta_group=by_type:micro:+3")
        with pytest.raises(BrewhouseError, match="micro"):
            run(lake, server.url)
    assert {name: Tables(lake).history(name) for name in Tables(lake).names()} == before
    report = run_reports(read_events(lake))[-1]
    assert [(job.name, job.state) for job in report.jobs] == [("extract", "FAILED")]


def test_a_repeated_job_refreshes_views_that_a_killed_run_left_stale(lake: Lake) -> None:
    with MockApiServer(generate(300)) as server:
        run(lake, server.url)
        before = lake.views_file.read_bytes()
        server.remove([str(record["id"]) for record in generate(300)][:10])
        run(lake, server.url)
        lake.views_file.write_bytes(before)  # as when the run was killed between its commit and its views
        shutil.rmtree(lake.own_views)
        assert sum(totals(lake, "country_name").values()) == 290, "our readers use the catalog"
        run(lake, server.url, ("aggregate",))
    with duckdb.connect(str(lake.views_file), read_only=True) as client:
        assert client.execute("SELECT count(*) FROM silver.breweries").fetchall() == [(290,)]
    (copy,) = lake.own_views.iterdir()
    assert copy == views_copy(lake)
