r"""Parse versions of the public dataset's CSV file into records as the API would have sent them.

The file had six headers since 2020: `street` became `address_1`, `state` and `county_province` became `state_province`,
`obdb_id` became `id`; `tags`, `notes` and the timestamps were dropped. Columns are identified by name. A column that
the API lacks stays in the record as an extra field, since a raw snapshot keeps everything; it is recorded as drift.
An id is a UUID, in one spelling, or in the early years a slug; any other is kept, and the models reject its record.
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

from brewhouse.api.contract import COORDINATES, FIELDS, GROUPS, Record
from brewhouse.source import canonical_id

COLUMNS = FIELDS[:-2]
"""Fields of a record, in order: the API's, without `state` and `street`, which repeat two others."""

_FORMER_NAMES = {"id": "obdb_id", "address_1": "street", "state_province": "state"}
_REQUIRED = tuple(name for name in COLUMNS if name not in ("address_2", "address_3"))  # which the first headers lack
_STATE_COLUMNS = ("state_province", "state", "county_province")  # by precedence
_SLUG = re.compile(r"[^\s\ufffd\"\\/{}<>,:;|]+")
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_REPLACEMENT = "\ufffd"
_HEADER_NAMES = {"name", "brewery_type", "city", "country"}
_MAX_CELL_CHARACTERS = 1_000_000


class VersionRejectedError(Exception):
    """A version that cannot become a snapshot; the message is the reason."""


@dataclass(frozen=True)
class ParsedVersion:
    """A parsed version of the file.

    Attributes:
        records: One per row, in the file's order: the fields of `COLUMNS`, then the extra ones. Blank cells are None,
            all others are the cell's text.
        bad_bytes: Number of invalid UTF-8 sequences, which were replaced by U+FFFD.
    """

    records: tuple[Record, ...]
    bad_bytes: int

    @property
    def slugs(self) -> int:
        """Number of ids that are slugs of name and city, as until March 2023; 0 if most ids are UUIDs."""
        uuids = sum(is_uuid(record["id"]) for record in self.records)
        return 0 if 2 * uuids > len(self.records) else sum(is_slug(record["id"]) for record in self.records)


def parse_version(content: bytes) -> ParsedVersion:
    """Parse a CSV file with a header, in UTF-8 with or without a byte order mark; invalid bytes are replaced.

    Raises:
        VersionRejectedError: It is not such a file, a row does not match the header, it has no rows or ids are missing.
    """
    if content.startswith(_LFS_POINTER):
        raise VersionRejectedError("it is a Git LFS pointer: run `git lfs fetch --all`, and pass the files themselves")
    if b"\0" in content:
        raise VersionRejectedError("it contains NUL bytes, so it is not CSV in UTF-8")
    text = content.decode("utf-8-sig", "replace")
    header, rows = _parse_csv(text)
    names = _field_names(header)
    records = tuple(_record(dict(zip(names, row, strict=True))) for row in rows)
    missing = sum(record["id"] is None for record in records)
    if missing:
        raise VersionRejectedError(f"{missing} of its {len(rows)} records have no id")
    return ParsedVersion(records, text.count(_REPLACEMENT) - content.count(_REPLACEMENT.encode()))


def with_numbers(record: Record) -> Record:
    """Turn the coordinates of a record into JSON numbers with the same digits, if they are numbers, as the API does."""
    coordinates = {name: record.get(name) for name in COORDINATES}
    return record | {name: msgspec.Raw(cell.encode()) for name, cell in coordinates.items() if _is_json_number(cell)}


def line_of(record: Record) -> bytes:
    """Encode a record as the API would send it."""
    return msgspec.json.encode(with_numbers(record))


def count_groups(records: Sequence[Record]) -> dict[str, dict[str, int]]:
    """Count records by group, as the API's `/breweries/meta` does; nulls are not counted."""
    return {
        group: dict(sorted(Counter(record[name] for record in records if record[name] is not None).items()))
        for group, name in GROUPS.items()
    }


def is_uuid(key: str) -> bool:
    """Check that an id is a UUID, as all are since March 2023."""
    return canonical_id(key) is not None


def is_slug(key: str) -> bool:
    """Check that an id can be a slug."""
    return not is_uuid(key) and _SLUG.fullmatch(key.strip()) is not None


def _parse_csv(text: str) -> tuple[tuple[str, ...], list[list[str]]]:
    """Parse CSV and check its shape; empty lines are skipped, and a line of column names is not a row."""
    first_line = text.partition("\n")[0]
    if "," not in first_line and (separator := re.search(r"[;\t|]", first_line)):
        raise VersionRejectedError(f"its cells are separated by {separator[0]!r} instead of commas")
    csv.field_size_limit(_MAX_CELL_CHARACTERS)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[str]] = []
    irregular_lines: list[int] = []
    try:
        header = tuple(name.strip() for name in next(reader, []))
        for row in reader:
            if row:
                rows.append(row)
                if len(row) != len(header):
                    irregular_lines.append(reader.line_num)
                _check_row(header, row, reader.line_num)
    except csv.Error as error:
        raise VersionRejectedError(f"it is not valid CSV: {error} in line {reader.line_num}") from error
    _check_header(header)
    if irregular_lines:
        raise VersionRejectedError(
            f"{len(irregular_lines)} of its {len(rows)} rows do not have the {len(header)} cells of the header; "
            f"the first ends in line {irregular_lines[0]}"
        )
    if not rows:
        raise VersionRejectedError("it has no rows")
    return header, rows


def _check_row(header: Sequence[str], row: Sequence[str], line: int) -> None:
    if {cell.strip("\ufeff \t").lower() for cell in row} >= _HEADER_NAMES:
        raise VersionRejectedError(f"line {line} repeats the header: the file consists of several")
    for name, cell in zip(header, row, strict=False):
        if "\n" in cell and cell.count(",") >= len(header) - 1 and name != "notes":
            raise VersionRejectedError(f"a cell that ends in line {line} contains another row: a quote is missing")


def _check_header(header: Sequence[str]) -> None:
    duplicates = sorted(name for name, count in Counter(header).items() if count > 1)
    if duplicates:
        raise VersionRejectedError(f"its header has duplicate columns: {', '.join(map(repr, duplicates))}")
    names = _field_names(header)
    missing = [name for name in _REQUIRED if name not in names]
    if missing:
        raise VersionRejectedError(f"its header is not one of the dataset's: it lacks {', '.join(missing)}")


def _field_names(header: Sequence[str]) -> list[str]:
    """Map columns to their current names; a former name is kept when the current one exists too."""
    current = {former: name for name, former in _FORMER_NAMES.items() if name not in header}
    return [current.get(name, name) for name in header]


def _record(row: Mapping[str, str]) -> Record:
    record: Record = dict.fromkeys(COLUMNS)
    record |= {name: cell if cell.strip() else None for name, cell in row.items()}
    record["id"] = canonical_id(record["id"]) or record["id"]
    states = (record.get(name) for name in _STATE_COLUMNS)
    record["state_province"] = next((state for state in states if state is not None), None)
    return record


def _is_json_number(cell: object) -> TypeGuard[str]:
    return isinstance(cell, str) and _JSON_NUMBER.fullmatch(cell) is not None and math.isfinite(float(cell))
