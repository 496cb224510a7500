"""Pages that are cleaned while others are fetched: the tables are the same, whatever became of the pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.lake.lake import Lake
from brewhouse.lake.manifest import Page
from brewhouse.mock_api.dataset import generate
from brewhouse.models.model import Model
from brewhouse.pipeline import input_tables
from brewhouse.pipeline.input_tables import EarlyCleaning
from brewhouse.pipeline.workflow import JOBS, run_workflow
from brewhouse.query.connection import connect
from brewhouse.settings import load

ROWS = 2_250
BREWERIES = "SELECT * EXCLUDE (snapshot_run, snapshot_time) FROM silver.breweries ORDER BY id"


@pytest.fixture
def early(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """The pages of each batch that is cleaned early, from 500 records on, before the next page is fetched."""
    batches: list[Sequence[str]] = []
    add, compute_ahead = EarlyCleaning.add, DuckDBEngine.compute_ahead

    def add_and_wait(cleaning: EarlyCleaning, folder: Path, page: Page) -> None:
        add(cleaning, folder, page)
        if cleaning._running is not None:
            cleaning._running.result()

    def record(engine: DuckDBEngine, models: Sequence[Model], files: Sequence[str]) -> None:
        compute_ahead(engine, models, files)
        batches.append(files)

    monkeypatch.setattr(input_tables, "_RECORDS_AT_ONCE", 500)
    monkeypatch.setattr(EarlyCleaning, "add", add_and_wait)
    monkeypatch.setattr(DuckDBEngine, "compute_ahead", record)
    return batches


@pytest.fixture
def api() -> Iterator[MockApiServer]:
    with MockApiServer(generate(ROWS)) as server:
        yield server


def breweries_of(folder: Path, api: MockApiServer, *jobs: Sequence[str]) -> list[tuple[object, ...]]:
    """Run jobs into a new lake, each group as a run, and return the breweries."""
    lake = Lake(folder)
    for names in jobs:
        run_workflow(lake, load({"source_url": api.url, "extract_retry_wait_s": 0}, environ={}), names)
    with connect(lake) as connection:
        return list(connection.execute(BREWERIES).fetchall())


def test_a_run_that_cleans_early_makes_the_tables_of_jobs_that_run_alone(
    early: list[Sequence[str]], api: MockApiServer, tmp_path: Path
) -> None:
    alone = breweries_of(tmp_path / "alone", api, ["extract"], ["transform"])
    assert (early, len(alone) > ROWS * 0.9) == ([], True)
    assert breweries_of(tmp_path / "run", api, JOBS) == alone
    assert [len(files) for files in early] == [3, 3, 3]


def test_a_page_that_changed_after_it_was_cleaned_counts_as_it_is_now(
    early: list[Sequence[str]], api: MockApiServer, tmp_path: Path
) -> None:
    api.inject("change=40,after=8")  # all pages are fetched again
    rows = breweries_of(tmp_path / "run", api, JOBS)
    api.inject()
    assert len(early) > 3
    assert rows == breweries_of(tmp_path / "later", api, ["extract"], ["transform"])


def test_a_failure_of_the_early_cleaning_is_left_to_transform(
    early: list[Sequence[str]], monkeypatch: pytest.MonkeyPatch, api: MockApiServer, tmp_path: Path
) -> None:
    compute_ahead = DuckDBEngine.compute_ahead

    def fail_after_the_first(engine: DuckDBEngine, models: Sequence[Model], files: Sequence[str]) -> None:
        compute_ahead(engine, models, files if not early else ["/no/such/page-1.0.jsonl.gz"])

    monkeypatch.setattr(DuckDBEngine, "compute_ahead", fail_after_the_first)
    rows = breweries_of(tmp_path / "run", api, JOBS)
    assert len(early) == 1
    assert rows == breweries_of(tmp_path / "alone", api, ["extract"], ["transform"])
