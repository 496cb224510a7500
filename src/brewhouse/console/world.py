"""The land of the map: outlines of the countries, as precise as what is shown of it, and which part that is."""

from __future__ import annotations

import json
import re
from functools import cache
from itertools import accumulate
from pathlib import Path

from brewhouse.console.projection import HEIGHT, WIDTH

_OUTLINES = Path(__file__).parent / "outlines.json"  # made by docs/outlines.py
_NUMBER = re.compile(r"-?\d+")
NEAR = 3500
"""Units of the map; a part less wide is drawn as precisely as can be. `static/map.js` has the same."""
_LEAST = 260  # units a part of the map is wide at least: with less, the outlines look coarse
_MARGIN = 0.12

Box = tuple[int, int, int, int]
"""Least x and y, and greatest x and y."""
View = tuple[int, int, int, int]
"""Left, top, width and height."""


@cache
def _details() -> dict[str, dict[str, str]]:
    read: dict[str, dict[str, str]] = json.loads(_OUTLINES.read_text("utf-8"))
    return read


@cache
def _boxes() -> dict[str, list[Box]]:
    """Give what of the map each part of a country takes."""

    def box(ring: list[tuple[int, int]]) -> Box:
        x, y = zip(*ring, strict=True)
        return min(x), min(y), max(x), max(y)

    return {code: [box(ring) for ring in rings(path)] for code, path in _details()["far"].items()}


def outlines(view: View | None = None) -> dict[str, str]:
    """Give the countries' SVG paths, by ISO 3166-1 code; those that have none are together below an empty one.

    Args:
        view: The part of the map that is shown, for which less is drawn of what cannot be seen; none for all there is.
    """
    near, far = _details()["near"], _details()["far"]
    if view is None:
        return near
    if view[2] >= NEAR:
        return far
    left, top, right, bottom = view[0], view[1], view[0] + view[2], view[1] + view[3]

    def is_seen(code: str) -> bool:
        return any(x1 < right and x2 > left and y1 < bottom and y2 > top for x1, y1, x2, y2 in _boxes()[code])

    return {code: near[code] if is_seen(code) else path for code, path in far.items()}


def rings(path: str) -> list[list[tuple[int, int]]]:
    """Give the closed lines that an outline is made of, as corners on the map.

    Args:
        path: One of `outlines`.

    Example:
        >>> rings("M5 6l1 0-1 2zM0 0l3 4z")
        [[(5, 6), (6, 6), (5, 8), (5, 6)], [(0, 0), (3, 4), (0, 0)]]
    """
    found = []
    for part in path.split("M")[1:]:
        numbers = iter(map(int, _NUMBER.findall(part)))
        steps = zip(numbers, numbers, strict=True)
        corners = list(accumulate(steps, lambda place, step: (place[0] + step[0], place[1] + step[1])))
        found.append([*corners, corners[0]])
    return found


def view_box(held: Box | None = None) -> View:
    """Choose the part of the map that shows a box with some space around, of the shape the map has.

    Args:
        held: The box; none for the whole map.

    Example:
        >>> view_box()
        (0, 0, 10000, 4537)
        >>> view_box((5000, 1000, 5400, 1100))
        (4952, 937, 496, 225)
    """
    if held is None:
        return (0, 0, WIDTH, HEIGHT)
    left, top, right, bottom = held
    shape = HEIGHT / WIDTH
    width = min(WIDTH, max(_LEAST, (right - left) * (1 + 2 * _MARGIN), (bottom - top) * (1 + 2 * _MARGIN) / shape))
    height = width * shape
    x = min(max(0.0, (left + right - width) / 2), WIDTH - width)
    y = min(max(0.0, (top + bottom - height) / 2), HEIGHT - height)
    return (round(x), round(y), round(width), round(height))
