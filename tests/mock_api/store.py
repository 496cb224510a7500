"""Served breweries: their bytes in one buffer, and the columns to sort, filter and group by.

The buffer is append-only. A row is a number; the served rows are an array ordered by id, so a change only replaces
that array, and a copy for a stale response shares the bytes.
"""

from __future__ import annotations

import math
import sys
from array import array
from bisect import bisect_left
from itertools import count
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NO_ID = "\U0010ffff"
"""Replaces a missing or unreadable id; sorts last."""
TEXT_COLUMNS = ("name", "city", "postal_code")
GROUP_COLUMNS = ("state_province", "country", "brewery_type")


class _Keys(msgspec.Struct):
    id: object = None
    brewery_type: object = None
    country: object = None
    state_province: object = None
    name: object = None
    city: object = None
    postal_code: object = None
    longitude: object = None
    latitude: object = None


_decode = msgspec.json.Decoder(_Keys).decode
_NO_KEYS = _Keys()
_STAMPS = count()


class Store:
    """Breweries as bytes, with the columns to filter and order them.

    Args:
        records: JSON objects as bytes, served verbatim. Invalid JSON is served too: it sorts last and counts in the
            total but in no group.

    Attributes:
        rows: Served rows, ordered by id.
        stamp: Unique number of this content, for caching.

    Example:
        >>> store = Store([b'{"id":"b"}', b'{"id": "a"}'])
        >>> b",".join(store.bytes_of(store.rows)), len(store)
        (b'{"id": "a"},{"id":"b"}', 2)
    """

    def __init__(self, records: Iterable[bytes] = ()) -> None:
        self.stamp = next(_STAMPS)
        self._buffer = bytearray()
        self._starts = array("Q", [0])
        self._ids: list[str] = []
        self._groups: dict[str, list[str | None]] = {column: [] for column in GROUP_COLUMNS}
        self._lazy: dict[str, list[str | float | None]] = {}
        self.rows: Sequence[int] = array("I")
        for record in records:
            self._append(record)
        self.rows = array("I", sorted(range(len(self._ids)), key=self._ids.__getitem__))

    def __len__(self) -> int:
        return len(self.rows)

    def bytes_of(self, rows: Iterable[int]) -> list[bytearray]:
        """Return the records of some rows."""
        buffer, starts = self._buffer, self._starts
        return [buffer[starts[row] : starts[row + 1]] for row in rows]

    def id_of(self, row: int) -> str:
        """Return the id of a row."""
        return self._ids[row]

    def find(self, brewery_id: str) -> int | None:
        """Return the row with an id, or `None`."""
        at = self._position(brewery_id)
        found = at < len(self.rows) and self._ids[self.rows[at]] == brewery_id
        return self.rows[at] if found else None

    def column(self, name: str) -> Sequence[str | float | None]:
        """Return a column's values, indexed by row; texts are parsed on first use."""
        if name == "id":
            return self._ids
        if name in self._groups:
            return self._groups[name]
        if name not in self._lazy:
            self._read_lazy_columns()
        return self._lazy[name]

    def add(self, records: Iterable[bytes]) -> None:
        """Add records, replacing those with the same ids."""
        rows = [self._append(record) for record in records]
        fresh = {self._ids[row]: row for row in rows}
        kept = [row for row in self.rows if self._ids[row] not in fresh]
        self._serve([*kept, *fresh.values()])

    def remove(self, ids: Iterable[str]) -> None:
        """Remove records."""
        gone = set(ids)
        self._serve(row for row in self.rows if self._ids[row] not in gone)

    def hide_after(self, first_rows: int) -> list[int]:
        """Serve only the first records and return the rows of the others."""
        hidden = [row for row in self.rows if row >= first_rows]
        self._serve(row for row in self.rows if row < first_rows)
        return hidden

    def show(self, rows: Iterable[int]) -> None:
        """Serve hidden rows again."""
        self._serve([*self.rows, *rows])

    def copy(self) -> Store:
        """Return an independent copy that shares the bytes."""
        copied = Store.__new__(Store)
        copied.stamp = self.stamp
        copied._buffer, copied._starts, copied._ids = self._buffer, self._starts, self._ids
        copied._groups, copied._lazy = self._groups, {}
        copied.rows = self.rows
        return copied

    def _position(self, brewery_id: str) -> int:
        return bisect_left(self.rows, brewery_id, key=self._ids.__getitem__)

    def _serve(self, rows: Iterable[int]) -> None:
        self.rows = array("I", sorted(rows, key=self._ids.__getitem__))
        self._lazy = {}
        self.stamp = next(_STAMPS)

    def _append(self, record: bytes) -> int:
        keys = _keys(record)
        self._buffer += record
        self._starts.append(len(self._buffer))
        self._ids.append(NO_ID if keys.id is None else str(keys.id))
        for column in GROUP_COLUMNS:
            self._groups[column].append(_interned(getattr(keys, column)))
        return len(self._ids) - 1

    def _read_lazy_columns(self) -> None:
        lazy: dict[str, list[str | float | None]] = {column: [] for column in (*TEXT_COLUMNS, "longitude", "latitude")}
        for record in self.bytes_of(range(len(self._ids))):
            keys = _keys(record)
            for column in TEXT_COLUMNS:
                lazy[column].append(_text(getattr(keys, column)))
            lazy["longitude"].append(_number(keys.longitude))
            lazy["latitude"].append(_number(keys.latitude))
        self._lazy = lazy


def _keys(record: bytes | bytearray) -> _Keys:
    try:
        return _decode(record)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _NO_KEYS


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _interned(value: object) -> str | None:
    return None if value is None else sys.intern(str(value))


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
