"""Miller cylindrical projection of the map, 10,000 units wide; its meridians are vertical at every zoom.

`docs/outlines.py` projects the country outlines with it; `XY_SQL` is the same formula for breweries.
"""

from __future__ import annotations

from math import log, pi, radians, tan

WIDTH = 10_000
SOUTH_DEGREES, NORTH_DEGREES = -56.0, 78.0
"""Latitudes the map is cropped to; no known brewery is outside."""


def _miller_y(latitude: float) -> float:
    return 1.25 * log(tan(pi / 4 + 0.4 * radians(latitude)))


TOP = _miller_y(NORTH_DEGREES)
HEIGHT = round((TOP - _miller_y(SOUTH_DEGREES)) * WIDTH / 2 / pi)
XY_SQL = (
    f"CAST(round((longitude + 180) * {WIDTH / 360}) AS INTEGER) AS x, "
    f"CAST(round(({TOP} - 1.25 * ln(tan(pi() / 4 + 0.4 * radians(latitude)))) * {WIDTH / 2 / pi}) AS INTEGER) AS y"
)
"""Select list that computes integer columns x and y from longitude and latitude."""


def project(longitude: float, latitude: float) -> tuple[float, float]:
    """Project a place in degrees to x and y from the upper left corner of the map.

    Example:
        >>> project(-180, NORTH_DEGREES), project(0, 0)[0]
        ((0.0, 0.0), 5000.0)
    """
    return (longitude + 180) * WIDTH / 360, (TOP - _miller_y(latitude)) * WIDTH / 2 / pi
