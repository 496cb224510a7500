"""Look up names among the countries, or among the subdivisions of a country, whatever their spelling.

Two spellings are equal by the first key that they share: `plain` ignores case and accents, `fold` also punctuation and
whitespace, `without_kind` also words such as "Region" or "County", and `readable_part` letters lost in decoding. Where
places share a key, as Kyiv and its oblast do, the word for the kind decides; without one the name is not matched.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Literal

from brewhouse.places import reference
from brewhouse.places.reference import Entry

MatchKind = Literal["exact", "within country", "alias", "none"]
"""How a place was matched, the weakest last.

exact: as ISO writes it: its name, common or official name.
within country: its name apart from case, accents, dots, whitespace and words such as "Region", or its code.
alias: by a line of models/reference/place_aliases.csv or place_names.csv.
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
_WRITTEN_OUT = {"st": "saint", "sankt": "saint", "ste": "sainte", "mt": "mount", "ft": "fort"}
_KINDS = {word: kind for kind, text in reference.rows("place_kinds.csv") for word in text.split()}
_KINDS_OF_AREAS = frozenset({"region", "province", "county", "district", "territory"})

# Words for kinds that Chinese, Japanese and Korean append to a name, which has at least two letters without them.
_KIND_SUFFIX = re.compile(
    unicodedata.normalize(
        "NFKD",
        "(?<=..)(?:(?:壮族|壯族|回族|维吾尔|維吾爾)?(?:自治区|自治區|特别行政区|特別行政區)|[省市県縣府都]"
        "|특별자치도|특별자치시|특별시|광역시|도)$",
    )
)

_Index = dict[str, dict[str, MatchKind]]
"""Key of a name -> code -> how it is matched, in order of precedence."""


@dataclass(frozen=True)
class GazetteerMatch:
    """The place that a name stands for, by its canonical name; by the given one if ISO has no code for it."""

    code: str | None
    name: str
    kind: MatchKind


class Gazetteer:
    """A list of places and their other names.

    Args:
        entries: The places; of two with the same name, the more general one is found.
        aliases: Pairs of a name and the code that it stands for, empty if ISO has none. They take precedence over the
            places' own names.
        translations: Returns pairs of a name and a code that stand back behind the places' own names; called when a
            name is not found without them.
    """

    def __init__(
        self,
        entries: Iterable[Entry],
        aliases: Sequence[tuple[str, str]],
        translations: Callable[[], Sequence[tuple[str, str]]] = list,
    ) -> None:
        self._entries = {entry.code: entry for entry in entries}
        self._aliases = aliases
        self._translations = translations

    def find(self, name: str) -> GazetteerMatch | None:
        """Find the place of a name or code, by `fold`, then by `without_kind`; None if it is unknown or ambiguous.

        A name with U+FFFD is compared by its readable part.
        """
        if REPLACEMENT in name:
            return self._match(name, self._by_readable_part.get(readable_part(name), {}))
        key = fold(name)
        codes = self._by_fold.get(key) or self._by_translation.get(key) or self._by_code.get(key)
        return self._match(name, codes or self._of_kind(name))

    def _match(self, name: str, codes: Mapping[str, MatchKind]) -> GazetteerMatch | None:
        """Return the most general of the places; None if there is more than one."""
        if "" in codes:
            return GazetteerMatch(None, name, codes[""])
        top = min((self._entries[code].depth for code in codes), default=0)
        found = [code for code in codes if self._entries[code].depth == top]
        if len(found) != 1:
            return None
        (code,) = found
        entry, kind = self._entries[code], codes[code]
        return GazetteerMatch(code, entry.title, "exact" if kind != "alias" and name in entry.names else kind)

    def _of_kind(self, name: str) -> Mapping[str, MatchKind]:
        """Return the places that share a name apart from the word for the kind, and do not contradict this word."""
        codes = self._by_name_without_kind.get(without_kind(name), {})
        kinds = kinds_in(name)
        if not kinds or "" in codes:
            return codes
        if same := {code: kind for code, kind in codes.items() if self._kinds[code] & kinds}:
            return same
        if kinds & _KINDS_OF_AREAS:  # not a city, nor an area of another kind within one
            return {code: kind for code, kind in codes.items() if not self._is_other_kind(code)}
        return codes if len(codes) == 1 else {}

    def _is_other_kind(self, code: str) -> bool:
        is_part = self._entries[code].depth > 0 and not self._kinds[code].isdisjoint(_KINDS_OF_AREAS)
        return is_part or "city" in self._kinds[code]

    @cached_property
    def _by_fold(self) -> _Index:
        index = _index(fold, self._names())
        for name, code in reversed(self._aliases):
            index[fold(name)] = {code: "alias"}
        return index

    @cached_property
    def _by_translation(self) -> _Index:
        return _index(fold, self._translated())

    @cached_property
    def _by_code(self) -> _Index:
        codes = [(code, entry.code, _WITHIN) for entry in self._entries.values() for code in entry.codes]
        return _index(fold, codes)

    @cached_property
    def _by_name_without_kind(self) -> _Index:
        return _index(without_kind, [*self._aliased(), *self._names(), *self._translated()])

    @cached_property
    def _by_readable_part(self) -> _Index:
        return _index(readable_part, [*self._aliased(), *self._names()])

    @cached_property
    def _kinds(self) -> dict[str, frozenset[str]]:
        """The kinds of each place, by the words in its names and in ISO's type."""
        texts = {code: [entry.type] for code, entry in self._entries.items()}
        for name, code, _ in (*self._aliased(), *self._names(), *self._translated()):
            if code:
                texts[code].append(name)
        return {code: kinds_in(" ".join(names)) for code, names in texts.items()}

    def _names(self) -> list[tuple[str, str, MatchKind]]:
        return [(name, entry.code, _WITHIN) for entry in self._entries.values() for name in entry.names]

    def _aliased(self) -> list[tuple[str, str, MatchKind]]:
        return [(name, code, "alias") for name, code in self._aliases]

    def _translated(self) -> list[tuple[str, str, MatchKind]]:
        own = {(without_kind(name), code) for name, code, _ in self._names()}
        return [
            (name, code, _WITHIN if (without_kind(name), code) in own else "alias")
            for name, code in self._translations()
        ]


