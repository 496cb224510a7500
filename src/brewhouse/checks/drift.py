"""Schema drift: what the source sends that its contract does not say, each kind named and counted, with an example."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from brewhouse.lake.snapshots import Drift
from brewhouse.source.contract import BREWERY_TYPES, COORDINATES, FIELDS

_JSON_TYPES = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
    list: "array",
    dict: "object",
}
_EXAMPLE_CHARACTERS = 300


class DriftLog:
    """Watches records go by; records of one shape cost one look."""

    def __init__(self) -> None:
        self._shapes: Counter[tuple[tuple[str, ...], tuple[type, ...]]] = Counter()
        self._shape_examples: dict[tuple[tuple[str, ...], tuple[type, ...]], str] = {}
        self._others: dict[tuple[str, str], Drift] = {}

    def observe(self, lines: Iterable[bytes], records: Iterable[Mapping[str, Any]]) -> None:
        """Look at records.

        Args:
            lines: Each record's bytes.
            records: The same records, decoded.
        """
        for line, record in zip(lines, records, strict=True):
            shape = (tuple(record), tuple(map(type, record.values())))
            if shape not in self._shapes:
                self._shape_examples[shape] = _text(line)
            self._shapes[shape] += 1
            kind = record.get("brewery_type")
            if isinstance(kind, str) and kind not in BREWERY_TYPES:
                self.note("unknown_brewery_type", f"brewery_type {kind!r} is not in the contract", _text(line))
            if not record.get("id"):
                self.note("record_without_id", "a record has no id", _text(line))
            if b"\n" in line or b"\r" in line:
                self.note("multiline_record", "a record had line breaks between its tokens", _text(line))

    def note(self, name: str, detail: str, example: str = "") -> None:
        """Count one deviation.

        Args:
            name: What kind.
            detail: What exactly, in words.
            example: Kept from the first time.
        """
        drift = self._others.setdefault((name, detail), Drift(name=name, detail=detail, count=0, example=example))
        drift.count += 1

    def fields_seen(self) -> dict[str, dict[str, int]]:
        """Tell every field with the JSON types it had and how often."""
        seen: dict[str, Counter[str]] = {}
        for (names, types), count in self._shapes.items():
            for name, kind in zip(names, types, strict=True):
                seen.setdefault(name, Counter())[_JSON_TYPES[kind]] += count
        return {name: dict(counter) for name, counter in seen.items()}

    def drifts(self) -> list[Drift]:
        """Tell every deviation seen."""
        found: dict[tuple[str, str], Drift] = {}
        for shape, count in self._shapes.items():
            for name, detail in _deviations(*shape):
                example = self._shape_examples[shape]
                drift = found.setdefault((name, detail), Drift(name=name, detail=detail, count=0, example=example))
                drift.count += count
        return [*found.values(), *self._others.values()]


def _deviations(names: tuple[str, ...], types: tuple[type, ...]) -> Iterable[tuple[str, str]]:
    for name in FIELDS:
        if name not in names:
            yield "missing_field", f"field {name!r} is missing"
    for name, kind in zip(names, types, strict=True):
        word = _JSON_TYPES[kind]
        if name not in FIELDS:
            yield "unknown_field", f"field {name!r} is not in the contract"
        elif name in COORDINATES and word == "string":
            yield "coordinates_as_text", f"field {name!r} is text instead of a number"
        elif word not in (("number", "null") if name in COORDINATES else ("string", "null")):
            yield "changed_type", f"field {name!r} is of JSON type {word}"


def _text(line: bytes) -> str:
    return line[:_EXAMPLE_CHARACTERS].decode("utf-8", "replace")
