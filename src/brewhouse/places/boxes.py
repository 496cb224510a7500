"""Bounding boxes of countries, to detect coordinates in the wrong country."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from brewhouse.places import reference


class Box(NamedTuple):
    """A bounding box of a country or a part of it, in degrees, WGS 84; none crosses the 180th meridian."""

    country_code: str
    west: float
    south: float
    east: float
    north: float


@cache
def country_boxes() -> list[Box]:
    """Read the boxes of all countries, one or more each."""
    return [Box(row[0], *map(float, row[1:])) for row in reference.rows("country_boxes.csv")]
