"""Vega-Lite specifications of the charts; the console's theme is in `static/chart.js`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import log, pi, radians, tan
from pathlib import Path
from typing import Any

from brewhouse.console.formatting import number
from brewhouse.console.language import Translator
from brewhouse.console.overview import UNKNOWN, BreweryCount, BreweryLocation, DayCount, Overview, OverviewFilters

_SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
_BORDERS = Path(__file__).parent / "static"  # written by docs/geography.py
_SHEET_WIDTH = 900
_MAP_HEIGHT = 440
_MAX_BARS = 20
_LONG_DAYS = 60  # from here on, the axis has months and years

Box = tuple[float, float, float, float]
"""West, south, east and north, in degrees."""
WORLD: Box = (-170.0, -55.0, 190.0, 73.0)


def line_chart(days: Sequence[DayCount], translate: Translator) -> dict[str, Any]:
    """Specify a line chart of counts by day."""
    is_long = bool(days) and (days[-1].day - days[0].day).days > _LONG_DAYS
    return {
        "$schema": _SCHEMA,
        "width": "container",
        "height": 190,
        "data": {"values": [{"day": each.day.isoformat(), "breweries": each.breweries} for each in days]},
        "layer": [{"mark": {"type": "area", "opacity": 0.12}}, {"mark": {"type": "line", "point": len(days) < 60}}],
        "encoding": {
            "x": {
                "field": "day",
                "type": "temporal",
                "scale": {"type": "utc"},
                "title": None,
                "axis": {"tickCount": 8, "labelOverlap": True, **({"format": "%b %Y"} if is_long else {})},
            },
            "y": {
                "field": "breweries",
                "type": "quantitative",
                "title": None,
                "axis": {"tickMinStep": 1, "format": ",d", "tickCount": 5},
            },
            "tooltip": [
                {"field": "day", "type": "temporal", "timeUnit": "utcyearmonthdate", "title": translate("Day")},
                {"field": "breweries", "type": "quantitative", "format": ",", "title": translate("Breweries")},
            ],
        },
    }


def overview_sheet(
    shown: Overview, locations: Sequence[BreweryLocation], title: str, translate: Translator
) -> dict[str, Any]:
    """Specify one sheet with all charts of an overview: map, counts over time, bars by type and by country."""
    rows: list[dict[str, Any]] = []
    if locations:
        chart = map_chart(locations, shown.filters)
        del chart["$schema"]
        rows.append({**chart, "title": translate("Map")})
    if shown.over_time:
        line = line_chart(shown.over_time, translate)
        del line["$schema"]
        rows.append({**line, "width": _SHEET_WIDTH, "title": translate("Counts over time")})
    by_type, by_country = translate("By type"), translate("By country")
    rows.append({"hconcat": [_bars(shown.by_type, by_type, translate), _bars(shown.by_country, by_country, translate)]})
    subtitle = f"{number(shown.totals.breweries, translate.language)} {translate('Breweries').lower()}"
    return {
        "$schema": _SCHEMA,
        "title": {"text": title, "subtitle": subtitle, "fontSize": 20, "subtitleFontSize": 14},
        "padding": 24,
        "vconcat": rows,
    }


def map_chart(locations: Sequence[BreweryLocation], filters: OverviewFilters) -> dict[str, Any]:
    """Specify a map of the breweries: of the world, of a whole country, or of the surroundings of those in a state."""
    topology = json.loads((_BORDERS / ("regions.json" if filters.country else "world.json")).read_bytes())
    west, south, east, north = part = _shown_part([(each.longitude, each.latitude) for each in locations], filters)
    step = (east - west) / _SHEET_WIDTH  # a pixel; closer breweries are one dot
    grid = {(round(each.longitude / step), round(each.latitude / step)) for each in locations}
    places = [(x * step, y * step) for x, y in sorted(grid) if south <= y * step <= north]
    only_countries = {**topology, "objects": {"countries": topology["objects"]["countries"]}}
    borders = {
        "data": {"values": only_countries, "format": {"type": "topojson", "feature": "countries"}},
        "mark": {"type": "geoshape", "fill": "#e8e4d8", "stroke": "#fbfaf6", "strokeWidth": 0.5, "aria": False},
    }
    points = {
        "data": {"values": [{"longitude": round(x, 3), "latitude": round(y, 3)} for x, y in places]},
        "mark": {"type": "circle", "size": 12 if filters.country else 6, "opacity": 0.8, "clip": True, "aria": False},
        "encoding": {name: {"field": name, "type": "quantitative"} for name in ("longitude", "latitude")},
    }
    return {
        "$schema": _SCHEMA,
        "width": _SHEET_WIDTH,
        "height": _MAP_HEIGHT,
        "projection": _projection(part),
        "layer": [borders, points],
    }


def _shown_part(places: Sequence[tuple[float, float]], filters: OverviewFilters) -> Box:
    """Return the part of the world to show; a country with those of its distant parts that have breweries."""
    if not filters.country:
        return WORLD
    countries = json.loads((_BORDERS / "world.json").read_bytes())["objects"]["countries"]["geometries"]
    boxes: list[Box] = next((each["properties"]["boxes"] for each in countries if each["id"] == filters.country), [])
    parts = [box for box in boxes if box == boxes[0] or any(_is_inside(place, box) for place in places)]
    if filters.state or not parts:
        parts = [(longitude - 0.5, latitude - 0.5, longitude + 0.5, latitude + 0.5) for longitude, latitude in places]
    if not parts:
        return WORLD
    west, south, east, north = zip(*parts, strict=True)
    return min(west), max(min(south), WORLD[1]), max(east), min(max(north), 84.0)


def _is_inside(place: tuple[float, float], box: Box) -> bool:
    return box[0] <= place[0] <= box[2] and box[1] <= place[1] <= box[3]


def _projection(part: Box) -> dict[str, Any]:
    """Fit Mercator's projection around a part of the world."""
    west, south, east, north = part
    top, bottom = (log(tan(pi / 4 + radians(latitude) / 2)) for latitude in (north, south))
    scale = 0.96 * min(_SHEET_WIDTH / radians(east - west), _MAP_HEIGHT / (top - bottom))
    return {
        "type": "mercator",
        "scale": scale,
        "rotate": [-(west + east) / 2, 0, 0],
        "translate": [_SHEET_WIDTH / 2, _MAP_HEIGHT / 2 + scale * (top + bottom) / 2],
        "clipExtent": [[0, 0], [_SHEET_WIDTH, _MAP_HEIGHT]],
    }


def _bars(counts: Sequence[BreweryCount], title: str, translate: Translator) -> dict[str, Any]:
    values = [
        {"name": translate("unknown") if count.key == UNKNOWN else count.name, "breweries": count.breweries}
        for count in counts[:_MAX_BARS]
    ]
    return {
        "title": title,
        "width": _SHEET_WIDTH // 2 - 120,
        "data": {"values": values},
        "encoding": {
            "y": {"field": "name", "type": "nominal", "sort": None, "title": None},
            "x": {"field": "breweries", "type": "quantitative", "axis": None},
        },
        "layer": [
            {"mark": "bar"},
            {
                "mark": {"type": "text", "align": "left", "dx": 4, "color": "#635c50"},
                "encoding": {"text": {"field": "breweries", "format": ","}},
            },
        ],
    }
