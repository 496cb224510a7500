"""Charts as Vega-Lite: what is drawn stands in the specification, how it looks in `static/chart.js`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from brewhouse.console.language import Translator
from brewhouse.console.overview import UNKNOWN, Count, DayCount, Overview, Spot
from brewhouse.console.projection import HEIGHT, WIDTH, project
from brewhouse.console.world import outlines, rings

_SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
_SHEET_WIDTH = 900
_MOST_BARS = 20


def over_time(days: Sequence[DayCount], day: str, breweries: str) -> dict[str, Any]:
    """Draw counts by day as a line.

    Args:
        days: Oldest first.
        day: What the days are called.
        breweries: What the counts are called.

    Returns:
        A Vega-Lite specification.
    """
    return {
        "$schema": _SCHEMA,
        "width": "container",
        "height": 190,
        "data": {"values": [{"day": each.day.isoformat(), "breweries": each.breweries} for each in days]},
        "layer": [
            {"mark": {"type": "area", "opacity": 0.12}},
            {"mark": {"type": "line", "point": len(days) < 60}},
        ],
        "encoding": {
            "x": {"field": "day", "type": "temporal", "scale": {"type": "utc"}, "title": None},
            "y": {"field": "breweries", "type": "quantitative", "title": None},
            "tooltip": [
                {"field": "day", "type": "temporal", "timeUnit": "utcyearmonthdate", "title": day},
                {"field": "breweries", "type": "quantitative", "format": ",", "title": breweries},
            ],
        },
    }


def report(shown: Overview, spots: Sequence[Spot], title: str, words: Translator) -> dict[str, Any]:
    """Draw the overview on one sheet: where the breweries are, since when, of which type and in which country.

    Args:
        shown: The overview.
        spots: The breweries with coordinates.
        title: What it is about.
        words: The reader's.

    Returns:
        A Vega-Lite specification, which holds its data.
    """
    number = (
        f"{shown.totals.breweries:,}" if words.language == "en" else f"{shown.totals.breweries:,}".replace(",", ".")
    )
    rows: list[dict[str, Any]] = []
    if spots:
        places = sorted({(round(spot.longitude, 1), round(spot.latitude, 1)) for spot in spots})
        rows.append(_map(places, words("Where they are")))
    if shown.over_time:
        line = over_time(shown.over_time, words("Day"), words("Breweries"))
        rows.append({**line, "width": _SHEET_WIDTH, "title": words("Counts over time")})
    rows.append(
        {
            "hconcat": [
                _bars(shown.by_type, words("By type"), words),
                _bars(shown.by_country, words("By country"), words),
            ]
        }
    )
    for row in rows:
        row.pop("$schema", None)
    return {
        "$schema": _SCHEMA,
        "title": {"text": title, "subtitle": f"{number} {words('Breweries')}", "fontSize": 20, "subtitleFontSize": 14},
        "padding": 24,
        "vconcat": rows,
    }


def _map(places: Sequence[tuple[float, float]], title: str) -> dict[str, Any]:
    land = {
        "type": "MultiPolygon",
        "coordinates": [[ring] for path in outlines().values() for ring in rings(path)],
    }
    countries = {
        "data": {"values": {"type": "Feature", "geometry": land}},
        "mark": {"type": "geoshape", "fill": "#e8e4d8", "stroke": "#fbfaf6", "strokeWidth": 0.5, "clip": True},
    }
    points = {
        "data": {"values": [{"x": x, "y": y} for x, y in (project(*place) for place in places) if 0 <= y <= HEIGHT]},
        "mark": {"type": "circle", "size": 6, "opacity": 1},
        "encoding": {
            "longitude": {"field": "x", "type": "quantitative"},
            "latitude": {"field": "y", "type": "quantitative"},
        },
    }
    return {
        "title": title,
        "width": _SHEET_WIDTH,
        "height": _SHEET_WIDTH * HEIGHT // WIDTH,
        "projection": {"type": "identity", "scale": _SHEET_WIDTH / WIDTH, "translate": [0, 0]},  # the console's map
        "layer": [countries, points],
    }


def _bars(counts: Sequence[Count], title: str, words: Translator) -> dict[str, Any]:
    values = [
        {"name": words("unknown") if count.key == UNKNOWN else count.name, "breweries": count.breweries}
        for count in counts[:_MOST_BARS]
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
