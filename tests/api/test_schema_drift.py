"""What the contract does not say is named, counted and shown."""

from __future__ import annotations

import json
from typing import Any

from brewhouse.api.contract import FIELDS, parse_lines
from brewhouse.api.schema_drift import Profile, Profiler
from brewhouse.source import SchemaDrift


def record(**changes: object) -> dict[str, Any]:
    return {**dict.fromkeys(FIELDS), "id": "a", "name": "A", "brewery_type": "micro", **changes}


def look(profiler: Profiler, *records: dict[str, Any]) -> Profile:
    lines = [json.dumps(row).encode() for row in records]
    return profiler.look(lines, parse_lines(lines))


def deviations(*pages: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    profiler = Profiler()
    profiles = [look(profiler, *page) for page in pages]
    return [(found.name, found.detail, found.count) for found in profiler.deviations(profiles)]


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in record().items() if name not in names}


def test_the_contract_itself_is_no_deviation() -> None:
    assert (
        deviations([record(), record(longitude=36, latitude=1.5), record(state="Bayern", state_province="Bayern")])
        == []
    )


def test_each_deviation_has_its_name() -> None:
    assert deviations([record(rating=5)], [record(rating="x")]) == [("unknown_field", "rating", 2)]
    assert deviations([without("state", "street")]) == [("missing_field", "state", 1), ("missing_field", "street", 1)]
    assert deviations([record(phone=5), record(phone=[]), record(phone={})]) == [
        ("changed_type", "phone is array", 1),
        ("changed_type", "phone is number", 1),
        ("changed_type", "phone is object", 1),
    ]
    assert deviations([record(latitude=True)]) == [("changed_type", "latitude is boolean", 1)]
    assert deviations([record(latitude="1.5"), record(latitude="2")]) == [("coordinates_as_text", "latitude", 2)]
    assert deviations([record(brewery_type="meadery")]) == [("unknown_brewery_type", "meadery", 1)]
    assert deviations([record(state="Bavaria")]) == [("state_differs", "state is not state_province", 1)]
    assert deviations([record(id="")]) == [("record_without_id", "id is no text or empty", 1)]


def test_line_breaks_in_a_record_are_named() -> None:
    profiler = Profiler()
    lines = [b'{"id":\n"a"}']
    profile = profiler.look(lines, parse_lines(lines))
    assert SchemaDrift("multiline_record", "line breaks became blanks", 1, '{"id": "a"}') in profiler.deviations(
        [profile]
    )


def test_an_example_is_shown() -> None:
    profiler = Profiler()
    (found,) = profiler.deviations([look(profiler, record(id="b", phone=17))])
    assert found.example == "17 in id b"


def test_the_fields_seen_are_counted_by_type() -> None:
    profiler = Profiler()
    profiles = [look(profiler, record(latitude=1), record(latitude=1.5)), look(profiler, record())]
    seen = profiler.fields_seen(profiles)
    assert seen["latitude"] == {"number": 2, "null": 1}
    assert seen["id"] == {"string": 3}
    assert profiler.fields_seen(profiles[1:])["latitude"] == {"null": 1}


def test_only_the_pages_that_count_are_told() -> None:
    profiler = Profiler()
    look(profiler, record(rating=5))
    assert profiler.deviations([look(profiler, record())]) == []
