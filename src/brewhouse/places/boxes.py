"""Where countries lie: rectangles by which a coordinate in the wrong country is seen."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from brewhouse.places import reference


class Box(NamedTuple):
    """A rectangle that holds a country or a part of it.

    Attributes:
        country_code: ISO 3166-1 alpha-2.
        west: Its least longitude, degrees, WGS 84.
        south: Its least latitude.
        east: Its greatest longitude; never less than west, none crosses the 180th meridian.
        north: Its greatest latitude.
    """

    country_code: str
    west: float
    south: float
    east: float
    north: float


@cache
def country_boxes() -> list[Box]:
    """Read the rectangles of all countries, one or more each."""
    return [Box(row[0], *map(float, row[1:])) for row in reference.rows("country_boxes.csv")]
