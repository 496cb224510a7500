"""A published state of the lake is opened once, cached, and replaced when the lake publishes again."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.console.lake_reader import LakeReader
from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.settings import load


def publish(lake: Lake, breweries: int) -> None:
    with MockApiServer(generate(breweries)) as source:
        run_workflow(lake, load({"source_url": source.url}, environ={}))


def count(reader: LakeReader, at: str | None = None) -> int:
    row = reader.state(at).cursor().execute("SELECT count(*) FROM silver.breweries").fetchone()
    return int(row[0]) if row else 0


def test_a_state_is_opened_once_until_the_lake_publishes_again(console_lake: Lake) -> None:
    reader = LakeReader(console_lake)
    first = reader.state()
    assert reader.state() is reader.state("") is first
    console_lake.catalog_file.touch()
    assert reader.state() is not first


def test_concurrent_requests_share_one_state(console_lake: Lake) -> None:
    reader = LakeReader(console_lake)
    barrier = threading.Barrier(8)

    def request(number: int) -> tuple[int, int]:
        barrier.wait()
        state = reader.state()
        row = state.cursor().execute("SELECT count(*) FROM silver.breweries WHERE id <> ?", [str(number)]).fetchone()
        return id(state), int(row[0]) if row else 0

    with ThreadPoolExecutor(8) as threads:
        results = set(threads.map(request, range(8)))
    assert results == {(id(reader.state()), 400)}


def test_a_value_is_computed_once_and_an_error_is_not_cached(console_lake: Lake) -> None:
    state = LakeReader(console_lake).state()
    calls: list[str] = []

    def fail() -> None:
        calls.append("fail")
        raise BrewhouseError("not now")

    for _ in range(2):
        with pytest.raises(BrewhouseError):
            state.cached("key", fail)

    def succeed() -> str:
        calls.append("ok")
        return "value"

    assert [state.cached("key", succeed) for _ in range(3)] == ["value"] * 3
    assert calls == ["fail", "fail", "ok"]


def test_earlier_states_are_read_next_to_the_current_one(console_lake: Lake) -> None:
    reader = LakeReader(console_lake)
    runs = reader.state().cursor().execute("SELECT run FROM monitoring.runs ORDER BY started_at").fetchall()
    assert [count(reader, run) for (run,) in runs] == [399, 400]
    assert count(reader) == 400


def test_the_least_recently_used_state_is_dropped(console_lake: Lake) -> None:
    reader = LakeReader(console_lake)
    current, first = reader.state(), reader.state("2990-01-01")
    for year in range(2991, 2998):
        reader.state(f"{year}-01-01")
        assert reader.state() is current
    assert reader.state("2990-01-01") is not first


def test_a_run_after_opening_is_visible_in_the_next_request(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    publish(lake, 30)
    reader = LakeReader(lake)
    before = reader.state()
    publish(lake, 31)
    assert count(reader) == 31
    row = before.cursor().execute("SELECT count(*) FROM silver.breweries").fetchone()
    assert row == (30,), "a request that is in progress keeps its state"


def test_a_state_lists_the_tables_with_their_descriptions(console_lake: Lake) -> None:
    tables = LakeReader(console_lake).state().tables
    assert {"silver.breweries", "gold.breweries_by_location", "bronze.breweries"} <= set(tables)
    assert all(tables[name] for name in tables if name.startswith("silver."))


@pytest.mark.parametrize(
    "sql", ["CREATE TABLE silver.x AS SELECT 1", "DROP VIEW silver.breweries", "COPY (SELECT 1) TO 'x.csv'"]
)
def test_a_cursor_cannot_change_the_lake(console_lake: Lake, sql: str) -> None:
    before = {file: file.stat().st_mtime_ns for file in console_lake.root.rglob("*")}
    with pytest.raises(duckdb.Error):
        LakeReader(console_lake).state().cursor().execute(sql)
    assert {file: file.stat().st_mtime_ns for file in console_lake.root.rglob("*")} == before


def test_a_lake_without_tables_or_with_none_at_that_time_is_an_error(console_lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(BrewhouseError, match="does not exist"):
        LakeReader(Lake(tmp_path / "nothing")).state()
    reader = LakeReader(console_lake)
    with pytest.raises(BrewhouseError, match="2001-01-01"):
        reader.state("2001-01-01")
    with pytest.raises(UsageError, match="neither a time"):
        reader.state("yesterday")
    assert count(reader) == 400, "a failed request does not affect the next one"


def test_the_first_event_opens_the_views_of_the_events(console_lake: Lake, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    folder = lake.events / "date=2026-08-02"
    folder.mkdir(parents=True)
    reader = LakeReader(lake)
    assert reader.state().cursor().execute("SELECT count(*) FROM monitoring.runs").fetchone() == (0,)
    event = next(console_lake.events.glob("date=*/*.json"))
    shutil.copy(event, folder / event.name)
    assert reader.state().cursor().execute("SELECT count(*) > 0 FROM monitoring.events").fetchone() == (True,)
