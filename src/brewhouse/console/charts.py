"""Vega-Lite specifications of the charts; the console's theme is in `static/chart.js`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from brewhouse.console.formatting import number
from brewhouse.console.language import Translator
from brewhouse.console.overview import BreweryLocation, DayCount, Overview
from brewhouse.console.projection import HEIGHT, WIDTH, project
from brewhouse.console.world import outlines, rings

_SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
_SHEET_WIDTH = 900
_MAX_BARS = 20
_LONG_DAYS = 60  # above, the axis has months instead of days
_MAX_TICKS = 8


def line_chart(days: Sequence[DayCount], translate: Translator) -> dict[str, Any]:
    """Specify a line chart of counts by day."""
    axis: dict[str, Any] = {"format": "%b %Y", "tickCount": _MAX_TICKS}
    if days and (days[-1].day - days[0].day).days <= _LONG_DAYS:
        ticks = [datetime(*each.day.timetuple()[:3], tzinfo=UTC) for each in days[:: -(-len(days) // _MAX_TICKS)]]
        axis = {"format": "%d %b %Y", "values": [tick.timestamp() * 1000 for tick in ticks]}
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
                "axis": {"labelOverlap": True, **axis},
            },
            "y": {
                "field": "breweries",
                "type": "quantitative",
                "title": None,
                "axis": {"tickMinStep": 1, "format": ",d", "tickCount": 5},
            },
            "tooltip": [
                {
                    "field": "day",
                    "type": "temporal",
                    "timeUnit": "utcyearmonthdate",
                    "format": "%d %b %Y",
                    "title": translate("Day"),
                },
                {"field": "breweries", "type": "quantitative", "format": ",", "title": translate("Breweries")},
            ],
        },
    }


def line_path(days: Sequence[DayCount], width: int = 1000, height: int = 150) -> str:
    """Draw counts by day as the path of an SVG, from 0 at its lower edge to the highest count."""
    first, last = days[0].day, days[-1].day
    x, y = width / max((last - first).days, 1), height / max(*(each.breweries for each in days), 1)
    points = (f"{(each.day - first).days * x:.1f},{height - each.breweries * y:.1f}" for each in days)
    return f"M{' '.join(points)}H{width}"


def overview_sheet(
    shown: Overview, locations: Sequence[BreweryLocation], title: str, translate: Translator
) -> dict[str, Any]:
    """Specify one sheet with all charts of an overview: map, counts over time, bars by type and by country."""
    rows: list[dict[str, Any]] = []
    if locations:
        dots = sorted({(round(each.longitude, 1), round(each.latitude, 1)) for each in locations})
        rows.append(_map(dots, translate("Map")))
    if shown.over_time:
        line = line_chart(shown.over_time, translate)
        del line["$schema"]
        rows.append({**line, "width": _SHEET_WIDTH, "title": translate("Counts over time")})
    by_type, by_country = translate("By type"), translate("By country")
    types = [(translate.label("type", each), each.breweries) for each in shown.by_type]
    places = [(translate.label("country", each), each.breweries) for each in shown.by_country]
    rows.append({"hconcat": [_bars(types, by_type), _bars(places, by_country)]})
    subtitle = f"{number(shown.totals.breweries, translate.language)} {translate('Breweries').lower()}"
    return {
        "$schema": _SCHEMA,
        "title": {"text": title, "subtitle": subtitle, "fontSize": 20, "subtitleFontSize": 14},
        "padding": 24,
        "vconcat": rows,
    }


def _map(places: Sequence[tuple[float, float]], title: str) -> dict[str, Any]:
    land = {"type": "MultiPolygon", "coordinates": [[ring] for path in outlines().values() for ring in rings(path)]}
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
        "projection": {"type": "identity", "scale": _SHEET_WIDTH / WIDTH, "translate": [0, 0]},  # already projected
        "layer": [countries, points],
    }


def _bars(counts: Sequence[tuple[str, int]], title: str) -> dict[str, Any]:
    values = [{"name": name, "breweries": count} for name, count in counts[:_MAX_BARS]]
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
