"""A lineage drawn as SVG, from left to right, for light and dark displays.

Each table is in the columns of its zone, to the right of all that it reads. An edge that crosses a column has a slot
there, so that it runs between the boxes. The order within a column minimizes crossings by the barycenter heuristic of
Sugiyama et al. (1981).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from pathlib import Path
from statistics import fmean

from brewhouse.models.lineage import Node

_STAGES = ("source", "bronze", "staging", "silver", "gold")
_CHARACTER = 7.25  # width of a character of the monospaced font; all sizes are in pixels
_PADDING = 14.0
_BOX_HEIGHT = 34.0
_SLOT_HEIGHT = 12.0
_GAP = 16.0
_COLUMN_GAP = 64.0
_MARGIN = 20.0
_TOP = 60.0
_TIP = 7.0
_LEGEND_HEIGHT = 24.0
_SWEEPS = 8
_FILES = Path(__file__).with_name("lineage")


@dataclass(eq=False)
class _Slot:
    """Space in a column for the box of a node, or for an edge that crosses the column."""

    node: Node | None
    column: int
    width: float = 0.0
    x: float = 0.0
    y: float = 0.0
    left: list[_Slot] = field(default_factory=list)
    right: list[_Slot] = field(default_factory=list)

    @property
    def height(self) -> float:
        return _BOX_HEIGHT if self.node else _SLOT_HEIGHT

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


def draw_svg(
    nodes: Sequence[Node],
    translate: Callable[[str], str] = str,
    address: Callable[[Node], str | None] | None = None,
) -> str:
    """Draw a lineage as a standalone SVG, or with links as a part of a page.

    Args:
        translate: Translates the title, the descriptions and the legend.
        address: Link target of a box, None for no link. With it, the page's style sheet applies and no style is
            included.
    """
    columns = _columns(nodes)
    grid, paths = _grid(nodes, columns)
    for column, forward in _sweeps(grid):
        _sort(column, forward, grid)
    width, height = _lay_out(grid)
    parts = [*_lanes(grid, height, translate), *(_edge(path) for path in paths)]
    parts += [_box(slot, slot.node, translate, address) for column in grid for slot in column if slot.node]
    if any(node.user_defined for node in nodes):
        legend = escape(translate("user-defined"))
        parts += [
            f'<rect class="box own" x="{_MARGIN:.1f}" y="{height - 2:.1f}" width="16" height="12" rx="3"/>',
            f'<text class="note" x="{_MARGIN + 24:.1f}" y="{height + 8:.1f}">{legend}</text>',
        ]
        height += _LEGEND_HEIGHT
    sentences = [translate(f"{node.name} is built from {', '.join(node.reads)}.") for node in nodes if node.reads]
    frame = _FILES.with_suffix(".svg").read_text("utf-8")
    return frame.format(
        width=width,
        height=height,
        role="img" if address is None else "group",  # screen readers ignore the links of an image
        title=escape(translate("Table lineage")),
        description=escape(" ".join(sentences)),
        style=f"<style>\n{_FILES.with_suffix('.css').read_text('utf-8')}</style>" if address is None else "",
        parts="\n".join(parts),
    )


def _columns(nodes: Sequence[Node]) -> dict[str, int]:
    """Assign each table the first column of its zone, or the one to the right of all that it reads."""
    columns: dict[str, int] = {}
    for stage in range(len(_STAGES)):
        first = max(columns.values(), default=-1) + 1
        for node in nodes:
            if _stage(node) == stage:
                columns[node.name] = max([first, *(columns[name] + 1 for name in node.reads if name in columns)])
    return columns


def _stage(node: Node) -> int:
    """Return the position of a zone; all input tables are in that of bronze."""
    return _STAGES.index(node.zone if node.zone in _STAGES else "bronze")


def _grid(nodes: Sequence[Node], columns: dict[str, int]) -> tuple[list[list[_Slot]], list[list[_Slot]]]:
    """Fill the columns with slots; return the columns and the path of each edge."""
    grid: list[list[_Slot]] = [[] for _ in range(max(columns.values()) + 1)]
    boxes = {node.name: _Slot(node, columns[node.name]) for node in nodes}
    for box in boxes.values():
        grid[box.column].append(box)
    paths = []
    for start, end in ((boxes[name], boxes[node.name]) for node in nodes for name in node.reads):
        crossed = [_Slot(None, column) for column in range(start.column + 1, end.column)]
        for slot in crossed:
            grid[slot.column].append(slot)
        paths.append([start, *crossed, end])
        for left, right in pairwise(paths[-1]):
            left.right.append(right)
            right.left.append(left)
    return grid, paths


def _sweeps(grid: list[list[_Slot]]) -> Iterator[tuple[list[_Slot], bool]]:
    """Iterate over the columns from left to right and back, several times."""
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        for column in grid if forward else reversed(grid):
            yield column, forward


def _sort(column: list[_Slot], forward: bool, grid: list[list[_Slot]]) -> None:
    """Sort a column by the mean rank of each slot's neighbours."""
    ranks = {slot: rank for each in grid for rank, slot in enumerate(each)}
    column.sort(key=lambda slot: fmean([ranks[n] for n in (slot.left if forward else slot.right) or [slot]]))


