"""The census of a snapshot: each id once, and the source's own counts in every group.

Row counts prove nothing: 20 breweries added while paging give 20 repeated and 20 missing rows, and the right number.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import lt

from msgspec import UNSET

from brewhouse.api.contract import Records
from brewhouse.lake.manifest import Counts, MissingRow
from brewhouse.source import Meta

GROUPS = ("by_type", "by_country", "by_state")


@dataclass(frozen=True)
class PageCounts:
    """What is kept of a page to count the whole; some 5 kB, whatever the records hold.

    Attributes:
        keys: A 64-bit hash of each record's id, or of its bytes when it has none. Two ids of one hash would make
            the census fail, never pass.
        groups: For each group, the number of each record's value in the census's list of names; 0 is null.
        without_id: How many records have no id.
        first_id: Of its first record.
        last_id: Of its last record.
        is_ascending: Whether every record has an id, and each is greater than the one before: so none is there twice.
        holes: Rows that the source cannot give: offset from 0, ids before and after.
    """

    keys: array[int]
    groups: dict[str, array[int]]
    without_id: int
    first_id: str | None
    last_id: str | None
    is_ascending: bool
    missing_rows: tuple[tuple[int, str | None, str | None], ...]

    @property
    def rows(self) -> int:
        """Rows it stands for, those that cannot be had included."""
        return len(self.keys) + len(self.missing_rows)


@dataclass(frozen=True)
class CompletenessResult:
    """What a census found.

    Attributes:
        received: The counts of what was received.
        records: Records received.
        without_id: Records that have no id.
        differences: In words, what disagrees; none means complete.
        missing: By group, what the holes leave out.
        holes: Rows that the source cannot give.
        concerned: Numbers of the pages that look wrong by themselves.
    """

    received: Counts
    records: int
    without_id: int
    differences: list[str]
    missing: dict[str, dict[str, int]]
    missing_rows: list[MissingRow]
    concerned: frozenset[int]


class _Codes(dict[object, int]):
    """Numbers for names, given in the order in which they are met, from 1; what is not there or null is 0.

    What is no text is numbered by its JSON, as the silver models read it.
    """

    def __init__(self) -> None:
        super().__init__({None: 0, UNSET: 0})
        self.names = [""]

    def __missing__(self, value: object) -> int:
        if not isinstance(value, str):
            return self[_json(value)]
        self[value] = number = len(self.names)
        self.names.append(value)
        return number

    def of(self, values: Sequence[object]) -> array[int]:
        """Number values."""
        try:
            return array("I", [self[value] for value in values])
        except TypeError:  # a list or an object in the place of a name
            return self.of([_json(value) if isinstance(value, list | dict) else value for value in values])


def _json(value: object) -> str:
    """Write a value as DuckDB reads it: 1e22 as 1e+22, which msgspec writes otherwise."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class CompletenessCheck:
    """Counts pages as they come, and compares the whole with what the source says.

    Example:
        >>> from brewhouse.api.contract import parse_page
        >>> census = CompletenessCheck()
        >>> census.count(1, *parse_page(b'[{"id": "a", "country": "Ireland"}]'))
        >>> meta = Meta(total=2, by_country={"Ireland": 2})
        >>> census.verdict(meta, meta, page_size_rows=200).differences
        ['1 different ids, but /meta says 2 (-1)', "by_country 'Ireland': 1 records, but /meta says 2 (-1)"]
    """

    def __init__(self) -> None:
        self._codes = _Codes()
        self._pages: dict[int, PageCounts] = {}

    def count(self, number: int, lines: Sequence[bytes], records: Records, missing_rows: Sequence[int] = ()) -> None:
        """Count a page; it takes the place of the one of the same number.

        Args:
            number: From 1.
            lines: Each record's bytes.
            records: The same records, decoded.
            missing_rows: Offsets, from 0, of rows the source cannot return.
        """
        ids = [key if type(key) is str and key else None for key in records.columns["id"]]
        present = [key for key in ids if key is not None]
        provinces, states = records.columns["state_province"], records.columns["state"]
        self._pages[number] = PageCounts(
            keys=array("q", [hash(line if key is None else key) for key, line in zip(ids, lines, strict=True)]),
            groups={
                "by_type": self._codes.of(records.columns["brewery_type"]),
                "by_country": self._codes.of(records.columns["country"]),
                "by_state": self._codes.of(
                    [
                        state if province is None or province is UNSET else province
                        for province, state in zip(provinces, states, strict=True)
                    ]
                ),
            },
            without_id=len(ids) - len(present),
            first_id=ids[0] if ids else None,
            last_id=ids[-1] if ids else None,
            is_ascending=len(ids) == len(present) and all(map(lt, present, present[1:])),
            missing_rows=tuple(_places(ids, missing_rows)),
        )

    def forget(self, number: int) -> None:
        """Forget a page, if it was counted."""
        self._pages.pop(number, None)

    def clear(self) -> None:
        """Forget all pages."""
        self._pages.clear()

    def verdict(self, before: Meta, after: Meta, page_size_rows: int) -> CompletenessResult:
        """Compare what was received with what the source says it has.

        Args:
            before: The source's counts before.
            after: The source's counts after.
            page_size_rows: Records in a full page.
        """
        pages = dict(sorted(self._pages.items()))
        records = sum(len(page.keys) for page in pages.values())
        repeated, sharing = _repeated(pages)
        distinct = records - repeated
        groups = self._grouped(pages)
        missing_rows = sum(len(page.missing_rows) for page in pages.values())

        differences = _differences_of_totals(
            before, after, distinct=distinct, repeated=repeated, missing_rows=missing_rows
        )
        missing: dict[str, dict[str, int]] = {}
        for name in GROUPS:
            theirs = getattr(after, name)
            if theirs is not None:
                lacking, texts = _compare(name, theirs, groups[name], missing_rows)
                missing |= {name: lacking} if lacking else {}
                differences += texts
        return CompletenessResult(
            received=Counts(total=distinct, **{name: dict(sorted(groups[name].items())) for name in GROUPS}),
            records=records,
            without_id=sum(page.without_id for page in pages.values()),
            differences=differences,
            missing=missing,
            missing_rows=list(_holes(pages, page_size_rows, missing)),
            concerned=sharing | _misplaced(pages, page_size_rows),
        )

    def _grouped(self, pages: Mapping[int, PageCounts]) -> dict[str, Counter[str]]:
        grouped = {}
        for group in GROUPS:
            every = array("I")
            for page in pages.values():
                every.extend(page.groups[group])
            codes = Counter(every)
            del codes[0]
            grouped[group] = Counter({self._codes.names[code]: count for code, count in codes.items()})
        return grouped


