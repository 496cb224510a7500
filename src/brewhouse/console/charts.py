"""Vega-Lite specifications of the charts; the console's theme is in `static/chart.js`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from math import log, pi, radians, tan
from pathlib import Path
from typing import Any

from brewhouse.console.formatting import number
from brewhouse.console.language import Translator
from brewhouse.console.overview import BreweryLocation, DayCount, Overview, OverviewFilters

_SPECIFICATIONS = Path(__file__).parent / "vega"
_BORDERS = Path(__file__).parent / "static"  # written by docs/geography.py
_SHEET_WIDTH = 900
_MAP_HEIGHT = 440
_MAX_DETAILED = 60  # degrees from west to east of a map with all details
_MAX_BARS = 20
_LONG_DAYS = 60  # above, the axis has months instead of days, and the line no points
_MAX_TICKS = 8

Box = tuple[float, float, float, float]
"""West, south, east and north, in degrees."""
WORLD: Box = (-170.0, -55.0, 190.0, 73.0)


def line_chart(days: Sequence[DayCount], translate: Translator) -> dict[str, Any]:
    """Specify a line chart of counts by day."""
    axis: dict[str, Any] = {"format": "%b %Y", "tickCount": _MAX_TICKS}
    if days and (days[-1].day - days[0].day).days <= _LONG_DAYS:
        ticks = [datetime(*each.day.timetuple()[:3], tzinfo=UTC) for each in days[:: -(-len(days) // _MAX_TICKS)]]
        axis = {"format": "%d %b %Y", "values": [tick.timestamp() * 1000 for tick in ticks]}
    spec = specification("line")
    spec["data"] = {"values": [{"day": each.day.isoformat(), "breweries": each.breweries} for each in days]}
    spec["layer"][1]["mark"]["point"] = len(days) < _LONG_DAYS
    spec["encoding"]["x"]["axis"] |= axis
    for shown, title in zip(spec["encoding"]["tooltip"], ("Day", "Breweries"), strict=True):
        shown["title"] = translate(title)
    return spec


def specification(name: str) -> dict[str, Any]:
    """Load a file of the folder `vega`: a chart without its data, or the theme of reports."""
    spec: dict[str, Any] = json.loads((_SPECIFICATIONS / f"{name}.json").read_bytes())
    return spec


def line_path(days: Sequence[DayCount]) -> str:
    """Draw counts by day as the path of an SVG of 1000 by 150, from 0 at its lower edge to the highest count."""
    width, height = 1000, 150
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
        rows.append({**map_chart(locations, shown.filters), "title": translate("Map")})
    if shown.over_time:
        line = line_chart(shown.over_time, translate)
        del line["$schema"]
        rows.append({**line, "width": _SHEET_WIDTH, "title": translate("Counts over time")})
    lists = {"type": shown.by_type, "country": shown.by_country, "state": shown.by_state}
    bars = []
    for name, counts in lists.items():
        values = [{"name": translate.label(name, each), "breweries": each.breweries} for each in counts[:_MAX_BARS]]
        chart = {"title": translate(f"By {name}"), "width": _SHEET_WIDTH // 3 - 130, "data": {"values": values}}
        bars.append(specification("bars") | chart)
    rows.append({"hconcat": bars})
    if shown.changes:
        changes = [
            (
                translate(each.kind),
                each.name,
                ", ".join(filter(None, (each.city, translate.country(each.country or "")))),
            )
            for each in shown.changes
        ]
        rows.append(_texts(changes, translate("Latest changes")))
    sheet = specification("sheet")
    sheet["title"]["text"] = title
    sheet["title"]["subtitle"] = f"{number(shown.totals.breweries, language)} {translate('Breweries').lower()}"
    return {**sheet, "vconcat": rows}


def _delta(values: Sequence[int], language: str) -> str:
    change = values[-1] - values[-2] if len(values) > 1 else 0
    return f"{'+' if change > 0 else ''}{number(change, language)}" if change else ""


def _texts(rows: Sequence[Sequence[str]], title: str = "", size: int = 10) -> dict[str, Any]:
    """Specify a table of texts with equally wide columns."""
    columns, spec = len(rows[0]), specification("texts")
    spec["mark"] |= {"fontSize": size, "limit": _SHEET_WIDTH / columns - 10}
    spec["encoding"]["x"]["scale"]["domain"] = [0, columns]
    spec["encoding"]["y"]["scale"]["domain"] = [-0.6, len(rows) - 0.4]
    values = [{"x": x, "y": y, "text": text} for y, row in enumerate(rows) for x, text in enumerate(row)]
    return {**spec, "title": title, "height": 1.7 * size * len(rows), "data": {"values": values}}


def map_chart(locations: Sequence[BreweryLocation], filters: OverviewFilters) -> dict[str, Any]:
    """Specify a map of the breweries: of the world, of a whole country, or of the surroundings of those in a state."""
    west, south, east, north = part = _shown_part([(each.longitude, each.latitude) for each in locations], filters)
    topology = json.loads((_BORDERS / ("regions.json" if east - west < _MAX_DETAILED else "world.json")).read_bytes())
    step = (east - west) / _SHEET_WIDTH  # a pixel; closer breweries are one dot
    grid = {(round(each.longitude / step), round(each.latitude / step)) for each in locations}
    places = [(x * step, y * step) for x, y in sorted(grid) if south <= y * step <= north]
    spec = specification("map")
    borders, points = spec["layer"]
    borders["data"]["values"] = {**topology, "objects": {"countries": topology["objects"]["countries"]}}
    points["data"]["values"] = [{"longitude": round(x, 3), "latitude": round(y, 3)} for x, y in places]
    points["mark"]["size"] = 12 if filters.country else 6
    return {**spec, "projection": _projection(part)}


def map_paths(locations: Sequence[BreweryLocation], filters: OverviewFilters) -> dict[str, Any]:
    """Draw what `map_chart` specifies, without its library, as paths of an SVG: land, and dots of a round line."""
    chart = map_chart(locations, filters)
    (left, top), scale, (turn, *_) = (chart["projection"][name] for name in ("translate", "scale", "rotate"))
    borders, points = (layer["data"]["values"] for layer in chart["layer"])

    def pixels(longitude: float, latitude: float) -> tuple[float, float]:
        y = top - scale * log(tan(pi / 4 + radians(latitude) / 2))
        return round(left + scale * radians(longitude + turn), 1), round(y, 1)

    def is_visible(corners: Sequence[tuple[float, float]]) -> bool:
        return all(
            max(values) > 0 and min(values) < size
            for values, size in zip(zip(*corners, strict=True), (_SHEET_WIDTH, _MAP_HEIGHT), strict=True)
        )

    rings = ([pixels(*each) for each in ring] for ring in _rings(borders))
    land = "".join(f"M{' '.join(f'{x} {y}' for x, y in ring)}Z" for ring in rings if is_visible(ring))
    dots = (pixels(each["longitude"], each["latitude"]) for each in points)
    drawn = {"land": land, "dots": "".join(f"M{x} {y}h0" for x, y in dots)}
    return {"width": _SHEET_WIDTH, "height": _MAP_HEIGHT, **drawn}


def _rings(topology: dict[str, Any]) -> Iterator[list[tuple[float, float]]]:
    """Decode the rings of all countries in TopoJSON."""
    (scale_x, scale_y), (west, south) = topology["transform"]["scale"], topology["transform"]["translate"]
    arcs = [
        [
            (x * scale_x + west, y * scale_y + south)
            for x, y in zip(*map(accumulate, zip(*arc, strict=True)), strict=True)
        ]
        for arc in topology["arcs"]
    ]
    for country in topology["objects"]["countries"]["geometries"]:
        for polygon in country["arcs"] if country["type"] == "MultiPolygon" else [country["arcs"]]:
            for ring in polygon:
                yield [point for number in ring for point in (arcs[number] if number >= 0 else arcs[~number][::-1])]


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
