"""The contract of the Open Brewery DB API: fields, brewery types and response bodies.

From the service's public documentation, https://www.openbrewerydb.org/documentation. Earlier releases and clones of the
service deviate from it: they are parsed too, and each deviation is named.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET

from brewhouse.api.source_errors import BadResponseError
from brewhouse.source import Meta

FIELDS = (
    "id", "name", "brewery_type", "address_1", "address_2", "address_3", "city", "state_province", "postal_code",
    "country", "longitude", "latitude", "phone", "website_url", "state", "street",
)  # fmt: skip
COORDINATES = ("longitude", "latitude")
BREWERY_TYPES = frozenset(
    {
        "bar", "beergarden", "brewpub", "cidery", "closed", "contract", "large", "location", "micro", "nano",
        "planning", "proprietor", "regional", "taproom", "unknown",
    }
)  # fmt: skip
GROUPS = {"by_type": "brewery_type", "by_country": "country", "by_state": "state_province"}
"""The groups of `/breweries/meta`, with the field that each of them counts by."""

Record: TypeAlias = dict[str, Any]
"""A decoded record, with whatever fields the source sent."""
_MAX_DEPTH = 100
_MAX_RECORD_BYTES = 1_000_000
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True)
class Records:
    """The decoded records of a page, by column.

    Attributes:
        columns: The values of each of `FIELDS`, one per record; `msgspec.UNSET` where a record lacks the field.
        unknown: The fields of a record that are not among `FIELDS`, by the record's index.
    """

    columns: Mapping[str, Sequence[Any]]
    unknown: Mapping[int, Record] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.columns["id"])

    def __getitem__(self, index: int) -> Record:
        """Return one record as a dictionary of its fields."""
        known = {name: column[index] for name, column in self.columns.items() if column[index] is not UNSET}
        return known | self.unknown.get(index, {})


def parse_meta(body: bytes) -> tuple[Meta, list[str]]:
    """Parse a response of `/breweries/meta`, and name its deviations: counts as text, missing groups.

    Raises:
        BadResponseError: The body is not such a response.

    Example:
        >>> parse_meta(b'{"total": "5"}')
        (Meta(total=5, by_type=None, by_country=None, by_state=None), ['meta_numbers_as_text', 'meta_without_groups'])
    """
    try:
        raw = msgspec.json.decode(body, type=dict[str, Any])
        known = {name: raw[name] for name in ("total", *GROUPS) if raw.get(name) is not None}
        known = {name: {} if value == [] else value for name, value in known.items()}  # PHP's empty map
        meta = msgspec.convert(known, Meta, strict=False)
        repeats: list[bool] = []
        json.loads(body, parse_int=str, object_pairs_hook=lambda keys: repeats.append(len(keys) > len(dict(keys))))
    except _UNREADABLE as error:
        raise BadResponseError(f"the body has no valid brewery counts ({error}): {excerpt(body)}") from error
    deviations = ["meta_numbers_as_text"] if isinstance(raw["total"], str) else []
    if any(getattr(meta, group) is None for group in GROUPS):
        deviations.append("meta_without_groups")
    if any(repeats):
        deviations.append("meta_repeated_field")
    return meta, deviations


def parse_page(body: bytes) -> tuple[list[bytes], Records]:
    """Parse a response of `/breweries`, a JSON array of objects: each record's bytes as sent, and the records.

    Raises:
        BadResponseError: The body is not a JSON array of objects, or one of them is nested too deeply or too large.

    Example:
        >>> lines, records = parse_page(b'[ {"id" : "a", "rating": 5} ]')
        >>> lines, records.columns["id"], records.unknown
        ([b'{"id" : "a", "rating": 5}'], ('a',), {0: {'rating': 5}})
    """
    try:
        records, is_flat = _decode(body)
        lines = [bytes(raw) for raw in _LINES.decode(body)]
    except _UNREADABLE as error:
        raise BadResponseError(f"the body is not a JSON array of objects ({error}): {excerpt(body)}") from error
    is_usual = is_flat or body.count(b"[") + body.count(b"{") <= _MAX_DEPTH + len(lines)
    if not (is_usual and len(body) <= _MAX_RECORD_BYTES) and (excess := next(filter(None, map(_excess, lines)), "")):
        raise BadResponseError(f"a record is {excess}: {excerpt(body)}")
    return lines, records


def parse_lines(lines: Sequence[bytes]) -> Records:
    """Decode records that were parsed before."""
    return _decode(b"[%b]" % b",".join(lines))[0]


def parse_record(line: bytes) -> Record:
    """Decode one record that was parsed before."""
    return _RECORD.decode(line)


def repeated_fields(line: bytes) -> list[str]:
    """List the fields that a record has more than once; the last one counts."""
    pairs: list[tuple[str, Any]] = json.loads(line, object_pairs_hook=list)
    return [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]


def one_line(records: Sequence[bytes]) -> Sequence[bytes]:
    """Put each record on one line: line breaks, which JSON has only between its tokens, become spaces."""
    joined = b"".join(records)
    if b"\n" not in joined and b"\r" not in joined:
        return records
    return [record.translate(_LINE_BREAKS_TO_SPACES) for record in records]


def excerpt(body: bytes) -> str:
    """Quote the start of a response body."""
    if body.startswith(b"\x1f\x8b"):
        return "gzip data, compressed twice or sent without its Content-Encoding"
    return repr(body[:200].decode("utf-8", "replace")) if body else "an empty body"


def _decode(body: bytes) -> tuple[Records, bool]:
    """Decode records, and return whether all have the fields of the contract and none a list or an object."""
    try:
        return Records(_columns(map(msgspec.structs.astuple, _BREWERIES.decode(body)))), True
    except msgspec.ValidationError:
        records = _RECORDS.decode(body)
    extras = ({name: record[name] for name in record if name not in FIELDS} for record in records)
    decoded = Records(
        columns=_columns([record.get(name, UNSET) for name in FIELDS] for record in records),
        unknown={index: extra for index, extra in enumerate(extras) if extra},
    )
    return decoded, False


def _excess(line: bytes) -> str:
    """Describe how a record exceeds the limits of size and depth; empty if it does not."""
    if len(line) > _MAX_RECORD_BYTES:
        return f"larger than {_MAX_RECORD_BYTES} bytes"
    level: list[Any] = [parse_record(line)] if line.count(b"[") + line.count(b"{") > _MAX_DEPTH else []
    for _ in range(_MAX_DEPTH):
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [item for items in inner for item in items if isinstance(item, dict | list)]
    return f"nested deeper than {_MAX_DEPTH} levels" if level else ""


def _columns(rows: Iterable[Sequence[Any]]) -> dict[str, Sequence[Any]]:
    return dict(zip(FIELDS, tuple(zip(*rows, strict=True)) or [()] * len(FIELDS), strict=True))


_Value: TypeAlias = str | int | float | bool | None
_BREWERIES = msgspec.json.Decoder(
    list[msgspec.defstruct("Brewery", [(name, _Value) for name in FIELDS], forbid_unknown_fields=True)]  # type: ignore[misc]
)
_RECORD = msgspec.json.Decoder(dict[str, Any])
_RECORDS = msgspec.json.Decoder(list[dict[str, Any]])
_LINES = msgspec.json.Decoder(list[msgspec.Raw])
_LINE_BREAKS_TO_SPACES = bytes.maketrans(b"\r\n", b"  ")
