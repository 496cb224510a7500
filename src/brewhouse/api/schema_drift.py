"""What the source sends that its contract does not say: counted and shown, never a failure.

Records are told apart by their shape, which is their field names and the types of their values; a shape is looked at
once, and of a page only how many records of each it has is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from brewhouse.api.contract import BREWERY_TYPES, COORDINATES, FIELDS, Record, Records, one_line
from brewhouse.source import SchemaDrift

_JSON_TYPES: dict[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}
_FIELDS = frozenset(FIELDS)
_USUAL_TYPES = BREWERY_TYPES | {None}
_EXAMPLE_CHARACTERS = 200

_Shape: TypeAlias = tuple[object, ...]
_Kind: TypeAlias = tuple[str, str]


@dataclass
class Profile:
    """What is kept of a page.

    Attributes:
        shapes: How many records have a shape, by the shape's number.
        odd: What is odd about values: how often, and an example.
    """

    shapes: dict[int, int]
    odd: dict[_Kind, tuple[int, str]] = field(default_factory=dict)

    def note(self, name: str, detail: str, example: str) -> None:
        """Count something odd."""
        count, first = self.odd.get((name, detail), (0, example))
        self.odd[name, detail] = count + 1, first


class Profiler:
    """Looks at the records of all pages of one snapshot."""

    def __init__(self) -> None:
        self._numbers: dict[_Shape, int] = {}
        self._firsts: list[Record] = []

    def look(self, lines: Sequence[bytes], records: Records) -> Profile:
        """Look at a page.

        Args:
            lines: Each record's bytes as they were sent.
            records: The same, decoded.
        """
        shapes = _shapes(records)
        counts = Counter(shapes)
        for shape in counts:
            if shape not in self._numbers:
                self._numbers[shape] = len(self._firsts)
                self._firsts.append(records[shapes.index(shape)])
        profile = Profile({self._numbers[shape]: count for shape, count in counts.items()})
        for record in _suspects(records):
            kind = record.get("brewery_type")
            if isinstance(kind, str) and kind not in BREWERY_TYPES:
                profile.note("unknown_brewery_type", kind, _where(record))
            state = record.get("state")
            if state != record.get("state_province") and "state" in record and "state_province" in record:
                profile.note("state_differs", "state is not state_province", _where(record))
            if not has_id(record):
                profile.note("record_without_id", "id is no text or empty", _text(msgspec.json.encode(record)))
        joined = one_line(lines)
        if joined is not lines:
            for before, after in zip(lines, joined, strict=True):
                if before != after:
                    profile.note("multiline_record", "line breaks became blanks", _text(after))
        return profile

    def fields_seen(self, profiles: Iterable[Profile]) -> dict[str, dict[str, int]]:
        """Count, by field, how often it had which JSON type."""
        seen: dict[str, dict[str, int]] = {}
        for record, count in self._counted(profiles):
            for name, value in record.items():
                kind = type(value)
                by_type = seen.setdefault(name, {})
                by_type[_JSON_TYPES[kind]] = by_type.get(_JSON_TYPES[kind], 0) + count
        return seen

    def deviations(self, profiles: Sequence[Profile]) -> list[SchemaDrift]:
        """List what deviates from the contract, each kind once."""
        found: dict[_Kind, tuple[int, str]] = {}
        for record, count in self._counted(profiles):
            for kind, example in _of_shape(record):
                before, first = found.get(kind, (0, example))
                found[kind] = before + count, first
        for profile in profiles:
            for kind, (count, example) in profile.odd.items():
                before, first = found.get(kind, (0, example))
                found[kind] = before + count, first
        return [SchemaDrift(*kind, count, example) for kind, (count, example) in sorted(found.items())]

    def _counted(self, profiles: Iterable[Profile]) -> Iterator[tuple[Record, int]]:
        counter: Counter[int] = Counter()
        for profile in profiles:
            counter.update(profile.shapes)
        for number, count in sorted(counter.items()):
            yield self._firsts[number], count


def has_id(record: Record) -> bool:
    """Say whether a record can be told from others by its id."""
    key = record.get("id")
    return isinstance(key, str) and key != ""


def _shapes(records: Records) -> list[_Shape]:
    shapes: list[_Shape] = list(zip(*(map(type, column) for column in records.columns.values()), strict=True))
    for index, fields in records.unknown.items():
        shapes[index] = (*shapes[index], *fields, *map(type, fields.values()))
    return shapes


def _suspects(records: Records) -> Iterator[Record]:
    """Give the records of a page with odd values: none, or all of them to be looked at one by one."""
    columns = records.columns
    try:
        is_usual = _USUAL_TYPES.issuperset(columns["brewery_type"])
    except TypeError:  # a list or an object in the place of a type
        is_usual = False
    is_usual = is_usual and columns["state"] == columns["state_province"]
    if not (is_usual and all(columns["id"]) and set(map(type, columns["id"])) <= {str}):
        yield from map(records.__getitem__, range(len(records)))


def _of_shape(record: Record) -> Iterator[tuple[_Kind, str]]:
    for name in FIELDS:
        if name not in record:
            yield ("missing_field", name), _where(record)
    for name, value in record.items():
        json_type = _JSON_TYPES[type(value)]
        if name not in _FIELDS:
            yield ("unknown_field", name), _value(record, name)
        elif name in COORDINATES and json_type == "string":
            yield ("coordinates_as_text", name), _value(record, name)
        elif json_type not in (("number", "null") if name in COORDINATES else ("string", "null")):
            yield ("changed_type", f"{name} is {json_type}"), _value(record, name)


def _where(record: Record) -> str:
    return f"id {record.get('id')}"


def _value(record: Record, name: str) -> str:
    return f"{msgspec.json.encode(record[name]).decode()[:_EXAMPLE_CHARACTERS]} in id {record.get('id')}"


def _text(line: bytes) -> str:
    return line[:_EXAMPLE_CHARACTERS].decode("utf-8", "replace")
