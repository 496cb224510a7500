"""A lineage as a picture: SVG by hand, in light and dark, from left to right.

Each table stands in the column of its zone, to the right of all it reads. A line that passes a column keeps a place of
its own there, so that it runs between the boxes. Within a column, the order is that in which the fewest lines cross,
as far as a few sweeps find it (each node at the mean of its neighbours, after Sugiyama et al. 1981).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from brewhouse.models.lineage import Node

_STAGES = ("source", "bronze", "staging", "silver", "gold")
_CHARACTER = 7.25  # width of a character of the monospaced font, and all below in pixels
_PADDING = 14.0
_BOX_HEIGHT = 34.0
_PASSAGE_HEIGHT = 12.0
_GAP = 16.0
_COLUMN_GAP = 64.0
_MARGIN = 20.0
_TOP = 60.0
_TIP = 7.0
_LEGEND_HEIGHT = 24.0
_SWEEPS = 8

_STYLE = """
.lineage text { font: 12px ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1d2733; }
.lineage .zone, .lineage .note { font: 600 11px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #66707d; }
.lineage .zone { letter-spacing: 1px; text-transform: uppercase; }
.lineage .ground { fill: #ffffff; }
.lineage .lane { fill: #f3f5f8; }
.lineage .box { fill: #ffffff; stroke: #c6ced8; stroke-width: 1.2; }
.lineage .box.source { fill: #e7eefd; stroke: #7d9be0; }
.lineage .box.own { fill: #fff3dc; stroke: #d08a1d; }
.lineage .edge { fill: none; stroke: #9aa5b3; stroke-width: 1.4; }
.lineage .edge.own { stroke: #d08a1d; }
.lineage .tip { fill: #9aa5b3; }
.lineage .tip.own { fill: #d08a1d; }
@media (prefers-color-scheme: dark) {
  .lineage text { fill: #e6ebf1; }
  .lineage .zone, .lineage .note { fill: #93a0b0; }
  .lineage .ground { fill: #0d1117; }
  .lineage .lane { fill: #161b22; }
  .lineage .box { fill: #212832; stroke: #465263; }
  .lineage .box.source { fill: #18264a; stroke: #5f80cf; }
  .lineage .box.own { fill: #3b2b0f; stroke: #e0a341; }
  .lineage .edge { stroke: #6b7787; }
  .lineage .edge.own { stroke: #e0a341; }
  .lineage .tip { fill: #6b7787; }
  .lineage .tip.own { fill: #e0a341; }
}
"""


@dataclass
class _Place:
    """A box, or the passage of a line through a column."""

    node: Node | None
    column: int
    width: float = 0.0
    x: float = 0.0
    y: float = 0.0
    left: list[_Place] = field(default_factory=list)
    right: list[_Place] = field(default_factory=list)

    @property
    def height(self) -> float:
        return _BOX_HEIGHT if self.node else _PASSAGE_HEIGHT

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


def draw_svg(
    nodes: Sequence[Node],
    title: str = "Lineage of the tables",
    address: Callable[[Node], str | None] | None = None,
) -> str:
    """Draw a lineage as an SVG that needs nothing else, or as a part of a page.

    Args:
        nodes: Of `lineage`.
        title: Read aloud by screen readers.
        address: Where a table's box leads, None for nowhere; a picture with addresses is looked after by the style
            sheet of its page.

    Returns:
        The text of an SVG file.
    """
    grid, paths = _grid(nodes, _columns(nodes))
    _order(grid)
    width, height = _lay_out(grid)
    parts = [*_lanes(grid, height), *(_edge(path) for path in paths)]
    parts += [_box(place, place.node, address) for column in grid for place in column if place.node]
    if any(node.user_defined for node in nodes):
        height += _LEGEND_HEIGHT
        parts += _legend(height)
    sentences = [f"{node.name} is made of {' and '.join(node.reads)}." for node in nodes if node.reads]
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    role = "img" if address is None else "group"  # what is an image for screen readers has no links in it
    names = f'role="{role}" aria-labelledby="lineage-title lineage-desc"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="lineage" {size} {names}>',
            f'<title id="lineage-title">{escape(title)}</title>',
            f'<desc id="lineage-desc">{escape(" ".join(sentences))}</desc>',
            f"<style>{_STYLE}</style>" if address is None else "",
            f'<rect class="ground" width="{width:.0f}" height="{height:.0f}" rx="10"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def _columns(nodes: Sequence[Node]) -> dict[str, int]:
    """Give each table a column: its zone's first one, or one to the right of all it reads."""
    columns: dict[str, int] = {}
    for stage in range(len(_STAGES)):
        first = max(columns.values(), default=-1) + 1
        for node in nodes:
            if _stage(node) == stage:
                read = [columns[name] + 1 for name in node.reads if name in columns]
                columns[node.name] = max([first, *read])
    return columns


def _stage(node: Node) -> int:
    """Tell how far a zone is from the source; all given tables stand where bronze does."""
    return _STAGES.index(node.zone) if node.zone in _STAGES else _STAGES.index("bronze")


def _grid(nodes: Sequence[Node], columns: dict[str, int]) -> tuple[list[list[_Place]], list[list[_Place]]]:
    """Put boxes and passages into their columns, and give each line as the places it goes through."""
    grid: list[list[_Place]] = [[] for _ in range(max(columns.values()) + 1)]
    boxes = {node.name: _Place(node, columns[node.name]) for node in nodes}
    for box in boxes.values():
        grid[box.column].append(box)
    paths = []
    for node in nodes:
        end = boxes[node.name]
        for name in node.reads:
            start = boxes[name]
            passages = [_Place(None, column) for column in range(start.column + 1, end.column)]
            for passage in passages:
                grid[passage.column].append(passage)
            path = [start, *passages, end]
            for left, right in pairwise(path):
                left.right.append(right)
                right.left.append(left)
            paths.append(path)
    return grid, paths


def _order(grid: list[list[_Place]]) -> None:
    """Sort each column by where its neighbours are, from left to right and back."""
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        for column in grid if forward else reversed(grid):
            ranks = {id(place): rank for each in grid for rank, place in enumerate(each)}
            column.sort(key=lambda place: _mean([ranks[id(n)] for n in _neighbours(place, forward)], ranks[id(place)]))


def _neighbours(place: _Place, forward: bool) -> list[_Place]:
    return place.left if forward else place.right


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _lay_out(grid: list[list[_Place]]) -> tuple[float, float]:
    """Give every place its coordinates; returns width and height of the whole."""
    x = _MARGIN + _PADDING
    for column in grid:
        width = max(_label_width(place) for place in column)
        y = 0.0
        for place in column:
            place.x, place.y, place.width = x, y, width
            y += place.height + _GAP
        x += width + _COLUMN_GAP
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        for column in grid if forward else reversed(grid):
            _straighten(column, forward)
    every = [place for column in grid for place in column]
    rise = _TOP - min(place.y for place in every)
    for place in every:
        place.y += rise
    return x - _COLUMN_GAP + _MARGIN + _PADDING, max(p.y + p.height for p in every) + _MARGIN + _PADDING


def _straighten(column: list[_Place], forward: bool) -> None:
    """Move the places of a column towards their neighbours' height, in order and without touching."""
    wanted = [_mean([n.middle for n in _neighbours(p, forward)], p.middle) - p.height / 2 for p in column]
    bottom = float("-inf")
    for place, y in zip(column, wanted, strict=True):
        place.y = max(y, bottom)
        bottom = place.y + place.height + _GAP
    excess = _mean([place.y - y for place, y in zip(column, wanted, strict=True)], 0.0)
    for place in column:
        place.y -= excess


def _label(node: Node) -> str:
    return node.name.partition(".")[2] if node.zone in _STAGES[1:] else node.name


def _label_width(place: _Place) -> float:
    return len(_label(place.node)) * _CHARACTER + 2 * _PADDING if place.node else 0.0


def _lanes(grid: list[list[_Place]], height: float) -> list[str]:
    """Draw a band behind each zone's columns, with the zone's name."""
    bands: dict[int, list[_Place]] = {}
    for column in grid:
        for place in column:
            if place.node:
                bands.setdefault(_stage(place.node), []).append(place)
    parts = []
    for stage, places in sorted(bands.items()):
        left = min(place.x for place in places) - _PADDING
        right = max(place.x + place.width for place in places) + _PADDING
        parts.append(
            f'<rect class="lane" x="{left:.1f}" y="{_MARGIN / 2:.1f}" width="{right - left:.1f}" '
            f'height="{height - _MARGIN:.1f}" rx="8"/>'
            f'<text class="zone" x="{left + _PADDING:.1f}" y="{_MARGIN / 2 + 23:.1f}">{_STAGES[stage]}</text>'
        )
    return parts


def _edge(path: list[_Place]) -> str:
    """Draw a line from box to box, level where it meets a place and bent between two."""
    start, end = path[0], path[-1]
    steps = [f"M{start.x + start.width:.1f},{start.middle:.1f}"]
    x, y = start.x + start.width, start.middle
    for place in path[1:]:
        tip = place.x - (_TIP if place is end else 0.0)
        bend = (tip - x) / 2
        steps.append(f"C{x + bend:.1f},{y:.1f} {tip - bend:.1f},{place.middle:.1f} {tip:.1f},{place.middle:.1f}")
        x, y = place.x + place.width, place.middle
        if place is not end:
            steps.append(f"H{x:.1f}")
    kind = " own" if end.node and end.node.user_defined else ""
    point = f"M{end.x - 1:.1f},{end.middle:.1f}l-{_TIP:.0f},-4v8z"
    return f'<path class="edge{kind}" d="{" ".join(steps)}"/><path class="tip{kind}" d="{point}"/>'


def _box(place: _Place, node: Node, address: Callable[[Node], str | None] | None) -> str:
    kind = "own" if node.user_defined else "source" if node.zone == "source" else "built-in"
    hover = f"{node.name}: {node.description}" if node.description else node.name
    target = address(node) if address else None
    begin, end = (f'<a href="{escape(target)}">', "</a>") if target else ("<g>", "</g>")
    return (
        f'{begin}<title>{escape(hover)}</title><rect class="box {kind}" x="{place.x:.1f}" y="{place.y:.1f}" '
        f'width="{place.width:.1f}" height="{place.height:.1f}" rx="7"/>'
        f'<text x="{place.x + place.width / 2:.1f}" y="{place.middle + 4:.1f}" text-anchor="middle">'
        f"{escape(_label(node))}</text>{end}"
    )


def _legend(height: float) -> list[str]:
    y = height - _LEGEND_HEIGHT - 2
    return [
        f'<rect class="box own" x="{_MARGIN:.1f}" y="{y:.1f}" width="16" height="12" rx="3"/>',
        f'<text class="note" x="{_MARGIN + 24:.1f}" y="{y + 10:.1f}">your own tables</text>',
    ]
