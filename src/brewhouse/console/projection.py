"""How the round earth becomes the flat map: Miller's cylindrical projection, 10,000 units wide.

Its meridians stand upright, so that a country looks as it is known however far the map is zoomed in.
`docs/outlines.py` draws the countries with it; `SQL` is the same for the breweries.
"""

from __future__ import annotations

from math import log, pi, radians, tan

WIDTH = 10_000
SOUTH_DEGREES, NORTH_DEGREES = -56.0, 78.0
"""What the map shows; nobody brews beyond."""


def _height(latitude: float) -> float:
    return 1.25 * log(tan(pi / 4 + 0.4 * radians(latitude)))


TOP = _height(NORTH_DEGREES)
HEIGHT = round((TOP - _height(SOUTH_DEGREES)) * WIDTH / 2 / pi)
SQL = (
    f"CAST(round((longitude + 180) * {WIDTH / 360}) AS INTEGER) AS x, "
    f"CAST(round(({TOP} - 1.25 * ln(tan(pi() / 4 + 0.4 * radians(latitude)))) * {WIDTH / 2 / pi}) AS INTEGER) AS y"
)
"""Columns x and y of columns longitude and latitude, as whole numbers."""


def project(longitude: float, latitude: float) -> tuple[float, float]:
    """Give a place on the map, from its upper left corner.

    Args:
        longitude: Degrees east.
        latitude: Degrees north.

    Example:
        >>> project(-180, NORTH_DEGREES), project(0, 0)[0]
        ((0.0, 0.0), 5000.0)
    """
    return (longitude + 180) * WIDTH / 360, (TOP - _height(latitude)) * WIDTH / 2 / pi
