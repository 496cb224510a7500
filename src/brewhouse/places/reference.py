"""Reference data of places: ISO 3166 from pycountry's data files, and CSV files next to the models for what it lacks.

pycountry's files are read without importing it, which takes 0.12 s to build its indices; reading takes 0.005 s.
"""

from __future__ import annotations

import csv
from functools import cache
from gettext import GNUTranslations
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import msgspec

FOLDER = Path(__file__).parents[1] / "models" / "reference"


class Country(msgspec.Struct, frozen=True):
    """A country of ISO 3166-1."""

    alpha_2: str
    alpha_3: str
    name: str
    common_name: str | None = None
    official_name: str | None = None

    @property
    def title(self) -> str:
        """The common name: `South Korea` rather than `Korea, Republic of`."""
        return self.common_name or self.name


class Subdivision(msgspec.Struct, frozen=True):
    """A subdivision of ISO 3166-2; `depth` is the number of subdivisions that it lies in."""

    code: str
    name: str
    type: str
    parent: str | None = None
    depth: int = 0

    @property
    def title(self) -> str:
        """The name without ISO's annotations, in natural word order.

        Example:
            >>> [Subdivision("", name, "").title for name in ("Blekinge län [SE-10]", "Bruxelles-Capitale, Région de")]
            ['Blekinge län', 'Région de Bruxelles-Capitale']
        """
        return in_natural_order(self.name.split(" [")[0].split(" (")[0].removesuffix(" †"))


class Alias(NamedTuple):
    """Another name of a place.

    Attributes:
        country_code: ISO 3166-1 alpha-2 of the country it lies in; empty for an alias of a country.
        name: The alias.
        code: ISO 3166-2, or ISO 3166-1 alpha-2 of a country; empty if ISO has no code for the place.
        origin: Where the alias comes from.
    """

    country_code: str
    name: str
    code: str
    origin: str


class Box(NamedTuple):
    """A bounding box of a country or a part of it, in degrees, WGS 84; none crosses the 180th meridian."""

    country_code: str
    west: float
    south: float
    east: float
    north: float


def in_natural_order(name: str) -> str:
    """Reverse the inversion of a name, unless the comma separates a list of names.

    Example:
        >>> in_natural_order("Durham, County"), in_natural_order("Bournemouth, Christchurch and Poole")
        ('County Durham', 'Bournemouth, Christchurch and Poole')
    """
    head, comma, tail = name.partition(", ")
    is_list = any(word in tail.split() for word in ("and", "y"))
    return f"{tail} {head}" if comma and not is_list else name


@cache
def countries() -> tuple[Country, ...]:
    """Read the countries, in the order of their codes."""
    entries = msgspec.json.decode(_read("iso3166-1.json"), type=dict[str, list[Country]])["3166-1"]
    return tuple(sorted(entries, key=lambda country: country.alpha_2))


def subdivisions(country_code: str) -> list[Subdivision]:
    """List the subdivisions of a country, by its alpha-2 code: the most general first, then by code."""
    divisions = _subdivisions_by_country().get(country_code, [])
    parents = {division.code: division.parent for division in divisions}

    def depth(division: Subdivision) -> int:
        parent = division.parent
        steps = 0
        while parent:
            steps += 1
            parent = parents.get(parent if "-" in parent else f"{country_code}-{parent}")  # some are written as `ENG`
        return steps

    placed = [msgspec.structs.replace(division, depth=depth(division)) for division in divisions]
    return sorted(placed, key=lambda division: (division.depth, division.code))


@cache
def _subdivisions_by_country() -> dict[str, list[Subdivision]]:
    by_country: dict[str, list[Subdivision]] = {}
    for division in msgspec.json.decode(_read("iso3166-2.json"), type=dict[str, list[Subdivision]])["3166-2"]:
        by_country.setdefault(division.code[:2], []).append(division)
    return by_country


def _read(name: str) -> bytes:
    return (_pycountry() / "databases" / name).read_bytes()


def _pycountry() -> Path:
    package = find_spec("pycountry")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("pycountry is not installed")
    return Path(package.origin).parent


@cache
def aliases() -> dict[str, list[Alias]]:
    """Read the aliases, by the code of the country they lie in; those of countries by an empty code."""
    by_country: dict[str, list[Alias]] = {}
    for row in rows("place_aliases.csv"):
        by_country.setdefault(row[0], []).append(Alias(*row))
    return by_country


def translations(country_code: str) -> list[tuple[str, str]]:
    """List names with the codes they stand for: CLDR's, and of subdivisions those in the country's languages.

    Args:
        country_code: Of the subdivisions; empty for the names of the countries.
    """
    names = list(_cldr_names().get(country_code, []))
    for language in _languages().get(country_code, "").split():
        translate = _translation(language).gettext
        divisions = _subdivisions_by_country().get(country_code, [])
        names += [(name, each.code) for each in divisions if (name := translate(each.name)) != each.name]
    return names


@cache
def _cldr_names() -> dict[str, list[tuple[str, str]]]:
    by_country: dict[str, list[tuple[str, str]]] = {}
    for code, name in rows("place_names.csv"):
        by_country.setdefault(code[:2] if "-" in code else "", []).append((name, code))
    return by_country


@cache
def _languages() -> dict[str, str]:
    return dict(rows("country_languages.csv"))


@cache
def _translation(language: str) -> GNUTranslations:
    with translation_file(language).open("rb") as file:
        return GNUTranslations(file)


def translation_file(language: str) -> Path:
    """Return the file of pycountry with the names of subdivisions in a language."""
    return _pycountry() / "locales" / language / "LC_MESSAGES" / "iso3166-2.mo"


def rows(file_name: str) -> list[list[str]]:
    """Read the rows of a file in the folder, without its header."""
    with (FOLDER / file_name).open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


@cache
def country_boxes() -> list[Box]:
    """Read the boxes of all countries, one or more each."""
    return [Box(row[0], *map(float, row[1:])) for row in rows("country_boxes.csv")]
