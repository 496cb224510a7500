"""ISO 3166 as read from pycountry's files is what pycountry itself says."""

from __future__ import annotations

import pycountry

from brewhouse.places import iso


def test_the_countries_are_pycountrys() -> None:
    theirs = {country.alpha_2: (country.alpha_3, country.name) for country in pycountry.countries}
    assert {country.alpha_2: (country.alpha_3, country.name) for country in iso.countries()} == theirs


def test_the_subdivisions_are_pycountrys() -> None:
    theirs = {division.code: division.name for division in pycountry.subdivisions}
    ours = {division.code: division.name for c in iso.countries() for division in iso.subdivisions(c.alpha_2)}
    assert ours == theirs


def test_general_subdivisions_come_before_their_parts() -> None:
    order = {code: n for c in iso.countries() for n, code in enumerate(d.code for d in iso.subdivisions(c.alpha_2))}
    parts = [division for division in pycountry.subdivisions if division.parent_code in order]
    assert len(parts) > 500
    assert not [part.code for part in parts if order[part.parent_code] > order[part.code]]


def test_titles_have_no_brackets_and_are_in_the_order_of_speech() -> None:
    titles = {division.code: division.title for code in ("BE", "FR", "GB", "SE") for division in iso.subdivisions(code)}
    assert titles["SE-K"] == "Blekinge län"
    assert titles["BE-WAL"] == "Région wallonne"
    assert titles["GB-DUR"] == "County Durham"
    assert titles["GB-CRF"] == "Cardiff"
    assert titles["GB-ABC"] == "Armagh City, Banbridge and Craigavon"
    assert titles["FR-973"] == "Guyane"
    assert not [title for title in titles.values() if set(title) & set("[](){}†")]
