"""Generate place_names.csv and country_languages.csv in models/reference from Unicode CLDR.

    npm pack cldr-core cldr-localenames-full cldr-subdivisions-full  # then unpack each into a folder of its name
    python docs/place_names.py FOLDER

Subdivisions get their English names, countries those in English and in their own languages. A name is left out where it
says nothing new, and where its word for the kind fits another place of that name better: CLDR calls the city of Chiayi
a county.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from brewhouse.places import gazetteer, reference

OFFICIAL = {"official", "de_facto_official", "official_regional"}


def read(file: Path) -> dict[str, Any]:
    """Read a JSON file; empty if there is none."""
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def languages(info: dict[str, Any]) -> list[str]:
    """Return the official languages of a country, as `zh_Hant`."""
    spoken = info.get("languagePopulation", {})
    return [name for name, facts in spoken.items() if facts.get("_officialStatus") in OFFICIAL]


def names(cldr: Path, country: str, spoken: list[str], replaced: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield codes and names of a country and its subdivisions."""
    for language in dict.fromkeys(["en", *(name.replace("_", "-") for name in spoken)]):
        if found := read(cldr / "cldr-localenames-full" / "main" / language / "territories.json"):
            territories = found["main"][language]["localeDisplayNames"]["territories"]
            yield from (
                (country, territories[key]) for key in (country, f"{country}-alt-variant") if key in territories
            )
    english = read(cldr / "cldr-subdivisions-full" / "subdivisions" / "en" / "en.json")
    codes = {division.code for division in reference.subdivisions(country)}
    for key, name in english["subdivisions"]["localeDisplayNames"]["subdivisions"].items():
        new = replaced.get(key, key)
        code = f"{new[:2]}-{new[2:]}".upper()
        if code in codes:
            yield code, name


def translated(spoken: list[str]) -> list[str]:
    """Return the languages for which pycountry has translations of subdivisions, as it names their folders."""
    scripts = {
        "zh": ["zh_CN"],
        "zh_Hant": ["zh_TW", "zh_HK"],
        "pt": ["pt", "pt_BR"],
        "no": ["nb_NO"],
        "nb": ["nb_NO"],
        "bn": ["bn", "bn_IN"],
    }
    folders = [folder for name in spoken for folder in scripts.get(name, [name])]
    return [name for name in dict.fromkeys(folders) if reference.translation_file(name).exists()]


def is_contradicted(code: str, name: str, division_kinds: dict[str, frozenset[str]], siblings: set[str]) -> bool:
    """Return whether the word for the kind in a name fits another place of that name, and not the one it stands for."""
    kinds = gazetteer.kinds_in(name)
    return not kinds & division_kinds[code] and any(kinds & division_kinds[other] for other in siblings - {code})


def kept(country: str, candidates: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield the names that add something."""
    known = {
        country: {
            gazetteer.fold(name) for entry in reference.countries() if entry.code == country for name in entry.names
        }
    }
    entries = reference.subdivisions(country)
    kinds = {entry.code: gazetteer.kinds_in(" ".join((entry.type, *entry.names))) for entry in entries}
    sharing: dict[str, set[str]] = {}
    for entry in entries:
        known[entry.code] = {gazetteer.fold(name) for name in entry.names}
        for name in entry.names:
            sharing.setdefault(gazetteer.without_kind(name), set()).add(entry.code)
    for code, name in candidates:
        if code != country:
            sharing.setdefault(gazetteer.without_kind(name), set()).add(code)
    for code, name in candidates:
        key = gazetteer.fold(name)
        if not key or key in known[code]:
            continue
        if code == country or not is_contradicted(code, name, kinds, sharing[gazetteer.without_kind(name)]):
            known[code].add(key)
            yield code, name


def main(cldr: Path) -> None:
    """Write the file."""
    supplemental = cldr / "cldr-core" / "supplemental"
    territories = read(supplemental / "territoryInfo.json")["supplemental"]["territoryInfo"]
    aliases = read(supplemental / "aliases.json")["supplemental"]["metadata"]["alias"]["subdivisionAlias"]
    replaced = {code: facts["_replacement"] for code, facts in aliases.items() if " " not in facts["_replacement"]}
    shown: list[tuple[str, str]] = []
    spoken: list[tuple[str, str]] = []
    for country in (country.code for country in reference.countries()):
        own = languages(territories.get(country, {}))
        shown += sorted(kept(country, list(names(cldr, country, own, replaced))))
        if folders := translated(own):
            spoken.append((country, " ".join(folders)))
    write("place_names.csv", ("code", "name"), shown)
    write("country_languages.csv", ("country_code", "languages"), spoken)


def write(name: str, header: tuple[str, str], rows: list[tuple[str, str]]) -> None:
    """Write a file of the reference data."""
    with (reference.FOLDER / name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
