"""Write the borders and cities of the console's map from Natural Earth at 1:10 million, which is in the public domain.

    python docs/geography.py world_map.gpkg ne_10m_populated_places_simple.json ne_50m_lakes.json

The first file is that of QGIS (Debian's package `qgis-common`), the others are Natural Earth's downloads. Borders are
simplified by mapshaper (`npx mapshaper`, an npm package) and written as TopoJSON to `src/brewhouse/console/static/`:

- `world.json`: countries in the detail of a whole world, with the boxes that a view of each country consists of,
  and large lakes as GeoJSON
- `regions.json`: countries and states in full detail; the smaller a state, the finer its border
- `cities.json`: name, longitude and latitude of cities, the most important ones first, in groups of one rank

Countries have ISO 3166-1 codes, states ISO 3166-2 codes, by the same rules as breweries.
"""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from brewhouse.console.web import STATIC
from brewhouse.places.matching import Location, match_places
from brewhouse.places.reference import subdivisions

Box = tuple[float, float, float, float]
"""West, south, east, north."""

_WORLD = ["-simplify", "visvalingam", "weighted", "interval=14000", "keep-shapes", "-filter-islands", "min-area=150km2"]
_REGIONS = [
    *("-simplify", "variable", "visvalingam", "weighted", "keep-shapes"),
    "interval=Math.max(800, Math.min(2800, Math.sqrt(this.area) / 80))",  # metres
    *("-filter-islands", "min-area=4km2"),
]
_LABEL = "x = +this.innerX.toFixed(2), y = +this.innerY.toFixed(2), r = Math.round(Math.sqrt(this.area) / 1000)"
"""A point inside, and the size in kilometres."""
_LAKES = [
    "-filter",
    "scalerank < 3 && this.area > 2.5e9",
    "-simplify",
    "visvalingam",
    "weighted",
    "interval=6000",
    "-dissolve",
]
_CROSSING = {"RU", "FJ"}  # their parts beyond 180 degrees are moved to 180 to 190, so that they are not cut
_MAX_GAP = 3.0  # degrees between parts of a country that are shown together
_MAX_RANK = 7  # of cities


