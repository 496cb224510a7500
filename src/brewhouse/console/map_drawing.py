"""What the map of an overview shows, in the page and in a report: the land, its countries, and dots for breweries."""

from __future__ import annotations

from dataclasses import dataclass

from brewhouse.console import overview, world
from brewhouse.console.lake_reader import LakeState

_DOTS_ACROSS = 1250  # more cannot be told apart on a map as wide as a page


@dataclass(frozen=True)
class Drawing:
    """A map, in SVG paths.

    Attributes:
        view: The part of it that is shown.
        land: Outline of all countries without breweries.
        countries: The others, with their outlines.
        regions: The breweries.
    """

    view: world.View
    land: str
    countries: list[tuple[overview.Count, str]]
    regions: list[overview.Region]


def draw(state: LakeState, shown: overview.Overview, *, finely: bool = False) -> Drawing:
    """Draw the breweries of an overview on a map.

    Args:
        state: What the lake shows.
        shown: The overview.
        finely: As precisely as can be, for a reader who looks closer, rather than as the part shown first needs it.
    """
    filters = shown.filters
    view = world.view_box(overview.extent(state, filters) if filters.country or filters.state else None)
    held = {count.key: count for count in shown.by_country}
    paths = world.outlines(None if finely else view)
    return Drawing(
        view,
        "".join(path for code, path in paths.items() if code not in held),
        [(held[code], path) for code, path in paths.items() if code in held],
        overview.regions(state, filters, 1 if finely else max(1, view[2] // _DOTS_ACROSS)),
    )