def _differences_of_totals(before: Meta, after: Meta, *, distinct: int, repeated: int, missing_rows: int) -> list[str]:
    differences = []
    if before != after:
        differences.append(f"the source changed meanwhile: /meta said {before.total} before and {after.total} after")
    if repeated:
        differences.append(f"{repeated} records repeat an id")
    if distinct + missing_rows != after.total:
        ours = f"{distinct} different ids" + (f" and {missing_rows} rows that cannot be had" if missing_rows else "")
        differences.append(f"{ours}, but /meta says {after.total} ({distinct + missing_rows - after.total:+d})")
    return differences


def _compare(
    group: str, theirs: Mapping[str, int], ours: Mapping[str, int], missing_rows: int
) -> tuple[dict[str, int], list[str]]:
    """Tell what the holes explain, and what nothing does."""
    if group == "by_type":  # the service counts its types in small letters
        theirs, ours = _lowered(theirs), _lowered(ours)
    names = sorted(theirs.keys() | ours.keys())
    gaps = {name: gap for name in names if (gap := theirs.get(name, 0) - ours.get(name, 0))}
    if min(gaps.values(), default=0) >= 0 and sum(gaps.values()) <= missing_rows:
        return gaps, []
    return {}, [
        f"{group} {name!r}: {ours.get(name, 0)} records, but /meta says {theirs.get(name, 0)} ({-gap:+d})"
        for name, gap in gaps.items()
    ]


def _repeated(pages: Mapping[int, PageCounts]) -> tuple[int, frozenset[int]]:
    """Count the records that repeat an id, and name the pages that share one, with those between them."""
    if all(page.is_ascending for page in pages.values()) and not _out_of_order(pages):
        return 0, frozenset()
    every = array("q")
    for page in pages.values():
        every.extend(page.keys)
    ordered = sorted(every)
    twice = [key for key, following in pairwise(ordered) if key == following]
    if not twice:
        return 0, frozenset()
    keys = set(twice)
    spans: dict[int, tuple[int, int]] = {}
    for number, page in pages.items():
        for key in keys.intersection(page.keys):
            spans[key] = spans.get(key, (number, number))[0], number
    return len(twice), frozenset(number for low, high in set(spans.values()) for number in range(low, high + 1))


def _misplaced(pages: Mapping[int, PageCounts], page_size_rows: int) -> frozenset[int]:
    """Name pages that have not their full size, though they are not the last, and neighbours that are out of order."""
    numbers = [number for number, page in pages.items() if page.rows]
    wrong = {number for number in numbers[:-1] if pages[number].rows != page_size_rows}
    return frozenset(wrong.union(*_out_of_order(pages)))


def _out_of_order(pages: Mapping[int, PageCounts]) -> list[tuple[int, int]]:
    """List the neighbouring pages of which the second does not go on where the first ends."""
    known = {number: (page.first_id, page.last_id) for number, page in pages.items() if page.keys}
    return [
        (left, right)
        for (left, (_, last)), (right, (first, _)) in pairwise(known.items())
        if last is not None and first is not None and last >= first
    ]


def _places(ids: Sequence[str | None], missing_rows: Sequence[int]) -> Iterator[tuple[int, str | None, str | None]]:
    """Find the neighbours of holes within their page."""
    for earlier, offset in enumerate(missing_rows):
        index = offset - earlier
        yield offset, ids[index - 1] if 0 < index <= len(ids) else None, ids[index] if index < len(ids) else None


def _holes(
    pages: Mapping[int, PageCounts], page_size_rows: int, lacking: dict[str, dict[str, int]]
) -> Iterator[MissingRow]:
    """Give each hole its place in the whole."""
    for number, page in pages.items():
        for offset, before, after in page.missing_rows:
            lower = (pages[n].last_id for n in range(number - 1, 0, -1) if n in pages)
            upper = (pages[n].first_id for n in range(number + 1, max(pages) + 1) if n in pages)
            yield MissingRow(
                position=(number - 1) * page_size_rows + offset + 1,
                before_id=before or next((key for key in lower if key), None),
                after_id=after or next((key for key in upper if key), None),
                missing_counts=lacking,
            )


def _lowered(groups: Mapping[str, int]) -> Counter[str]:
    counter: Counter[str] = Counter()
    for name, count in groups.items():
        counter[name.lower()] += count
    return counter
