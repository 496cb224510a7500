"""The gold models, rows in, rows out, on the real engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.models.project import models_of

Given = Callable[..., DuckDBEngine]
SILVER = {
    "country": "STRING",
    "state_province": "STRING",
    "city": "STRING",
    "brewery_type": "STRING",
    "longitude": "DOUBLE",
}
ROWS = [
    ("France", "Var", "Nice", "micro", 7.2),
    ("France", "Var", "Nice", "micro", None),
    ("France", "Var", "Nice", "closed", 7.3),
    ("France", None, "Nice", "planning", 7.4),
    (None, None, None, None, None),
    (None, None, None, "closed", 0.5),
]


def gold(given: Given, rows: Sequence[Sequence[Any]], table: str) -> list[tuple[Any, ...]]:
    engine = given("silver.breweries", SILVER, rows)
    for model in models_of("gold"):
        engine.compute(model)
    return [tuple(row.values()) for row in engine.rows(f"SELECT * FROM gold.{table} ORDER BY 1, 2, 3, 4")]


def test_by_type_and_location_counts_each_type_and_its_share_of_the_country(given: Given) -> None:
    rows = gold(given, ROWS, "breweries_by_type_and_location")
    assert sorted(rows, key=str) == [
        ("France", "Var", "Nice", "closed", 1, 1, 0.25),
        ("France", "Var", "Nice", "micro", 2, 1, 0.5),
        ("France", None, "Nice", "planning", 1, 1, 0.25),
        (None, None, None, "closed", 1, 1, 0.5),
        (None, None, None, None, 1, 0, 0.5),
    ]


def test_by_location_tells_operating_planned_and_closed_apart(given: Given) -> None:
    rows = gold(given, ROWS, "breweries_by_location")
    assert sorted(rows, key=str) == [
        ("France", "Var", "Nice", 3, 2, 0, 1, 2),
        ("France", None, "Nice", 1, 0, 1, 0, 1),
        (None, None, None, 2, 1, 0, 1, 1),
    ]


@pytest.mark.parametrize("table", ["breweries_by_type_and_location", "breweries_by_location"])
def test_no_breweries_give_no_rows(given: Given, table: str) -> None:
    assert gold(given, [], table) == []


place = st.sampled_from([None, "A", "B", "\U0001f37a"])
kind = st.sampled_from([None, "micro", "closed", "planning"])


@settings(max_examples=25, deadline=None)
@examples(rows=st.lists(st.tuples(place, place, place, kind, st.sampled_from([None, 1.5])), max_size=12))
def test_gold_adds_up_to_silver(given: Given, rows: list[tuple[Any, ...]]) -> None:
    by_type = gold(given, rows, "breweries_by_type_and_location")
    by_place = gold(given, rows, "breweries_by_location")
    assert sum(row[4] for row in by_type) == sum(row[3] for row in by_place) == len(rows)
    assert all(row[3] == row[4] + row[5] + row[6] for row in by_place)
    shares = {country: sum(row[6] for row in by_type if row[0] == country) for country in {row[0] for row in by_type}}
    assert all(share == pytest.approx(1) for share in shares.values())