_WITHIN: MatchKind = "within country"


def _index(key: Callable[[str], str], names: Iterable[tuple[str, str, MatchKind]]) -> _Index:
    index: _Index = {}
    for name, code, kind in names:
        index.setdefault(key(name), {}).setdefault(code, kind)
    index.pop("", None)
    return index


def kinds_in(name: str) -> frozenset[str]:
    """Return the kinds of places that the words of a name stand for.

    Example:
        >>> sorted(kinds_in("Lviv oblast")), sorted(kinds_in("Lviv"))
        (['region'], [])
    """
    return frozenset(kind for word in _words(name) if (kind := _KINDS.get(word)))


@cache
def countries() -> Gazetteer:
    """Return the countries of ISO 3166-1.

    Example:
        >>> [match.code for name in ("england", "Korea, Republic of", "U.S.") if (match := countries().find(name))]
        ['GB', 'KR', 'US']
    """
    return Gazetteer(reference.countries(), reference.aliases()[""], partial(reference.translations, ""))


@cache
def subdivisions(country_code: str) -> Gazetteer:
    """Return the ISO 3166-2 subdivisions of a country, by its alpha-2 code."""
    names = partial(reference.translations, country_code)
    return Gazetteer(reference.subdivisions(country_code), reference.aliases().get(country_code, []), names)


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


def city_key(name: str) -> str:
    """Return a key that ignores case and accents, and writes out words such as St and Mt.

    Example:
        >>> city_key("St. Paul") == city_key("Saint Paul"), city_key("Mt Angel"), city_key("Winston-Salem")
        (True, 'mount angel', 'winston-salem')
    """
    return " ".join(_WRITTEN_OUT.get(word.removesuffix("."), word) for word in plain(name).split())


def without_kind(name: str) -> str:
    """Return a key that also ignores words for kinds of places, such as Region, County or Land.

    A name that consists of such words keeps them.

    Example:
        >>> without_kind("Northland Region"), without_kind("Região Autónoma dos Açores"), without_kind("State")
        ('northland', 'acores', 'state')
        >>> without_kind("广东省"), without_kind("京都")
        ('广东', '京都')
    """
    parts = _words(name)
    return _KIND_SUFFIX.sub("", "".join([part for part in parts if part not in _KINDS] or parts))


def readable_part(name: str) -> str:
    """Return a key of the ASCII letters alone, which remain of a name after a wrong decoding.

    Example:
        >>> readable_part("K\ufffdrnten"), readable_part("Kärnten")
        ('krnten', 'krnten')
    """
    return fold("".join(letter for letter in unicodedata.normalize("NFC", name) if letter.isascii()))


def _words(name: str) -> list[str]:
    parts = _NON_WORD.sub(" ", _APOSTROPHES.sub("", plain(name))).split()
    return [_WRITTEN_OUT.get(part, part) for part in parts] if len(parts) > 1 else parts
