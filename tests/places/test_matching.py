"""Matching: places get the names and codes of ISO 3166, and no name is lost."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.real_data import DATA, DATES

from brewhouse.places.matching import Location, Place, match_places

PAIRS = Path(__file__).parent / "pairs-2026-08-02.csv"
NAMES = st.none() | st.text(max_size=12) | st.sampled_from(["England", "USA", "Germany", "Bavaria", "ca", " Cork "])
LOCATIONS = st.lists(st.builds(Location, NAMES, NAMES, NAMES, st.integers(0, 50)), max_size=20)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def pairs(version: str) -> set[tuple[str, str]]:
    return {(row["country"], row["state_province"]) for row in rows(DATA / f"breweries-{version}.csv")}


def place(country: str | None, state: str | None = None, city: str | None = None) -> Place:
    return match_places([Location(country, state, city, 1)])[0]


def city_names(*cities: tuple[str | None, int], state: str = "Aveiro") -> list[str | None]:
    return [p.city_name for p in match_places([Location("Portugal", state, city, n) for city, n in cities])]


@pytest.mark.parametrize("row", rows(PAIRS), ids=lambda row: f"{row['country']}-{row['state_province']}")
def test_each_pair_of_the_dataset_gets_the_right_codes(row: dict[str, str]) -> None:
    found = place(row["country"], row["state_province"])
    assert (found.country_code, found.state_code or "", found.match) == (
        row["country_code"],
        row["state_code"],
        row["match"],
    )


def test_only_isle_of_man_and_singapore_have_no_code_for_the_state() -> None:
    assert {row["country"] for row in rows(PAIRS) if not row["state_code"]} == {"Isle of Man", "Singapore"}


def test_the_expected_pairs_are_those_of_the_dataset() -> None:
    listed = [(row["country"], row["state_province"]) for row in rows(PAIRS)]
    assert len(listed) == 213
    assert set(listed) == pairs("2026-08-02")


@pytest.mark.parametrize("version", DATES)
def test_every_pair_of_every_version_is_matched(version: str) -> None:
    unmatched = {pair for pair in pairs(version) if place(*pair).match == "none"}
    assert unmatched == set()


def test_damaged_pairs_of_older_versions_get_the_same_codes() -> None:
    damaged = pairs("2025-10-03") - pairs("2026-08-02")
    assert {pair: place(*pair).state_code for pair in damaged} == {
        (" United States", "Texas"): "US-TX",
        ("Austria", "K\ufffdrnten"): "AT-2",
        ("Austria", "Nieder\ufffdsterreich"): "AT-3",
    }


def test_an_exact_match_has_the_names_of_iso() -> None:
    assert place("United States", "Texas", "Austin") == Place(
        "US", "United States", "US-TX", "Texas", "Austin", "exact"
    )


def test_the_common_name_of_a_country_is_its_name() -> None:
    assert place("Korea, Republic of") == Place("KR", "South Korea", None, None, None, "exact")
    assert place("Viet Nam").country_name == "Vietnam"


def test_a_country_is_matched_without_a_state() -> None:
    assert [place(name).match for name in ("Germany", "GERMANY", "Deutschland", "Germania Magna")] == [
        "exact",
        "within country",
        "alias",
        "none",
    ]


@pytest.mark.parametrize(
    ("country", "state", "match"),
    [
        ("Germany", "Bayern", "exact"),
        ("Germany", "bayern", "within country"),
        ("germany", "Bayern", "within country"),
        ("Germany", "Bavaria", "alias"),
        ("Deutschland", "Bayern", "alias"),
        ("Deutschland", "bayern", "alias"),
        ("Deutschland", "Bohemia", "none"),
        ("Atlantis", "Bayern", "none"),
    ],
)
def test_the_match_of_a_place_is_the_weaker_of_its_country_and_state(country: str, state: str, match: str) -> None:
    assert place(country, state).match == match


def test_whitespace_around_names_is_ignored() -> None:
    assert place(" United  States\t", "\u00a0Texas ", " Austin ") == place("United States", "Texas", "Austin")


def test_an_unknown_state_keeps_its_name_and_the_country_its_code() -> None:
    assert place("France", " Grand  Sud ") == Place("FR", "France", None, "Grand Sud", None, "none")


def test_an_unknown_country_keeps_all_names() -> None:
    assert place("Atlantis", "Texas", "Poseidonis") == Place(None, "Atlantis", None, "Texas", "Poseidonis", "none")


def test_a_place_without_names_has_none() -> None:
    assert place(None) == place(" ", "", " ") == Place(None, None, None, None, None, "none")


def test_a_known_state_without_an_iso_code_is_an_alias() -> None:
    assert place("Isle of Man", "Middle") == Place("IM", "Isle of Man", None, "Middle", None, "alias")
    assert place("England", "Greater Manchester").match == "alias"
    assert place("United Kingdom", "London").state_code is None


def test_cities_that_differ_in_case_or_accents_are_one() -> None:
    assert city_names(("Azeméis", 1), ("Azemeis", 3), ("AZEMEIS ", 1)) == ["Azemeis"] * 3


def test_of_equally_frequent_spellings_accents_win_then_mixed_case_then_the_alphabet() -> None:
    assert city_names(("azeméis", 2), ("Azemeis", 2)) == ["azeméis"] * 2
    assert city_names(("PORTO", 2), ("porto", 2), ("Porto", 2)) == ["Porto"] * 3
    assert city_names(("PoRto", 2), ("Porto", 2)) == ["PoRto"] * 2


def test_breweries_of_the_same_spelling_are_added_up() -> None:
    assert city_names(("Porto", 2), ("Porto", 2), ("PORTO", 3)) == ["Porto"] * 3


def test_spellings_are_joined_across_the_names_of_one_state_but_not_across_states() -> None:
    found = match_places(
        [
            Location("Belgium", "Flanders", "GENT", 1),
            Location("Belgium", "Vlaanderen", "Gent", 2),
            Location("Belgium", "Wallonia", "GENT", 1),
            Location("Belgium", "Nowhere", "gent", 1),
        ]
    )
    assert [p.city_name for p in found] == ["Gent", "Gent", "GENT", "gent"]


@given(locations=LOCATIONS)
def test_each_location_gets_a_place_and_no_name_is_lost(locations: list[Location]) -> None:
    places = match_places(locations)
    assert len(places) == len(locations)
    for location, found in zip(locations, places, strict=True):
        assert bool(found.country_name) == bool(location.country and location.country.strip())
        assert bool(found.state_name) == bool(location.state_province and location.state_province.strip())
        assert bool(found.city_name) == bool(location.city and location.city.strip())
        assert found.country_code or not found.state_code
        assert not found.state_code or found.state_code.startswith(f"{found.country_code}-")


@given(locations=LOCATIONS)
def test_matching_is_idempotent(locations: list[Location]) -> None:
    once = match_places(locations)
    again = match_places(
        [
            Location(p.country_name, p.state_name, p.city_name, location.breweries)
            for p, location in zip(once, locations, strict=True)
        ]
    )
    assert [(p.country_code, p.state_code, p.city_name) for p in again] == [
        (p.country_code, p.state_code, p.city_name) for p in once
    ]


@given(locations=LOCATIONS, seed=st.randoms())
def test_the_order_of_locations_does_not_matter(locations: list[Location], seed: object) -> None:
    shuffled = list(locations)
    seed.shuffle(shuffled)  # type: ignore[attr-defined]
    by_location = dict(zip(shuffled, match_places(shuffled), strict=True))
    assert [by_location[location] for location in locations] == match_places(locations)


def test_saint_and_mount_are_one_city_with_their_abbreviations() -> None:
    found = match_places(
        [
            Location("United States", "Minnesota", "St. Paul", 3),
            Location("United States", "Minnesota", "Saint Paul", 5),
            Location("United States", "Oregon", "Mt Angel", 2),
            Location("United States", "Oregon", "Mount Angel", 1),
        ]
    )
    assert [place.city_name for place in found] == ["Saint Paul", "Saint Paul", "Mt Angel", "Mt Angel"]
