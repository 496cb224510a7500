"""Keys by which two spellings of a place's name are found to be the same.

Each key forgives more than the one before: `plain` case and accents, `fold` also dots, hyphens and blanks,
`without_kind` also words such as "Region" or "County", and `readable_part` what was lost to a wrong decoding.
"""

from __future__ import annotations

import re
import unicodedata

REPLACEMENT = "\ufffd"
"""What a decoder writes for bytes it cannot read."""

# Letters that are one letter to Unicode, not a letter with an accent; the last is the dotless i.
_LETTERS = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "ŋ": "n", "þ": "th"}
    | {"\u0131": "i"}
)
# Typewriter's and curly ones, the Hawaiian and the modifier letter, and accents that stand alone.
_APOSTROPHES = re.compile("['\u2018\u2019\u02bb\u02bc`\u00b4]")
_NO_WORD = re.compile(r"[\W_]+")
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
    """Take away the blanks around a name and all but one within; a name of blanks is none.

    Example:
        >>> tidy("  New   York "), tidy(" ")
        ('New York', None)
    """
    return " ".join(name.split()) or None if name else None


def plain(name: str) -> str:
    """Give a key that does not tell case, accents or the number of blanks apart.

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
    """Give a key that is also blind to dots, hyphens, apostrophes and blanks.

    Example:
        >>> fold("Hawke's Bay"), fold("N.S.W."), fold("KwaZulu-Natal") == fold("Kwazulu Natal")
        ('hawkesbay', 'nsw', True)
    """
    return "".join(_words(name))


def without_kind(name: str) -> str:
    """Give a key that also leaves out words for kinds of places, such as Region, County or Land.

    A name of such words alone keeps them.

    Example:
        >>> without_kind("Northland Region"), without_kind("Região Autónoma dos Açores"), without_kind("State")
        ('northland', 'acores', 'state')
    """
    words = _words(name)
    return "".join([word for word in words if word not in _KINDS] or words)


def readable_part(name: str) -> str:
    """Give a key of the ASCII letters alone: all that is left of a name whose other letters were lost.

    Example:
        >>> readable_part("K\ufffdrnten"), readable_part("Kärnten")
        ('krnten', 'krnten')
    """
    return fold("".join(letter for letter in unicodedata.normalize("NFC", name) if letter.isascii()))


def _words(name: str) -> list[str]:
    return _NO_WORD.sub(" ", _APOSTROPHES.sub("", plain(name))).split()
