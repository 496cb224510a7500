"""Texts of the console: English in code and templates, translations in `locale/<language>/<page>.toml`.

Errors, events, checks, tables and columns come as finished texts, from other packages and from stored events. They are
translated by the templates in `locale/<language>/messages/`: a value in braces matches any text, `{word}` only one
without spaces, and `{text}` is a message itself.
"""

from __future__ import annotations

import gettext
import re
import tomllib
import unicodedata
from collections.abc import Iterable
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from babel import Locale

if TYPE_CHECKING:
    from brewhouse.console.overview import BreweryCount

LANGUAGES = {"en": "English", "pt-BR": "Português"}
COOKIE = "brewhouse_language"
FOLDER = Path(__file__).parent / "locale"
MESSAGES = "messages"
"""Folder of the templates of messages."""
_PAIR = re.compile(r'"(\w+)":(?:"((?:[^"\\]|\\.)*)|([^,}"]+))')
_MARKS = re.compile("[\u0300-\u036f]")  # accents
_VALUE = re.compile(r"{(\w+)}")
_END = re.compile(r"(?<=[.!?…]) (?=\S)|; |\n\s*")
_NUMBER = re.compile(r"-?\d{1,3}(,\d{3})*(\.\d+)?|-?\d+\.\d+")
_SWAPPED = str.maketrans(",.", ".,")
_MAX_CHARACTERS = 5000
_MAX_SENTENCES = 30
_MAX_TEMPLATE_SENTENCES = 4
_BY_PRIMARY_SUBTAG = {language.partition("-")[0]: language for language in LANGUAGES}


def match_language(tag: str | None) -> str | None:
    """Find the supported language of a BCP 47 tag by its primary subtag.

    Example:
        >>> match_language("pt"), match_language("PT-PT"), match_language("en-GB"), match_language("de")
        ('pt-BR', 'pt-BR', 'en', None)
    """
    return _BY_PRIMARY_SUBTAG.get((tag or "").strip().lower().replace("_", "-").partition("-")[0])


def negotiate_language(cookie: str | None, accept_language: str | None) -> str:
    """Choose the language of a response: that of the cookie, else the first supported one of the header, else English.

    Example:
        >>> negotiate_language(None, "fr-CA, pt-PT;q=0.8, en;q=0.5"), negotiate_language("en", "pt")
        ('pt-BR', 'en')
    """
    tags = (cookie, *(part.partition(";")[0] for part in (accept_language or "").split(",")))
    return next((language for tag in tags if (language := match_language(tag))), "en")


class Translator:
    """Texts in one language, looked up by the English ones; an unsupported language becomes English.

    Example:
        >>> Translator("pt")("Tables"), Translator("en")("{count} rows", count="1,997")
        ('Tabelas', '1,997 rows')
    """

    def __init__(self, language: str) -> None:
        self.language = match_language(language) or "en"
        self._texts = texts(self.language)

    def __call__(self, text: str, **values: object) -> str:
        """Translate a text and insert values at the names in braces."""
        translation = self._texts.get(text, text)
        return translation.format(**values) if values else translation

    def many(self, one: str, other: str, number: int, **values: object) -> str:
        """Translate the singular or the plural text, by a number; Brazilians write 0 with the plural, unlike CLDR."""
        return self(one if number == 1 else other, **values)

    def message(self, text: str) -> str:
        """Translate a finished text, such as an error with its hint or the message of an event; unknown ones stay.

        Example:
            >>> Translator("pt-BR").message("page is never null")
            'page nunca é nulo'
        """
        return _message(self.language, self(text))

    def example(self, example: str) -> tuple[str, str]:
        """Split the example of a check, JSON that may be cut off, into the id of a brewery and its other values.

        Example:
            >>> english = Translator("en")
            >>> english.example('{"id":"b-54","name":"Batzen","country_name":"Italy","detail":"latitude 11.3 is n…')
            ('b-54', 'Batzen · Italy · latitude 11.3 is n…')
            >>> english.example("3 rows too many")
            ('', '3 rows too many')
        """
        values = {name: text or plain for name, text, plain in _PAIR.findall(example)}
        if not values:
            return "", self.message(example)
        id_, name = values.pop("id", ""), values.pop("name", "null")
        shown = [name, *(self.message(self.country(value)) for value in values.values())]
        return id_, " · ".join(value.replace('\\"', '"') for value in shown if value != "null")

    def country(self, name: str) -> str:
        """Translate the English name of a country, by the catalogue of pycountry; unknown names stay."""
        return _country(self.language, name)

    def label(self, field: str, count: BreweryCount) -> str:
        """Name a country, state, city or type that breweries are counted by."""
        if count.key == "none":
            return self("unknown")
        return self(count.name) if field == "type" else self.country(count.name) if field == "country" else count.name

    def sorted_labels(self, field: str, counts: Iterable[BreweryCount]) -> list[tuple[BreweryCount, str]]:
        """Name what breweries are counted by, in the order of the names, ignoring case and accents."""
        labelled = [(count, self.label(field, count)) for count in counts]
        return sorted(labelled, key=lambda each: _MARKS.sub("", unicodedata.normalize("NFD", each[1].casefold())))


