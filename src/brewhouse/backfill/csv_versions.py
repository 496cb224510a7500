r"""Versions of the public dataset's CSV file, read into records as the API would have sent them.

The file had six headers since 2020: `street` became `address_1`, `state` and `county_province` became `state_province`,
`obdb_id` became `id`; `tags`, `notes` and the timestamps went. Columns are told apart by name. A column the API does
not have stays in the record as an extra field, since a raw snapshot keeps everything it was given: readers pass over
it, and the snapshot's drift names it.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

import msgspec

from brewhouse.api.contract import COORDINATES, FIELDS, Record

COLUMNS = FIELDS[:-2]
"""Fields of a record, in order: the API's, without `state` and `street`, which repeat two others."""

_FORMER_NAMES = {"id": "obdb_id", "address_1": "street", "state_province": "state"}
_REQUIRED = tuple(name for name in COLUMNS if name not in ("address_2", "address_3"))  # which the first headers lack
_OTHER_STATES = ("state", "county_province")  # what says the state where state_province does not
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_REPLACEMENT = "\ufffd"
_LONGEST_CELL_CHARACTERS = 1_000_000


class VersionRejectedError(Exception):
    """A version that cannot become a snapshot; says why, in words."""


@dataclass(frozen=True)
class Version:
    """One version of the file.

    Attributes:
        header: Its columns, as they stand there.
        records: One a row, in the file's order: the fields of `COLUMNS`, then the extra ones; blank cells are None,
            everything else is the cell's text.
        bad_bytes: How many places were no UTF-8, and became U+FFFD.
    """

    header: tuple[str, ...]
    records: tuple[Record, ...]
    bad_bytes: int

    @property
    def slugs(self) -> int:
        """How many records have an id that is no UUID: until March 2023, a slug of the name and the city."""
        return sum(not is_uuid(record["id"]) for record in self.records)


def read_version(content: bytes) -> Version:
    r"""Read a version of the file.

    Args:
        content: CSV with a header; UTF-8, with or without a byte order mark. Bytes that are none are replaced.

    Raises:
        HeldBackError: It is no such file, its rows do not fit its header, it has no rows, or ids are missing.

    Example:
        >>> rows = b"obdb_id,name,brewery_type,street,city,state,postal_code,website_url,phone,country,longitude,"
        >>> rows += b"latitude\nales-york,Ales,micro,1 Main St,York,,,,,England,-1.0800,\n"
        >>> record = read_version(rows).records[0]
        >>> record["id"], record["address_1"], record["longitude"], record["latitude"]
        ('ales-york', '1 Main St', '-1.0800', None)
    """
    text = content.decode("utf-8-sig", "replace")
    header, rows = _parse(text)
    names = _field_names(header)
    version = Version(
        header=header,
        records=tuple(_record(dict(zip(names, row, strict=True))) for row in rows),
        bad_bytes=text.count(_REPLACEMENT) - content.count(_REPLACEMENT.encode()),
    )
    missing = sum(record["id"] is None for record in version.records)
    if missing:
        raise VersionRejectedError(f"{missing} of its {len(rows)} records have no id")
    return version


def line_of(record: Record) -> bytes:
    r"""Write a record as the API would send it; a coordinate that is a number keeps its digits.

    Example:
        >>> line_of({"id": "a", "longitude": "11.50", "latitude": "north"})
        b'{"id":"a","longitude":11.50,"latitude":"north"}'
    """
    coordinates = {name: record.get(name) for name in COORDINATES}
    numbers = {name: msgspec.Raw(cell.encode()) for name, cell in coordinates.items() if _is_json_number(cell)}
    return msgspec.json.encode({**record, **numbers})


def groups_of(records: Sequence[Record]) -> dict[str, dict[str, int]]:
    """Count records by what they say, as the API's `/breweries/meta` does; nulls are left out.

    Example:
        >>> groups_of([{"brewery_type": "micro", "country": None, "state_province": "Bayern"}])
        {'by_type': {'micro': 1}, 'by_country': {}, 'by_state': {'Bayern': 1}}
    """
    fields = {"by_type": "brewery_type", "by_country": "country", "by_state": "state_province"}
    return {
        group: dict(sorted(Counter(record[name] for record in records if record[name] is not None).items()))
        for group, name in fields.items()
    }


def is_uuid(key: str) -> bool:
    """Say whether an id is a UUID, as all are since March 2023."""
    return _UUID.fullmatch(key.strip()) is not None


def _parse(text: str) -> tuple[tuple[str, ...], list[list[str]]]:
    """Take CSV apart; lines with nothing on them are no rows."""
    csv.field_size_limit(_LONGEST_CELL_CHARACTERS)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[str]] = []
    odd: list[int] = []
    try:
        header = tuple(name.strip() for name in next(reader, []))
        for row in reader:
            if row:
                rows.append(row)
                if len(row) != len(header):
                    odd.append(reader.line_num)
    except csv.Error as error:
        raise VersionRejectedError(f"it is no CSV: {error} in line {reader.line_num}") from error
    _check_header(header)
    if odd:
        cells = f"{len(header)} cells, as the header has"
        raise VersionRejectedError(
            f"{len(odd)} of its {len(rows)} rows do not have {cells}; the first ends in line {odd[0]}"
        )
    if not rows:
        raise VersionRejectedError("it has no rows")
    return header, rows


def _check_header(header: Sequence[str]) -> None:
    twice = sorted(name for name, count in Counter(header).items() if count > 1)
    if twice:
        raise VersionRejectedError(f"its header has columns of the same name: {', '.join(map(repr, twice))}")
    names = _field_names(header)
    lacking = [name for name in _REQUIRED if name not in names]
    if lacking:
        raise VersionRejectedError(f"its header is none of the dataset's: it lacks {', '.join(lacking)}")


def _field_names(header: Sequence[str]) -> list[str]:
    """Give columns today's names; one whose new name is there too keeps its own."""
    today = {former: name for name, former in _FORMER_NAMES.items() if name not in header}
    return [today.get(name, name) for name in header]


def _record(row: Mapping[str, str]) -> Record:
    record: Record = dict.fromkeys(COLUMNS)
    record |= {name: cell if cell.strip() else None for name, cell in row.items()}
    states = (record.get(name) for name in ("state_province", *_OTHER_STATES))
    record["state_province"] = next((state for state in states if state is not None), None)
    return record


def _is_json_number(cell: object) -> TypeGuard[str]:
    return isinstance(cell, str) and _JSON_NUMBER.fullmatch(cell) is not None and math.isfinite(float(cell))
