"""The overview counts what the lake shows, as the filters say."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import duckdb
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.console import map_drawing, overview
from brewhouse.console.app import create_app
from brewhouse.console.lake_reader import LakeReader, LakeState
from brewhouse.console.overview import OverviewFilters
from brewhouse.console.projection import SQL, project
from brewhouse.console.world import outlines, view_box
from brewhouse.lake.lake import Lake
from brewhouse.settings import Settings


@pytest.fixture(scope="module")
def state(console_lake: Lake) -> LakeState:
    return LakeReader(console_lake).state()


@pytest.mark.parametrize(
    "filters",
    [
        OverviewFilters(),
        OverviewFilters(country="US"),
        OverviewFilters(country="US", state="US-CA"),
        OverviewFilters(type="micro"),
        OverviewFilters("DE", "", "micro"),
    ],
)
def test_every_filter_acts_on_every_number(state: LakeState, filters: OverviewFilters) -> None:
    shown = overview.overview(state, filters)
    where = " AND ".join(
        f"{column} = '{value}'"
        for column, value in zip(("country_code", "state_code", "brewery_type"), asdict(filters).values(), strict=True)
        if value
    )
    counted = state.cursor().execute(f"SELECT count(*), count(longitude) FROM silver.breweries WHERE {where or 'true'}")
    assert counted.fetchone() == (shown.totals.breweries, shown.totals.with_coordinates)
    assert shown.over_time[-1].breweries == shown.totals.breweries
    assert len(overview.spots(state, filters)) == shown.totals.with_coordinates
    assert sum(region.breweries for region in overview.regions(state, filters)) <= shown.totals.with_coordinates
    for counts, key in ((shown.by_type, "type"), (shown.by_country, "country"), (shown.by_state, "state")):
        chosen = [count for count in counts if getattr(filters, key) in {"", count.key}]
        assert sum(count.breweries for count in chosen) >= shown.totals.breweries
    assert all(change.type == filters.type for change in shown.changes if filters.type)


def test_what_the_bars_say_is_what_choosing_one_gives(state: LakeState) -> None:
    for count in overview.overview(state, OverviewFilters(country="US")).by_state:
        assert overview.overview(state, OverviewFilters("US", count.key)).totals.breweries == count.breweries


def test_a_place_without_breweries_has_none_of_anything(state: LakeState) -> None:
    assert set(asdict(overview.overview(state, OverviewFilters(country="XX")).totals).values()) == {0}


def test_the_newest_changes_come_first(state: LakeState) -> None:
    changes = overview.overview(state, OverviewFilters()).changes
    assert changes[0].seen_at > changes[-1].seen_at
    assert changes[0].kind == "added"


def test_it_can_be_read_as_of_an_earlier_snapshot(client: TestClient) -> None:
    page = client.get("/tables/silver.breweries").text
    snapshots = client.get("/api/v1/tables/silver.breweries").json()["snapshots"]
    assert [snapshot["rows"] for snapshot in snapshots] == [400, 399]
    assert snapshots[1]["snapshot"] in page
    for at in (snapshots[1]["raw_snapshot"], snapshots[1]["committed_at"]):
        assert client.get("/api/v1/overview", params={"at": at}).json()["totals"]["breweries"] == 399
    assert client.get("/api/v1/overview", params={"at": ""}).json()["totals"]["breweries"] == 400


def test_a_name_with_a_script_in_it_is_only_text(client: TestClient) -> None:
    evil = "<script>alert('x')</script>"
    rows = client.get("/api/v1/overview/spots").json()
    assert any(row["name"] == evil for row in rows)
    for path in ("/", "/tables/silver.breweries"):
        assert evil not in client.get(path).text
    for text in ("<script>", "</script><script>", "'\"><svg onload=x>"):
        assert text not in client.get("/", params={"country": text, "type": text}).text


def test_htmx_is_given_the_part_it_asks_for(client: TestClient) -> None:
    part = client.get("/?type=micro", headers={"HX-Request": "true", "HX-Target": "results"}).text
    assert "<html" not in part
    assert 'id="map"' in part


def test_the_map_is_drawn_as_precisely_as_it_is_looked_at(client: TestClient, state: LakeState) -> None:
    whole, germany = (
        map_drawing.draw(state, overview.overview(state, filters))
        for filters in (OverviewFilters(), OverviewFilters("DE"))
    )
    outline = {count.key: path for count, path in germany.countries}
    assert outline["DE"] == outlines()["DE"] != outlines(whole.view)["DE"]
    assert outline["AU"] == outlines(whole.view)["AU"] != outlines()["AU"]  # far from there
    fine = map_drawing.draw(state, overview.overview(state, OverviewFilters()), finely=True)
    assert {count.key: path for count, path in fine.countries} == {key: outlines()[key] for key in outline}
    assert [each.breweries for each in fine.regions] == [each.breweries for each in whole.regions]
    assert sum(each.path.count("M") for each in fine.regions) > sum(each.path.count("M") for each in whole.regions)
    alone = client.get("/", headers={"HX-Request": "true", "HX-Target": "map"}).text
    assert alone.strip().startswith("<svg")
    assert all(each.path in alone for each in fine.regions)


def test_a_new_state_of_the_lake_is_seen_at_once(console_lake: Lake) -> None:
    published = LakeReader(console_lake)
    first = published.state()
    assert published.state() is first
    console_lake.views_file.touch()
    assert published.state() is not first


def test_an_empty_lake_says_so(tmp_path: Path, console_settings: Settings) -> None:
    (tmp_path / "events" / "date=2026-08-02").mkdir(parents=True)
    client = TestClient(create_app(Lake(tmp_path), console_settings), base_url="http://127.0.0.1")
    for path in ("/", "/tables"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "Nothing is published yet" in answer.text
    assert client.get("/api/v1/tables").json() == []
    assert client.get("/api/v1/overview").status_code == 503


def test_no_lake_at_all_says_what_to_do(tmp_path: Path, console_settings: Settings) -> None:
    client = TestClient(create_app(Lake(tmp_path), console_settings), base_url="http://127.0.0.1")
    answer = client.get("/")
    assert answer.status_code == 503
    assert "no published tables" in answer.text
    assert "<code>brewhouse run</code>" in answer.text


@given(st.floats(-180, 180), st.floats(-56, 78))
def test_sql_and_python_agree_where_a_place_is_on_the_map(longitude: float, latitude: float) -> None:
    row = duckdb.execute(
        f"SELECT {SQL} FROM (VALUES ({longitude}::DOUBLE, {latitude}::DOUBLE)) AS places(longitude, latitude)"
    )
    x, y = row.fetchone() or (None, None)
    assert (x, y) == pytest.approx(project(longitude, latitude), abs=0.51)


def test_the_map_knows_the_countries_and_shows_a_small_one_with_its_surroundings() -> None:
    assert {"US", "DE", "SG", "IM", "KR", "NZ"} <= set(outlines())
    assert view_box((500, 500, 500, 500))[2] == 260
    assert view_box((0, 0, 10_000, 4_537)) == view_box()
