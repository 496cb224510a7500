"""The Open Brewery DB API's contract: fields, types of brewery, and what an answer must look like.

From the service's public documentation, https://www.openbrewerydb.org/documentation. Earlier releases and clones speak
dialects of it; they are understood, and each deviation is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET

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
GROUPS = ("by_type", "by_country", "by_state")

Record: TypeAlias = dict[str, Any]
"""A record decoded; what it holds is up to the source."""


@dataclass(frozen=True)
class Records:
    """The records of a page, decoded, column by column.

    Attributes:
        columns: The values of each of `FIELDS`, a record after the other; `msgspec.UNSET` where one has not the field.
        unknown: What a record has beyond those fields, by its index.
    """

    columns: Mapping[str, Sequence[Any]]
    unknown: Mapping[int, Record] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.columns["id"])

    def __getitem__(self, index: int) -> Record:
        """Give one record as a dictionary of the fields it has."""
        known = {name: column[index] for name, column in self.columns.items() if column[index] is not UNSET}
        return known | self.unknown.get(index, {})


class UnexpectedAnswerError(Exception):
    """An answer with status 200 that is not what the contract says; it may be better the next time."""


def parse_meta(body: bytes) -> tuple[Meta, list[str]]:
    """Read an answer of `/breweries/meta`.

    Args:
        body: JSON, numbers as numbers or as text, groups or none.

    Returns:
        The meta, and the names of its deviations from today's contract.

    Raises:
        UnexpectedAnswerError: It is no such answer.

    Example:
        >>> parse_meta(b'{"total": "5"}')
        (Meta(total=5, by_type=None, by_country=None, by_state=None), ['meta_numbers_as_text', 'meta_without_groups'])
    """
    try:
        raw = msgspec.json.decode(body, type=dict[str, Any])
        known = {name: raw[name] for name in ("total", *GROUPS) if raw.get(name) is not None}
        known = {name: {} if value == [] else value for name, value in known.items()}  # PHP's empty map
        meta = msgspec.convert(known, Meta, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnexpectedAnswerError(f"no counts of breweries ({error}): {start_of(body)}") from error
    deviations = ["meta_numbers_as_text"] if isinstance(raw["total"], str) else []
    if any(getattr(meta, group) is None for group in GROUPS):
        deviations.append("meta_without_groups")
    return meta, deviations


def parse_page(body: bytes) -> tuple[list[bytes], Records]:
    """Read an answer of `/breweries`.

    Args:
        body: A JSON array of objects.

    Returns:
        Each record's bytes as they were sent, and the records decoded.

    Raises:
        UnexpectedAnswerError: It is not a JSON array of objects.

    Example:
        >>> lines, records = parse_page(b'[ {"id" : "a", "rating": 5} ]')
        >>> lines, records.columns["id"], records.unknown
        ([b'{"id" : "a", "rating": 5}'], ('a',), {0: {'rating': 5}})
    """
    try:
        records = _records(body)
        lines = [bytes(raw) for raw in _LINES.decode(body)]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnexpectedAnswerError(f"no JSON array of objects ({error}): {start_of(body)}") from error
    return lines, records


def parse_lines(lines: Sequence[bytes]) -> Records:
    """Decode the records of a page that was parsed before."""
    return _records(b"[%b]" % b",".join(lines))


def parse_record(line: bytes) -> Record:
    """Decode one record of a page that was parsed before."""
    return _RECORD.decode(line)


def one_line(records: Sequence[bytes]) -> Sequence[bytes]:
    r"""Put each record on one line: JSON has line breaks between its tokens only, where they mean nothing.

    Example:
        >>> one_line([b'{"id":\r\n "a\\n"}'])
        [b'{"id":   "a\\n"}']
    """
    whole = b"".join(records)
    if b"\n" not in whole and b"\r" not in whole:
        return records
    return [record.translate(_LINE_BREAKS_TO_BLANKS) for record in records]


def start_of(body: bytes) -> str:
    """Show how an answer begins."""
    return repr(body[:200].decode("utf-8", "replace")) if body else "an empty body"


def _records(body: bytes) -> Records:
    try:
        return Records(_columns(map(msgspec.structs.astuple, _BREWERIES.decode(body))))
    except msgspec.ValidationError:  # a record has other fields than today's contract
        records = _RECORDS.decode(body)
    extras = ({name: record[name] for name in record if name not in FIELDS} for record in records)
    return Records(
        columns=_columns([record.get(name, UNSET) for name in FIELDS] for record in records),
        unknown={index: extra for index, extra in enumerate(extras) if extra},
    )


def _columns(rows: Iterable[Sequence[Any]]) -> dict[str, Sequence[Any]]:
    return dict(zip(FIELDS, tuple(zip(*rows, strict=True)) or [()] * len(FIELDS), strict=True))


_BREWERIES = msgspec.json.Decoder(
    list[msgspec.defstruct("Brewery", [(name, Any) for name in FIELDS], forbid_unknown_fields=True)]  # type: ignore[misc]
)
_RECORD = msgspec.json.Decoder(dict[str, Any])
_RECORDS = msgspec.json.Decoder(list[dict[str, Any]])
_LINES = msgspec.json.Decoder(list[msgspec.Raw])
_LINE_BREAKS_TO_BLANKS = bytes.maketrans(b"\r\n", b"  ")
