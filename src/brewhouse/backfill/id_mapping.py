"""Id mapping: the slug ids of the dataset's early years are mapped to today's UUIDs.

Until March 2023 a brewery's id was a slug of its name, later of its name and city; the next version replaced all slugs
by UUIDs without publishing a mapping. A record is mapped to the record of the first version with UUIDs that has the
same name, city and address, when both are unique. A slug mapped in one version stays mapped in all. A slug without a
match, mostly of a brewery that closed before, gets a UUID derived from it. The mapping is carried back from version to
version by name, city and address and by slug, since slugs were generated again twice, and addresses corrected.
"""

from __future__ import annotations

import unicodedata
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import count
from typing import TypeAlias, TypeVar

from brewhouse.api.contract import Record
from brewhouse.backfill.csv_versions import is_slug, is_uuid
from brewhouse.source import canonical_id

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "slug.openbrewerydb.org")
"""Namespace of the UUIDs (version 5) derived from slugs: 8a24789e-1902-5374-ba9c-5db9ef589631."""

SLUG_FIELD = "obdb_id"
"""The field that keeps a record's slug, named like the last column that held one."""

_Key = TypeVar("_Key")

MatchKey: TypeAlias = tuple[str, str, str]
"""Name, city and address, folded."""


class IdMapping:
    """Map slugs to UUIDs, version by version, the newest first.

    Args:
        anchor: The records of the first version with UUIDs; empty without one.
        slugs: The `unique_slugs` of all versions with slugs.

    Example:
        >>> today = {"id": "cd613e30-d8f1-4adf-81b7-584a2265b1f5", "name": "Ales", "city": "York", "address_1": "1 A"}
        >>> before = [{"id": "ales-york", "name": "ALES", "city": "York", "address_1": "1, A."}]
        >>> IdMapping([today], unique_slugs(before)).apply(before)[0][0]["id"]
        'cd613e30-d8f1-4adf-81b7-584a2265b1f5'
    """

    def __init__(self, anchor: Sequence[Record], slugs: Iterable[tuple[str, MatchKey]]) -> None:
        anchor = [{**record, "id": known} for record in anchor if (known := canonical_id(record.get("id")))]
        self._anchored = frozenset(record["id"] for record in anchor)
        self._by_key = {key: anchor[index]["id"] for key, index in _unique(anchor, match_key).items()}
        matches: defaultdict[str, set[str]] = defaultdict(set)
        for slug, key in slugs:
            if key in self._by_key:
                matches[slug].add(self._by_key[key])
        self._by_slug = {slug: ids.pop() for slug, ids in matches.items() if len(ids) == 1}

    def apply(self, records: Sequence[Record]) -> tuple[tuple[Record, ...], int]:
        """Assign a UUID of its own to each record with a slug, in a version that is older than those mapped before.

        The slugs are kept in `SLUG_FIELD`. Also returns how many were mapped to a UUID of the first version with UUIDs.
        """
        with_slug = [index for index, record in enumerate(records) if is_slug(record["id"])]
        ids = {index: records[index]["id"] for index in set(range(len(records))).difference(with_slug)}
        invalid = {index for index, key in ids.items() if not is_uuid(key)}
        keys, slugs = _unique(records, match_key, invalid), _unique(records, _slug_of, invalid)
        _assign(ids, keys, self._by_key)
        _assign(ids, slugs, self._by_slug)
        used = set(ids.values())
        for index in with_slug:
            if index not in ids:
                names = _names(records[index], is_unique=_slug_of(records[index]) in slugs)
                ids[index] = next(derived for derived in map(uuid_of, names) if derived not in used)
                used.add(ids[index])
        for key, index in keys.items():
            self._by_key.setdefault(key, ids[index])
        for slug, index in slugs.items():
            self._by_slug.setdefault(slug, ids[index])
        mapped = sum(ids[index] in self._anchored for index in with_slug)
        return tuple(_with_id(record, ids[index]) for index, record in enumerate(records)), mapped


def unique_slugs(records: Sequence[Record]) -> Iterator[tuple[str, MatchKey]]:
    """Yield each slug and match key of a record that shares neither with another record of its version."""
    slugs = _unique(records, _slug_of)
    for key, index in _unique(records, match_key).items():
        if (slug := _slug_of(records[index])) in slugs:
            yield slug, key


def uuid_of(slug: str) -> str:
    """Derive the UUID of a slug that has no match."""
    return str(uuid.uuid5(NAMESPACE, slug))


def match_key(record: Record) -> MatchKey:
    """Fold a record's name, city and address, ignoring case, accents, whitespace and punctuation."""
    return _fold(record["name"]), _fold(record["city"]), _fold(record["address_1"])


@lru_cache(maxsize=1 << 16)
def _fold(text: str | None) -> str:
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", text or "").casefold()))


def _slug_of(record: Record) -> str:
    slug: str = record["id"].strip()
    return slug


def _unique(
    records: Sequence[Record], key_of: Callable[[Record], _Key], without: Collection[int] = ()
) -> dict[_Key, int]:
    """Map each key that only one record has to that record's index, except for some indexes."""
    keys = list(map(key_of, records))
    counts = Counter(keys)
    return {key: index for index, key in enumerate(keys) if counts[key] == 1 and index not in without}


def _assign(ids: dict[int, str], unique: dict[_Key, int], known: dict[_Key, str]) -> None:
    """Assign the known id of its key to each record without an id, unless another record has that id."""
    used = set(ids.values())
    for key, index in unique.items():
        target = known.get(key)
        if index not in ids and target is not None and target not in used:
            ids[index] = target
            used.add(target)


def _names(record: Record, *, is_unique: bool) -> Iterator[str]:
    """Yield names to derive a UUID from: the slug if it is unique, then slug and match key, then numbered ones."""
    slug = _slug_of(record)
    if is_unique:
        yield slug
    name = "\n".join((slug, *match_key(record)))
    yield name
    for number in count(2):
        yield f"{name}\n{number}"


def _with_id(record: Record, key: str) -> Record:
    return record if record["id"] == key else {**record, "id": key, SLUG_FIELD: _slug_of(record)}
