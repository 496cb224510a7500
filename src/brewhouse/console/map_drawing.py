"""SVG paths of the map, for the overview page and its report."""

from __future__ import annotations

from dataclasses import dataclass

from brewhouse.console import overview, world
from brewhouse.console.lake_reader import LakeState

_DOTS_ACROSS = 1250  # closer dots are indistinguishable on a map as wide as a page


@dataclass(frozen=True)
class MapDrawing:
    """A map view and its SVG paths: land without breweries, each country with some, and the breweries as dots."""

    view: world.ViewBox
    land: str
    countries: list[tuple[overview.BreweryCount, str]]
    regions: list[overview.MapRegion]


def draw_map(state: LakeState, shown: overview.Overview, *, full_detail: bool = False) -> MapDrawing:
    """Draw the breweries of an overview, by default only as detailed as the initial view needs."""
    filters = shown.filters
    bounds = overview.map_bounds(state, filters) if filters.country or filters.state else None
    if bounds and not filters.state:
        bounds = world.with_country(bounds, filters.country)
    view = world.view_box(bounds)
    counts = {count.key: count for count in shown.by_country}
    paths = world.outlines(None if full_detail else view)
    return MapDrawing(
        view,
        "".join(path for code, path in paths.items() if code not in counts),
        [(counts[code], path) for code, path in paths.items() if code in counts],
        overview.map_regions(state, filters, 1 if full_detail else max(1, view[2] // _DOTS_ACROSS)),
    )
