"""The charts are valid Vega-Lite specifications that show the data of the overview."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
import vl_convert
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from brewhouse.console.charts import line_chart, map_chart, map_paths, overview_sheet
from brewhouse.console.formatting import number
from brewhouse.console.lake_reader import LakeReader
from brewhouse.console.language import LANGUAGES, Translator
from brewhouse.console.overview import (
    UNKNOWN,
    BreweryCount,
    BreweryLocation,
    DayCount,
    Overview,
    OverviewFilters,
    brewery_locations,
    overview,
)
from brewhouse.console.web import STATIC
from brewhouse.lake.lake import Lake
from brewhouse.places.reference import subdivisions

EN, PT = Translator("en"), Translator("pt-BR")
days = st.lists(st.builds(DayCount, st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.integers(0, 10**6)), max_size=80)


@pytest.fixture(scope="module")
def shown(varied_lake: Lake) -> Overview:
    return overview(LakeReader(varied_lake).state(), OverviewFilters())


@pytest.fixture(scope="module")
def locations(varied_lake: Lake) -> list[BreweryLocation]:
    return brewery_locations(LakeReader(varied_lake).state(), OverviewFilters())


def compiled(spec: dict[str, Any]) -> dict[str, Any]:
    """Compile a specification, which fails when it is not valid Vega-Lite."""
    vega: dict[str, Any] = vl_convert.vegalite_to_vega(spec)
    return vega


def svg_texts(spec: dict[str, Any]) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]+)</text>", vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]))


@given(days)
@settings(max_examples=10)
def test_a_line_chart_holds_every_day_and_compiles(counts: list[DayCount]) -> None:
    spec = line_chart(counts, EN)
    assert [(row["day"], row["breweries"]) for row in spec["data"]["values"]] == [
        (count.day.isoformat(), count.breweries) for count in counts
    ]
    assert compiled({**spec, "width": 300})["marks"]
    json.dumps(spec)


@pytest.mark.parametrize(("count", "has_points"), [(1, True), (59, True), (60, False)])
def test_a_line_chart_of_few_days_marks_each_day(count: int, has_points: bool) -> None:
    counts = [DayCount(date.fromordinal(738_000 + n), n) for n in range(count)]
    spec = line_chart(counts, EN)
    assert spec["layer"][1]["mark"]["point"] is has_points
    marks = vl_convert.vegalite_to_svg({**spec, "width": 300}).count('aria-roledescription="point"')
    assert marks == (count if has_points else 0)


@pytest.mark.parametrize(("translate", "titles"), [(EN, ["Day", "Breweries"]), (PT, ["Dia", "Cervejarias"])])
def test_the_tooltip_is_in_the_language_of_the_reader(translate: Translator, titles: list[str]) -> None:
    tooltip = line_chart([DayCount(date(2026, 8, 2), 5)], translate)["encoding"]["tooltip"]
    assert [field["title"] for field in tooltip] == titles


def test_the_page_embeds_the_specification_of_its_chart(client: TestClient) -> None:
    page = client.get("/").text
    (embedded,) = re.findall(r'<script type="application/json" id="counts-over-time">(.*?)</script>', page, re.DOTALL)
    spec = json.loads(embedded)
    assert spec["data"]["values"][-1]["breweries"] == 400
    assert compiled({**spec, "width": 300})


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_sheet_shows_every_chart_with_its_data(
    shown: Overview, locations: list[BreweryLocation], language: str
) -> None:
    translate = Translator(language)
    spec = overview_sheet(shown, {"cities": [8, 8000]}, locations, "A title", translate)
    assert compiled(spec)
    texts = svg_texts(spec)
    for title in ("A title", *map(translate, ("Map", "Counts over time", "By type", "By country"))):
        assert title in texts
    assert f"{shown.totals.breweries} {translate('Breweries').lower()}" in texts
    assert {translate.label("country", count) for count in shown.by_country if count.key != UNKNOWN} <= set(texts)
    assert {f"{count.breweries:,}" for count in shown.by_type} <= set(texts)
    assert {translate("By state"), translate("Cities"), f"+{number(7992, language)}"} <= set(texts)
    assert {change.name for change in shown.changes if len(change.name) < 30} <= set(texts)


def position(spec: dict[str, Any], longitude: float, latitude: float) -> tuple[float, float]:
    """Project a place as Vega does, in pixels from the upper left corner."""
    projection = spec["projection"]
    turned = (longitude + projection["rotate"][0] + 180) % 360 - 180
    y = math.log(math.tan(math.pi / 4 + math.radians(latitude) / 2))
    left, top = projection["translate"]
    return left + projection["scale"] * math.radians(turned), top - projection["scale"] * y


def is_on_map(spec: dict[str, Any], longitude: float, latitude: float) -> bool:
    x, y = position(spec, longitude, latitude)
    return bool(0 <= x <= spec["width"] and 0 <= y <= spec["height"])


def place(longitude: float, latitude: float) -> BreweryLocation:
    return BreweryLocation("id", "name", "micro", "US", "", None, longitude, latitude)


def test_the_map_shows_each_location_within_a_pixel(locations: list[BreweryLocation]) -> None:
    spec = map_chart(locations, OverviewFilters())
    dots = [position(spec, value["longitude"], value["latitude"]) for value in spec["layer"][1]["data"]["values"]]
    assert len(dots) == len(set(dots))
    on_map = [each for each in locations if is_on_map(spec, each.longitude, each.latitude)]
    assert 0 < len(on_map) < len(locations), "one is north of the map"
    for location in on_map:
        x, y = position(spec, location.longitude, location.latitude)
        assert any(abs(x - dot_x) <= 1 and abs(y - dot_y) <= 2 for dot_x, dot_y in dots)


@pytest.mark.parametrize(
    ("country", "breweries", "seen", "unseen"),
    [
        ("IE", [place(-8.5, 51.9)], [(-10.4, 52.1), (-7.4, 55.37), (-6.0, 53.3), (-9.8, 51.45)], [(0, 51.5)]),
        ("US", [place(-77, 39)], [(-124.7, 48.4), (-67, 44.8), (-81, 25.2)], [(-157.8, 21.3), (-150, 61.2)]),
        ("US", [place(-77, 39), place(-155.5, 19.6)], [(-124.7, 48.4), (-157.8, 21.3)], [(-150, 61.2)]),
        ("RU", [place(37.6, 55.8)], [(28, 60), (179, 66), (-170, 66)], [(-100, 40)]),
        ("ZZ", [place(10, 50)], [(10, 50)], [(20, 50)]),
        ("ZZ", [], [(10, 50), (-150, 61), (170, -40)], []),
    ],
    ids=["whole", "main part", "with a distant part", "across 180 degrees", "without borders", "nothing"],
)
def test_a_country_is_shown_whole_with_its_distant_parts_that_have_breweries(
    country: str,
    breweries: list[BreweryLocation],
    seen: list[tuple[float, float]],
    unseen: list[tuple[float, float]],
) -> None:
    spec = map_chart(breweries, OverviewFilters(country=country))
    assert all(is_on_map(spec, *each) for each in seen)
    assert not any(is_on_map(spec, *each) for each in unseen)


def test_a_state_is_shown_with_its_surroundings() -> None:
    spec = map_chart([place(-122.7, 45.5), place(-121.3, 44.1)], OverviewFilters(country="US", state="US-OR"))
    assert is_on_map(spec, -122.7, 45.5)
    assert is_on_map(spec, -121.3, 44.1)
    assert not is_on_map(spec, -87.6, 41.9)
    svg = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
    assert svg.count("<path") > 3


@pytest.mark.parametrize("country", ["", "IE"])
def test_the_paths_of_a_map_are_what_its_chart_specifies(locations: list[BreweryLocation], country: str) -> None:
    there = [each for each in locations if country in {"", each.country}]
    drawn, spec = map_paths(there, OverviewFilters(country=country)), map_chart(there, OverviewFilters(country=country))
    dots = [position(spec, value["longitude"], value["latitude"]) for value in spec["layer"][1]["data"]["values"]]
    assert drawn["dots"] == "".join(f"M{round(x, 1)} {round(y, 1)}h0" for x, y in dots)
    corners = [[float(each) for each in corner] for corner in re.findall(r"([-\d.]+) ([-\d.]+)", drawn["land"])]
    for longitude, latitude in ((-10.4, 52.1), (-6.0, 53.3)):  # on the coast of Ireland
        x, y = position(spec, longitude, latitude)
        assert min(math.hypot(x - each[0], y - each[1]) for each in corners) < 15
    assert drawn["land"].count("M") == drawn["land"].count("Z") > 3


def test_countries_and_states_of_the_map_have_iso_codes() -> None:
    countries, states = (
        {each["id"]: each for each in json.loads((STATIC / file).read_bytes())["objects"][name]["geometries"]}
        for file, name in (("world.json", "countries"), ("regions.json", "states"))
    )
    assert {"US", "DE", "SG", "IM", "KR", "NZ", "BR", "IE"} <= set(countries)
    assert all(each["properties"]["boxes"] for each in countries.values())
    known = {each.code: each.parent for code in countries if len(code) == 2 for each in subdivisions(code)}
    assert set(states) - set(known) == {""}, "states without a code are one area of each country"
    assert {"US-CA", "DE-BY", "IE-D", "BR-SP", "KR-11"} <= set(states)
    assert all(each["properties"].get("p") == known[code] for code, each in states.items() if code)
    assert "BE-VLG" in {each["properties"].get("p") for each in states.values()}, "Flanders consists of provinces"


def test_the_sheet_leaves_out_charts_without_data(shown: Overview, locations: list[BreweryLocation]) -> None:
    def titles(spec: dict[str, Any]) -> list[str]:
        return [row.get("title", "bars") for row in spec["vconcat"]]

    every = ["", "Map", "Counts over time", "bars", "Latest changes"]
    assert titles(overview_sheet(shown, {}, locations, "", EN)) == every
    empty = replace(shown, over_time=[], by_type=[], by_country=[], changes=[])
    spec = overview_sheet(empty, {}, [], "", EN)
    assert titles(spec) == ["", "bars"]
    assert compiled(spec)


def test_bars_are_limited_and_name_what_is_unknown(shown: Overview) -> None:
    counts = [BreweryCount(UNKNOWN, UNKNOWN, 99), *(BreweryCount(str(n), f"Name {n}", n) for n in range(30, 0, -1))]
    spec = overview_sheet(replace(shown, by_country=counts), {}, [], "", PT)
    bars = spec["vconcat"][-2]["hconcat"][1]["data"]["values"]
    assert len(bars) == 20
    assert bars[0] == {"name": "desconhecido", "breweries": 99}
    assert [bar["breweries"] for bar in bars] == sorted((bar["breweries"] for bar in bars), reverse=True)


@pytest.mark.parametrize(("translate", "number"), [(EN, "1,234,567"), (PT, "1.234.567")])
def test_the_subtitle_uses_the_separators_of_the_language(shown: Overview, translate: Translator, number: str) -> None:
    many = replace(shown, totals=replace(shown.totals, breweries=1_234_567))
    assert overview_sheet(many, {}, [], "", translate)["title"]["subtitle"].startswith(number)


@pytest.mark.parametrize("name", ["</script><script>alert(1)</script>", "a.b[0]['c']", "=1+1", "\u202e", ""])
def test_hostile_names_are_data_and_not_expressions(shown: Overview, name: str) -> None:
    spec = overview_sheet(replace(shown, by_type=[BreweryCount(name, name, 3)]), {}, [], name, EN)
    svg = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
    assert "<script" not in svg
