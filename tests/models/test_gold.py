"""The gold models: rows in, rows out, on the real engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.models.project import models_of

Given = Callable[..., DuckDBEngine]
SILVER = {
    "country_code": "STRING",
    "country_name": "STRING",
    "state_code": "STRING",
    "state_name": "STRING",
    "city_name": "STRING",
    "brewery_type": "STRING",
    "longitude": "DOUBLE",
    "snapshot_run": "STRING",
    "snapshot_time": "TIMESTAMP",
}
TAKEN = ("RUN1", "2026-08-02 23:30:00+00")
VAR = ("FR", "France", "FR-83", "Var")
FRANCE = ("FR", "France", None, None)
NOWHERE = (None, None, None, None)
ROWS = [
    (*VAR, "Nice", "micro", 7.2, *TAKEN),
    (*VAR, "Nice", "micro", None, *TAKEN),
    (*VAR, "Nice", "closed", 7.3, *TAKEN),
    (*FRANCE, "Nice", "planning", 7.4, *TAKEN),
    (*NOWHERE, None, None, None, *TAKEN),
    (*NOWHERE, None, "closed", 0.5, *TAKEN),
]


def gold(given: Given, rows: Sequence[Sequence[Any]], table: str) -> list[tuple[Any, ...]]:
    return golds(given, rows, table)[0]


def golds(given: Given, rows: Sequence[Sequence[Any]], *tables: str) -> list[list[tuple[Any, ...]]]:
    """Compute the gold models on rows of `silver.breweries` and read some of their tables."""
    engine = given("silver.breweries", SILVER, rows)
    for model in models_of("gold"):
        engine.compute(model)
    return [
        [tuple(row.values()) for row in engine.rows(f"SELECT * FROM gold.{table} ORDER BY ALL")] for table in tables
    ]


def test_by_type_and_location_counts_each_type_and_its_share_of_the_country(given: Given) -> None:
    rows = gold(given, ROWS, "breweries_by_type_and_location")
    assert sorted(rows, key=str) == [
        (*VAR, "Nice", "closed", 1, 1, 0.25),
        (*VAR, "Nice", "micro", 2, 1, 0.5),
        (*FRANCE, "Nice", "planning", 1, 1, 0.25),
        (*NOWHERE, None, "closed", 1, 1, 0.5),
        (*NOWHERE, None, None, 1, 0, 0.5),
    ]


def test_by_location_counts_operating_planned_and_closed_breweries(given: Given) -> None:
    rows = gold(given, ROWS, "breweries_by_location")
    assert sorted(rows, key=str) == [
        (*VAR, "Nice", 3, 2, 0, 1, 2),
        (*FRANCE, "Nice", 1, 0, 1, 0, 1),
        (*NOWHERE, None, 2, 1, 0, 1, 1),
    ]


def test_counts_over_time_have_the_date_of_the_snapshot_in_utc(given: Given) -> None:
    day = date(2026, 8, 2)
    assert sorted(gold(given, ROWS, "brewery_counts_over_time"), key=str) == [
        (day, *VAR, "closed", 1, "RUN1"),
        (day, *VAR, "micro", 2, "RUN1"),
        (day, *FRANCE, "planning", 1, "RUN1"),
        (day, *NOWHERE, "closed", 1, "RUN1"),
        (day, *NOWHERE, None, 1, "RUN1"),
    ]


@pytest.mark.parametrize(
    "table", ["breweries_by_type_and_location", "breweries_by_location", "brewery_counts_over_time"]
)
def test_no_breweries_give_no_rows(given: Given, table: str) -> None:
    assert gold(given, [], table) == []


place = st.sampled_from([None, "A", "B", "\U0001f37a"])
kind = st.sampled_from([None, "micro", "closed", "planning"])


@settings(max_examples=25, deadline=None)
@examples(rows=st.lists(st.tuples(place, place, place, kind, st.sampled_from([None, 1.5])), max_size=12))
def test_gold_adds_up_to_silver(given: Given, rows: list[tuple[Any, ...]]) -> None:
    silver = [(country, country, state, state, *rest, *TAKEN) for country, state, *rest in rows]
    tables = ("breweries_by_type_and_location", "breweries_by_location", "brewery_counts_over_time")
    by_type, by_place, over_time = golds(given, silver, *tables)
    assert sum(row[6] for row in by_type) == sum(row[5] for row in by_place) == len(rows)
    assert sum(row[6] for row in over_time) == len(rows)
    assert all(row[5] == row[6] + row[7] + row[8] for row in by_place)
    shares = {country: sum(row[8] for row in by_type if row[0] == country) for country in {row[0] for row in by_type}}
    assert all(share == pytest.approx(1) for share in shares.values())
