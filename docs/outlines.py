"""Convert country outlines of Natural Earth to SVG paths for the console's map.

`python docs/outlines.py countries-50m.json` reads that file of the npm package `world-atlas` (Natural Earth at 1:50
million, public domain, as TopoJSON) and writes `src/brewhouse/console/outlines.json`: SVG paths by ISO 3166-1 code, in
the coordinates of `brewhouse.console.projection`, for the whole map and for a section of it. Borders are shared arcs,
each simplified once (Douglas and Peucker), so that neighbours still meet.
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from math import hypot
from pathlib import Path
from typing import Any

import pycountry

import brewhouse.console
from brewhouse.console.projection import HEIGHT, WIDTH, project

Point = tuple[float, float]

TARGET = Path(brewhouse.console.__file__).parent / "outlines.json"
DETAILS = {"near": (0.9, 10), "far": (5.0, 100)}
"""Tolerance of a border, in units of the map (ten thousandths of its width), and the area in square units below which
islands are left out, except a country's largest."""


def main(source: Path) -> None:
    """Convert a TopoJSON file."""
    topology = json.loads(source.read_text("utf-8"))
    outlines = {name: country_paths(topology, *detail) for name, detail in DETAILS.items()}
    TARGET.write_text(json.dumps(outlines, indent=0) + "\n", "utf-8")


def country_paths(topology: dict[str, Any], tolerance: float, smallest: float) -> dict[str, str]:
    """Return the paths of the countries by code; see `DETAILS` for the arguments."""
    lines = ([project(*point) for point in _coordinates(arc, topology["transform"])] for arc in topology["arcs"])
    arcs = [simplified(line, tolerance) for line in lines]
    outlines: dict[str, str] = {}
    for country in topology["objects"]["countries"]["geometries"]:
        if path := _path(_rings(country, arcs), smallest):
            code = _alpha_2(country.get("id"))
            outlines[code] = outlines.get(code, "") + path
    outlines.pop("AQ", None)
    return dict(sorted(outlines.items()))


def simplified(points: list[Point], tolerance: float) -> list[Point]:
    """Simplify a line within a tolerance."""
    if len(points) < 3:
        return points
    (x1, y1), (x2, y2) = points[0], points[-1]
    dx, dy = x2 - x1, y2 - y1
    length = hypot(dx, dy)

    def distance(point: Point) -> float:
        if length == 0:
            return hypot(point[0] - x1, point[1] - y1)
        return abs(dy * (point[0] - x1) - dx * (point[1] - y1)) / length

    farthest = max(range(1, len(points) - 1), key=lambda index: distance(points[index]))
    if distance(points[farthest]) < tolerance:
        return [points[0], points[-1]]
    return [*simplified(points[: farthest + 1], tolerance)[:-1], *simplified(points[farthest:], tolerance)]


def _coordinates(arc: list[list[int]], transform: dict[str, list[float]]) -> list[Point]:
    """Decode the delta-encoded, quantized coordinates of an arc."""
    (scale_x, scale_y), (left, bottom) = transform["scale"], transform["translate"]
    x = y = 0
    points = []
    for dx, dy in arc:
        x, y = x + dx, y + dy
        points.append((x * scale_x + left, max(-85.0, min(85.0, y * scale_y + bottom))))
    return points


def _rings(country: dict[str, Any], arcs: list[list[Point]]) -> list[list[Point]]:
    polygons = country.get("arcs", []) if country["type"] == "MultiPolygon" else [country.get("arcs", [])]
    rings = []
    for ring in (ring for polygon in polygons for ring in polygon):
        points: list[Point] = []
        for number in ring:
            arc = arcs[number] if number >= 0 else arcs[~number][::-1]
            points += arc[1:] if points else arc
        rings += _unwrapped(points)
    return rings


def _unwrapped(ring: list[Point]) -> list[list[Point]]:
    """Continue a ring beyond the map's edge instead of jumping to the other one, and repeat it at both edges."""
    shift, points = 0, ring[:1]
    for (before, _), (x, y) in pairwise(ring):
        shift += WIDTH * ((before - x > WIDTH / 2) - (x - before > WIDTH / 2))
        points.append((x + shift, y))
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    copies = [0, *([WIDTH] if left < 0 else []), *([-WIDTH] if right > WIDTH else [])]
    return [[(x + copy, y) for x, y in points] for copy in copies]


def _area(ring: list[Point]) -> float:
    return abs(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(ring, [*ring[1:], ring[0]], strict=True))) / 2


def _path(rings: list[list[Point]], smallest: float) -> str:
    """Format rings as an SVG path with relative integer coordinates, the shortest form."""
    seen = [ring for ring in rings if any(-50 <= y <= HEIGHT + 50 for _, y in ring)]
    largest = max((_area(ring) for ring in seen), default=0.0)
    parts = []
    for ring in seen:
        if _area(ring) < smallest and _area(ring) < largest:
            continue
        steps: list[str] = []
        before: tuple[int, int] | None = None
        for x, y in ring[:-1]:
            here = (round(x), round(y))
            if before is None:
                parts.append(f"M{here[0]} {here[1]}l")
            elif here != before:
                steps.append(f"{here[0] - before[0]} {here[1] - before[1]}")
            before = here
        parts.append(" ".join(steps or ["1 0 0 1"]).replace(" -", "-") + "z")
    return "".join(parts)


def _alpha_2(number: str | None) -> str:
    country = pycountry.countries.get(numeric=number) if number else None
    return str(country.alpha_2) if country else ""


if __name__ == "__main__":
    main(Path(sys.argv[1]))
