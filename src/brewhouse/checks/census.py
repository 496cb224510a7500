"""The census of a snapshot: each id once, and the source's own counts in every group.

Row counts prove nothing: 20 breweries added while paging give 20 repeated and 20 missing rows, and the right number.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from brewhouse.lake.snapshots import Groups, MetaCounts

_COLUMNS = {"by_type": ("brewery_type",), "by_country": ("country",), "by_state": ("state_province", "state")}


@dataclass
class PageCensus:
    """What is kept of a page to count the whole; small, whatever the records hold.

    Attributes:
        keys: A 64-bit hash of each record's id, or of its bytes when it has none. Two ids of one hash would make
            the census fail, never pass.
        first_id: Of its first record.
        last_id: Of its last record.
        without_id: Records that have no id.
        groups: Counts by type, country and state.
        hole_offsets: Rows, from 0, that the source cannot give.
    """

    keys: array[int]
    first_id: str | None
    last_id: str | None
    without_id: int
    groups: dict[str, Counter[str]]
    hole_offsets: Sequence[int] = ()


@dataclass(frozen=True)
class Verdict:
    """What a census found.

    Attributes:
        received: The counts of what was received.
        records: Records received.
        without_id: Records that have no id.
        differences: In words, what disagrees; none means complete.
        missing: By group, what the holes leave out.
        concerned: Numbers of the pages that look wrong by themselves.
    """

    received: Groups
    records: int
    without_id: int
    differences: list[str]
    missing: dict[str, dict[str, int]] = field(default_factory=dict)
    concerned: frozenset[int] = frozenset()


def count_page(lines: Sequence[bytes], records: Sequence[Mapping[str, Any]], holes: Sequence[int] = ()) -> PageCensus:
    """Count a page.

    Args:
        lines: Each record's bytes.
        records: The same records, decoded.
        holes: Offsets of rows the source cannot give.
    """
    ids = [record.get("id") for record in records]
    keys = array("q", (hash(key if usable_id(key) else line) for key, line in zip(ids, lines, strict=True)))
    texts = [key if isinstance(key, str) else None for key in ids]
    groups = {
        group: Counter(value for record in records if isinstance(value := _first(record, columns), str))
        for group, columns in _COLUMNS.items()
    }
    return PageCensus(
        keys=keys,
        first_id=texts[0] if texts else None,
        last_id=texts[-1] if texts else None,
        without_id=sum(not usable_id(key) for key in ids),
        groups=groups,
        hole_offsets=tuple(holes),
    )


def usable_id(key: object) -> bool:
    """Say whether a record can be told from others by its id."""
    return isinstance(key, str) and key != ""


def take_census(pages: Mapping[int, PageCensus], before: MetaCounts, after: MetaCounts, size: int) -> Verdict:
    """Compare what was received with what the source says it has.

    Args:
        pages: By number, from 1.
        before: The source's counts before.
        after: The source's counts after.
        size: Records in a full page.
    """
    distinct, repeated = _distinct(pages)
    groups: dict[str, Counter[str]] = {name: Counter() for name in _COLUMNS}
    for page in pages.values():
        for name, counter in groups.items():
            counter.update(page.groups[name])
    records = sum(len(page.keys) for page in pages.values())
    holes = sum(len(page.hole_offsets) for page in pages.values())
    differences = []
    if repeated:
        differences.append(f"{records - distinct} of {records} records repeat an id")
    differences += [
        f"{distinct} different ids{f' and {holes} holes' if holes else ''}, but /meta said {meta.total} {when}"
        for when, meta in (("before", before), ("after", after))
        if distinct + holes != meta.total
    ]
    missing: dict[str, dict[str, int]] = {}
    for name, counter in groups.items():
        for when, meta in (("before", before), ("after", after)):
            theirs: dict[str, int] | None = getattr(meta, name)
            if theirs is not None:
                lacking, wrong = _compare(theirs, counter, holes)
                missing[name] = lacking
                differences += [f"{name} {text} {when}" for text in wrong]
    return Verdict(
        received=Groups(total=distinct, **{name: dict(counter) for name, counter in groups.items()}),
        records=records,
        without_id=sum(page.without_id for page in pages.values()),
        differences=differences,
        missing={name: lacking for name, lacking in missing.items() if lacking},
        concerned=repeated | _misplaced(pages, size),
    )


def _compare(theirs: Mapping[str, int], ours: Mapping[str, int], holes: int) -> tuple[dict[str, int], list[str]]:
    """Tell what the holes explain, and what nothing does."""
    names = sorted(theirs.keys() | ours.keys())
    lacking = {name: gap for name in names if (gap := theirs.get(name, 0) - ours.get(name, 0)) != 0}
    if all(gap > 0 for gap in lacking.values()) and sum(lacking.values()) <= holes:
        return lacking, []
    return {}, [
        f"{name!r} has {ours.get(name, 0)} records, but /meta said {theirs.get(name, 0)} ({-gap:+d})"
        for name, gap in lacking.items()
    ]


def _distinct(pages: Mapping[int, PageCensus]) -> tuple[int, frozenset[int]]:
    """Count different keys, and name the pages that share one, with all between them."""
    every = array("q")
    for page in pages.values():
        every.extend(page.keys)
    ordered = sorted(every)
    twice = {key for key, following in pairwise(ordered) if key == following}
    distinct = len(ordered) - sum(key == following for key, following in pairwise(ordered))
    if not twice:
        return distinct, frozenset()
    holders = sorted(number for number, page in pages.items() if not twice.isdisjoint(page.keys))
    return distinct, frozenset(range(holders[0], holders[-1] + 1))


def _misplaced(pages: Mapping[int, PageCensus], size: int) -> frozenset[int]:
    """Name pages that are short, but are not the last, and neighbours that are out of order."""
    numbers = sorted(number for number, page in pages.items() if len(page.keys) or page.hole_offsets)
    wrong = {n for n in numbers[:-1] if len(pages[n].keys) + len(pages[n].hole_offsets) < size}
    for left, right in pairwise(numbers):
        last, first = pages[left].last_id, pages[right].first_id
        if last is not None and first is not None and last >= first:
            wrong |= {left, right}
    return frozenset(wrong)


def _first(record: Mapping[str, Any], columns: Sequence[str]) -> object:
    return next((value for column in columns if (value := record.get(column)) is not None), None)
