"""The canonical names and ISO codes of the places a snapshot names.

Nothing is lost: a place that ISO 3166 does not know keeps the names it came with.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from brewhouse.places import gazetteer
from brewhouse.places.gazetteer import GazetteerMatch
from brewhouse.places.names import plain, tidy

Match = Literal["exact", "within country", "alias", "none"]
"""How a place was found; of country and state the later of these.

exact: as ISO writes it: its name, common or official name.
within country: its name but for case, accents, dots, blanks and words such as "Region", or its code.
alias: by a line of models/reference/place_aliases.csv.
none: the country is unknown or missing, or the state is given and unknown in it.
"""

_ORDER: tuple[Match, ...] = ("exact", "within country", "alias", "none")


@dataclass(frozen=True)
class Location:
    """A place as the source names it.

    Attributes:
        country: The country's name.
        state_province: The name of a state, province, county, …
        city: The city's name.
        breweries: How many breweries are there.
    """

    country: str | None
    state_province: str | None
    city: str | None
    breweries: int


@dataclass(frozen=True)
class Place:
    """A place as ISO 3166 names it.

    Attributes:
        country_code: ISO 3166-1 alpha-2; None if the country is unknown.
        country_name: The country's common name; as received if it is unknown.
        state_code: ISO 3166-2; None if the state is unknown or ISO has no code for it.
        state_name: The subdivision's name in ISO 3166-2; as received if it has no code.
        city_name: The spelling of the city that most breweries there use.
        match: How country and state were found.
    """

    country_code: str | None
    country_name: str | None
    state_code: str | None
    state_name: str | None
    city_name: str | None
    match: Match


def match_places(locations: Sequence[Location]) -> list[Place]:
    """Find the ISO codes and canonical names of places.

    City names of one state that differ only in case, accents or the number of blanks are one city. It is called as
    most breweries there write it, or else with the most accents, in mixed case, first in the alphabet.

    Args:
        locations: Places as received; blanks around names do not count.

    Returns:
        A place for each location, in the same order.

    Example:
        >>> place, = match_places([Location("England", "east sussex", "Lewes", 3)])
        >>> place.country_code, place.country_name, place.state_code, place.state_name, place.match
        ('GB', 'United Kingdom', 'GB-ESX', 'East Sussex', 'alias')
    """
    names = [(tidy(location.country), tidy(location.state_province)) for location in locations]
    matched = {pair: _match(*pair) for pair in dict.fromkeys(names)}
    places = [matched[pair] for pair in names]
    cities = [tidy(location.city) for location in locations]
    called = _city_names(places, cities, [location.breweries for location in locations])
    return [
        Place(place.country_code, place.country_name, place.state_code, place.state_name, city, place.match)
        for place, city in zip(places, called, strict=True)
    ]


def _match(country: str | None, state: str | None) -> Place:
    found_country = gazetteer.countries().find(country) if country else None
    found_state = None
    if found_country and found_country.code and state:
        found_state = gazetteer.subdivisions(found_country.code).find(state)
    return Place(
        country_code=found_country.code if found_country else None,
        country_name=found_country.name if found_country else country,
        state_code=found_state.code if found_state else None,
        state_name=found_state.name if found_state else state,
        city_name=None,
        match=_weakest([found_country, found_state] if state else [found_country]),
    )


def _weakest(found: Sequence[GazetteerMatch | None]) -> Match:
    ways: list[Match] = [one.how if one else "none" for one in found]
    return max(ways, key=_ORDER.index)


def _city_names(places: Sequence[Place], cities: Sequence[str | None], breweries: Sequence[int]) -> list[str | None]:
    keys = [_city_key(place, city) if city else None for place, city in zip(places, cities, strict=True)]
    spellings: dict[tuple[str | None, ...], Counter[str]] = {}
    for key, city, number in zip(keys, cities, breweries, strict=True):
        if key and city:
            spellings.setdefault(key, Counter())[city] += number
    best = {key: min(counts, key=lambda city: _rank(city, counts[city])) for key, counts in spellings.items()}
    return [best[key] if key else None for key in keys]


def _city_key(place: Place, city: str) -> tuple[str | None, ...]:
    return (place.country_code, place.country_name, place.state_code, place.state_name, plain(city))


def _rank(city: str, breweries: int) -> tuple[int, int, bool, str]:
    accented = sum(1 for letter in unicodedata.normalize("NFC", city) if not letter.isascii() and letter.isalpha())
    is_mixed = not (city.isupper() or city.islower())
    return (-breweries, -accented, not is_mixed, city)
