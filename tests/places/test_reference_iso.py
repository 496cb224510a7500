"""ISO 3166: the data read from pycountry's files equals pycountry's own."""

from __future__ import annotations

import pycountry
import pytest

from brewhouse.places import reference


def test_the_countries_equal_those_of_pycountry() -> None:
    theirs = {country.alpha_2: (country.alpha_3, country.name) for country in pycountry.countries}
    assert {country.code: (country.codes[1], country.names[0]) for country in reference.countries()} == theirs


def test_the_subdivisions_equal_those_of_pycountry() -> None:
    theirs = {division.code: division.name for division in pycountry.subdivisions}
    ours = {
        division.code: division.names[0] for c in reference.countries() for division in reference.subdivisions(c.code)
    }
    assert ours == theirs


def test_general_subdivisions_precede_their_parts() -> None:
    order = {
        code: n for c in reference.countries() for n, code in enumerate(d.code for d in reference.subdivisions(c.code))
    }
    parts = [division for division in pycountry.subdivisions if division.parent_code in order]
    assert len(parts) > 500
    assert not [part.code for part in parts if order[part.parent_code] > order[part.code]]


def test_titles_have_no_annotations_and_a_natural_word_order() -> None:
    titles = {
        division.code: division.title for code in ("BE", "FR", "GB", "SE") for division in reference.subdivisions(code)
    }
    assert titles["SE-K"] == "Blekinge län"
    assert titles["BE-WAL"] == "Région wallonne"
    assert titles["GB-DUR"] == "County Durham"
    assert titles["GB-CRF"] == "Cardiff"
    assert titles["GB-ABC"] == "Armagh City, Banbridge and Craigavon"
    assert titles["FR-973"] == "Guyane"
    assert not [title for title in titles.values() if set(title) & set("[](){}†")]


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("Durham, County", "County Durham"),
        ("Korea, Republic of", "Republic of Korea"),
        ("Bournemouth, Christchurch and Poole", "Bournemouth, Christchurch and Poole"),
        ("Isla, Puerto y Mar", "Isla, Puerto y Mar"),
        ("Bayern", "Bayern"),
        ("", ""),
        ("Sandwich, Islands, South", "Islands, South Sandwich"),
    ],
)
def test_an_inverted_name_is_turned_and_a_list_of_names_is_not(name: str, title: str) -> None:
    assert reference.in_natural_order(name) == title


def test_the_title_of_a_country_is_its_common_name() -> None:
    titles = {country.code: country.title for country in reference.countries()}
    assert (titles["KR"], titles["VN"], titles["FR"]) == ("South Korea", "Vietnam", "France")


def test_an_unknown_country_has_no_subdivisions() -> None:
    assert reference.subdivisions("XX") == reference.subdivisions("") == []


def test_belgian_regions_come_first() -> None:
    codes = [division.code for division in reference.subdivisions("BE")]
    assert codes[:4] == ["BE-BRU", "BE-VLG", "BE-WAL", "BE-VAN"]
