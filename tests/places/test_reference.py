"""Reference data: every line is valid and needed."""

from __future__ import annotations

import csv

import pycountry
import pytest
from tests.data.sample import lies_in
from tests.real_data import DATA

from brewhouse.places import gazetteer, reference
from brewhouse.places.gazetteer import Gazetteer, fold, tidy
from brewhouse.places.reference import country_boxes

ALIASES = reference.rows("place_aliases.csv")
CAPITALS = [
    ("AU", 149.13, -35.28),
    ("AT", 16.37, 48.21),
    ("BE", 4.35, 50.85),
    ("CA", -75.70, 45.42),
    ("FI", 24.94, 60.17),
    ("FR", 2.35, 48.86),
    ("DE", 13.40, 52.52),
    ("GB", -0.13, 51.51),  # England's
    ("GB", -3.19, 55.95),  # Scotland's
    ("IE", -6.26, 53.35),
    ("IM", -4.48, 54.15),
    ("IT", 12.50, 41.90),
    ("JP", 139.69, 35.69),
    ("NL", 4.90, 52.37),
    ("NZ", 174.78, -41.29),
    ("PL", 21.01, 52.23),
    ("PT", -9.14, 38.72),
    ("SG", 103.85, 1.29),
    ("ZA", 28.19, -25.75),
    ("ZA", 18.42, -33.93),
    ("KR", 126.98, 37.57),
    ("SE", 18.07, 59.33),
    ("UA", 30.52, 50.45),
    ("US", -77.04, 38.91),
]
REMOTE = [
    ("US", -149.90, 61.22),  # Anchorage
    ("US", 173.2, 52.9),  # Attu, west of the 180th meridian
    ("US", -157.86, 21.31),  # Honolulu
    ("US", -66.11, 18.47),  # San Juan
    ("FR", 55.45, -20.88),  # Saint-Denis, La Réunion
    ("FI", 19.94, 60.10),  # Mariehamn
    ("PT", -25.67, 37.74),  # Ponta Delgada
    ("NZ", -176.56, -43.95),  # Waitangi, Chatham Islands
    ("RU", -173.2, 64.4),  # Provideniya
    ("FJ", 178.44, -18.14),  # Suva
]


def test_aliases_are_sorted_and_each_key_is_unique() -> None:
    keys = [(country_code, fold(name)) for country_code, name, _, _ in ALIASES]
    assert keys == sorted(set(keys))


def test_every_alias_is_a_tidy_name_with_an_origin() -> None:
    assert not [name for _, name, _, _ in ALIASES if name != tidy(name) or not fold(name)]
    assert not [name for _, name, _, origin in ALIASES if not tidy(origin)]


def test_every_code_exists_and_lies_in_its_country() -> None:
    codes = {country.alpha_2: "" for country in pycountry.countries}
    codes |= {division.code: division.country_code for division in pycountry.subdivisions}
    assert not [name for country_code, name, code, _ in ALIASES if code and codes[code] != country_code]
    assert not [name for country_code, name, code, _ in ALIASES if not code and codes[country_code] != ""]


@pytest.mark.parametrize("country_code", sorted(reference.aliases()))
def test_every_alias_is_needed(country_code: str) -> None:
    entries = reference.subdivisions(country_code) if country_code else reference.countries()
    without = Gazetteer(entries, aliases=[])
    for name, code in reference.aliases()[country_code]:
        found = without.find(name)
        assert not found or found.code != code, name


def test_no_box_crosses_the_180th_meridian_or_is_empty() -> None:
    for _, west, south, east, north in country_boxes():
        assert -180 <= west < east <= 180
        assert -90 <= south < north <= 90


def test_every_country_has_a_few_boxes() -> None:
    codes = [code for code, *_ in country_boxes()]
    assert sorted(set(codes)) == [country.code for country in reference.countries()]
    assert codes == sorted(codes)
    assert max(map(codes.count, set(codes))) <= 10


@pytest.mark.parametrize(("country_code", "longitude", "latitude"), CAPITALS + REMOTE)
def test_capitals_and_remote_parts_lie_in_their_country(country_code: str, longitude: float, latitude: float) -> None:
    assert lies_in(country_code, longitude, latitude)


def test_few_breweries_of_the_dataset_lie_outside_their_country() -> None:
    with (DATA / "breweries-2026-08-02.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["longitude"]]
    codes = {
        name: found.code for name in {row["country"] for row in rows} if (found := gazetteer.countries().find(name))
    }
    outside = [
        row["name"]
        for row in rows
        if not lies_in(str(codes[row["country"]]), float(row["longitude"]), float(row["latitude"]))
    ]
    assert sorted(outside) == [
        "Armstrong Brewing Co",  # of California, in British Columbia
        "Batzen",  # from here on longitude and latitude changed places
        "Brauerei Forst",
        "Floribunda",
        "Gassl Bräu",
        "Goat Island Brewing",
        "Labyrinth Brewing Company",
        "Mescan Brewery",  # its longitude has lost its sign
        "Vadia",
        "Xarlie",
    ]
