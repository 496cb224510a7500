"""Keys under which different spellings of a place's name are equal.

Each key ignores more than the one before: `plain` case and accents, `fold` also punctuation and whitespace,
`without_kind` also words such as "Region" or "County", and `readable_part` letters lost to a wrong decoding.
"""

from __future__ import annotations

import re
import unicodedata

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
