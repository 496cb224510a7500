"""What JSON looks like: its keys and types, written down and compared.

A shape is the name of a JSON type, or several with `|` between them; an object of shapes by key, where a key that ends
with `?` may be absent; `{"*": shape}` for an object with any keys; `[shape]` for a list that has something in it, all
of that shape; `[]` for an empty list.
"""

from __future__ import annotations

from typing import TypeAlias

Shape: TypeAlias = "str | dict[str, Shape] | list[Shape]"

_TYPES: dict[type, frozenset[str]] = {
    type(None): frozenset({"null"}),
    bool: frozenset({"boolean"}),
    int: frozenset({"integer", "number"}),
    float: frozenset({"number"}),
    str: frozenset({"string"}),
    list: frozenset({"list"}),
    dict: frozenset({"object"}),
}


def mismatches(value: object, shape: Shape, where: str = "$") -> list[str]:
    """List where a value has other keys or types than a shape says.

    Example:
        >>> mismatches({"a": 1, "b": ["x", 2]}, {"a": "integer", "b": ["string"]})
        ['$.b[1]: 2 is no string']
        >>> mismatches({"a": None, "c": True}, {"a": "string|null", "b": "number", "b2?": "number"})
        ['$: lacks b', '$: has c']
        >>> mismatches({"x": 1, "y": 2.5}, {"*": "number"}), mismatches([], ["number"]), mismatches(True, "integer")
        ([], ['$: is an empty list'], ['$: True is no integer'])
    """
    if isinstance(shape, str):
        fits = not _TYPES[type(value)].isdisjoint(shape.split("|"))
        return [] if fits else [f"{where}: {value!r} is no {shape}"]
    if isinstance(shape, list):
        return _in_list(value, shape, where)
    return _in_object(value, shape, where)


def _in_list(value: object, shape: list[Shape], where: str) -> list[str]:
    if not isinstance(value, list):
        return [f"{where}: {value!r} is no list"]
    if not shape:
        return [f"{where}: is no empty list"] if value else []
    if not value:
        return [f"{where}: is an empty list"]
    return [found for index, item in enumerate(value) for found in mismatches(item, shape[0], f"{where}[{index}]")]


def _in_object(value: object, shape: dict[str, Shape], where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: {value!r} is no object"]
    if "*" in shape:
        return [found for key, item in value.items() for found in mismatches(item, shape["*"], f"{where}.{key}")]
    known = {key.removesuffix("?"): inner for key, inner in shape.items()}
    lacking = [f"{where}: lacks {key}" for key in shape if not key.endswith("?") and key not in value]
    more = [f"{where}: has {key}" for key in value if key not in known]
    inside = [
        found for key, item in value.items() if key in known for found in mismatches(item, known[key], f"{where}.{key}")
    ]
    return lacking + more + inside
