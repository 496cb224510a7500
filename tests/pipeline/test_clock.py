"""Wrong clocks: a run publishes what it fetched, in the order of the runs, and reports a clock that was set back."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.mock_api.server import MockApiServer

from brewhouse import ids
from brewhouse.api.contract import FIELDS
from brewhouse.backfill.backfill_job import run_backfill
from brewhouse.backfill.version_sources import DatasetVersion
from brewhouse.errors import BrewhouseError
from brewhouse.events.event import read_events
from brewhouse.events.run_reports import RunReport, run_reports
from brewhouse.ids import day_of, id_at
from brewhouse.lake.lake import Lake
from brewhouse.lake.raw_snapshots import complete_runs
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.runner import ExternalRun
from brewhouse.pipeline.workflow import JOBS, run_workflow
from brewhouse.query.connection import connect
from brewhouse.settings import load

FUTURE = datetime(2062, 5, 14, tzinfo=UTC)
RECORDS = list(generate(30))


@pytest.fixture(autouse=True)
def _ids_of_the_present_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "_last", 0)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def source() -> Iterator[MockApiServer]:
    with MockApiServer(RECORDS) as server:
        yield server


def run(lake: Lake, source: MockApiServer, *jobs: str, **changes: object) -> str:
    quick = {"source_url": source.url, "max_attempts": 1, "per_page_rows": 10, "concurrency": 1}
    return run_workflow(lake, load({**quick, **changes}, environ={}), jobs or JOBS)


def backfill_future(lake: Lake) -> None:
    """Load a version of the future, as Brewhouse did when it accepted any date."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows({**{name: record.get(name) or "" for name in FIELDS}, "name": "Future"} for record in RECORDS)
    version = DatasetVersion("breweries-2062-05-14.csv", FUTURE, text.getvalue().encode)
    run_backfill(lake, load({}, environ={}), [version])


def shown(lake: Lake) -> list[str]:
    with closing(connect(lake)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM silver.breweries ORDER BY id").fetchall()]


def last_report(lake: Lake) -> RunReport:
    return run_reports(read_events(lake))[-1]


def clock_warnings(report: RunReport) -> list[dict[str, Any]]:
    return [check for check in report.checks if check["name"] == "the clock was not set back"]


def test_a_run_publishes_its_snapshot_after_one_dated_in_the_future_and_warns(
    lake: Lake, source: MockApiServer
) -> None:
    backfill_future(lake)
    assert set(shown(lake)) == {"Future"}
    for name in ("First", "Second"):
        source.change(str(RECORDS[0]["id"]), name=name)
        done = run(lake, source)
        assert shown(lake).count("Future") == 0
        assert name in shown(lake)
        (warning,) = clock_warnings(last_report(lake))
        assert (warning["severity"], warning["job"]) == ("warning", "extract")
        assert "is dated 2062-05-1" in warning["example"]
        assert last_report(lake).run == done
    with closing(connect(lake)) as connection:
        log = connection.execute("SELECT kind, name FROM silver.brewery_changes WHERE id = ? ORDER BY snapshot_run",
                                 [RECORDS[0]["id"]]).fetchall()  # fmt: skip
    assert log == [("added", "Future"), ("changed", "First"), ("changed", "Second")]


def test_a_transform_alone_publishes_the_newest_in_the_order_of_runs(lake: Lake, source: MockApiServer) -> None:
    backfill_future(lake)
    source.change(str(RECORDS[0]["id"]), name="Fetched")
    run(lake, source, "extract")
    run(lake, source, "transform")
    assert "Fetched" in shown(lake)


def test_a_run_after_the_clock_was_set_back_is_later_than_the_last_one_and_warns(
    lake: Lake, source: MockApiServer
) -> None:
    run(lake, source)
    assert clock_warnings(last_report(lake)) == []
    lock = json.loads(lake.lock_file.read_bytes())
    lake.lock_file.write_text(json.dumps({**lock, "run": id_at(FUTURE, b"")}))
    done = run(lake, source)
    assert day_of(done) == "2062-05-14"
    assert complete_runs(lake)[-1] == last_report(lake).run == done
    assert len(clock_warnings(last_report(lake))) == 1
    assert run(lake, source) > done


def test_an_interrupted_snapshot_is_not_resumed_after_a_newer_one_was_published(
    lake: Lake, source: MockApiServer
) -> None:
    source.inject("reset,page=3")
    with pytest.raises(BrewhouseError):
        run(lake, source)
    source.inject()
    other = run(lake, source, per_page_rows=15)
    source.change(str(RECORDS[0]["id"]), name="Fetched")
    done = run(lake, source)
    assert complete_runs(lake) == [other, done]
    assert "Fetched" in shown(lake)


def test_a_resumed_snapshot_is_published_by_the_run_that_completes_it(lake: Lake, source: MockApiServer) -> None:
    source.inject("reset,page=3")
    with pytest.raises(BrewhouseError):
        run(lake, source)
    source.inject()
    done = run(lake, source)
    (snapshot,) = complete_runs(lake)
    assert snapshot < done
    extracted = last_report(lake).jobs[0]
    assert (extracted.counts["resumed_pages"], extracted.raw_snapshot) == (2, snapshot)
    assert len(shown(lake)) == len(RECORDS)


def test_jobs_of_one_external_run_publish_the_snapshot_that_its_extract_completed(
    lake: Lake, source: MockApiServer
) -> None:
    def start(job: str) -> None:
        settings = load({"source_url": source.url}, environ={})
        run_workflow(lake, settings, (job,), external=ExternalRun("wr_1", "jr_1", JOBS))

    start("extract")
    backfill_future(lake)
    start("transform")
    start("aggregate")
    assert "Future" not in shown(lake)


def test_an_extract_alone_reports_the_snapshot_it_completed(lake: Lake, source: MockApiServer) -> None:
    done = run(lake, source, "extract")
    assert [job.raw_snapshot for job in last_report(lake).jobs] == [done]
