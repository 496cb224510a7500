"""The words of the pages: English in the code and the templates, Portuguese in `locale/pt`, one file a page."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

LANGUAGES = {"en": "English", "pt": "Português"}
COOKIE = "brewhouse_language"
FOLDER = Path(__file__).parent / "locale"


def chosen(cookie: str | None, accept_language: str | None) -> str:
    """Choose a reader's language: what they chose, else the first their browser asks for, else English.

    Args:
        cookie: What they chose before.
        accept_language: The header of the request; its order is taken as its preference.

    Example:
        >>> chosen(None, "fr-CA, pt-BR;q=0.8, en;q=0.5"), chosen("en", "pt"), chosen(None, None)
        ('pt', 'en', 'en')
    """
    asked = [part.partition(";")[0].partition("-")[0].strip().lower() for part in (accept_language or "").split(",")]
    return next((language for language in (cookie, *asked) if language in LANGUAGES), "en") or "en"


class Words:
    """The texts of one language; called with an English one, it gives it in that language.

    Args:
        language: A key of `LANGUAGES`.

    Example:
        >>> Words("pt")("Tables"), Words("en")("{count} rows", count="1,997")
        ('Tabelas', '1,997 rows')
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self._texts = texts(language)

    def __call__(self, text: str, **values: object) -> str:
        """Give a text, with values in the place of names in braces."""
        found = self._texts.get(text, text)
        return found.format(**values) if values else found

    def many(self, one: str, other: str, number: int, **values: object) -> str:
        """Give the text for one, or that for another number."""
        return self(one if number == 1 else other, **values)


@cache
def texts(language: str) -> dict[str, str]:
    """Read the texts of a language, by the English ones; English has none of its own."""
    found: dict[str, str] = {}
    for file in sorted((FOLDER / language).glob("*.toml")):
        found.update(tomllib.loads(file.read_text("utf-8")))
    return found