def main(borders: Path, cities: Path, lakes: Path) -> None:
    """Convert the files."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        states = folder / "states.json"
        _mapshaper(borders, "layers=states_provinces", "-filter", "iso_a2 != 'AQ'", "-o", "format=geojson", states)
        states.write_text(json.dumps(_with_codes(json.loads(states.read_text("utf-8")))), "utf-8")
        whole = folder / "whole.json"  # without the borders between states that have no code
        key = ["-clean", "-each", "k = id || c", "-dissolve", "k", "copy-fields=id,c,n,p", "-each", _LABEL]
        _mapshaper(states, *key, "-o", "format=geojson", whole)
        dissolve = ["-dissolve", "c", "+", "name=countries"]
        coarse, fine = folder / "world.json", folder / "regions.json"
        output = ["-o", "format=topojson", "target=*"]
        _mapshaper(
            whole,
            *dissolve,
            "-each",
            _LABEL,
            "-drop",
            "target=whole",
            "-target",
            "countries",
            *_WORLD,
            *output,
            "quantization=12000",
            coarse,
        )
        _mapshaper(whole, "-rename-layers", "states", *_REGIONS, *dissolve, *output, "quantization=70000", fine)
        _mapshaper(lakes, *_LAKES, "-o", "format=geojson", "precision=0.01", folder / "lakes.json")
        world, regions = (_moved(json.loads(file.read_text("utf-8"))) for file in (coarse, fine))
        (water,) = json.loads((folder / "lakes.json").read_text("utf-8"))["geometries"]
    parts = {each["properties"]["c"]: boxes(polygons(regions, each)) for each in _geometries(regions, "countries")}
    for country in _geometries(world, "countries"):
        properties = country.pop("properties")
        country["id"] = properties.pop("c")
        country["properties"] = {**properties, "boxes": parts[country["id"]] or [_around(properties)]}
    for country in _geometries(regions, "countries"):
        country["id"] = country.pop("properties")["c"]
    for state in _geometries(regions, "states"):
        properties = state["properties"]
        state["id"] = properties.pop("id")
        state["properties"] = {name: value for name, value in properties.items() if name != "k" and value}
    _write("world.json", {**world, "lakes": water})
    _write("regions.json", regions)
    _write("cities.json", _by_rank(json.loads(cities.read_text("utf-8"))))


def _mapshaper(*arguments: str | Path) -> None:
    command = ["npx", "mapshaper", *map(str, arguments)]
    subprocess.run(command, check=True)


def _write(name: str, content: object) -> None:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    (STATIC / name).write_text(text + "\n", "utf-8")


def _geometries(topology: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """List the geometries of an object; those too small for its detail are empty."""
    geometries: list[dict[str, Any]] = topology["objects"][name]["geometries"]
    for each in geometries:
        each.setdefault("arcs", [])
        each["type"] = each["type"] or "MultiPolygon"
    return geometries


def _with_codes(states: dict[str, Any]) -> dict[str, Any]:
    """Replace the properties of states: id, country, name and the subdivision that it is part of."""
    codes = [(each["properties"]["iso_a2"], each["properties"]["name"]) for each in states["features"]]
    parents = {
        division.code: division.parent for country in {code for code, _ in codes} for division in subdivisions(country)
    }
    places = match_places([Location(code, name, None, 1) for code, name in codes])
    for state, place in zip(states["features"], places, strict=True):
        of, code = state["properties"], place.state_code or ""
        country = of["iso_a2"] if of["iso_a2"] != "-1" else of["adm0_a3"]
        state["properties"] = {
            "id": code,
            "c": country,
            "n": (place.state_name or of["name"]) if code else "",
            "p": parents.get(code) or "",
        }
    return states


def _moved(topology: dict[str, Any]) -> dict[str, Any]:
    """Move the parts of some countries that are east of 180 degrees to the east of the others."""
    arcs = topology["arcs"]
    for number in {
        number
        for name in topology["objects"]
        for each in _geometries(topology, name)
        if each["properties"]["c"] in _CROSSING
        for number in _arcs(each["arcs"])
    }:
        longitudes = [longitude for longitude, _ in _decoded(topology, number)]
        if max(longitudes) < -168:
            arcs[number][0][0] += round(360 / topology["transform"]["scale"][0])
    return topology


def _arcs(nested: list[Any]) -> set[int]:
    """Collect the numbers of arcs, reversed or not."""
    return set().union(
        *(({each, ~each} - {min(each, ~each)}) if isinstance(each, int) else _arcs(each) for each in nested)
    )


def _decoded(topology: dict[str, Any], number: int) -> list[tuple[float, float]]:
    (scale_x, scale_y), (left, bottom) = topology["transform"]["scale"], topology["transform"]["translate"]
    steps = zip(*topology["arcs"][number], strict=True)
    return [(x * scale_x + left, y * scale_y + bottom) for x, y in zip(*map(accumulate, steps), strict=True)]


def polygons(topology: dict[str, Any], geometry: dict[str, Any]) -> list[list[tuple[float, float]]]:
    """Decode the outer rings of a geometry."""
    parts = geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]
    return [[point for number in rings[0] for point in _decoded(topology, max(number, ~number))] for rings in parts]


def boxes(rings: list[list[tuple[float, float]]]) -> list[Box]:
    """Combine polygons that are close to each other into boxes, that of the largest polygon first."""
    bounds = [(min(xs), min(ys), max(xs), max(ys)) for xs, ys in (zip(*ring, strict=True) for ring in rings)]
    bounds.sort(key=lambda box: (box[0] - box[2]) * (box[3] - box[1]))
    found: list[Box] = []
    while bounds:
        box, bounds = bounds[0], bounds[1:]
        while near := [each for each in bounds if _is_near(box, each)]:
            bounds = [each for each in bounds if each not in near]
            west, south, east, north = zip(box, *near, strict=True)
            box = min(west), min(south), max(east), max(north)
        found.append(box)
    return [(round(west, 1), round(south, 1), round(east, 1), round(north, 1)) for west, south, east, north in found]


def _around(label: dict[str, float]) -> Box:
    return label["x"] - 0.1, label["y"] - 0.1, label["x"] + 0.1, label["y"] + 0.1


def _is_near(one: Box, other: Box) -> bool:
    return all(max(one[axis] - other[axis + 2], other[axis] - one[axis + 2]) < _MAX_GAP for axis in (0, 1))


def _by_rank(cities: dict[str, Any]) -> list[list[list[object]]]:
    """Group cities by Natural Earth's rank, the largest of each first."""
    ranks: list[list[tuple[float, list[object]]]] = [[] for _ in range(_MAX_RANK + 1)]
    for city in (each["properties"] for each in cities["features"]):
        if city["scalerank"] <= _MAX_RANK:
            place = [city["name"], round(city["longitude"], 2), round(city["latitude"], 2)]
            ranks[city["scalerank"]].append((-city["pop_max"], place))
    return [[place for _, place in sorted(rank, key=lambda each: each[0])] for rank in ranks]


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
