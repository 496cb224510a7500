"""Completeness of a snapshot: each id once, and in every group as many records as the source counts.

The number of rows alone proves nothing: 20 breweries added while paging yield 20 duplicate and 20 missing rows, and the
expected total.
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

from brewhouse.api.contract import GROUPS, Records
from brewhouse.lake.manifest import Counts, MissingRow, Proof
from brewhouse.source import Meta


@dataclass(frozen=True)
class PageCounts:
    """What is kept of a page; some 5 kB, whatever the records hold.

    Attributes:
        keys: A 64-bit hash of each record's id, or of its bytes without one. A collision of two ids would fail the
            completeness check, never pass it.
        groups: Each record's value in each group, dictionary-encoded; 0 is null.
        is_ascending: Whether every record has an id that is greater than the one before it.
        missing_rows: Rows that the source cannot return: offset from 0, ids before and after.
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
        """Number of rows, the missing ones included."""
        return len(self.keys) + len(self.missing_rows)


@dataclass(frozen=True)
class CompletenessResult:
    """The result of comparing a snapshot with the source's counts.

    Attributes:
        differences: One sentence per disagreement; empty when the snapshot is complete.
        missing: By group, the counts of the missing rows.
        suspect_pages: Numbers of the pages that may cause a disagreement.
        proof: Of one attempt, if there are no differences.
    """

    received: Counts
    differences: list[str]
    missing: dict[str, dict[str, int]]
    missing_rows: list[MissingRow]
    suspect_pages: frozenset[int]
    proof: Proof


class _Dictionary(dict[object, int]):
    """Dictionary encoding of names: codes from 1, in order of appearance; 0 is null or a missing field.

    A value that is not text is encoded by its JSON, as the silver models read it.
    """

    def __init__(self) -> None:
        super().__init__({None: 0, UNSET: 0})
        self.names = [""]

    def __missing__(self, value: object) -> int:
        if not isinstance(value, str):
            return self[_json(value)]
        self[value] = code = len(self.names)
        self.names.append(value)
        return code

    def encode(self, values: Sequence[object]) -> array[int]:
        try:
            return array("I", [self[value] for value in values])
        except TypeError:  # a list or an object instead of a name
            return self.encode([_json(value) if isinstance(value, list | dict) else value for value in values])


def _json(value: object) -> str:
    """Write a value as DuckDB reads it: 1e22 as 1e+22, which msgspec writes differently."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class CompletenessCheck:
    """Count pages as they arrive, and compare the whole with the source's counts.

    Example:
        >>> from brewhouse.api.contract import parse_page
        >>> check = CompletenessCheck()
        >>> check.count(1, *parse_page(b'[{"id": "a", "country": "Ireland"}]'))
        >>> meta = Meta(total=2, by_country={"Ireland": 2})
        >>> check.result(meta, meta, page_size_rows=200).differences
        ['1 different ids, but /meta says 2 (-1)', "by_country 'Ireland': 1 records, but /meta says 2 (-1)"]
    """

    def __init__(self) -> None:
        self._names = _Dictionary()
        self._pages: dict[int, PageCounts] = {}

    def count(self, number: int, lines: Sequence[bytes], records: Records, missing_rows: Sequence[int] = ()) -> None:
        """Count a page, with its number from 1; it replaces an earlier one of the same number.

        Args:
            missing_rows: Offsets, from 0, of rows the source cannot return.
        """
        ids = [key if type(key) is str and key else None for key in records.columns["id"]]
        present = [key for key in ids if key is not None]
        without_id = len(ids) - len(present)
        values = {group: records.columns[field] for group, field in GROUPS.items()}
        values["by_state"] = [
            state if province is None or province is UNSET else province
            for province, state in zip(values["by_state"], records.columns["state"], strict=True)
        ]
        keys = [line if key is None else key for key, line in zip(ids, lines, strict=True)] if without_id else ids
        self._pages[number] = PageCounts(
            keys=array("q", map(hash, keys)),
            groups={group: self._names.encode(names) for group, names in values.items()},
            without_id=without_id,
            first_id=ids[0] if ids else None,
            last_id=ids[-1] if ids else None,
            is_ascending=not without_id and all(map(lt, present, present[1:])),
            missing_rows=tuple(_neighbors(ids, missing_rows)),
        )

    def forget(self, number: int) -> None:
        """Discard a page, if it was counted."""
        self._pages.pop(number, None)

    def is_repetitive(self) -> bool:
        """Return whether most of the counted records repeat an id, as from a source that ignores the page number."""
        pages = dict(sorted(self._pages.items()))
        return 2 * _repeated(pages)[0] > sum(len(page.keys) for page in pages.values())

    def result(self, before: Meta, after: Meta, page_size_rows: int) -> CompletenessResult:
        """Compare the counted pages with the source's counts before and after."""
        pages = dict(sorted(self._pages.items()))
        records = sum(len(page.keys) for page in pages.values())
        repeated, sharing = _repeated(pages)
        groups = self._group_counts(pages)
        missing_rows = sum(len(page.missing_rows) for page in pages.values())

        differences = _total_differences(before, after, records, repeated, missing_rows)
        missing: dict[str, dict[str, int]] = {}
        for name, counts in groups.items():
            reported = getattr(after, name)
            if reported is not None:
                gaps, group_differences = _compare(name, reported, counts, missing_rows)
                missing |= {name: gaps} if gaps else {}
                differences += group_differences
        return CompletenessResult(
            received=Counts(total=records - repeated, **{name: dict(sorted(groups[name].items())) for name in GROUPS}),
            differences=differences,
            missing=missing,
            missing_rows=list(_missing_rows(pages, page_size_rows, missing)),
            suspect_pages=sharing | _misplaced(pages, page_size_rows),
            proof=Proof(
                records=records,
                distinct_ids=records - repeated,
                records_without_id=sum(page.without_id for page in pages.values()),
                groups_compared=[name for name in GROUPS if getattr(after, name) is not None],
                attempts=1,
            ),
        )

    def _group_counts(self, pages: Mapping[int, PageCounts]) -> dict[str, Counter[str]]:
        counts = {}
        for group in GROUPS:
            codes: Counter[int] = Counter()
            for page in pages.values():
                codes.update(page.groups[group])
            del codes[0]
            counts[group] = Counter({self._names.names[code]: count for code, count in codes.items()})
        return counts


