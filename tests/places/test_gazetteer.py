"""The gazetteer: names and codes of countries and subdivisions, in the spellings that people use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.places import gazetteer, reference
from brewhouse.places.gazetteer import Gazetteer, GazetteerMatch
from brewhouse.places.reference import Entry

SPOKEN = [
    ("USA", "US"),
    ("U.S.A.", "US"),
    ("United States of America", "US"),
    ("America", "US"),
    ("UK", "GB"),
    ("Great Britain", "GB"),
    ("England", "GB"),
    ("SCOTLAND", "GB"),
    ("Wales", "GB"),
    ("Northern Ireland", "GB"),
    ("Isle of Man", "IM"),
    ("Deutschland", "DE"),
    ("Österreich", "AT"),
    ("België", "BE"),
    ("Belgique", "BE"),
    ("Republic of Korea", "KR"),
    ("Korea, Republic of", "KR"),
    ("South Korea", "KR"),
    ("대한민국", "KR"),
    ("The Netherlands", "NL"),
    ("Holland", "NL"),
    ("Republic of Ireland", "IE"),
    ("Éire", "IE"),
    ("日本", "JP"),
    ("Україна", "UA"),
    ("Polska", "PL"),
    ("Suomi", "FI"),
    ("Sverige", "SE"),
    ("Italia", "IT"),
    ("Aotearoa", "NZ"),
    ("Czech Republic", "CZ"),
    ("Turkey", "TR"),
    ("Russia", "RU"),
]
WITHIN = [
    ("US", "CA", "US-CA"),
    ("US", "us-ca", "US-CA"),
    ("US", "Calif.", "US-CA"),
    ("US", "Washington State", "US-WA"),
    ("US", "Washington, D.C.", "US-DC"),
    ("DE", "DE-BY", "DE-BY"),
    ("DE", "Bavaria", "DE-BY"),
    ("DE", "Freistaat Bayern", "DE-BY"),
    ("DE", "North Rhine-Westphalia", "DE-NW"),
    ("DE", "Baden-Wuerttemberg", "DE-BW"),
    ("DE", "Th\ufffdringen", "DE-TH"),
    ("AT", "K\ufffdrnten", "AT-2"),
    ("AT", "Lower Austria", "AT-3"),
    ("AU", "N.S.W.", "AU-NSW"),
    ("AU", "New South Wales", "AU-NSW"),
    ("BE", "Vlaanderen", "BE-VLG"),
    ("BE", "Flanders", "BE-VLG"),
    ("BE", "Région flamande", "BE-VLG"),
    ("BE", "Limburg", "BE-VLI"),
    ("CA", "Québec", "CA-QC"),
    ("CA", "B.C.", "CA-BC"),
    ("FR", "Bouches du Rhone", "FR-13"),
    ("FR", "Bretagne", "FR-BRE"),
    ("FR", "Brittany", "FR-BRE"),
    ("GB", "Scotland", "GB-SCT"),
    ("GB", "Durham", "GB-DUR"),
    ("GB", "Wales", "GB-WLS"),
    ("GB", "Cardiff", "GB-CRF"),
    ("GB", "Hants", "GB-HAM"),
    ("IE", "Co. Cork", "IE-CO"),
    ("IT", "Südtirol", "IT-BZ"),
    ("IT", "Tuscany", "IT-52"),
    ("JP", "大阪府", "JP-27"),
    ("JP", "Ōsaka", "JP-27"),
    ("KR", "Deagu", "KR-27"),
    ("KR", "서울특별시", "KR-11"),
    ("NL", "North Holland", "NL-NH"),
    ("NZ", "Northland", "NZ-NTL"),
    ("NZ", "Northland Region", "NZ-NTL"),
    ("PL", "Lower Silesian Voivodeship", "PL-02"),
    ("PT", "Azores", "PT-20"),
    ("SE", "Skåne", "SE-M"),
    ("SE", "Halland County", "SE-N"),
    ("UA", "Kyiv", "UA-30"),
    ("UA", "Kyiv Oblast", "UA-32"),
    ("UA", "Київська область", "UA-32"),
    ("ZA", "KwaZulu Natal", "ZA-KZN"),
    ("CH", "Genf", "CH-GE"),
    ("CH", "Canton de Vaud", "CH-VD"),
    ("CH", "Waadt", "CH-VD"),
    ("CH", "St Gallen", "CH-SG"),
    ("CH", "Grigioni", "CH-GR"),
    ("CN", "广东", "CN-GD"),
    ("CN", "内蒙古", "CN-NM"),
    ("CN", "Guangdong Province", "CN-GD"),
    ("CN", "Tibet", "CN-XZ"),
    ("CZ", "South Moravian Region", "CZ-64"),
    ("CZ", "Prague", "CZ-10"),
    ("ES", "Catalonia", "ES-CT"),
    ("ES", "Euskadi", "ES-PV"),
    ("ES", "Lérida", "ES-L"),
    ("IN", "महाराष्ट्र", "IN-MH"),
    ("IN", "Orissa", "IN-OD"),
    ("MX", "CDMX", "MX-CMX"),
    ("MX", "Michoacan", "MX-MIC"),
    ("RU", "St. Petersburg", "RU-SPE"),
    ("JP", "京都", "JP-26"),
    ("KR", "경기", "KR-41"),
]
OF_A_KIND = [
    ("AR", "Buenos Aires", "AR-B"),
    ("AR", "Provincia de Buenos Aires", "AR-B"),
    ("AR", "Buenos Aires City", "AR-C"),
    ("BG", "Sofia City", "BG-22"),
    ("BG", "Sofia", None),  # two districts have this name in ISO
    ("BY", "Minsk Oblast", "BY-MI"),
    ("BY", "Minsk", "BY-HM"),
    ("CZ", "Zlín Region", "CZ-72"),
    ("CZ", "Zlín", "CZ-724"),
    ("HU", "Veszprém County", "HU-VE"),
    ("HU", "Veszprém", None),
    ("KZ", "Almaty City", "KZ-75"),
    ("KZ", "Almaty Region", "KZ-19"),
    ("LT", "Vilnius City", "LT-57"),
    ("LT", "Vilnius County", "LT-VL"),
    ("LT", "Vilnius District", "LT-58"),
    ("MX", "Mexico City", "MX-CMX"),
    ("MX", "Estado de México", "MX-MEX"),
    ("MX", "Mexico", "MX-MEX"),
    ("MZ", "Maputo City", "MZ-MPM"),
    ("MZ", "Maputo Province", "MZ-L"),
    ("RU", "Moscow Region", "RU-MOS"),
    ("RU", "Moscow City", "RU-MOW"),
    ("RU", "Московская область", "RU-MOS"),
    ("TW", "Chiayi City", "TW-CYI"),
    ("TW", "Chiayi County", "TW-CYQ"),
    ("TW", "Chiayi", None),
    ("TW", "Hsinchu City", "TW-HSZ"),
    ("TW", "Hsinchu County", "TW-HSQ"),
    ("UA", "Kyiv City", "UA-30"),
    ("UA", "Kyiv Region", "UA-32"),
    ("UZ", "Tashkent Region", "UZ-TO"),
    ("UZ", "Tashkent City", "UZ-TK"),
]
SHARED = [
    "Chiayi",
    "Hsinchu",
    "Lənkəran",
    "Maputo",
    "Rakvere",
    "Sofia",
    "Tartu",
    "Toshkent",
    "Veszprém",
    "Viangchan",
    "Viljandi",
    "Võru",
    "Yevlax",
    "Şəki",
]
"""Names that ISO gives to two places next to each other."""
ATLANTIS = Gazetteer(
    [
        Entry("AT-1", "Mar", ("Mar", "Mar [Sea]"), ("AT-1", "1"), "Province"),
        Entry("AT-2", "Ciudad de Mar", ("Ciudad de Mar",), ("AT-2", "2")),
        Entry("AT-3", "Mar", ("Mar",), ("AT-3", "3"), "District", depth=1),
        Entry("AT-4", "1", ("1",), ("AT-4", "4")),
    ],
    [("Sea", "AT-1"), ("Shore", ""), ("City Sea", "AT-2")],
)


@pytest.mark.parametrize(("name", "code"), SPOKEN)
def test_a_country_is_found_by_the_names_people_use(name: str, code: str) -> None:
    found = gazetteer.countries().find(name)
    assert found
    assert found.code == code


@pytest.mark.parametrize(("country_code", "name", "code"), WITHIN)
def test_a_subdivision_is_found_by_the_names_people_use(country_code: str, name: str, code: str) -> None:
    found = gazetteer.subdivisions(country_code).find(name)
    assert found
    assert found.code == code


@pytest.mark.parametrize("name", ["Atlantis", "?", "", "\ufffd", "\ufffd\ufffd", "New", "South"])
def test_an_unknown_name_is_not_guessed(name: str) -> None:
    assert gazetteer.countries().find(name) is None
    assert gazetteer.subdivisions("US").find(name) is None


def test_a_country_without_subdivisions_has_none() -> None:
    assert gazetteer.subdivisions("AX").find("Mariehamn") is None


def test_every_name_and_code_of_pycountry_finds_a_place_of_that_name() -> None:
    shared = []
    for country in reference.countries():
        for name in (*country.names, *country.codes):
            found = gazetteer.countries().find(name)
            assert found == GazetteerMatch(
                country.code, country.title, "exact" if name in country.names else "within country"
            )
        division_of = gazetteer.subdivisions(country.code)
        for division in reference.subdivisions(country.code):
            by_code = division_of.find(division.code)
            assert by_code
            assert by_code.code == division.code
            for name in division.names:
                by_name = division_of.find(name)
                if by_name is None:
                    shared.append(name)
                else:
                    assert by_name.kind == "exact" or by_name.code != division.code
    assert sorted(set(shared)) == SHARED


def test_the_kind_of_a_match_names_the_rule_that_found_it() -> None:
    kinds = {name: found.kind for name in ("Mar [Sea]", "MAR", "AT-2", "sea") if (found := ATLANTIS.find(name))}
    assert kinds == {"Mar [Sea]": "exact", "MAR": "within country", "AT-2": "within country", "sea": "alias"}


def test_the_more_general_of_two_places_of_the_same_name_is_found() -> None:
    assert ATLANTIS.find("Mar") == GazetteerMatch("AT-1", "Mar", "exact")


@pytest.mark.parametrize(("country_code", "name", "code"), OF_A_KIND)
def test_the_word_for_the_kind_decides_between_places_that_share_a_name(
    country_code: str, name: str, code: str | None
) -> None:
    found = gazetteer.subdivisions(country_code).find(name)
    assert (found.code if found else None) == code


def test_an_area_of_another_kind_is_not_taken_for_the_one_that_is_named() -> None:
    places = Gazetteer(
        [
            Entry("AT-1", "Mar City", ("Mar City",), (), "Capital city"),
            Entry("AT-2", "Bosque", ("Bosque",), (), "District", depth=1),
        ],
        [],
    )
    assert places.find("Mar Oblast") is places.find("Bosque Region") is None
    assert [found.code for name in ("Mar", "City of Mar", "Bosque District") if (found := places.find(name))] == [
        "AT-1",
        "AT-1",
        "AT-2",
    ]


def test_a_translation_stands_back_behind_the_names_of_iso() -> None:
    entries = [Entry("AT-1", "Mar", ("Mar",), ("AT-1",)), Entry("AT-2", "Bosque", ("Bosque",), ("AT-2",))]
    places = Gazetteer(entries, [], lambda: [("Mar", "AT-2"), ("Forest", "AT-2"), ("Mar Region", "AT-1")])
    assert places.find("Mar") == GazetteerMatch("AT-1", "Mar", "exact")
    assert places.find("FOREST") == GazetteerMatch("AT-2", "Bosque", "alias")
    assert places.find("Mar region") == GazetteerMatch("AT-1", "Mar", "within country")


def test_the_whole_name_takes_precedence_over_one_without_words_for_kinds() -> None:
    assert ATLANTIS.find("ciudad de mar") == GazetteerMatch("AT-2", "Ciudad de Mar", "within country")
    assert ATLANTIS.find("City Sea") == GazetteerMatch("AT-2", "Ciudad de Mar", "alias")
    assert ATLANTIS.find("Province of the Sea") == GazetteerMatch("AT-1", "Mar", "alias")


def test_a_name_takes_precedence_over_a_code() -> None:
    assert ATLANTIS.find("1") == GazetteerMatch("AT-4", "1", "exact")


def test_an_alias_without_a_code_keeps_the_given_name() -> None:
    assert ATLANTIS.find("SHORE") == GazetteerMatch(None, "SHORE", "alias")


@pytest.mark.parametrize("country_code", ["", "XX", "us", "USA"])
def test_an_unknown_country_code_has_no_subdivisions(country_code: str) -> None:
    assert gazetteer.subdivisions(country_code).find("Texas") is None


@pytest.mark.parametrize(
    ("name", "code"),
    [("M\ufffdr", "AT-1"), ("C\ufffdudad de Mar", "AT-2"), ("\ufffdhore", None), ("M\ufffdn", "unknown")],
)
def test_a_name_with_lost_letters_is_found_only_by_its_exact_readable_part(name: str, code: str | None) -> None:
    places = Gazetteer(
        [Entry("AT-1", "Mär", ("Mär",), ("AT-1",)), Entry("AT-2", "Cíudad de Mar", ("Cíudad de Mar",), ("AT-2",))],
        [("Éhore", "")],
    )
    found = places.find(name)
    assert (found.code if found else "unknown") == code


@given(st.text(max_size=15))
def test_a_match_never_depends_on_case_or_surrounding_punctuation(name: str) -> None:
    for places in (gazetteer.countries(), gazetteer.subdivisions("BE")):
        found, loud = places.find(name), places.find(f".{name}-")
        assert (found.code if found else None) == (loud.code if loud else None)


@pytest.mark.parametrize("country_code", sorted(code for code in reference.aliases() if code))
def test_an_alias_of_a_subdivision_has_a_name_and_a_code_of_its_country(country_code: str) -> None:
    for name, _ in reference.aliases()[country_code]:
        found = gazetteer.subdivisions(country_code).find(name)
        assert found
        assert found.kind == "alias"
        assert found.code is None or found.code.startswith(f"{country_code}-")
        assert found.name
