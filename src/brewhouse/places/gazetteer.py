"""Look up names among the countries, or among the subdivisions of a country, whatever their spelling.

Two spellings are equal by the first key that they share: `plain` ignores case and accents, `fold` also punctuation and
whitespace, `without_kind` also words such as "Region" or "County", and `readable_part` letters lost in decoding.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal, NamedTuple

from brewhouse.places import reference
from brewhouse.places.reference import in_natural_order

MatchKind = Literal["exact", "within country", "alias", "none"]
"""How a place was matched, the weakest last.

exact: as ISO writes it: its name, common or official name.
within country: its name apart from case, accents, dots, whitespace and words such as "Region", or its code.
alias: by a line of models/reference/place_aliases.csv.
none: the country is unknown or missing, or it has no state of that name.
"""

REPLACEMENT = "\ufffd"
"""The character that decoders put in place of invalid bytes."""

# Letters that Unicode does not decompose; the last is the dotless i.
_LETTERS = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "ŋ": "n", "þ": "th"}
    | {"\u0131": "i"}
)
# Straight and curly apostrophes, the Hawaiian and the modifier letter, and standalone accents.
_APOSTROPHES = re.compile("['\u2018\u2019\u02bb\u02bc`\u00b4]")
_NON_WORD = re.compile(r"[\W_]+")
_KIND_WORDS = """
    region regions regional province provinces county counties co state territory territories district department
    prefecture metropolis governorate municipality council area city canton republic commonwealth autonomous community
    regione regiao regiunea provincia provincie provinz distrito departement departamento comunidad condado comte
    autonoma principado foral respublika oblast voivodeship voivodship wojewodztwo maakunta landskapet landskap lan
    land bundesland freistaat gewest kanton ken fu to do si gwangyeoksi teukbyeolsi teukbyeoljachido
    the of de di du da des dos
"""
_KINDS = frozenset(_KIND_WORDS.split())

_Index = dict[str, tuple[str, MatchKind]]


class Entry(NamedTuple):
    """A country or subdivision.

    Attributes:
        title: Its canonical name.
        names: Every name that ISO has for it, the title included.
        codes: Codes that stand for it; a name takes precedence over these.
    """

    code: str
    title: str
    names: tuple[str, ...]
    codes: tuple[str, ...]


@dataclass(frozen=True)
class GazetteerMatch:
    """The place that a name stands for.

    Attributes:
        code: Its ISO code; None if ISO has none for it.
        name: Its canonical name; the name as given if ISO has no code for it.
    """

    code: str | None
    name: str
    kind: MatchKind


class Gazetteer:
    """A list of places and their aliases.

    Args:
        entries: The places; of two with the same name, the earlier one is found.
        aliases: Pairs of a name and the code that it stands for, empty if ISO has none. They take precedence over the
            places' own names.
    """

    def __init__(self, entries: Iterable[Entry], aliases: Sequence[tuple[str, str]]) -> None:
        self._entries = {entry.code: entry for entry in entries}
        self._aliases = aliases

    def find(self, name: str) -> GazetteerMatch | None:
        """Find the place of a name or code, by `fold`, then by `without_kind`; None if it is unknown.

        A name with U+FFFD is compared by its readable part.
        """
        if REPLACEMENT in name:
            hit = self._by_readable_part.get(readable_part(name))
        else:
            hit = self._by_fold.get(fold(name)) or self._by_name_without_kind.get(without_kind(name))
        if hit is None:
            return None
        code, kind = hit
        if not code:
            return GazetteerMatch(None, name, kind)
        entry = self._entries[code]
        return GazetteerMatch(code, entry.title, "exact" if kind != "alias" and name in entry.names else kind)

    @cached_property
    def _by_fold(self) -> _Index:
        codes: list[tuple[str, str, MatchKind]] = [
            (code, entry.code, "within country") for entry in self._entries.values() for code in entry.codes
        ]
        return _index(fold, [*self._names(), *codes])

    @cached_property
    def _by_name_without_kind(self) -> _Index:
        return _index(without_kind, self._names())

    @cached_property
    def _by_readable_part(self) -> _Index:
        return _index(readable_part, self._names())

    def _names(self) -> list[tuple[str, str, MatchKind]]:
        aliases: list[tuple[str, str, MatchKind]] = [(name, code, "alias") for name, code in self._aliases]
        return aliases + [
            (name, entry.code, "within country") for entry in self._entries.values() for name in entry.names
        ]


def _index(key: Callable[[str], str], names: Iterable[tuple[str, str, MatchKind]]) -> _Index:
    index: _Index = {}
    for name, code, kind in names:
        index.setdefault(key(name), (code, kind))
    index.pop("", None)
    return index


@cache
def countries() -> Gazetteer:
    """Return the countries of ISO 3166-1.

    Example:
        >>> [match.code for name in ("england", "Korea, Republic of", "U.S.") if (match := countries().find(name))]
        ['GB', 'KR', 'US']
    """
    return Gazetteer(country_entries(), _aliases_of(""))


@cache
def subdivisions(country_code: str) -> Gazetteer:
    """Return the ISO 3166-2 subdivisions of a country, by its alpha-2 code."""
    return Gazetteer(subdivision_entries(country_code), _aliases_of(country_code))


def country_entries() -> list[Entry]:
    """List the countries, by code."""
    return [
        Entry(
            code=country.alpha_2,
            title=country.title,
            names=_distinct(country.name, country.common_name, country.official_name, in_natural_order(country.name)),
            codes=(country.alpha_2, country.alpha_3),
        )
        for country in reference.countries()
    ]


def subdivision_entries(country_code: str) -> list[Entry]:
    """List a country's subdivisions, the most general first."""
    return [
        Entry(
            code=division.code,
            title=division.title,
            names=_distinct(division.name, division.title),
            codes=(division.code, division.code.partition("-")[2]),
        )
        for division in reference.subdivisions(country_code)
    ]


