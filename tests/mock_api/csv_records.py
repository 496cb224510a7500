"""Breweries of a CSV file of the public dataset, as the API returns them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from brewhouse.api.contract import COORDINATES, FIELDS, Record

CSV_COLUMNS = FIELDS[:-2]
JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def read_csv(path: Path) -> Iterator[Record]:
    """Read the records; an empty cell is `None`, and a coordinate keeps its digits."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        for cells in csv.DictReader(file, strict=True):
            record: Record = {column: cells[column] or None for column in CSV_COLUMNS}
            record |= {column: coordinate(cells[column]) for column in COORDINATES if cells[column]}
            yield record | {"state": record["state_province"], "street": record["address_1"]}


def coordinate(text: str) -> float | Decimal | str:
    """Parse a coordinate so that JSON shows the same digits; text that is not a JSON number stays text."""
    if not JSON_NUMBER.fullmatch(text):
        return text
    return float(text) if repr(float(text)) == text else Decimal(text)
