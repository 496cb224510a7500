"""Match the places that a snapshot names with ISO 3166; a place without a match keeps its names."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import get_args

import msgspec

from brewhouse.places import gazetteer
from brewhouse.places.gazetteer import GazetteerMatch, MatchKind, city_key, tidy


class Location(msgspec.Struct, frozen=True):
    """A place as the source names it, with its number of breweries."""

    country: str | None
    state_province: str | None
    city: str | None
    breweries: int


class Place(msgspec.Struct, frozen=True):
    """A place as ISO 3166 names it; `match` is the weaker one of country and state.

    Attributes:
        country_code: ISO 3166-1 alpha-2; None if the country is unknown.
        country_name: The country's common name; as received if it is unknown.
        state_code: ISO 3166-2; None if the state is unknown or ISO has no code for it.
        state_name: The subdivision's name in ISO 3166-2; as received if it has no code.
        city_name: The spelling of the city that most breweries there use.
    """

    country_code: str | None
    country_name: str | None
    state_code: str | None
    state_name: str | None
    city_name: str | None
    match: MatchKind


def match_places(locations: Sequence[Location]) -> list[Place]:
    """Match places with ISO codes and canonical names; return a place for each location, in the same order.

    City names of one state that differ only in case, accents, whitespace or St for Saint are one city. Its name is the
    spelling that most breweries there use; of equally frequent ones the one with most accents, in mixed case, first in
    the alphabet.

    Example:
        >>> place, = match_places([Location("England", "east sussex", "Lewes", 3)])
        >>> place.country_code, place.country_name, place.state_code, place.state_name, place.match
        ('GB', 'United Kingdom', 'GB-ESX', 'East Sussex', 'alias')
    """
    names = [(tidy(location.country), tidy(location.state_province)) for location in locations]
    matched = {pair: _match(*pair) for pair in dict.fromkeys(names)}
    places = [matched[pair] for pair in names]
    cities = [tidy(location.city) for location in locations]
    spellings = _city_names(places, cities, [location.breweries for location in locations])
    return [
        msgspec.structs.replace(place, city_name=spelling) for place, spelling in zip(places, spellings, strict=True)
    ]


def _match(country: str | None, state: str | None) -> Place:
    country_match = gazetteer.countries().find(country) if country else None
    state_match = None
    if country_match and country_match.code and state:
        state_match = gazetteer.subdivisions(country_match.code).find(state)
    return Place(
        country_code=country_match.code if country_match else None,
        country_name=country_match.name if country_match else country,
        state_code=state_match.code if state_match else None,
        state_name=state_match.name if state_match else state,
        city_name=None,
        match=_weakest([country_match, state_match] if state else [country_match]),
    )


def _weakest(matches: Sequence[GazetteerMatch | None]) -> MatchKind:
    kinds: list[MatchKind] = [match.kind if match else "none" for match in matches]
    return max(kinds, key=get_args(MatchKind).index)


def _city_names(places: Sequence[Place], cities: Sequence[str | None], breweries: Sequence[int]) -> list[str | None]:
    keys = [
        (place.country_code, place.country_name, place.state_code, place.state_name, city_key(city)) if city else None
        for place, city in zip(places, cities, strict=True)
    ]
    spellings: dict[tuple[str | None, ...], Counter[str]] = {}
    for key, city, number in zip(keys, cities, breweries, strict=True):
        if key and city:
            spellings.setdefault(key, Counter())[city] += number
    best = {
        key: min(counts, key=lambda city: _rank(city, counts[city])) if len(counts) > 1 else next(iter(counts))
        for key, counts in spellings.items()
    }
    return [best[key] if key else None for key in keys]


def _rank(city: str, breweries: int) -> tuple[int, int, bool, str]:
    accented = sum(1 for letter in unicodedata.normalize("NFC", city) if not letter.isascii() and letter.isalpha())
    is_mixed = not (city.isupper() or city.islower())
    return (-breweries, -accented, not is_mixed, city)
