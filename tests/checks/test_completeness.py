"""The completeness check passes a snapshot with every record once, and nothing else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
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


def check_of(pages: Sequence[Sequence[Record]], missing_rows: dict[int, list[int]] | None = None) -> CompletenessCheck:
    check = CompletenessCheck()
    for number, page in enumerate(pages, 1):
        lines = [json.dumps(row).encode() for row in page]
        check.count(number, lines, parse_lines(lines), (missing_rows or {}).get(number, []))
    return check


def paged(records: list[Record]) -> list[list[Record]]:
    return [records[start : start + SIZE] for start in range(0, len(records), SIZE)]


def result_of(
    received: Sequence[Sequence[Record]], meta: Meta, missing_rows: dict[int, list[int]] | None = None
) -> CompletenessResult:
    return check_of(received, missing_rows).result(meta, meta, SIZE)


def without(records: list[Record], lost: set[int]) -> tuple[list[list[Record]], dict[int, list[int]]]:
    """Return the pages without some rows, and the offsets of the missing ones by page."""
    pages = [[row for row in page if int(row["id"]) not in lost] for page in paged(records)]
    missing_rows: dict[int, list[int]] = {}
    for n in sorted(lost):
        missing_rows.setdefault(n // SIZE + 1, []).append(n % SIZE)
    return pages, missing_rows


# Complete or not


@given(st.integers(0, 60))
def test_every_record_once_is_complete(count: int) -> None:
    rows = breweries(count)
    result = result_of(paged(rows), meta_of(rows))
    assert result.differences == []
    assert result.suspect_pages == frozenset()
    assert result.proof.records == result.received.total == count
    assert result.received.by_country == meta_of(rows).by_country


@given(st.permutations(range(4)))
def test_the_order_in_which_pages_arrive_does_not_matter(order: list[int]) -> None:
    rows = breweries(18)
    check = CompletenessCheck()
    for index in order:
        lines = [json.dumps(row).encode() for row in paged(rows)[index]]
        check.count(index + 1, lines, parse_lines(lines))
    assert check.result(meta_of(rows), meta_of(rows), SIZE) == result_of(paged(rows), meta_of(rows))


@given(rows=st.integers(2, 60), data=st.data())
def test_a_duplicate_instead_of_another_row_is_detected_though_the_number_is_right(
    rows: int, data: st.DataObject
) -> None:
    whole = breweries(rows)
    lost = data.draw(st.integers(0, rows - 1))
    other = data.draw(st.integers(0, rows - 1).filter(lambda n: n != lost))
    received = [*whole]
    received[lost] = whole[other]
    result = result_of(paged(received), Meta(total=rows))
    assert "1 records repeat an id" in result.differences
    assert {lost // SIZE + 1, other // SIZE + 1} <= result.suspect_pages


@given(rows=st.integers(1, 60), data=st.data())
def test_a_lost_row_is_detected(rows: int, data: st.DataObject) -> None:
    whole = breweries(rows)
    lost = data.draw(st.integers(0, rows - 1))
    result = result_of(paged([*whole[:lost], *whole[lost + 1 :]]), Meta(total=rows))
    assert result.differences == [f"{rows - 1} different ids, but /meta says {rows} (-1)"]


@given(rows=st.integers(1, 60), data=st.data())
def test_an_unexpected_row_is_detected_by_the_total_and_its_groups(rows: int, data: st.DataObject) -> None:
    whole = breweries(rows)
    extra = {**whole[data.draw(st.integers(0, rows - 1))], "id": data.draw(st.sampled_from(["-", "0000a", "zzz"]))}
    received = sorted([*whole, extra], key=lambda row: str(row["id"]))
    result = result_of(paged(received), meta_of(whole))
    assert result.differences[0] == f"{rows + 1} different ids, but /meta says {rows} (+1)"
    assert any(text.startswith("by_country") for text in result.differences)


@given(rows=st.integers(1, 60), data=st.data())
def test_a_changed_value_is_detected_by_its_group(rows: int, data: st.DataObject) -> None:
    whole = breweries(rows)
    changed = data.draw(st.integers(0, rows - 1))
    column = data.draw(st.sampled_from(["brewery_type", "country", "state_province"]))
    received = [{**row, column: "else"} if n == changed else row for n, row in enumerate(whole)]
    differences = result_of(paged(received), meta_of(whole)).differences
    assert any("'else': 1 records, but /meta says 0 (+1)" in text for text in differences)


@given(rows=st.integers(6, 60), data=st.data())
def test_swapped_rows_lose_nothing_and_make_their_pages_suspect_at_an_edge(rows: int, data: st.DataObject) -> None:
    whole = breweries(rows)
    one = data.draw(st.integers(0, (rows - 1) // SIZE - 1)) * SIZE + SIZE - 1
    received = [*whole[:one], whole[one + 1], whole[one], *whole[one + 2 :]]
    result = result_of(paged(received), meta_of(whole))
    assert result.differences == []
    assert result.suspect_pages == {one // SIZE + 1, one // SIZE + 2}


def test_a_source_that_changed_meanwhile_is_detected() -> None:
    rows = breweries(3)
    result = check_of(paged(rows)).result(meta_of(rows[:2]), meta_of(rows), SIZE)
    assert result.differences == ["the source changed meanwhile: /meta said 2 before and 3 after"]


def test_a_change_of_the_groups_alone_is_a_change_of_the_source() -> None:
    rows = breweries(3)
    before = Meta(total=3, by_country={"Ireland": 3})
    assert check_of(paged(rows)).result(before, meta_of(rows), SIZE).differences != []


def test_each_disagreement_is_a_difference_of_its_own() -> None:
    rows = breweries(4)
    wrong = Meta(total=5, by_country={"Ireland": 3, "Austria": 2}, by_type={"micro": 2, "nano": 1, "large": 1})
    assert result_of([[rows[0], *rows[:3]]], wrong).differences == [
        "1 records repeat an id",
        "3 different ids, but /meta says 5 (-2)",
        "by_type 'large': 0 records, but /meta says 1 (-1)",
        "by_country 'Austria': 1 records, but /meta says 2 (-1)",
    ]


def test_a_group_that_the_source_does_not_count_is_not_compared() -> None:
    result = result_of(paged(breweries(4)), Meta(total=4))
    assert result.differences == []
    assert result.received.by_country == {"Austria": 2, "Ireland": 2}


# Missing rows


@given(rows=st.integers(1, 60), data=st.data())
def test_missing_rows_are_located_and_explain_the_gaps(rows: int, data: st.DataObject) -> None:
    whole = breweries(rows)
    lost = data.draw(st.sets(st.integers(0, rows - 1), min_size=1, max_size=4))
    pages, missing_rows = without(whole, lost)
    result = result_of(pages, meta_of(whole), missing_rows)
    assert result.differences == []
    assert [row.position - 1 for row in result.missing_rows] == sorted(lost)
    kept = [n for n in range(rows) if n not in lost]
    for row in result.missing_rows:
        before = [n for n in kept if n < row.position - 1]
        after = [n for n in kept if n > row.position - 1]
        assert row.before_id == (f"{before[-1]:04d}" if before else None)
        assert row.after_id == (f"{after[0]:04d}" if after else None)
    assert sum(result.missing.get("by_country", {}).values()) == len(lost)


@given(rows=st.integers(2, 40), data=st.data())
def test_missing_rows_do_not_explain_a_row_lost_in_addition(rows: int, data: st.DataObject) -> None:
    whole = breweries(rows)
    missing, lost = data.draw(st.lists(st.integers(0, rows - 1), min_size=2, max_size=2, unique=True))
    pages, missing_rows = without(whole, {missing, lost})
    missing_rows = {number: [offset for offset in offsets if (number - 1) * SIZE + offset == missing]
                    for number, offsets in missing_rows.items()}  # fmt: skip
    result = result_of(pages, meta_of(whole), missing_rows)
    assert result.differences[0] == f"{rows - 2} different ids and 1 missing rows, but /meta says {rows} (-1)"


def test_missing_rows_do_not_explain_a_larger_gap_of_a_group() -> None:
    whole = breweries(10)
    pages = paged(whole)
    pages[0] = pages[0][1:]
    wrong = Meta(total=10, by_country={"Ireland": 6, "Austria": 5})
    result = result_of(pages, wrong, {1: [0]})
    assert result.differences[0] == "by_country 'Ireland': 4 records, but /meta says 6 (-2)"
    assert result.missing == {}


def test_missing_rows_do_not_explain_a_surplus_in_a_group() -> None:
    rows = breweries(5)
    wrong = Meta(total=5, by_country={"Ireland": 1, "Austria": 4})
    assert result_of([rows[1:]], wrong, {1: [0]}).differences == [
        "by_country 'Austria': 2 records, but /meta says 4 (-2)",
        "by_country 'Ireland': 2 records, but /meta says 1 (+1)",
    ]


def test_a_page_of_missing_rows_alone_has_its_neighbors_in_other_pages() -> None:
    rows = breweries(15)
    pages, missing_rows = without(rows, {5, 6, 7, 8, 9})
    result = result_of(pages, meta_of(rows), missing_rows)
    assert {(row.before_id, row.after_id) for row in result.missing_rows} == {("0004", "0010")}
    assert [row.position for row in result.missing_rows] == [6, 7, 8, 9, 10]
    assert result.suspect_pages == frozenset(), "a page of the right size is not suspect"


# Values


@pytest.mark.parametrize("key", [None, "", 7, True, ["a"]])
def test_a_record_without_a_text_id_counts_once_by_its_bytes(key: object) -> None:
    page: list[Record] = [{"id": key, "name": "A"}, {"id": key, "name": "B"}, {"name": "C"}, {"id": "x"}]
    result = result_of([page], Meta(total=4))
    assert (result.differences, result.proof.records_without_id) == ([], 3)
    assert "1 records repeat an id" in result_of([[page[0], page[0]]], Meta(total=2)).differences


@pytest.mark.parametrize(
    ("record", "state"),
    [
        ({"state": "Texas"}, "Texas"),
        ({"state": "Texas", "state_province": None}, "Texas"),
        ({"state": "Texas", "state_province": "Ohio"}, "Ohio"),
        ({"state": "Texas", "state_province": ""}, ""),
    ],
)
def test_the_deprecated_state_counts_only_without_a_state_province(record: Record, state: str) -> None:
    result = result_of([[{"id": "a", **record}]], Meta(total=1, by_state={state: 1}))
    assert result.differences == []


def test_types_are_compared_without_case_as_the_service_counts_them() -> None:
    page = [{"id": "a", "brewery_type": "Micro"}, {"id": "b", "brewery_type": "micro"}]
    result = result_of([page], Meta(total=2, by_type={"micro": 2}))
    assert result.differences == []
    assert result.received.by_type == {"Micro": 1, "micro": 1}


def test_countries_are_compared_with_case() -> None:
    result = result_of([[{"id": "a", "country": "ireland"}]], Meta(total=1, by_country={"Ireland": 1}))
    assert len(result.differences) == 2


@given(st.lists(st.sampled_from([None, "", "Wien", "1", 1, True, 1.0, ["Wien"], {"at": "Wien"}]), max_size=6))
def test_names_that_are_not_text_are_counted_by_their_json(names: list[Any]) -> None:
    result = result_of([[{"id": str(n), "country": name} for n, name in enumerate(names)]], Meta(total=len(names)))
    texts = [
        name if isinstance(name, str) else json.dumps(name, separators=(",", ":")) for name in names if name is not None
    ]
    assert result.received.by_country == Counter(texts)


# Pages


@given(st.lists(st.lists(st.sampled_from([*"abcdef", "", None]), max_size=4), max_size=5), st.booleans())
def test_every_repeated_id_is_counted_whatever_the_order(pages: list[list[str | None]], are_sorted: bool) -> None:
    if are_sorted:
        ids = iter(sorted(key for page in pages for key in page if key))
        pages = [[key for _, key in zip(page, ids, strict=False)] for page in pages]
    received = [[{"id": key, "page": number} for key in page] for number, page in enumerate(pages)]
    names = [row["id"] or json.dumps(row) for page in received for row in page]
    missing_rows = {number: [0] for number, page in enumerate(pages, 1) if not page}
    result = result_of(received, Meta(total=0), missing_rows)
    assert result.received.total == len(set(names))
    assert result.proof.records == len(names)


def test_a_source_that_ignores_the_page_number_is_repetitive() -> None:
    rows = breweries(25)
    assert check_of([paged(rows)[0]] * 4).is_repetitive()
    assert not check_of([*paged(rows), paged(rows)[0]]).is_repetitive()
    assert not check_of([]).is_repetitive()


def test_a_long_name_is_cut_off_in_a_difference() -> None:
    (difference,) = result_of([], Meta(total=0, by_state={"x" * 1_000_000: 1})).differences
    assert len(difference) < 200


def test_pages_that_share_an_id_and_those_between_them_are_suspect() -> None:
    pages = paged(breweries(25))
    pages[3] = [*pages[3][:-1], pages[1][0]]
    assert result_of(pages, Meta(total=25)).suspect_pages >= {2, 3, 4}


def test_short_and_misplaced_pages_are_suspect_and_a_short_last_page_is_not() -> None:
    pages = paged(breweries(18))
    assert result_of(pages, Meta(total=18)).suspect_pages == frozenset()
    assert result_of([pages[0], pages[1][1:], *pages[2:]], Meta(total=18)).suspect_pages == {2}
    assert result_of([pages[0], pages[2], pages[1], pages[3]], Meta(total=18)).suspect_pages == {2, 3}


def test_an_empty_page_at_the_end_makes_no_other_page_suspect() -> None:
    pages = paged(breweries(8))
    assert result_of([*pages, []], Meta(total=8)).suspect_pages == frozenset()


def test_a_page_counted_again_replaces_the_earlier_one() -> None:
    rows = breweries(5)
    check = check_of([rows])
    check.count(1, *parse_page(b'[{"id": "z"}]'))
    assert check.result(Meta(total=1), Meta(total=1), SIZE).differences == []
    check.forget(1)
    check.forget(1)
    assert check.result(Meta(total=0), Meta(total=0), SIZE).proof.records == 0


def test_the_proof_states_what_was_counted_and_compared() -> None:
    page: list[Record] = [{"id": "a"}, {"id": "a"}, {"name": "b"}]
    proof = result_of([page], Meta(total=2, by_type={})).proof
    assert (proof.records, proof.distinct_ids, proof.records_without_id) == (3, 2, 1)
    assert (proof.groups_compared, proof.attempts) == (["by_type"], 1)
