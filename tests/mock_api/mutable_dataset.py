"""A dataset that changes while it is served; rows may be poisoned, and /meta may be stale."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import msgspec
from tests.mock_api.php_json import render
from tests.mock_api.store import Store

from brewhouse.errors import UsageError
from brewhouse.mock_api.dataset import generate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.mock_api.dialects import Dialect
    from tests.mock_api.faults import Fault, Faults

_SAME = {"state_province": "state", "address_1": "street"}


class Dataset:
    """Breweries, rendered in a dialect.

    Args:
        records: The breweries, as JSON objects already written or as dicts.
        dialect: How dicts are written.

    Attributes:
        store: What is served.
        poisoned: Ids of breweries whose pages fail with status 500.
    """

    def __init__(self, records: Iterable[Mapping[str, object] | bytes], dialect: Dialect) -> None:
        self.dialect = dialect
        self.store = Store(self._rendered(records))
        self.poisoned: set[str] = set()
        self._hidden: list[int] = []
        self._stale: Store | None = None
        self._stale_answers: int | None = None
        self._large_ids = (f"ffffffff-ffff-4fff-8fff-{number:012d}" for number in count(1))
        self._small_ids = (f"00000000-0000-4000-8000-{number:012d}" for number in count(1))

    def inject(self, faults: Faults) -> None:
        """Replace the faults of the data."""
        self.fill()
        self.poisoned = set()
        self._stale = None
        for fault in faults:
            for place in fault.poison:
                self._poison(place)
        for fault in faults:
            if fault.partial is not None:
                self._hidden += self.store.hide_after(fault.partial)
            if fault.stale_meta is not None:
                self._stale = self.store.copy()
                self._stale_answers = fault.stale_meta or None

    def store_for_meta(self) -> Store:
        """Return the store that /meta counts: the current one, or a stale copy."""
        if self._stale is None or self._stale.stamp == self.store.stamp:
            return self.store
        stale = self._stale
        if self._stale_answers is not None:
            self._stale_answers -= 1
            self._stale = stale if self._stale_answers > 0 else None
        return stale

    def shift(self, fault: Fault) -> None:
        """Apply a fault's change to the data."""
        if fault.partial is not None:
            self.fill()
        if fault.add:
            records = generate(fault.add, seed=fault.add)
            self.add([{**record, "id": next(self._small_ids)} for record in records])
        swapped = [self.store.id_of(self.store.rows[place - 1]) for place in fault.swap]
        if swapped:
            last = [{**self._record(brewery_id), "id": next(self._large_ids)} for brewery_id in swapped]
            self.store.remove(swapped)
            self.add(last)
        renamed = [self.store.id_of(self.store.rows[place - 1]) for place in fault.rename]
        self.change({brewery_id: {"name": f"{self._record(brewery_id)['name']} II"} for brewery_id in renamed})
        first = [self.store.id_of(row) for row in self.store.rows[: (fault.remove or 0) + (fault.change or 0)]]
        if fault.remove:
            self.store.remove(first)
        if fault.change:
            self.change({brewery_id: {"brewery_type": self._other_type(brewery_id)} for brewery_id in first})

    def add(self, records: Iterable[Mapping[str, object] | bytes]) -> None:
        """Add breweries, replacing those with the same ids."""
        self.store.add(self._rendered(records))

    def change(self, changes: Mapping[str, Mapping[str, object]]) -> None:
        """Change fields of breweries.

        Args:
            changes: The new values by id and field. `state` and `street` follow the fields they repeat.

        Raises:
            UsageError: An id is unknown.
        """
        records = [{**self._record(brewery_id), **fields} for brewery_id, fields in changes.items()]
        for record, fields in zip(records, changes.values(), strict=True):
            for field, copy in _SAME.items():
                if field in fields and copy in record and copy not in fields:
                    record[copy] = record[field]
        self.store.remove(changes)
        self.add(records)

    def fill(self) -> None:
        """Serve all breweries again after a partial dataset."""
        if self._hidden:
            self.store.show(self._hidden)
            self._hidden = []

    def _poison(self, place: int | str) -> None:
        rows = self.store.rows
        if isinstance(place, int) and not 1 <= place <= len(rows):
            raise UsageError(f"Row {place} cannot be poisoned: rows are 1 to {len(rows)}.")
        self.poisoned.add(self.store.id_of(rows[place - 1]) if isinstance(place, int) else place)

    def _record(self, brewery_id: str) -> dict[str, object]:
        row = self.store.find(brewery_id)
        if row is None:
            raise UsageError(f"The mock API has no brewery with the id '{brewery_id}'.")
        record: dict[str, object] = msgspec.json.decode(self.store.bytes_of([row])[0])
        return record

    def _other_type(self, brewery_id: str) -> str:
        return "micro" if self._record(brewery_id).get("brewery_type") == "closed" else "closed"

    def _rendered(self, records: Iterable[Mapping[str, object] | bytes]) -> Iterable[bytes]:
        without, as_text = self.dialect.left_out, self.dialect.is_previous
        for record in records:
            if isinstance(record, bytes):
                yield record
            else:
                yield render(record, without=without, coordinates_as_text=as_text)
