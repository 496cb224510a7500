"""Vega-Lite specifications of the charts; the console's theme is in `static/chart.js`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    shown: Overview,
    figures: Mapping[str, Sequence[int]],
    locations: Sequence[BreweryLocation],
    title: str,
    translate: Translator,
) -> dict[str, Any]:
    """Specify one sheet with all of an overview: figures, map, counts over time, bars and newest changes."""
    language = translate.language
    totals = [
        (translate(name.capitalize()), number(value, language), _delta(figures.get(name, ()), language))
        for name, value in vars(shown.totals).items()
        if name != "with_coordinates"
    ]
    rows = [_texts(list(zip(*totals, strict=True)), size=14)]
    if locations:
        dots = sorted({(round(each.longitude, 1), round(each.latitude, 1)) for each in locations})
        rows.append(_map(dots, translate("Map")))
    if shown.over_time:
        line = line_chart(shown.over_time, translate)
        del line["$schema"]
        rows.append({**line, "width": _SHEET_WIDTH, "title": translate("Counts over time")})
    lists = {"type": shown.by_type, "country": shown.by_country, "state": shown.by_state}
    bars = [
        _bars([(translate.label(name, each), each.breweries) for each in counts], translate(f"By {name}"))
        for name, counts in lists.items()
    ]
    rows.append({"hconcat": bars})
    if shown.changes:
        places = [[each.city, translate.country(each.country or "")] for each in shown.changes]
        changes = [
            (translate(each.kind), each.name, ", ".join(filter(None, place)))
            for each, place in zip(shown.changes, places, strict=True)
        ]
        rows.append(_texts(changes, translate("Latest changes")))
    subtitle = f"{number(shown.totals.breweries, language)} {translate('Breweries').lower()}"
    return {
        "$schema": _SCHEMA,
        "title": {"text": title, "subtitle": subtitle, "fontSize": 20, "subtitleFontSize": 14},
        "padding": 24,
        "vconcat": rows,
    }


def _delta(values: Sequence[int], language: str) -> str:
    change = values[-1] - values[-2] if len(values) > 1 else 0
    return f"{'+' if change > 0 else ''}{number(change, language)}" if change else ""


def _texts(rows: Sequence[Sequence[str]], title: str = "", size: int = 10) -> dict[str, Any]:
    """Specify a table of texts with equally wide columns."""
    columns = len(rows[0])
    axis = {"type": "quantitative", "axis": None}
    return {
        "title": title,
        "width": _SHEET_WIDTH,
        "height": 1.7 * size * len(rows),
        "data": {
            "values": [{"x": x, "y": y, "text": text} for y, row in enumerate(rows) for x, text in enumerate(row)]
        },
        "mark": {"type": "text", "align": "left", "fontSize": size, "limit": _SHEET_WIDTH / columns - 10},
        "encoding": {
            "x": {"field": "x", "scale": {"domain": [0, columns], "nice": False}, **axis},
            "y": {"field": "y", "scale": {"domain": [-0.6, len(rows) - 0.4], "reverse": True, "nice": False}, **axis},
            "text": {"field": "text"},
        },
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
        "width": _SHEET_WIDTH // 3 - 130,
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
