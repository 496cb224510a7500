"""The workflow as a whole: on the real dataset, twice, one at a time, and when a check fails."""

from __future__ import annotations

import csv
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from brewhouse.demo.dataset import generate, read_csv
from brewhouse.demo.stand_in import StandIn
from brewhouse.errors import BrewhouseError, ChecksFailed
from brewhouse.events.event import read_events
from brewhouse.events.runs import run_reports
from brewhouse.jobs.workflow import run_workflow
from brewhouse.lake.lake import Lake
from brewhouse.lake.lock import run_lock
from brewhouse.lake.reading import connect
from brewhouse.lake.tables import Tables
from brewhouse.settings import load

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data/breweries-*.csv")


class Quiet:
    """Shows nothing."""

    def job_started(self, name: str) -> None: ...

    def pages(self, done: int, total: int) -> None: ...

    def model(self, name: str) -> None: ...

    def job_ended(self, name: str, message: str, seconds: float) -> None: ...


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def run(lake: Lake, url: str, jobs: tuple[str, ...] = ("extract", "transform", "aggregate"), **changes: object) -> str:
    quick = {"retry_wait_s": 0.0, "retake_wait_s": 0.0, "max_tries": 2}
    return run_workflow(lake, load({"source_url": url, **quick, **changes}, environ={}), Quiet(), jobs)


def totals(lake: Lake, column: str, at: str | None = None) -> dict[str, int]:
    sql = f"SELECT {column}, sum(brewery_count) FROM gold.breweries_by_type_and_location GROUP BY 1"
    with closing(connect(lake, at)) as connection:
        return {name: int(number) for name, number in connection.execute(sql).fetchall()}


def counted(version: str, column: str) -> dict[str, int]:
    with (DATA / f"breweries-{version}.csv").open(encoding="utf-8", newline="") as file:
        return dict(Counter(" ".join(row[column].split()) for row in csv.DictReader(file)))


@needs_data
def test_the_real_dataset_gives_the_totals_counted_from_its_csv(lake: Lake) -> None:
    with StandIn(read_csv(DATA / "breweries-2026-08-02.csv")) as stand_in:
        run(lake, stand_in.url)
    assert totals(lake, "country") == counted("2026-08-02", "country")
    assert totals(lake, "brewery_type") == counted("2026-08-02", "brewery_type")


@needs_data
def test_two_versions_after_each_other_show_the_second_and_remember_the_first(lake: Lake) -> None:
    runs = []
    for version in ("2025-10-03", "2026-08-02"):
        with StandIn(read_csv(DATA / f"breweries-{version}.csv")) as stand_in:
            runs.append(run(lake, stand_in.url))
    assert totals(lake, "country") == counted("2026-08-02", "country")
    assert totals(lake, "brewery_type", at=runs[0]) == counted("2025-10-03", "brewery_type")
    assert len(Tables(lake).history("silver.breweries")) == 2


def test_records_that_cannot_be_used_are_kept_apart_and_counted(lake: Lake) -> None:
    with StandIn(generate(500, unusable=7)) as stand_in:
        run(lake, stand_in.url)
    tables = Tables(lake)
    rows = {name: now.rows for name in tables.names() if (now := tables.current(name))}
    assert (rows["silver.breweries"], rows["silver.rejected_breweries"]) == (493, 7)


def test_a_job_that_did_its_work_changes_nothing_and_says_so(lake: Lake) -> None:
    with StandIn(generate(300)) as stand_in:
        run(lake, stand_in.url)
        before = {name: Tables(lake).history(name) for name in Tables(lake).names()}
        run(lake, stand_in.url, ("transform", "aggregate"))
    assert {name: Tables(lake).history(name) for name in Tables(lake).names()} == before
    report = run_reports(read_events(lake))[-1]
    assert all("nothing to do" in job.message for job in report.jobs)


def test_a_second_run_is_refused_with_the_first_ones_id_and_start(lake: Lake) -> None:
    with run_lock(lake, "FIRST"), pytest.raises(BrewhouseError, match=r"Run FIRST has been going on it since \d{4}-"):
        run(lake, "http://127.0.0.1:1/v1")


def test_a_fall_of_the_count_stops_the_publishing_and_is_told(lake: Lake) -> None:
    with StandIn(generate(500)) as stand_in:
        run(lake, stand_in.url)
        before = Tables(lake).current("silver.breweries")
        stand_in.remove([str(record["id"]) for record in generate(500)][:150])
        with pytest.raises(ChecksFailed, match="500 published, 350 now"):
            run(lake, stand_in.url)
        assert Tables(lake).current("silver.breweries") == before
        report = run_reports(read_events(lake))[-1]
        assert report.state == "FAILED"
        assert [check["found"] for check in report.checks if not check["passed"]] == [150]
        run(lake, stand_in.url, max_count_drop_percent=40)
    assert sum(totals(lake, "country").values()) == 350


def test_a_source_that_is_down_publishes_nothing_and_the_run_says_why(lake: Lake) -> None:
    with pytest.raises(BrewhouseError, match="ConnectError"):
        run(lake, "http://127.0.0.1:1/v1")
    assert not lake.views_file.exists()
    assert "ConnectError" in run_reports(read_events(lake))[-1].error
