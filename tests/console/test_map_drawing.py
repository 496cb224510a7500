"""The map of an overview: the land, countries with breweries, and dots for the breweries."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient

from brewhouse.console.lake_reader import LakeReader, LakeState
from brewhouse.console.map_drawing import MapDrawing, draw_map
from brewhouse.console.overview import OverviewFilters, map_bounds, map_regions, overview
from brewhouse.console.projection import HEIGHT, WIDTH, project
from brewhouse.console.world import outlines, view_box
from brewhouse.lake.lake import Lake


@pytest.fixture(scope="module")
def state(varied_lake: Lake) -> LakeState:
    return LakeReader(varied_lake).state()


def drawing(state: LakeState, filters: OverviewFilters, *, full_detail: bool = False) -> MapDrawing:
    return draw_map(state, overview(state, filters), full_detail=full_detail)


def dots(path: str) -> list[tuple[int, int]]:
    return [(int(x), int(y)) for x, y in re.findall(r"M(-?\d+) (-?\d+)h0", path)]


def test_the_land_and_the_countries_with_breweries_are_the_whole_world(state: LakeState) -> None:
    whole = drawing(state, OverviewFilters())
    assert whole.view == view_box()
    drawn = {count.key: path for count, path in whole.countries}
    paths = outlines(whole.view)
    assert drawn == {code: path for code, path in paths.items() if code in drawn}
    assert whole.land == "".join(path for code, path in paths.items() if code not in drawn)
    assert {"US", "DE"} <= set(drawn)
    assert "Atlantis" not in drawn, "a country without a code has no outline"


def test_the_dots_are_the_projected_breweries(state: LakeState) -> None:
    rows = state.cursor().execute(
        "SELECT longitude, latitude FROM silver.breweries WHERE latitude BETWEEN -56 AND 78 AND longitude IS NOT NULL"
    )
    expected = {(round(x), round(y)) for x, y in (project(*row) for row in rows.fetchall())}
    drawn = [dot for region in map_regions(state, OverviewFilters()) for dot in dots(region.path)]
    assert len(drawn) == len(set(drawn)), "breweries at one place share a dot"
    assert len(expected) == pytest.approx(len(drawn), abs=1)
    assert all(any(abs(x - ex) <= 1 and abs(y - ey) <= 1 for ex, ey in expected) for x, y in drawn)


def test_a_brewery_beyond_the_limits_of_the_map_has_no_dot(state: LakeState) -> None:
    regions = map_regions(state, OverviewFilters())
    assert sum(region.breweries for region in regions) == overview(state, OverviewFilters()).totals.with_coordinates - 1
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for region in regions for x, y in dots(region.path))


@pytest.mark.parametrize("grid", [2, 8, 50])
def test_a_coarse_grid_merges_dots_and_keeps_counts(state: LakeState, grid: int) -> None:
    fine, coarse = map_regions(state, OverviewFilters()), map_regions(state, OverviewFilters(), grid)
    assert [(r.country, r.state, r.breweries) for r in fine] == [(r.country, r.state, r.breweries) for r in coarse]
    for exact, merged in zip(fine, coarse, strict=True):
        assert len(dots(merged.path)) <= len(dots(exact.path))
        assert all(x % grid == y % grid == grid // 2 for x, y in dots(merged.path))
        assert all(
            any(abs(x - mx) <= grid and abs(y - my) <= grid for mx, my in dots(merged.path))
            for x, y in dots(exact.path)
        )


def test_a_country_is_shown_with_its_surroundings_in_full_detail(state: LakeState) -> None:
    germany = drawing(state, OverviewFilters("DE"))
    x, y, width, height = germany.view
    bounds = map_bounds(state, OverviewFilters("DE"))
    assert bounds is not None
    assert x <= bounds[0] <= bounds[2] <= x + width
    assert y <= bounds[1] <= bounds[3] <= y + height
    outline = {count.key: path for count, path in germany.countries}
    assert outline["DE"] == outlines()["DE"] != outlines(view_box())["DE"]
    assert outline["AU"] == outlines(view_box())["AU"] != outlines()["AU"]
    assert {region.country for region in germany.regions} == {"DE"}


@pytest.mark.parametrize("filters", [OverviewFilters("XX"), OverviewFilters("Atlantis", "Deep", "none")])
def test_the_whole_map_is_shown_when_there_is_nothing_to_zoom_to(state: LakeState, filters: OverviewFilters) -> None:
    assert map_bounds(state, filters) is None
    empty = drawing(state, filters)
    assert (empty.view, empty.regions) == (view_box(), [])


def test_full_detail_is_loaded_when_a_reader_zooms_in(varied_client: TestClient, state: LakeState) -> None:
    whole, detailed = drawing(state, OverviewFilters()), drawing(state, OverviewFilters(), full_detail=True)
    assert {count.key: path for count, path in detailed.countries}["DE"] == outlines()["DE"]
    assert [each.breweries for each in detailed.regions] == [each.breweries for each in whole.regions]
    assert sum(len(dots(each.path)) for each in detailed.regions) > sum(len(dots(each.path)) for each in whole.regions)
    alone = varied_client.get("/", headers={"HX-Request": "true", "HX-Target": "map"}).text
    assert alone.strip().startswith("<svg")
    assert all(each.path in alone for each in detailed.regions)
    page = varied_client.get("/").text
    assert all(each.path in page for each in whole.regions)
