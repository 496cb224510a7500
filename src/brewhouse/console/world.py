"""Country outlines of the map in two levels of detail, and the part of the map to show."""

from __future__ import annotations

import json
import re
from functools import cache
from itertools import accumulate
from pathlib import Path

from brewhouse.console.projection import HEIGHT, WIDTH

_OUTLINES = Path(__file__).parent / "outlines.json"  # written by docs/outlines.py
_NUMBER = re.compile(r"-?\d+")
NEAR = 3500
"""Map units; a narrower view is drawn in full detail. `static/map.js` has the same constant."""
_MIN_WIDTH = 260  # map units; outlines look coarse in a narrower view
_MARGIN = 0.12

Bounds = tuple[int, int, int, int]
"""Minimum x and y, maximum x and y."""
ViewBox = tuple[int, int, int, int]
"""Left, top, width and height."""


@cache
def _details() -> dict[str, dict[str, str]]:
    details: dict[str, dict[str, str]] = json.loads(_OUTLINES.read_text("utf-8"))
    return details


@cache
def _ring_bounds() -> dict[str, list[Bounds]]:
    """Compute the bounds of each ring of each country."""

    def bounds(ring: list[tuple[int, int]]) -> Bounds:
        x, y = zip(*ring, strict=True)
        return min(x), min(y), max(x), max(y)

    return {code: [bounds(ring) for ring in rings(path)] for code, path in _details()["far"].items()}


def outlines(view: ViewBox | None = None) -> dict[str, str]:
    """Return the SVG path of each country by ISO 3166-1 code, simplified outside a view; others share the key ""."""
    near, far = _details()["near"], _details()["far"]
    if view is None:
        return near
    if view[2] >= NEAR:
        return far
    left, top, right, bottom = view[0], view[1], view[0] + view[2], view[1] + view[3]

    def is_visible(code: str) -> bool:
        return any(x1 < right and x2 > left and y1 < bottom and y2 > top for x1, y1, x2, y2 in _ring_bounds()[code])

    return {code: near[code] if is_visible(code) else path for code, path in far.items()}


def with_country(bounds: Bounds, code: str) -> Bounds:
    """Extend some bounds to the parts of a country that they overlap, so that it is shown whole."""
    left, top, right, bottom = bounds
    for x1, y1, x2, y2 in _ring_bounds().get(code, []):
        if x1 <= bounds[2] and x2 >= bounds[0] and y1 <= bounds[3] and y2 >= bounds[1]:
            left, top, right, bottom = min(left, x1), min(top, y1), max(right, x2), max(bottom, y2)
    return left, top, right, bottom


def rings(path: str) -> list[list[tuple[int, int]]]:
    """Parse an outline into closed rings of map coordinates.

    Example:
        >>> rings("M5 6l1 0-1 2zM0 0l3 4z")
        [[(5, 6), (6, 6), (5, 8), (5, 6)], [(0, 0), (3, 4), (0, 0)]]
    """
    closed = []
    for part in path.split("M")[1:]:
        numbers = iter(map(int, _NUMBER.findall(part)))
        steps = zip(numbers, numbers, strict=True)
        corners = list(accumulate(steps, lambda corner, step: (corner[0] + step[0], corner[1] + step[1])))
        closed.append([*corners, corners[0]])
    return closed


def view_box(bounds: Bounds | None = None) -> ViewBox:
    """Fit a view with a margin and the map's aspect ratio around some bounds; None is the whole map.

    Example:
        >>> view_box()
        (0, 0, 10000, 4537)
        >>> view_box((5000, 1000, 5400, 1100))
        (4952, 937, 496, 225)
    """
    if bounds is None:
        return (0, 0, WIDTH, HEIGHT)
    left, top, right, bottom = bounds
    aspect = HEIGHT / WIDTH
    scale = 1 + 2 * _MARGIN
    width = min(WIDTH, max(_MIN_WIDTH, (right - left) * scale, (bottom - top) * scale / aspect))
    height = width * aspect
    x = min(max(0.0, (left + right - width) / 2), WIDTH - width)
    y = min(max(0.0, (top + bottom - height) / 2), HEIGHT - height)
    return (round(x), round(y), round(width), round(height))
