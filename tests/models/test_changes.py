"""`silver.brewery_changes` for two snapshots: rows in, rows out, on the real engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.models.model import parse
from brewhouse.models.project import models_of

Transform = Callable[..., DuckDBEngine]
Compared = Callable[[list[dict[str, Any]], list[dict[str, Any]]], list[dict[str, Any]]]
ID = "5128df48-79fc-4f0f-8b52-d06be54d0cec"
OTHER = "9c5a66c8-cc13-416f-a5d9-0a769c87d318"
TEXTS = (
    "name", "brewery_type", "address_1", "address_2", "address_3", "city", "state_province", "postal_code", "country",
    "phone", "website_url",
)  # fmt: skip
COMPARED = (*TEXTS, "longitude", "latitude")
CHANGES = next(model for model in models_of("silver") if model.name == "silver.brewery_changes")
TYPES = {"id": "string", **dict.fromkeys(TEXTS, "string"), "longitude": "double", "latitude": "double"}
CODES = {"country_code": "string", "state_code": "string"}


def brewery(**fields: object) -> dict[str, Any]:
    return {"id": ID, "name": "Old Oak", "brewery_type": "micro", "longitude": 10.0, "latitude": 50.0, **fields}


def changes(engine: DuckDBEngine) -> list[dict[str, Any]]:
    return engine.rows("SELECT * FROM silver.brewery_changes ORDER BY id")


def change(engine: DuckDBEngine) -> dict[str, Any]:
    (row,) = changes(engine)
    return row


def test_in_the_first_snapshot_every_brewery_is_added(transform: Transform) -> None:
    rows = changes(transform([brewery(), brewery(id=OTHER, brewery_type="closed")]))
    assert [(row["id"], row["kind"], row["previous_run"]) for row in rows] == [
        (ID, "added", None),
        (OTHER, "added", None),
    ]
    assert {row["changed_fields"] for row in rows} == {None}


def test_an_unchanged_brewery_has_no_row(transform: Transform) -> None:
    assert changes(transform([brewery()], before=[brewery()])) == []


def test_an_added_brewery_has_no_previous_values(transform: Transform) -> None:
    row = change(transform([brewery(), brewery(id=OTHER, name="New")], before=[brewery()]))
    assert (row["id"], row["kind"], row["changed_fields"]) == (OTHER, "added", None)
    assert (row["name"], row["longitude"]) == ("New", 10.0)
    assert [row[f"{field}_before"] for field in COMPARED] == [None] * 13


def test_a_removed_brewery_keeps_its_last_known_values(transform: Transform) -> None:
    row = change(transform([], before=[brewery(country="Ireland")]))
    assert (row["kind"], row["changed_fields"], row["name"], row["country_code"]) == ("removed", None, "Old Oak", "IE")
    assert [row[f"{field}_before"] for field in COMPARED] == [row[field] for field in COMPARED]


def test_a_row_names_both_snapshots(transform: Transform) -> None:
    row = change(transform([], before=[brewery()]))
    assert (row["previous_run"], row["snapshot_run"]) == ("RUN0", "RUN1")
    assert row["snapshot_time"] == datetime(2026, 8, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("micro", "closed", "closed"),
        (None, "closed", "closed"),
        ("closed", "micro", "reopened"),
        ("closed", None, "reopened"),
        ("planning", "micro", "changed"),
        (None, "micro", "changed"),
    ],
)
def test_closing_and_reopening_are_kinds_of_their_own(
    transform: Transform, before: str | None, after: str | None, kind: str
) -> None:
    row = change(transform([brewery(brewery_type=after, city="B")], before=[brewery(brewery_type=before, city="A")]))
    assert (row["kind"], row["changed_fields"]) == (kind, "brewery_type, city")
    assert (row["brewery_type_before"], row["brewery_type"]) == (before, after)


def test_another_change_of_a_closed_brewery_is_a_change(transform: Transform) -> None:
    before, after = brewery(brewery_type="closed"), brewery(brewery_type="closed", phone="1")
    row = change(transform([after], before=[before]))
    assert (row["kind"], row["changed_fields"]) == ("changed", "phone")


DIFFERENCES: list[tuple[str, object, object]] = [
    *((field, "one", "two") for field in TEXTS),
    *((field, None, "two") for field in TEXTS[1:]),
    *((field, "one", None) for field in TEXTS[1:]),
    ("longitude", 10.0, 10.000001),
    ("latitude", 50.0, -50.0),
]


@pytest.fixture(scope="module")
def one_field_changed(transform: Transform) -> dict[tuple[str, object, object], dict[str, Any]]:
    """The row of each difference, of one brewery each, all compared at once."""
    ids = [f"00000000-0000-4000-8000-{number:012}" for number in range(len(DIFFERENCES))]
    before, after = (
        [brewery(id=key, **{each[0]: each[side]}) for key, each in zip(ids, DIFFERENCES, strict=True)]
        for side in (1, 2)
    )
    rows = changes(transform(after, before=before))
    assert [row["id"] for row in rows] == ids
    return dict(zip(DIFFERENCES, rows, strict=True))


@pytest.mark.parametrize(("field", "before", "after"), DIFFERENCES)
def test_every_field_is_compared_and_null_is_a_value(
    one_field_changed: dict[tuple[str, object, object], dict[str, Any]], field: str, before: object, after: object
) -> None:
    row = one_field_changed[field, before, after]
    assert (row["kind"], row["changed_fields"]) == ("changed", field)
    assert (row[f"{field}_before"], row[field]) == (before, after)
    same = [name for name in COMPARED if name != field]
    assert [row[f"{name}_before"] for name in same] == [row[name] for name in same]


def test_both_coordinates_change_together(transform: Transform) -> None:
    row = change(transform([brewery()], before=[brewery(longitude=None, latitude=None)]))
    assert (row["kind"], row["changed_fields"]) == ("changed", "longitude, latitude")


def test_a_difference_that_cleaning_removes_is_not_a_change(transform: Transform) -> None:
    assert changes(transform([brewery(city=" York ")], before=[brewery(city="York", address_2=" ")])) == []


@pytest.fixture(scope="module")
def compared(transform: Transform) -> Compared:
    """Run only the changes model, on two tables of breweries."""
    engine = transform([], before=[])
    columns = {**TYPES, **CODES}

    def compare(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for table, rows in (("previous.breweries", before), ("silver.breweries", after)):
            engine.attach_rows("reference.given", columns, [[row.get(column) for column in columns] for row in rows])
            engine.compute(parse(table, "SELECT * FROM reference.given"))
        engine.compute(CHANGES)
        return changes(engine)

    return compare


@pytest.mark.parametrize("column", CODES)
def test_another_code_of_the_same_place_is_not_a_change(compared: Compared, column: str) -> None:
    here = {"id": ID, "name": "Old Oak", "country": "Ireland"}
    assert compared([{**here, column: "AA"}], [{**here, column: "BB"}]) == []


def applied(breweries: Mapping[str, tuple[Any, ...]], log: list[dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """Apply a log of changes."""
    result = dict(breweries)
    for row in log:
        assert (row["id"] in result) == (row["kind"] != "added")
        if row["kind"] == "removed":
            del result[row["id"]]
        else:
            result[row["id"]] = tuple(row[field] for field in COMPARED)
    return result


def reverted(breweries: Mapping[str, tuple[Any, ...]], log: list[dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """Revert a log of changes."""
    result = dict(breweries)
    for row in log:
        assert (row["id"] in result) == (row["kind"] != "removed")
        if row["kind"] == "added":
            del result[row["id"]]
        else:
            result[row["id"]] = tuple(row[f"{field}_before"] for field in COMPARED)
    return result


def by_id(rows: list[dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    return {row["id"]: tuple(row.get(field) for field in COMPARED) for row in rows}


TEXT_VALUES, NUMBERS = st.sampled_from([None, "closed", "", "x"]), st.sampled_from([None, 0.0, 1.5])
cell = st.sampled_from(COMPARED[1:]).flatmap(
    lambda field: st.tuples(st.just(field), NUMBERS if field in ("longitude", "latitude") else TEXT_VALUES)
)
row = st.builds(
    lambda key, name, cells: {"id": key, "name": name, **dict(cells)},
    st.sampled_from("ABCD"),
    st.sampled_from("ab"),
    st.lists(cell, max_size=2),  # few, so that two rows often differ in one field only
)
snapshot = st.lists(row, unique_by=lambda brewery: str(brewery["id"]), max_size=4)


@settings(max_examples=60, deadline=None)
@examples(before=snapshot, after=snapshot)
def test_the_changes_transform_the_first_snapshot_into_the_second_and_back(
    compared: Compared, before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    log = compared(before, after)
    first, second = by_id(before), by_id(after)
    assert applied(first, log) == second
    assert reverted(second, log) == first
    assert {row["id"] for row in log} == {key for key in first | second if first.get(key) != second.get(key)}
    for row in log:
        different = [f for f in COMPARED if row["id"] in first and row["id"] in second and row[f] != row[f"{f}_before"]]
        assert set(filter(None, (row["changed_fields"] or "").split(", "))) == set(different)
