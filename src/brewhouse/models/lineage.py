"""Which table is made of which, from the API to gold; drawn as text, and in `picture` as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from brewhouse.models.inputs import INPUTS
from brewhouse.models.model import Model

SOURCE = "Open Brewery DB API"


@dataclass(frozen=True)
class Node:
    """A table, or the source.

    Attributes:
        name: Zone and table; the source's name has no zone.
        user_defined: Whether it is the user's.
        description: What a row is.
        reads: Names of what it is made of.
    """

    name: str
    user_defined: bool
    description: str
    reads: tuple[str, ...]

    @property
    def zone(self) -> str:
        """The part of the name before the dot; `source` for the source."""
        return "source" if self.name == SOURCE else self.name.partition(".")[0]


def lineage(models: Iterable[Model]) -> list[Node]:
    """Put models and what they read into one list, each after what it is made of.

    Args:
        models: In order.

    Returns:
        The source, the given tables that some model reads, then the models.
    """
    made = [Node(model.name, model.user_defined, model.description, model.reads) for model in models]
    read = {name for node in made for name in node.reads}
    given = [
        Node(name, user_defined=False, description="", reads=(SOURCE,) if name.startswith("bronze.") else ())
        for name in INPUTS
        if name in read
    ]
    return [Node(SOURCE, user_defined=False, description="Where the breweries come from", reads=()), *given, *made]


def draw_text(nodes: Sequence[Node]) -> str:
    """Draw a lineage as a tree; a table of several stands once, below the last of them, with the others named.

    Args:
        nodes: Of `lineage`.

    Example:
        >>> print(draw_text([
        ...     Node("bronze.a", False, "", ()), Node("bronze.b", False, "", ()),
        ...     Node("silver.c", True, "", ("bronze.a", "bronze.b")), Node("gold.d", False, "", ("silver.c",)),
        ... ]))
        bronze.a
        bronze.b
        └─ silver.c *  (and bronze.a)
           └─ gold.d
        * your own
    """
    places = {node.name: place for place, node in enumerate(nodes)}
    below: dict[str, list[Node]] = {node.name: [] for node in nodes}
    roots: list[Node] = []
    for node in nodes:
        parents = sorted((name for name in node.reads if name in places), key=places.__getitem__)
        (below[parents[-1]] if parents else roots).append(node)
    lines: list[str] = []
    for root in roots:
        lines += _branch(root, below)
    return "\n".join([*lines, "* your own"] if any(node.user_defined for node in nodes) else lines)


def _branch(node: Node, below: dict[str, list[Node]], parent: str = "") -> list[str]:
    others = [name for name in node.reads if name != parent]
    beside = f"  (and {', '.join(others)})" if others and parent else ""
    lines = [f"{node.name}{' *' if node.user_defined else ''}{beside}"]
    children = below[node.name]
    for index, child in enumerate(children):
        is_last = index == len(children) - 1
        first, *rest = _branch(child, below, node.name)
        lines.append(f"{'└─' if is_last else '├─'} {first}")
        lines += [f"{'  ' if is_last else '│ '} {each}" for each in rest]
    return lines