def _distinct(*names: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))


def _aliases_of(country_code: str) -> list[tuple[str, str]]:
    return [(alias.name, alias.code) for alias in reference.aliases().get(country_code, [])]


def tidy(name: str | None) -> str | None:
    """Strip a name and collapse its whitespace; None for a blank name.

    Example:
        >>> tidy("  New   York "), tidy(" ")
        ('New York', None)
    """
    return " ".join(name.split()) or None if name else None


def plain(name: str) -> str:
    """Return a key that ignores case, accents and repeated whitespace.

    Example:
        >>> plain("Kraków") == plain("KRAKOW"), plain("Łódź"), plain("Straße")
        (True, 'lodz', 'strasse')
    """
    if name.isascii():
        return " ".join(name.lower().split())
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())
    text = "".join(letter for letter in text if not unicodedata.combining(letter)).translate(_LETTERS)
    return " ".join(text.split())


def fold(name: str) -> str:
    """Return a key that also ignores dots, hyphens, apostrophes and whitespace.

    Example:
        >>> fold("Hawke's Bay"), fold("N.S.W."), fold("KwaZulu-Natal") == fold("Kwazulu Natal")
        ('hawkesbay', 'nsw', True)
    """
    return "".join(_words(name))


def without_kind(name: str) -> str:
    """Return a key that also ignores words for kinds of places, such as Region, County or Land.

    A name that consists of such words keeps them.

    Example:
        >>> without_kind("Northland Region"), without_kind("Região Autónoma dos Açores"), without_kind("State")
        ('northland', 'acores', 'state')
    """
    parts = _words(name)
    return "".join([part for part in parts if part not in _KINDS] or parts)


def readable_part(name: str) -> str:
    """Return a key of the ASCII letters alone, which remain of a name after a wrong decoding.

    Example:
        >>> readable_part("K\ufffdrnten"), readable_part("Kärnten")
        ('krnten', 'krnten')
    """
    return fold("".join(letter for letter in unicodedata.normalize("NFC", name) if letter.isascii()))


def _words(name: str) -> list[str]:
    return _NON_WORD.sub(" ", _APOSTROPHES.sub("", plain(name))).split()
