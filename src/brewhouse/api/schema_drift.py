"""Schema drift detection: deviations of the source from its contract are counted and recorded, and fail nothing.

Records are grouped by shape, their field names and the types of their values. Each shape is examined once; of a page,
only the number of its records per shape is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from brewhouse.api.contract import BREWERY_TYPES, COORDINATES, FIELDS, Record, Records, one_line, repeated_fields
from brewhouse.source import SchemaDrift

_JSON_TYPES = {
    type(None): "null", bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object",
}  # fmt: skip
_FIELDS = frozenset(FIELDS)
_CONTRACT_TYPES = BREWERY_TYPES | {None}
_EXAMPLE_CHARACTERS = 200
_MAX_KINDS = 100

_Shape: TypeAlias = tuple[object, ...]
_Kind: TypeAlias = tuple[str, str]


@dataclass
class _Profile:
    """What is kept of a page: its number of records per shape, and the deviations of values with an example each."""

    shapes: Counter[_Shape] = field(default_factory=Counter)
    drift: dict[_Kind, tuple[int, str]] = field(default_factory=dict)

    def add(self, kind: _Kind, example: str, count: int = 1) -> None:
        """Count a deviation; the first example is kept."""
        kind = kind[0], kind[1][:_EXAMPLE_CHARACTERS]
        before, first = self.drift.get(kind, (0, example))
        self.drift[kind] = before + count, first


class Profiler:
    """Profile the pages of one snapshot."""

    def __init__(self) -> None:
        self._examples: dict[_Shape, Record] = {}
        self._shapes: Counter[_Shape] = Counter()  # of all pages
        self._pages: dict[int, _Profile] = {}

    def count(self, number: int, lines: Sequence[bytes], records: Records) -> None:
        """Profile a page, each record's bytes as sent and decoded; it replaces an earlier one of the same number."""
        self.forget(number)
        shapes = _shapes(records)
        profile = self._pages[number] = _Profile(Counter(shapes))
        self._shapes.update(profile.shapes)
        for shape in profile.shapes:
            if shape not in self._examples:
                self._examples[shape] = records[shapes.index(shape)]
        for record in _unusual(records):
            _add_value_drift(profile, record)
        fields = sum(len(self._examples[shape]) * count for shape, count in profile.shapes.items())
        if b"".join(lines).count(b'":') != fields:  # or a text, a nested object or a space before a colon
            for line in lines:
                for name in repeated_fields(line):
                    profile.add(("repeated_field", name), _text(line))
        joined = one_line(lines)
        if joined is not lines:
            for before, after in zip(lines, joined, strict=True):
                if before != after:
                    profile.add(("multiline_record", "line breaks replaced by spaces"), _text(after))

    def forget(self, number: int) -> None:
        """Discard a page, if it was counted."""
        if profile := self._pages.pop(number, None):
            self._shapes.subtract(profile.shapes)

    def fields_seen(self) -> dict[str, dict[str, int]]:
        """Count the JSON types of each field."""
        seen: dict[str, Counter[str]] = {}
        for record, count in self._counted():
            for name, value in record.items():
                seen.setdefault(name[:_EXAMPLE_CHARACTERS], Counter())[_JSON_TYPES[type(value)]] += count
        return {name: dict(counts) for name, counts in seen.items()}

    def drift(self) -> list[SchemaDrift]:
        """List the deviations from the contract, each kind once, and how many kinds were left out, if any."""
        total = _Profile()
        for record, count in self._counted():
            for kind, example in _shape_drift(record):
                total.add(kind, example, count)
        for profile in self._pages.values():
            for kind, (count, example) in profile.drift.items():
                total.add(kind, example, count)
        drift = [SchemaDrift(*kind, count, example) for kind, (count, example) in sorted(total.drift.items())]
        if more := drift[_MAX_KINDS:]:
            drift[_MAX_KINDS:] = [SchemaDrift("further_drift", "kinds not listed", len(more), more[0].detail)]
        return drift

    def _counted(self) -> Iterator[tuple[Record, int]]:
        for shape, example in self._examples.items():
            if count := self._shapes[shape]:
                yield example, count


def _shapes(records: Records) -> list[_Shape]:
    shapes: list[_Shape] = list(zip(*(map(type, column) for column in records.columns.values()), strict=True))
    for index, fields in records.unknown.items():
        shapes[index] = (*shapes[index], *fields, *map(type, fields.values()))
    return shapes


def _unusual(records: Records) -> Iterator[Record]:
    """Yield no record of a page whose values all keep the contract; otherwise, yield every record."""
    columns = records.columns
    try:
        is_usual = _CONTRACT_TYPES.issuperset(columns["brewery_type"])
    except TypeError:  # a list or an object instead of a type
        is_usual = False
    is_usual = is_usual and columns["state"] == columns["state_province"]
    if not (is_usual and all(columns["id"]) and set(map(type, columns["id"])) <= {str}):
        yield from map(records.__getitem__, range(len(records)))


def _add_value_drift(profile: _Profile, record: Record) -> None:
    brewery_type = record.get("brewery_type")
    if isinstance(brewery_type, str) and brewery_type not in BREWERY_TYPES:
        profile.add(("unknown_brewery_type", brewery_type), _where(record))
    if {"state", "state_province"} <= record.keys() and record["state"] != record["state_province"]:
        profile.add(("state_differs", "state is not state_province"), _where(record))
    key = record.get("id")
    if not (isinstance(key, str) and key):
        profile.add(("record_without_id", "id is missing, empty or not text"), _text(msgspec.json.encode(record)))


def _shape_drift(record: Record) -> Iterator[tuple[_Kind, str]]:
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
    return f"id {record.get('id')}"[:_EXAMPLE_CHARACTERS]


def _value(record: Record, name: str) -> str:
    return f"{_text(msgspec.json.encode(record[name]))} in {_where(record)}"


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")[:_EXAMPLE_CHARACTERS]
