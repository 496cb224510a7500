"""The charts are valid Vega-Lite specifications that show the data of the overview."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
import vl_convert
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from brewhouse.console.charts import line_chart, overview_sheet
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
from brewhouse.console.projection import HEIGHT, WIDTH, project
from brewhouse.lake.lake import Lake

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


def test_the_map_of_the_sheet_shows_the_locations_that_are_on_it(
    shown: Overview, locations: list[BreweryLocation]
) -> None:
    countries, points = overview_sheet(shown, {}, locations, "", EN)["vconcat"][1]["layer"]
    values = points["data"]["values"]
    assert 0 < len(values) < len(locations)
    assert all(0 <= value["x"] <= WIDTH and 0 <= value["y"] <= HEIGHT for value in values)
    on_map = [location for location in locations if location.latitude < 78]
    for location in on_map:
        x, y = project(location.longitude, location.latitude)
        assert any(abs(value["x"] - x) < 3 and abs(value["y"] - y) < 4 for value in values)
    rings = [ring for polygon in countries["data"]["values"]["geometry"]["coordinates"] for ring in polygon]
    assert all(ring[0] == ring[-1] for ring in rings)


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
