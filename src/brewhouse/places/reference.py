"""Reference data that ISO 3166 lacks, in CSV files next to the models: aliases of places, and bounding boxes."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parents[1] / "models" / "reference"


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


@cache
def aliases() -> dict[str, list[Alias]]:
    """Read the aliases, by the code of the country they lie in; those of countries by an empty code."""
    by_country: dict[str, list[Alias]] = {}
    for row in rows("place_aliases.csv"):
        by_country.setdefault(row[0], []).append(Alias(*row))
    return by_country


def rows(file_name: str) -> list[list[str]]:
    """Read the rows of a file in the folder, without its header."""
    with (FOLDER / file_name).open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]
