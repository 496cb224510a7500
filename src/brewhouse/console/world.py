"""The map: outlines of the countries, and which part of it is shown first."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from functools import cache
from itertools import accumulate
from pathlib import Path

from brewhouse.console.projection import HEIGHT, WIDTH

_OUTLINES = Path(__file__).parent / "outlines.json"  # made by docs/outlines.py
_NUMBER = re.compile(r"-?\d+")
_LEAST = 260  # units a part of the map is wide at least: with less, the outlines look coarse
_MARGIN = 0.12

Box = tuple[int, int, int, int]


@cache
def outlines() -> dict[str, str]:
    """Give the countries' SVG paths, by ISO 3166-1 code; those that have none are together below an empty one."""
    paths: dict[str, str] = json.loads(_OUTLINES.read_text("utf-8"))
    return paths


def land_without(codes: Collection[str]) -> str:
    """Give one path of all countries but these."""
    return "".join(path for code, path in outlines().items() if code not in codes)


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


def view_box(boxes: Iterable[Box] = ()) -> tuple[int, int, int, int]:
    """Choose the part of the map that holds all of these, with some space around.

    Args:
        boxes: Least x and y and greatest x and y; none for the whole map.

    Returns:
        Left, top, width and height, of the shape the map has.

    Example:
        >>> view_box()
        (0, 0, 10000, 4537)
        >>> view_box([(5000, 1000, 5400, 1100)])
        (4952, 937, 496, 225)
    """
    held = list(boxes)
    if not held:
        return (0, 0, WIDTH, HEIGHT)
    left, top = min(box[0] for box in held), min(box[1] for box in held)
    right, bottom = max(box[2] for box in held), max(box[3] for box in held)
    shape = HEIGHT / WIDTH
    width = min(WIDTH, max(_LEAST, (right - left) * (1 + 2 * _MARGIN), (bottom - top) * (1 + 2 * _MARGIN) / shape))
    height = width * shape
    x = min(max(0.0, (left + right - width) / 2), WIDTH - width)
    y = min(max(0.0, (top + bottom - height) / 2), HEIGHT - height)
    return (round(x), round(y), round(width), round(height))