def _total_differences(before: Meta, after: Meta, records: int, repeated: int, missing_rows: int) -> list[str]:
    differences = []
    if before != after:
        differences.append(f"the source changed meanwhile: /meta said {before.total} before and {after.total} after")
    if repeated:
        differences.append(f"{repeated} records repeat an id")
    surplus = records - repeated + missing_rows - after.total
    if surplus:
        counted = f"{records - repeated} different ids" + (f" and {missing_rows} missing rows" if missing_rows else "")
        differences.append(f"{counted}, but /meta says {after.total} ({surplus:+d})")
    return differences


def _compare(
    group: str, reported: Mapping[str, int], counted: Mapping[str, int], missing_rows: int
) -> tuple[dict[str, int], list[str]]:
    """Return the gaps that the missing rows explain, or the differences that they do not."""
    if group == "by_type":  # the service counts its types in lower case
        reported, counted = _lowered(reported), _lowered(counted)
    names = sorted(reported.keys() | counted.keys())
    gaps = {name: gap for name in names if (gap := reported.get(name, 0) - counted.get(name, 0))}
    if min(gaps.values(), default=0) >= 0 and sum(gaps.values()) <= missing_rows:
        return gaps, []
    return {}, [
        f"{group} {name!r:.80}: {counted.get(name, 0)} records, but /meta says {reported.get(name, 0)} ({-gap:+d})"
        for name, gap in gaps.items()
    ]


def _repeated(pages: Mapping[int, PageCounts]) -> tuple[int, frozenset[int]]:
    """Count the records that repeat an id, and list the pages from the first to the last with that id."""
    if all(page.is_ascending for page in pages.values()) and not _out_of_order(pages):
        return 0, frozenset()
    every = array("q")
    for page in pages.values():
        every.extend(page.keys)
    repeats = [key for key, following in pairwise(sorted(every)) if key == following]
    keys = set(repeats)
    spans: dict[int, tuple[int, int]] = {}
    for number, page in pages.items():
        for key in keys.intersection(page.keys):
            spans[key] = spans.get(key, (number, number))[0], number
    return len(repeats), frozenset(number for low, high in set(spans.values()) for number in range(low, high + 1))


def _misplaced(pages: Mapping[int, PageCounts], page_size_rows: int) -> frozenset[int]:
    """List the pages that are not full, apart from the last one, and neighbors that are out of order."""
    numbers = [number for number, page in pages.items() if page.rows]
    wrong = {number for number in numbers[:-1] if pages[number].rows != page_size_rows}
    return frozenset(wrong.union(*_out_of_order(pages)))


def _out_of_order(pages: Mapping[int, PageCounts]) -> list[tuple[int, int]]:
    """List the neighboring pages of which the second does not begin after the end of the first."""
    known = {number: (page.first_id, page.last_id) for number, page in pages.items() if page.keys}
    return [
        (left, right)
        for (left, (_, last)), (right, (first, _)) in pairwise(known.items())
        if last is not None and first is not None and last >= first
    ]


def _neighbors(ids: Sequence[str | None], missing_rows: Sequence[int]) -> Iterator[tuple[int, str | None, str | None]]:
    """Find the ids before and after each missing row within its page."""
    for earlier, offset in enumerate(missing_rows):
        index = offset - earlier
        yield offset, ids[index - 1] if 0 < index <= len(ids) else None, ids[index] if index < len(ids) else None


def _missing_rows(
    pages: Mapping[int, PageCounts], page_size_rows: int, missing: dict[str, dict[str, int]]
) -> Iterator[MissingRow]:
    """Locate each missing row in the order of all ids."""
    for number, page in pages.items():
        for offset, before, after in page.missing_rows:
            lower = (pages[n].last_id for n in range(number - 1, 0, -1) if n in pages)
            upper = (pages[n].first_id for n in range(number + 1, max(pages) + 1) if n in pages)
            yield MissingRow(
                position=(number - 1) * page_size_rows + offset + 1,
                before_id=before or next((key for key in lower if key), None),
                after_id=after or next((key for key in upper if key), None),
                missing_counts=missing,
            )


def _lowered(groups: Mapping[str, int]) -> Counter[str]:
    counter: Counter[str] = Counter()
    for name, count in groups.items():
        counter[name.lower()] += count
    return counter
