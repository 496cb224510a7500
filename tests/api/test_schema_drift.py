"""Schema drift: each deviation from the contract is named and counted, with an example."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.api.contract import BREWERY_TYPES, FIELDS, parse_lines
from brewhouse.api.schema_drift import Profiler
from brewhouse.source import SchemaDrift


def record(**changes: object) -> dict[str, Any]:
    return {**dict.fromkeys(FIELDS), "id": "a", "name": "A", "brewery_type": "micro", **changes}


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in record().items() if name not in names}


def profiled(*pages: list[dict[str, Any]]) -> Profiler:
    profiler = Profiler()
    for number, page in enumerate(pages, start=1):
        lines = [json.dumps(row).encode() for row in page]
        profiler.count(number, lines, parse_lines(lines))
    return profiler


def drift_in(*lines: bytes) -> list[SchemaDrift]:
    profiler = Profiler()
    profiler.count(1, lines, parse_lines(lines))
    return profiler.drift()


def drift(*pages: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    return [(item.name, item.detail, item.count) for item in profiled(*pages).drift()]


def test_a_record_that_keeps_the_contract_does_not_drift() -> None:
    same_state = record(state="Bayern", state_province="Bayern")
    assert drift([record(), record(longitude=36, latitude=1.5), same_state], []) == []
    assert drift([record(brewery_type=kind) for kind in (*BREWERY_TYPES, None)]) == []


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([record(rating=5), record(rating="x")], [("unknown_field", "rating", 2)]),
        ([record(rating=5, tags=[])], [("unknown_field", "rating", 1), ("unknown_field", "tags", 1)]),
        ([without("state", "street")], [("missing_field", "state", 1), ("missing_field", "street", 1)]),
        ([record(phone=5)], [("changed_type", "phone is number", 1)]),
        ([record(phone=[])], [("changed_type", "phone is array", 1)]),
        ([record(phone={})], [("changed_type", "phone is object", 1)]),
        ([record(name=True)], [("changed_type", "name is boolean", 1)]),
        ([record(latitude=True)], [("changed_type", "latitude is boolean", 1)]),
        ([record(latitude="1.5"), record(latitude="")], [("coordinates_as_text", "latitude", 2)]),
        ([record(brewery_type="meadery")] * 2, [("unknown_brewery_type", "meadery", 2)]),
        ([record(brewery_type="Micro")], [("unknown_brewery_type", "Micro", 1)]),
        ([record(brewery_type=["micro"])], [("changed_type", "brewery_type is array", 1)]),
        ([record(state="Bavaria")], [("state_differs", "state is not state_province", 1)]),
        ([record(state="a", state_province="b")], [("state_differs", "state is not state_province", 1)]),
        ([record(id="")], [("record_without_id", "id is missing, empty or not text", 1)]),
        ([record(id=None)], [("record_without_id", "id is missing, empty or not text", 1)]),
        (
            [record(id=7)],
            [("changed_type", "id is number", 1), ("record_without_id", "id is missing, empty or not text", 1)],
        ),
        (
            [without("id")],
            [("missing_field", "id", 1), ("record_without_id", "id is missing, empty or not text", 1)],
        ),
    ],
)
def test_each_kind_of_drift_is_named_and_counted(records: list[dict[str, Any]], expected: list[Any]) -> None:
    assert drift(records) == expected
    assert drift([record()], *([row] for row in records)) == expected, "whatever page it is on"


def test_a_field_that_only_one_of_state_and_state_province_has_is_missing_and_does_not_differ() -> None:
    assert drift([{**without("state"), "state_province": "Wien"}]) == [("missing_field", "state", 1)]


@pytest.mark.parametrize("line", [b'{"id":\n"a"}', b'{"id":\r"a"}', b'\n{"id":"a"}\n'])
def test_a_record_on_several_lines_is_drift(line: bytes) -> None:
    found = {item.name: item for item in drift_in(line, b'{"id":"b"}')}
    assert found["multiline_record"].count == 1
    assert found["multiline_record"].detail == "line breaks replaced by spaces"
    assert b"\n" not in found["multiline_record"].example.encode()


def test_a_repeated_field_is_drift_whatever_the_other_records_hold() -> None:
    lines = [
        json.dumps(record(name='"a": [1]', tags={"x": 1})).encode(),
        b'{"id":"b","tags":1,"id":"c","\\u0069d":"d"}',
    ]
    found = {item.detail: item for item in drift_in(*lines)}
    assert (found["id"].name, found["id"].count) == ("repeated_field", 1)
    assert found["id"].example == lines[1].decode()
    assert not [item for item in found.values() if item.name == "repeated_field" and item.detail != "id"]


def test_many_and_long_kinds_of_drift_are_cut_off() -> None:
    many = profiled([record(**{f"{number:03}" + "x" * 1000: 1 for number in range(300)})]).drift()
    assert len(many) == 101
    assert (many[-1].name, many[-1].count) == ("further_drift", 200)
    assert max(len(item.detail) for item in many) == 200
    row = record(id="y" * 1000, **{"x" * 1000: 1})
    del row["city"]
    found = profiled([row])
    assert max(len(item.example) for item in found.drift()) < 500
    assert max(map(len, found.fields_seen())) == 200


@pytest.mark.parametrize(
    ("changes", "example"),
    [
        ({"id": "b", "phone": 17}, "17 in id b"),
        ({"brewery_type": "meadery"}, "id a"),
        ({"rating": "\u00fc" * 300}, '"' + "\u00fc" * 199 + " in id a"),
    ],
)
def test_the_first_record_is_the_example_shortened(changes: dict[str, Any], example: str) -> None:
    (found,) = profiled([record(**changes)], [record(**changes | {"id": "later"})]).drift()
    assert (found.count, found.example) == (2, example)


def test_the_types_of_each_field_are_counted() -> None:
    profiler = profiled([record(latitude=1), record(latitude=1.5)], [record(), without("id")])
    seen = profiler.fields_seen()
    assert seen["latitude"] == {"number": 2, "null": 2}
    assert seen["id"] == {"string": 3}
    profiler.forget(1)
    assert profiler.fields_seen()["latitude"] == {"null": 2}


def test_a_page_that_was_replaced_or_forgotten_does_not_count() -> None:
    profiler = profiled([record(rating=5)], [record(tags=[])])
    lines = [json.dumps(record()).encode()]
    profiler.count(1, lines, parse_lines(lines))
    assert [item.detail for item in profiler.drift()] == ["tags"]
    profiler.forget(2)
    profiler.forget(3)
    assert profiler.drift() == []


VALUES = st.sampled_from([None, "x", "", 1, 1.5, True, [1], {"a": 1}])
RECORDS = st.dictionaries(st.sampled_from([*FIELDS[:6], "longitude", "state", "rating", "tags"]), VALUES, max_size=6)


@given(st.lists(st.lists(RECORDS, max_size=4), max_size=4))
def test_drift_and_fields_do_not_depend_on_how_records_are_split_into_pages(pages: list[list[dict[str, Any]]]) -> None:
    joined = [row for page in pages for row in page]
    assert drift(*pages) == drift(joined)
    seen = profiled(*pages).fields_seen()
    expected = Counter(name for row in joined for name in row)
    assert {name: sum(counts.values()) for name, counts in seen.items()} == expected


@given(st.lists(RECORDS, min_size=1, max_size=6))
def test_unknown_and_missing_fields_are_counted_once_per_record(records: list[dict[str, Any]]) -> None:
    found = {(name, detail): count for name, detail, count in drift(records)}
    for name in ("rating", "tags"):
        assert found.get(("unknown_field", name), 0) == sum(name in row for row in records)
    for name in FIELDS:
        assert found.get(("missing_field", name), 0) == sum(name not in row for row in records)


def test_drift_is_sorted_and_has_one_entry_per_kind() -> None:
    pages = [[record(rating=1, latitude="1")] for _ in range(3)]
    assert profiled(*pages).drift() == [
        SchemaDrift("coordinates_as_text", "latitude", 3, '"1" in id a'),
        SchemaDrift("unknown_field", "rating", 3, "1 in id a"),
    ]
