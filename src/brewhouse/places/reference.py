"""Reference data of places: ISO 3166 from pycountry's data files, and CSV files next to the models for what it lacks.

pycountry's files are read without importing it, which takes 0.12 s to build its indices; reading takes 0.005 s.
"""

from __future__ import annotations

import csv
from functools import cache
from gettext import GNUTranslations
from importlib.util import find_spec
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import NamedTuple

import msgspec

FOLDER = Path(__file__).parents[1] / "models" / "reference"
_NAMES = ("name", "common_name", "official_name")


class Entry(NamedTuple):
    """A country or subdivision.

    Attributes:
        title: Its canonical name.
        names: Every name that ISO has for it, the title included.
        codes: Codes that stand for it; a name takes precedence over these.
        type: What ISO calls it, such as "Province" or "Capital city".
        depth: Number of subdivisions that it lies in.
        parent: Code of the innermost of them, as ISO writes it.
    """

    code: str
    title: str
    names: tuple[str, ...]
    codes: tuple[str, ...]
    type: str = ""
    depth: int = 0
    parent: str | None = None


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
def countries() -> tuple[Entry, ...]:
    """Read the countries, by code; the title is the common name: `South Korea` rather than `Korea, Republic of`."""
    return tuple(
        Entry(
            code=country["alpha_2"],
            title=country.get("common_name", country["name"]),
            names=_distinct(*map(country.get, _NAMES), in_natural_order(country["name"])),
            codes=(country["alpha_2"], country["alpha_3"]),
        )
        for country in sorted(_read("3166-1"), key=itemgetter("alpha_2"))
    )


@cache
def subdivisions(country_code: str) -> list[Entry]:
    """List the subdivisions of a country, by its alpha-2 code: the most general first, then by code.

    The title is the name without ISO's annotations, in natural word order: `Blekinge län` for `Blekinge län [SE-10]`.
    """
    divisions = _subdivisions_by_country().get(country_code, [])
    parents = {division["code"]: division.get("parent") for division in divisions}

    def depth(code: str) -> int:
        steps = 0
        while parent := parents.get(code):
            steps += 1
            code = parent if "-" in parent else f"{country_code}-{parent}"  # some are written as `ENG`
        return steps

    entries = []
    for division in divisions:
        code, name = division["code"], division["name"]
        title = in_natural_order(name.split(" [")[0].split(" (")[0].removesuffix(" †"))
        codes = (code, code.partition("-")[2])
        names = _distinct(name, title)
        entries.append(Entry(code, title, names, codes, division["type"], depth(code), parents[code]))
    return sorted(entries, key=attrgetter("depth", "code"))


def _distinct(*names: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))


@cache
def _subdivisions_by_country() -> dict[str, list[dict[str, str]]]:
    by_country: dict[str, list[dict[str, str]]] = {}
    for division in _read("3166-2"):
        by_country.setdefault(division["code"][:2], []).append(division)
    return by_country


def _read(standard: str) -> list[dict[str, str]]:
    content = (_pycountry() / "databases" / f"iso{standard}.json").read_bytes()
    return msgspec.json.decode(content, type=dict[str, list[dict[str, str]]])[standard]


def _pycountry() -> Path:
    package = find_spec("pycountry")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("pycountry is not installed")
    return Path(package.origin).parent


@cache
def aliases() -> dict[str, list[tuple[str, str]]]:
    """Read other names with the codes they stand for, by the country they lie in; those of countries by an empty code.

    A code is empty if ISO has none for the place.
    """
    by_country: dict[str, list[tuple[str, str]]] = {}
    for country_code, name, code, _ in rows("place_aliases.csv"):
        by_country.setdefault(country_code, []).append((name, code))
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
        names += [(name, each["code"]) for each in divisions if (name := translate(each["name"])) != each["name"]]
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
def country_boxes() -> list[tuple[str, float, float, float, float]]:
    """Read the bounding boxes of the parts of each country: its code, then west, south, east and north, in degrees.

    The coordinates are of WGS 84; no box crosses the 180th meridian.
    """
    return [(code, float(w), float(s), float(e), float(n)) for code, w, s, e, n in rows("country_boxes.csv")]