def _lay_out(grid: list[list[_Slot]]) -> tuple[float, float]:
    """Assign coordinates to the slots; return width and height of the drawing."""
    x = _MARGIN + _PADDING
    for column in grid:
        width = max(len(_label(slot.node)) * _CHARACTER + 2 * _PADDING if slot.node else 0.0 for slot in column)
        y = 0.0
        for slot in column:
            slot.x, slot.y, slot.width = x, y, width
            y += slot.height + _GAP
        x += width + _COLUMN_GAP
    for column, forward in _sweeps(grid):
        _straighten(column, forward)
    slots = [slot for column in grid for slot in column]
    shift = _TOP - min(slot.y for slot in slots)
    for slot in slots:
        slot.y += shift
    return x - _COLUMN_GAP + _MARGIN + _PADDING, max(s.y + s.height for s in slots) + _MARGIN + _PADDING


def _straighten(column: list[_Slot], forward: bool) -> None:
    """Move the slots of a column towards the height of their neighbours, in order and without overlaps."""
    wanted = [fmean([n.middle for n in (s.left if forward else s.right) or [s]]) - s.height / 2 for s in column]
    bottom = float("-inf")
    for slot, y in zip(column, wanted, strict=True):
        slot.y = max(y, bottom)
        bottom = slot.y + slot.height + _GAP
    excess = fmean([slot.y - y for slot, y in zip(column, wanted, strict=True)])
    for slot in column:
        slot.y -= excess


def _label(node: Node) -> str:
    return node.name.partition(".")[2] if node.zone in _STAGES[1:] else node.name


def _lanes(grid: list[list[_Slot]], height: float, translate: Callable[[str], str]) -> Iterator[str]:
    """Draw a band with the zone's name behind the columns of each zone."""
    lanes: dict[int, list[_Slot]] = {}
    for slot in (slot for column in grid for slot in column):
        if slot.node:
            lanes.setdefault(_stage(slot.node), []).append(slot)
    for stage, slots in sorted(lanes.items()):
        left = min(slot.x for slot in slots) - _PADDING
        right = max(slot.x + slot.width for slot in slots) + _PADDING
        zone = escape(translate(_STAGES[stage]))
        yield (
            f'<rect class="lane" x="{left:.1f}" y="{_MARGIN / 2:.1f}" width="{right - left:.1f}" '
            f'height="{height - _MARGIN:.1f}" rx="8"/>'
            f'<text class="zone" x="{left + _PADDING:.1f}" y="{_MARGIN / 2 + 23:.1f}">{zone}</text>'
        )


def _edge(path: list[_Slot]) -> str:
    """Draw an edge, level in each slot and bent between two."""
    start, end = path[0], path[-1]
    x, y = start.x + start.width, start.middle
    steps = [f"M{x:.1f},{y:.1f}"]
    for slot in path[1:]:
        to = slot.x - (_TIP if slot is end else 0.0)
        bend = (to - x) / 2
        steps.append(f"C{x + bend:.1f},{y:.1f} {to - bend:.1f},{slot.middle:.1f} {to:.1f},{slot.middle:.1f}")
        x, y = slot.x + slot.width, slot.middle
        if slot is not end:
            steps.append(f"H{x:.1f}")
    kind = " own" if end.node and end.node.user_defined else ""
    tip = f"M{end.x - 1:.1f},{end.middle:.1f}l-{_TIP:.0f},-4v8z"
    return f'<path class="edge{kind}" d="{" ".join(steps)}"/><path class="tip{kind}" d="{tip}"/>'


def _box(slot: _Slot, node: Node, translate: Callable[[str], str], address: Callable[[Node], str | None] | None) -> str:
    title = ": ".join(filter(None, (node.name, translate(node.description))))
    kind = "own" if node.user_defined else "source" if node.zone == "source" else "built-in"
    target = address(node) if address else None
    begin, end = (f'<a href="{escape(target)}">', "</a>") if target else ("<g>", "</g>")
    return (
        f"{begin}<title>{escape(title)}</title>"
        f'<rect class="box {kind}" x="{slot.x:.1f}" y="{slot.y:.1f}" '
        f'width="{slot.width:.1f}" height="{slot.height:.1f}" rx="7"/>'
        f'<text x="{slot.x + slot.width / 2:.1f}" y="{slot.middle + 4:.1f}" text-anchor="middle">'
        f"{escape(_label(node))}</text>{end}"
    )
