"""Linking the slug ids of the dataset's early years to the UUIDs of today.

Until March 2023 a brewery's id was a slug of its name, later of its name and city; the next version gave each a UUID
and did not say which. A record is the brewery that has the same name, city and address in the first version with UUIDs,
when each is the only one. A slug linked so in one version stays linked in all. What has no partner, mostly places that
closed before, gets a UUID made of its slug. All of it is carried back from version to version by place and by slug,
since slugs were made anew twice, and addresses corrected.
"""

from __future__ import annotations

import unicodedata
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import TypeAlias, TypeVar

from brewhouse.api.contract import Record
from brewhouse.backfill.csv_versions import is_uuid

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "slug.openbrewerydb.org")
"""Of the UUIDs (version 5) that are made of slugs: 8a24789e-1902-5374-ba9c-5db9ef589631."""

SLUG_FIELD = "obdb_id"
"""The field that keeps a record's slug, named as the last column that held one."""

_Key = TypeVar("_Key")

Place: TypeAlias = tuple[str, str, str]
"""Name, city and address, folded."""


@dataclass(frozen=True)
class Linked:
    """A version's records with UUIDs.

    Attributes:
        records: In the same order; one that had a slug keeps it in the field `SLUG_FIELD`.
        linked: How many slugs got the UUID of a record of the first version with UUIDs.
    """

    records: tuple[Record, ...]
    linked: int


class Links:
    """What is known about slugs; asked for each version that has some, the newest first.

    Args:
        anchor: The records of the first version with UUIDs; none when there is no such version.
        seen: The `sightings` in all versions with slugs.

    Example:
        >>> today = {"id": "cd613e30-d8f1-4adf-81b7-584a2265b1f5", "name": "Ales", "city": "York", "address_1": "1 A"}
        >>> before = [{"id": "ales-york", "name": "ALES", "city": "York", "address_1": "1, A."}]
        >>> Links([today], sightings(before)).link(before).records[0]["id"]
        'cd613e30-d8f1-4adf-81b7-584a2265b1f5'
    """

    def __init__(self, anchor: Sequence[Record], seen: Iterable[tuple[str, Place]]) -> None:
        self._anchored = frozenset(record["id"] for record in anchor)
        self._by_place = {place: anchor[index]["id"] for place, index in _unique(anchor, place_of).items()}
        found: defaultdict[str, set[str]] = defaultdict(set)
        for slug, place in seen:
            if place in self._by_place:
                found[slug].add(self._by_place[place])
        self._by_slug = {slug: ids.pop() for slug, ids in found.items() if len(ids) == 1}

    def link(self, records: Sequence[Record]) -> Linked:
        """Give each record of a version with slugs its UUID; no two slugs get the same one.

        Args:
            records: Of a version that is older than those linked before.
        """
        places, slugs = _unique(records, place_of), _unique(records, _slug_of)
        ids = {index: record["id"] for index, record in enumerate(records) if is_uuid(record["id"])}
        with_slug = [index for index in range(len(records)) if index not in ids]
        _take(ids, places, self._by_place)
        _take(ids, slugs, self._by_slug)
        taken = set(ids.values())
        for index in with_slug:
            if index not in ids:
                names = _names(records[index], is_unique=_slug_of(records[index]) in slugs)
                ids[index] = next(key for key in map(uuid_of, names) if key not in taken)
                taken.add(ids[index])
        for place, index in places.items():
            self._by_place.setdefault(place, ids[index])
        for slug, index in slugs.items():
            self._by_slug.setdefault(slug, ids[index])
        return Linked(
            records=tuple(_with_id(record, ids[index]) for index, record in enumerate(records)),
            linked=sum(ids[index] in self._anchored for index in with_slug),
        )


def sightings(records: Sequence[Record]) -> Iterator[tuple[str, Place]]:
    """Tell which slug was seen at which place in a version, where no other record has the one or the other."""
    slugs = _unique(records, _slug_of)
    for place, index in _unique(records, place_of).items():
        if (slug := _slug_of(records[index])) in slugs:
            yield slug, place


def uuid_of(slug: str) -> str:
    """Make the UUID of a slug that has no partner.

    Example:
        >>> uuid_of("10-56-brewing-company-knox")
        'ef75992c-1580-5090-a2e3-6b3da7a88424'
    """
    return str(uuid.uuid5(NAMESPACE, slug))


def place_of(record: Record) -> Place:
    """Fold a record's name, city and address, so that those alike but for case, accents, blanks and signs agree."""
    return _fold(record["name"]), _fold(record["city"]), _fold(record["address_1"])


@lru_cache(maxsize=1 << 16)
def _fold(text: str | None) -> str:
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", text or "").casefold()))


def _slug_of(record: Record) -> str:
    slug: str = record["id"].strip()
    return slug


def _unique(records: Sequence[Record], key_of: Callable[[Record], _Key]) -> dict[_Key, int]:
    """Find the keys that only one record has, each with that record's index."""
    keys = list(map(key_of, records))
    counts = Counter(keys)
    return {key: index for index, key in enumerate(keys) if counts[key] == 1}


def _take(ids: dict[int, str], unique: dict[_Key, int], known: dict[_Key, str]) -> None:
    """Give records that have no id the one known of their key, unless another has it."""
    taken = set(ids.values())
    for key, index in unique.items():
        target = known.get(key)
        if index not in ids and target is not None and target not in taken:
            ids[index] = target
            taken.add(target)


def _names(record: Record, *, is_unique: bool) -> Iterator[str]:
    """List what a UUID can be made of: the slug, or, where others have it too, the place as well."""
    slug = _slug_of(record)
    if is_unique:
        yield slug
    name = "\n".join((slug, *place_of(record)))
    yield name
    for number in count(2):
        yield f"{name}\n{number}"


def _with_id(record: Record, key: str) -> Record:
    return record if record["id"] == key else {**record, "id": key, SLUG_FIELD: _slug_of(record)}
