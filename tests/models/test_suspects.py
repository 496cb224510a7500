"""`silver.suspect_breweries`: rows in, rows out, on the real engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from brewhouse.engines.duckdb import DuckDBEngine

Transform = Callable[..., DuckDBEngine]
IDS = [f"0000000{number}-0000-4000-8000-000000000000" for number in range(4)]
OUTSIDE, SWAPPED, DUPLICATE = "coordinates outside the country", "coordinates swapped", "probable duplicate"


def brewery(number: int = 0, **fields: object) -> dict[str, Any]:
    return {"id": IDS[number], "name": f"Brewery {number}", **fields}


def located(country: str | None, latitude: float, longitude: float) -> dict[str, Any]:
    return brewery(country=country, latitude=latitude, longitude=longitude)


def issues(engine: DuckDBEngine) -> list[tuple[int, str]]:
    rows = engine.rows("SELECT id, doubt FROM silver.suspect_breweries ORDER BY id, doubt")
    return [(IDS.index(row["id"]), row["doubt"]) for row in rows]


@pytest.mark.parametrize(
    ("country", "latitude", "longitude"),
    [
        ("Ireland", 53.35, -6.26),
        ("Ireland", 51.3, -10.6),
        ("Germany", 47.6, 13.0),
        ("United States", 61.2, -149.9),
        ("United States", 21.3, -157.9),
        ("United States", 18.4, -66.1),
        ("France", -21.1, 55.5),
        ("New Zealand", -44.0, -176.5),
        ("Scotland", 60.15, -1.15),
    ],
    ids=["capital", "corner of the box", "near the border", "Alaska", "Hawaii", "Puerto Rico", "Réunion", "Chatham",
         "Shetland"],
)  # fmt: skip
def test_coordinates_in_any_part_of_the_country_are_not_suspect(
    transform: Transform, country: str, latitude: float, longitude: float
) -> None:
    assert issues(transform([located(country, latitude, longitude)])) == []


def test_coordinates_elsewhere_are_outside_and_the_detail_has_the_values(transform: Transform) -> None:
    engine = transform([located("Ireland", 53.75, 9.73)])
    assert issues(engine) == [(0, OUTSIDE)]
    (row,) = engine.rows("SELECT detail FROM silver.suspect_breweries")
    assert row["detail"] == "latitude 53.75, longitude 9.73 is not in Ireland"


def test_swapped_coordinates_are_reported_and_not_corrected(transform: Transform) -> None:
    engine = transform([located("Italy", 11.36, 46.5)])
    assert issues(engine) == [(0, SWAPPED)]
    (row,) = engine.rows("SELECT latitude, longitude FROM silver.breweries")
    assert (row["latitude"], row["longitude"]) == (11.36, 46.5)


@pytest.mark.parametrize("country", ["Nowhere", "", None])
def test_an_unknown_country_is_not_suspect(transform: Transform, country: str | None) -> None:
    assert issues(transform([located(country, 11.36, 46.5)])) == []


def test_a_brewery_without_coordinates_is_not_suspect(transform: Transform) -> None:
    assert issues(transform([brewery(country="Italy")])) == []


PUB = {"name": "Old Oak", "address_1": "1 Main St", "city": "Kraków", "country": "Poland"}


def test_breweries_of_the_same_name_city_and_address_are_probable_duplicates(transform: Transform) -> None:
    engine = transform([brewery(0, **PUB), brewery(1, **PUB), brewery(2, **{**PUB, "name": "New Oak"})])
    assert issues(engine) == [(0, DUPLICATE), (1, DUPLICATE)]
    details = [row["detail"] for row in engine.rows("SELECT detail FROM silver.suspect_breweries ORDER BY id")]
    assert details == ["same name, city and address as another brewery", f"same name, city and address as {IDS[0]}"]


@pytest.mark.parametrize(
    "other", [{"name": "OLD oak"}, {"address_1": "1 MAIN ST"}, {"city": "Krakow"}, {"country": "PL"}]
)
def test_case_accents_and_another_name_of_the_country_make_no_difference(
    transform: Transform, other: dict[str, str]
) -> None:
    assert issues(transform([brewery(0, **PUB), brewery(1, **{**PUB, **other})])) == [(0, DUPLICATE), (1, DUPLICATE)]


@pytest.mark.parametrize(
    "other", [{"name": "Elm"}, {"address_1": "2 Main St"}, {"city": "Gdynia"}, {"country": "Germany"}]
)
def test_another_name_address_city_or_country_is_another_brewery(transform: Transform, other: dict[str, str]) -> None:
    assert issues(transform([brewery(0, **PUB), brewery(1, **{**PUB, **other})])) == []


@pytest.mark.parametrize("missing", ["address_1", "city"])
def test_a_missing_city_or_address_does_not_match_another(transform: Transform, missing: str) -> None:
    assert issues(transform([brewery(number, **{**PUB, missing: None}) for number in range(2)])) == []


def test_duplicates_in_an_unknown_country_are_found(transform: Transform) -> None:
    engine = transform([brewery(number, **{**PUB, "country": None}) for number in range(2)])
    assert issues(engine) == [(0, DUPLICATE), (1, DUPLICATE)]


def test_a_brewery_may_have_two_issues(transform: Transform) -> None:
    twice = [brewery(number, **PUB, latitude=19.9, longitude=50.1) for number in range(2)]
    assert issues(transform(twice)) == [(0, SWAPPED), (0, DUPLICATE), (1, SWAPPED), (1, DUPLICATE)]
