"""Interface texts: English in code and templates, translations in `locale/<language>/<page>.toml`."""

from __future__ import annotations

import gettext
import tomllib
from functools import cache
from pathlib import Path

LANGUAGES = {"en": "English", "pt-BR": "Português"}
COOKIE = "brewhouse_language"
FOLDER = Path(__file__).parent / "locale"
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

    def country(self, name: str) -> str:
        """Translate the English name of a country, by the catalogue of pycountry; unknown names stay."""
        return _countries(self.language).gettext(name)

    def many(self, one: str, other: str, number: int, **values: object) -> str:
        """Translate the singular or the plural text, by a number."""
        return self(one if number == 1 else other, **values)


@cache
def _countries(language: str) -> gettext.NullTranslations:
    import pycountry

    return gettext.translation("iso3166-1", pycountry.LOCALES_DIR, [language.replace("-", "_")], fallback=True)


@cache
def texts(language: str) -> dict[str, str]:
    """Read the translations of a language, by English text; English itself has none."""
    files = sorted((FOLDER / language).glob("*.toml"))
    return {english: text for file in files for english, text in tomllib.loads(file.read_text("utf-8")).items()}
