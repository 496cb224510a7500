"""The lineage of the tables, from the API to gold, as nodes and as a text tree; `lineage_svg` draws it as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from brewhouse.models.inputs import INPUTS
from brewhouse.models.model import Model

SOURCE = "Open Brewery DB API"


@dataclass(frozen=True)
class Node:
    """A table or the source; `reads` names its upstream nodes."""

    name: str
    user_defined: bool
    description: str
    reads: tuple[str, ...]

    @property
    def zone(self) -> str:
        """The part of the name before the dot; `source` for the source."""
        return "source" if self.name == SOURCE else self.name.partition(".")[0]


def lineage(models: Iterable[Model]) -> list[Node]:
    """List the source, the input tables that some model reads, then the models, which follow their upstream nodes."""
    tables = [Node(model.name, model.user_defined, model.description, model.reads) for model in models]
    read = {name for node in tables for name in node.reads}
    inputs = [
        Node(name, user_defined=False, description="", reads=(SOURCE,) if name.startswith("bronze.") else ())
        for name in INPUTS
        if name in read
    ]
    return [Node(SOURCE, user_defined=False, description="The source of the breweries", reads=()), *inputs, *tables]


def draw_text(nodes: Sequence[Node]) -> str:
    """Draw a lineage as a tree; a table with several upstream nodes appears once, below the last of them.

    Example:
        >>> print(draw_text([
        ...     Node("bronze.a", False, "", ()), Node("bronze.b", False, "", ()),
        ...     Node("silver.c", True, "", ("bronze.a", "bronze.b")), Node("gold.d", False, "", ("silver.c",)),
        ... ]))
        bronze.a
        bronze.b
        └─ silver.c *  (and bronze.a)
           └─ gold.d
        * user-defined
    """
    order = {node.name: index for index, node in enumerate(nodes)}
    children: dict[str, list[Node]] = {node.name: [] for node in nodes}
    roots: list[Node] = []
    for node in nodes:
        parent = max((name for name in node.reads if name in order), key=order.__getitem__, default=None)
        (roots if parent is None else children[parent]).append(node)
    lines = [line for root in roots for line in _branch(root, children)]
    return "\n".join([*lines, "* user-defined"] if any(node.user_defined for node in nodes) else lines)


def _branch(node: Node, children: dict[str, list[Node]], parent: str = "") -> list[str]:
    others = [name for name in node.reads if name != parent]
    also = f"  (and {', '.join(others)})" if others and parent else ""
    lines = [f"{node.name}{' *' if node.user_defined else ''}{also}"]
    for child in children[node.name]:
        is_last = child is children[node.name][-1]
        first, *rest = _branch(child, children, node.name)
        lines.append(f"{'└─' if is_last else '├─'} {first}")
        lines += [f"{'  ' if is_last else '│ '} {each}" for each in rest]
    return lines