@cache
def locale_of(language: str) -> Locale:
    """Return the locale of dates, numbers and plurals."""
    return Locale.parse("pt_BR" if match_language(language) == "pt-BR" else "en_GB")


@lru_cache(1000)
def _country(language: str, name: str) -> str:
    import pycountry

    names = gettext.translation("iso3166-1", pycountry.LOCALES_DIR, [language.replace("-", "_")], fallback=True)
    return texts(language).get(name) or names.gettext(name)


@cache
def texts(language: str, folder: str = "") -> dict[str, str]:
    """Read the translations of a language, by English text; English itself has none."""
    files = sorted((FOLDER / language / folder).glob("*.toml"))
    return {english: text for file in files for english, text in tomllib.loads(file.read_text("utf-8")).items()}


@cache
def _templates(language: str) -> list[tuple[re.Pattern[str], str]]:
    """Compile the templates of messages, those with the most text first; matching takes linear time."""
    templates = []
    for english, translation in texts(language, MESSAGES).items():
        first, *rest = _VALUE.split(english)
        pattern, groups = re.escape(first), list(zip(rest[::2], map(re.escape, rest[1::2]), strict=True))
        for number, (name, literal) in enumerate(groups, start=1):
            value = rf"(?P<{name}>\S+" if name.startswith("word") else f"(?P<{name}>.+"
            pattern += f"{value}){literal}" if number == len(groups) else f"(?>{value}?){literal})"
        templates.append((len(_VALUE.sub("", english)), re.compile(pattern, re.DOTALL), translation))
    return [(pattern, translation) for _, pattern, translation in sorted(templates, key=lambda each: -each[0])]


@lru_cache(10_000)
def _message(language: str, text: str, depth: int = 3) -> str:
    """Translate sentence by sentence, as a sentence may be a whole template or a part of one."""
    done = ""
    is_translatable = depth and len(text) <= _MAX_CHARACTERS and _templates(language)
    for _ in range(_MAX_SENTENCES if is_translatable else 0):
        ends = [(end.start(), end.end()) for end in islice(_END.finditer(text), _MAX_TEMPLATE_SENTENCES)]
        ends.append((len(text), len(text)))
        known = ((end, next_, _sentence(language, text[:end], depth)) for end, next_ in ends)
        end, start, translated = next((each for each in known if each[2]), (*ends[0], text[: ends[0][0]]))
        done, text = f"{done}{translated}{text[end:start]}", text[start:]
    return done + text


def _sentence(language: str, text: str, depth: int) -> str | None:
    """Translate a text that is a template, with its values; messages among them, called `text`, are translated, too."""
    for pattern, translation in _templates(language):
        if match := pattern.fullmatch(text):
            values = {name: _value(language, name, value, depth) for name, value in match.groupdict().items()}
            return translation.format(**values)
    full_stop = _sentence(language, text[:-1], depth) if text.endswith(".") else None
    return full_stop and f"{full_stop}."


def _value(language: str, name: str, value: str, depth: int) -> str:
    if name.startswith("text"):
        return _message(language, value, depth - 1)
    if name == "country":
        return _country(language, value)
    is_number = not name.startswith(("version", "required")) and _NUMBER.fullmatch(value)
    return value.translate(_SWAPPED) if is_number else value
