"""Finding what a name stands for: among the countries, or among the subdivisions of one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal, NamedTuple

from brewhouse.places import iso, reference
from brewhouse.places.iso import in_order_of_speech
from brewhouse.places.names import REPLACEMENT, fold, readable_part, without_kind

How = Literal["exact", "within country", "alias"]
"""How a name is found: as ISO writes it, as ISO writes it but for its spelling, or by another name."""


class Entry(NamedTuple):
    """A country or subdivision.

    Attributes:
        code: Its code.
        title: Its canonical name.
        names: Every way ISO writes its name, the title too.
        codes: What else stands for it; a name wins over these.
    """

    code: str
    title: str
    names: tuple[str, ...]
    codes: tuple[str, ...]


@dataclass(frozen=True)
class GazetteerMatch:
    """What a name stands for.

    Attributes:
        code: Its ISO code; None if ISO has none for it.
        name: Its canonical name; as given if ISO has no code for it.
        how: How it was found.
    """

    code: str | None
    name: str
    how: How


class Gazetteer:
    """A list of places and their other names.

    Args:
        entries: The places; of two with one name the earlier one is found.
        aliases: Other names and the codes they stand for, empty if there is none. They win over the places' own names.
    """

    def __init__(self, entries: Iterable[Entry], aliases: Sequence[tuple[str, str]]) -> None:
        self._entries = {entry.code: entry for entry in entries}
        self._aliases = aliases

    def find(self, name: str) -> GazetteerMatch | None:
        """Tell what a name stands for; None if it is unknown.

        Codes count as names. A name is compared by `fold`, else by `without_kind`; one with mis-decoded letters by
        what is readable of it.

        Args:
            name: Without blanks around it.
        """
        if REPLACEMENT in name:
            hit = self._by_readable_part.get(readable_part(name))
        else:
            hit = self._by_fold.get(fold(name)) or self._by_name_without_kind.get(without_kind(name))
        if hit is None:
            return None
        code, how = hit
        if not code:
            return GazetteerMatch(None, name, how)
        entry = self._entries[code]
        return GazetteerMatch(code, entry.title, "exact" if how != "alias" and name in entry.names else how)

    @cached_property
    def _by_fold(self) -> dict[str, tuple[str, How]]:
        codes: list[tuple[str, str, How]] = [
            (code, entry.code, "within country") for entry in self._entries.values() for code in entry.codes
        ]
        return _index(fold, [*self._names(), *codes])

    @cached_property
    def _by_name_without_kind(self) -> dict[str, tuple[str, How]]:
        return _index(without_kind, self._names())

    @cached_property
    def _by_readable_part(self) -> dict[str, tuple[str, How]]:
        return _index(readable_part, self._names())

    def _names(self) -> list[tuple[str, str, How]]:
        aliases: list[tuple[str, str, How]] = [(name, code, "alias") for name, code in self._aliases]
        return aliases + [
            (name, entry.code, "within country") for entry in self._entries.values() for name in entry.names
        ]


def _index(key: Callable[[str], str], names: list[tuple[str, str, How]]) -> dict[str, tuple[str, How]]:
    index: dict[str, tuple[str, How]] = {}
    for name, code, how in names:
        index.setdefault(key(name), (code, how))
    index.pop("", None)
    return index


@cache
def countries() -> Gazetteer:
    """Give the countries of ISO 3166-1.

    Example:
        >>> [found.code for name in ("england", "Korea, Republic of", "U.S.") if (found := countries().find(name))]
        ['GB', 'KR', 'US']
    """
    return Gazetteer(country_entries(), _aliases_of(""))


@cache
def subdivisions(country_code: str) -> Gazetteer:
    """Give the subdivisions of a country, as ISO 3166-2 has them.

    Args:
        country_code: ISO 3166-1 alpha-2.

    Example:
        >>> belgian = subdivisions("BE")
        >>> [found.code for name in ("Flanders", "Province de Namur") if (found := belgian.find(name))]
        ['BE-VLG', 'BE-WNA']
    """
    return Gazetteer(subdivision_entries(country_code), _aliases_of(country_code))


def country_entries() -> list[Entry]:
    """List the countries as pycountry has them, by code."""
    return [
        Entry(
            code=country.alpha_2,
            title=country.title,
            names=_given(country.name, country.common_name, country.official_name, in_order_of_speech(country.name)),
            codes=(country.alpha_2, country.alpha_3),
        )
        for country in iso.countries()
    ]


def subdivision_entries(country_code: str) -> list[Entry]:
    """List a country's subdivisions as pycountry has them, the most general first."""
    return [
        Entry(
            code=division.code,
            title=division.title,
            names=_given(division.name, division.title),
            codes=(division.code, division.code.partition("-")[2]),
        )
        for division in iso.subdivisions(country_code)
    ]


def _given(*names: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))


def _aliases_of(country_code: str) -> list[tuple[str, str]]:
    return [(alias.name, alias.code) for alias in reference.aliases().get(country_code, [])]
