"""A run publishes once: silver and gold together at its end, or neither."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.errors import BrewhouseError, ChecksFailed
from brewhouse.events.envelope import PUBLISHED
from brewhouse.events.event import read_events
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.workflow import JOBS, run_workflow
from brewhouse.settings import Settings, load

FAILS = "-- Too few.\n-- row count: at least 1000000\nSELECT count(*) AS brewery_count FROM silver.breweries"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def source() -> Iterator[MockApiServer]:
    with MockApiServer(generate(300)) as server:
        yield server


def settings_for(source: MockApiServer, **changes: object) -> Settings:
    return load({"source_url": source.url, "max_attempts": 1, **changes}, environ={})


def models(folder: Path, sql: str) -> Path:
    (folder / "gold").mkdir(parents=True)
    (folder / "gold" / "own.sql").write_text(sql)
    return folder


def snapshots(lake: Lake) -> dict[str, int]:
    """Name the current snapshot of each table."""
    tables = Tables(lake)
    return {name: now.snapshot_id for name in tables.names() if (now := tables.current(name))}


def test_silver_and_gold_are_published_by_one_event_with_one_commit_time(lake: Lake, source: MockApiServer) -> None:
    run_workflow(lake, settings_for(source))
    (event,) = [event for event in read_events(lake) if event.detail_type == PUBLISHED]
    names = {table["table"] for table in event.detail["tables"]}
    assert {name.partition(".")[0] for name in names} == {"silver", "gold"}
    assert names == snapshots(lake).keys()
    tables = Tables(lake)
    assert len({now.committed_at for name in names if (now := tables.current(name))}) == 1


def test_a_failing_check_of_a_gold_model_leaves_silver_unchanged(
    lake: Lake, source: MockApiServer, tmp_path: Path
) -> None:
    run_workflow(lake, settings_for(source))
    before = snapshots(lake)
    source.add(list(generate(310))[300:])
    failing = settings_for(source, models=models(tmp_path / "models", FAILS))
    with pytest.raises(ChecksFailed, match="Nothing was published"):
        run_workflow(lake, failing)
    assert snapshots(lake) == before
    run_workflow(lake, settings_for(source))
    assert snapshots(lake).keys() == before.keys()
    assert not set(snapshots(lake).values()) & set(before.values())


def test_the_first_run_with_a_failing_check_of_gold_publishes_nothing(
    lake: Lake, source: MockApiServer, tmp_path: Path
) -> None:
    with pytest.raises(ChecksFailed):
        run_workflow(lake, settings_for(source, models=models(tmp_path / "models", FAILS)))
    assert snapshots(lake) == {}


@pytest.mark.parametrize("jobs", [JOBS, ("transform", "aggregate")])
def test_a_user_defined_gold_model_reads_the_staged_silver_tables(
    lake: Lake, source: MockApiServer, tmp_path: Path, jobs: tuple[str, ...]
) -> None:
    sql = "-- Changes per run.\nSELECT snapshot_run, count(*) AS n FROM silver.brewery_changes GROUP BY snapshot_run"
    settings = settings_for(source, models=models(tmp_path / "models", sql))
    first = run_workflow(lake, settings)
    source.add(list(generate(303))[300:])
    run_workflow(lake, settings, ("extract",))
    run_workflow(lake, settings, jobs)
    from brewhouse.query.connection import connect

    counts = dict(connect(lake).execute("SELECT snapshot_run, n FROM gold.own").fetchall())
    assert (counts.pop(first), sorted(counts.values())) == (300, [3])


def test_jobs_that_run_alone_publish_their_own_tables(lake: Lake, source: MockApiServer) -> None:
    settings = settings_for(source)
    run_workflow(lake, settings, ("extract",))
    run_workflow(lake, settings, ("transform",))
    assert {name.partition(".")[0] for name in snapshots(lake)} == {"silver"}
    run_workflow(lake, settings, ("aggregate",))
    assert {name.partition(".")[0] for name in snapshots(lake)} == {"silver", "gold"}


def test_a_model_that_fails_while_it_runs_publishes_nothing(lake: Lake, source: MockApiServer, tmp_path: Path) -> None:
    sql = "-- Fails on rows.\nSELECT CAST(assert_true(count(*) < 0) AS STRING) AS x FROM silver.breweries"
    with pytest.raises(BrewhouseError):
        run_workflow(lake, settings_for(source, models=models(tmp_path / "models", sql)))
    assert snapshots(lake) == {}
