"""The census passes what is whole, and nothing else."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from brewhouse.api.contract import parse_lines, parse_page
from brewhouse.checks.completeness import CompletenessCheck, CompletenessResult
from brewhouse.source import Meta

Record = dict[str, Any]
SIZE = 5


def breweries(count: int) -> list[Record]:
    return [
        {
            "id": f"{n:04d}",
            "brewery_type": ("micro", "nano", None)[n % 3],
            "country": ("Ireland", "Austria")[n % 2],
            "state_province": (None, "Wien", "Cork")[n % 3],
        }
        for n in range(count)
    ]


def meta_of(records: list[Record]) -> Meta:
    def groups(column: str) -> dict[str, int]:
        return dict(Counter(row[column] for row in records if row[column] is not None))

    return Meta(
        total=len(records),
        by_type=groups("brewery_type"),
        by_country=groups("country"),
        by_state=groups("state_province"),
    )


def census_of(pages: list[list[Record]], missing_rows: dict[int, list[int]] | None = None) -> CompletenessCheck:
    census = CompletenessCheck()
    for number, page in enumerate(pages, 1):
        lines = [json.dumps(row).encode() for row in page]
        census.count(number, lines, parse_lines(lines), (missing_rows or {}).get(number, []))
    return census


def paged(records: list[Record]) -> list[list[Record]]:
    return [records[start : start + SIZE] for start in range(0, len(records), SIZE)]


def verdict(
    received: list[list[Record]], meta: Meta, missing_rows: dict[int, list[int]] | None = None
) -> CompletenessResult:
    return census_of(received, missing_rows).verdict(meta, meta, SIZE)


@given(st.integers(0, 60))
def test_the_whole_passes(count: int) -> None:
    rows = breweries(count)
    found = verdict(paged(rows), meta_of(rows))
    assert found.differences == []
    assert found.concerned == frozenset()
    assert found.records == found.received.total == count
    assert found.received.by_country == meta_of(rows).by_country


@given(rows=st.integers(2, 60), data=st.data())
def test_one_row_in_the_place_of_another_is_noticed_though_the_number_is_right(rows: int, data: st.DataObject) -> None:
    whole = breweries(rows)
    lost = data.draw(st.integers(0, rows - 1))
    other = data.draw(st.integers(0, rows - 1).filter(lambda n: n != lost))
    received = [*whole]
    received[lost] = whole[other]
    found = verdict(paged(received), Meta(total=rows))
    assert "1 records repeat an id" in found.differences
    assert {lost // SIZE + 1, other // SIZE + 1} <= found.concerned


@given(rows=st.integers(1, 60), data=st.data())
def test_a_lost_row_is_noticed(rows: int, data: st.DataObject) -> None:
    whole = breweries(rows)
    lost = data.draw(st.integers(0, rows - 1))
    found = verdict(paged([*whole[:lost], *whole[lost + 1 :]]), Meta(total=rows))
    assert found.differences == [f"{rows - 1} different ids, but /meta says {rows} (-1)"]


@given(rows=st.integers(1, 60), data=st.data())
def test_a_changed_value_is_noticed_by_its_group(rows: int, data: st.DataObject) -> None:
    whole = breweries(rows)
    changed = data.draw(st.integers(0, rows - 1))
    column = data.draw(st.sampled_from(["brewery_type", "country", "state_province"]))
    received = [{**row, column: "else"} if n == changed else row for n, row in enumerate(whole)]
    assert any(
        "'else': 1 records, but /meta says 0 (+1)" in text
        for text in verdict(paged(received), meta_of(whole)).differences
    )


@given(rows=st.integers(1, 60), data=st.data())
def test_holes_explain_what_they_can(rows: int, data: st.DataObject) -> None:
    whole = breweries(rows)
    lost = data.draw(st.sets(st.integers(0, rows - 1), min_size=1, max_size=4))
    pages = [[row for row in page if int(row["id"]) not in lost] for page in paged(whole)]
    missing_rows: dict[int, list[int]] = {}
    for n in sorted(lost):
        missing_rows.setdefault(n // SIZE + 1, []).append(n % SIZE)
    found = verdict(pages, meta_of(whole), missing_rows)
    assert found.differences == []
    assert [hole.position - 1 for hole in found.missing_rows] == sorted(lost)
    kept = [n for n in range(rows) if n not in lost]
    for hole in found.missing_rows:
        before = [n for n in kept if n < hole.position - 1]
        after = [n for n in kept if n > hole.position - 1]
        assert hole.before_id == (f"{before[-1]:04d}" if before else None)
        assert hole.after_id == (f"{after[0]:04d}" if after else None)
    assert sum(found.missing.get("by_country", {}).values()) == len(lost)


def test_holes_do_not_explain_more_than_themselves() -> None:
    whole = breweries(10)
    pages = paged(whole)
    pages[0] = pages[0][1:]
    wrong = Meta(total=10, by_country={"Ireland": 6, "Austria": 5})
    found = verdict(pages, wrong, {1: [0]})
    assert found.differences[0] == "by_country 'Ireland': 4 records, but /meta says 6 (-2)"
    assert found.missing == {}


def test_a_source_that_changed_meanwhile_is_noticed() -> None:
    rows = breweries(3)
    found = census_of(paged(rows)).verdict(meta_of(rows[:2]), meta_of(rows), SIZE)
    assert found.differences == ["the source changed meanwhile: /meta said 2 before and 3 after"]


def test_a_record_without_id_counts_once_by_its_bytes() -> None:
    page: list[Record] = [{"id": None, "name": "A"}, {"id": "", "name": "B"}, {"name": "C"}, {"id": "x"}]
    found = verdict([page], Meta(total=4))
    assert (found.differences, found.without_id) == ([], 3)
    assert "1 records repeat an id" in verdict([[page[0], page[0]]], Meta(total=2)).differences


def test_the_state_may_be_in_its_deprecated_field() -> None:
    found = verdict([[{"id": "a", "state": "Texas"}]], Meta(total=1, by_state={"Texas": 1}))
    assert found.differences == []


def test_types_are_compared_as_the_service_counts_them() -> None:
    page = [{"id": "a", "brewery_type": "Micro"}, {"id": "b", "brewery_type": "micro"}]
    found = verdict([page], Meta(total=2, by_type={"micro": 2}))
    assert found.differences == []
    assert found.received.by_type == {"Micro": 1, "micro": 1}


def test_pages_that_share_ids_and_those_between_are_concerned() -> None:
    pages = paged(breweries(25))
    pages[3] = [*pages[3][:-1], pages[1][0]]
    assert verdict(pages, Meta(total=25)).concerned >= {2, 3, 4}


def test_short_and_misplaced_pages_are_concerned() -> None:
    pages = paged(breweries(20))
    assert verdict([pages[0], pages[1][1:], *pages[2:]], Meta(total=20)).concerned == {2}
    assert verdict([pages[0], pages[2], pages[1], pages[3]], Meta(total=20)).concerned == {2, 3}


def test_a_page_counted_again_takes_the_place_of_the_earlier_one() -> None:
    rows = breweries(5)
    census = census_of([rows])
    census.count(1, *parse_page(b'[{"id": "z"}]'))
    assert census.verdict(Meta(total=1), Meta(total=1), SIZE).differences == []
    census.forget(1)
    assert census.verdict(Meta(total=0), Meta(total=0), SIZE).records == 0


@given(st.lists(st.lists(st.sampled_from([*"abcdef", "", None]), max_size=4), max_size=5), st.booleans())
def test_every_record_that_repeats_an_id_is_counted_in_whatever_order_they_come(
    pages: list[list[str | None]], are_sorted: bool
) -> None:
    if are_sorted:
        ids = iter(sorted(key for page in pages for key in page if key))
        pages = [[key for _, key in zip(page, ids, strict=False)] for page in pages]
    received = [[{"id": key, "page": number} for key in page] for number, page in enumerate(pages)]
    names = [row["id"] or json.dumps(row) for page in received for row in page]
    missing_rows = {number: [0] for number, page in enumerate(pages, 1) if not page}
    found = verdict(received, Meta(total=0), missing_rows)
    assert found.received.total == len(set(names))
    assert found.records == len(names)


@given(st.lists(st.sampled_from([None, "", "Wien", "1", 1, True, 1.0, ["Wien"], {"at": "Wien"}]), max_size=6))
def test_names_that_are_no_text_are_counted_by_their_json(names: list[Any]) -> None:
    found = verdict([[{"id": str(n), "country": name} for n, name in enumerate(names)]], Meta(total=len(names)))
    there = [name for name in names if name is not None]
    texts = [name if isinstance(name, str) else json.dumps(name, separators=(",", ":")) for name in there]
    assert found.received.by_country == Counter(texts)
