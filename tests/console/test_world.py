"""The map: projection, country outlines and the part of the map that is shown."""

from __future__ import annotations

import re
from itertools import pairwise

import duckdb
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from brewhouse.console.projection import HEIGHT, NORTH_DEGREES, SOUTH_DEGREES, WIDTH, XY_SQL, project
from brewhouse.console.world import NEAR, outlines, rings, view_box, with_country

longitudes = st.floats(-180, 180)
latitudes = st.floats(SOUTH_DEGREES, NORTH_DEGREES)
xs, ys = st.integers(0, WIDTH), st.integers(0, HEIGHT)


@given(longitudes, latitudes)
def test_sql_and_python_project_alike(longitude: float, latitude: float) -> None:
    row = duckdb.execute(
        f"SELECT {XY_SQL} FROM (VALUES ({longitude}::DOUBLE, {latitude}::DOUBLE)) AS places(longitude, latitude)"
    )
    x, y = row.fetchone() or (None, None)
    assert (x, y) == pytest.approx(project(longitude, latitude), abs=0.51)


@given(longitudes, latitudes)
def test_a_projected_place_is_on_the_map(longitude: float, latitude: float) -> None:
    x, y = project(longitude, latitude)
    assert 0 <= x <= WIDTH
    assert -0.5 <= y <= HEIGHT + 0.5


@given(latitudes, latitudes, longitudes, longitudes)
def test_north_is_up_and_meridians_are_vertical(south: float, north: float, west: float, east: float) -> None:
    assume(north - south > 1e-6)
    assert project(west, north)[1] < project(west, south)[1]
    assert project(west, north)[0] == project(west, south)[0]
    assert project(west, north)[1] == project(east, north)[1]


def test_the_corners_of_the_map_are_its_limits() -> None:
    assert project(-180, NORTH_DEGREES) == (0, 0)
    assert project(180, SOUTH_DEGREES) == pytest.approx((WIDTH, HEIGHT), abs=0.5)
    assert project(0, 10)[0] == WIDTH / 2


@given(st.lists(st.lists(st.tuples(xs, ys), min_size=3, max_size=8), min_size=1, max_size=4))
def test_an_outline_is_parsed_into_closed_rings(corners: list[list[tuple[int, int]]]) -> None:
    path = ""
    for ring in corners:
        steps = [(x - px, y - py) for (px, py), (x, y) in pairwise(ring)]
        path += f"M{ring[0][0]} {ring[0][1]}l" + " ".join(f"{dx} {dy}" for dx, dy in steps) + "z"
    assert rings(path) == [[*ring, ring[0]] for ring in corners]


@pytest.mark.parametrize("view", [None, (0, 0, WIDTH, HEIGHT)], ids=["near", "far"])
def test_every_country_is_visible_on_the_map(view: tuple[int, int, int, int] | None) -> None:
    paths = outlines(view)
    assert {"US", "DE", "SG", "IM", "KR", "NZ", "BR"} <= set(paths)
    assert all(re.fullmatch(r"[A-Z]{2}|", code) for code in paths)
    for code, path in paths.items():
        assert all(len(ring) >= 3 for ring in rings(path)), code
        corners = [corner for ring in rings(path) for corner in ring]
        assert any(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in corners), code


@pytest.mark.parametrize(
    ("code", "place"),
    [("US", (-98, 39)), ("BR", (-52, -10)), ("DE", (10, 51)), ("AU", (134, -25)), ("KR", (128, 36.5))],
)
def test_a_country_surrounds_its_center(code: str, place: tuple[float, float]) -> None:
    x, y = project(*place)
    corners = [corner for ring in rings(outlines()[code]) for corner in ring]
    assert min(cx for cx, _ in corners) < x < max(cx for cx, _ in corners)
    assert min(cy for _, cy in corners) < y < max(cy for _, cy in corners)


def test_a_wide_view_is_simplified_and_a_narrow_one_only_outside() -> None:
    near, far = outlines(), outlines(view_box())
    assert set(near) == set(far)
    assert sum(map(len, far.values())) < sum(map(len, near.values())) / 2
    x, y = map(int, project(10, 51))
    germany = outlines((x - 200, y - 90, 400, 180))
    assert germany["DE"] == near["DE"] != far["DE"]
    assert germany["AU"] == far["AU"] != near["AU"]
    assert outlines((x, y, NEAR, 100)) == far


@given(xs, ys, xs, ys)
def test_a_view_contains_its_bounds_and_stays_on_the_map(x1: int, y1: int, x2: int, y2: int) -> None:
    left, top, right, bottom = min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)
    x, y, width, height = view_box((left, top, right, bottom))
    assert x - 1 <= left
    assert right <= x + width + 1
    assert y - 1 <= top
    assert bottom <= y + height + 1
    assert x >= 0
    assert y >= 0
    assert x + width <= WIDTH + 1
    assert y + height <= HEIGHT + 1
    assert width >= 260
    assert width / height == pytest.approx(WIDTH / HEIGHT, rel=0.01)


def test_a_single_place_and_the_whole_map_are_the_limits_of_the_view() -> None:
    assert view_box((500, 500, 500, 500))[2] == 260
    assert view_box((0, 0, WIDTH, HEIGHT)) == view_box() == (0, 0, WIDTH, HEIGHT)
    assert view_box((0, 0, 0, 0))[:2] == (0, 0)
    assert view_box((WIDTH, HEIGHT, WIDTH, HEIGHT))[0] == WIDTH - 260


def test_a_country_is_shown_whole_but_not_its_distant_islands() -> None:
    x, y = map(round, project(-8.0, 52.0))  # in the south of Ireland
    left, top, right, bottom = with_country((x, y, x, y), "IE")
    for longitude, latitude in ((-9.9, 53.5), (-7.3, 54.9), (-6.1, 53.3)):
        inside_x, inside_y = project(longitude, latitude)
        assert left <= inside_x <= right
        assert top <= inside_y <= bottom
    west, *_ = with_country((3000, 1500, 3010, 1510), "US")
    assert project(-157.8, 21.3)[0] < west, "Hawaii"
    assert with_country((1, 2, 3, 4), "XX") == (1, 2, 3, 4)
