"""The CSV files beside the models that tell what ISO 3166 does not: other names of places, and where countries lie."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parents[1] / "models" / "reference"


class Alias(NamedTuple):
    """Another name of a place.

    Attributes:
        country_code: ISO 3166-1 alpha-2 of the country it lies in; empty for a country's own name.
        name: The other name.
        code: What it stands for: ISO 3166-2, or ISO 3166-1 alpha-2 for a country. Empty if ISO has no code for it.
        origin: Where the name comes from.
    """

    country_code: str
    name: str
    code: str
    origin: str


@cache
def aliases() -> dict[str, list[Alias]]:
    """Read the other names, by the code of the country they lie in; those of countries under the empty one."""
    by_country: dict[str, list[Alias]] = {}
    for row in rows("place_aliases.csv"):
        by_country.setdefault(row[0], []).append(Alias(*row))
    return by_country


def rows(file_name: str) -> list[list[str]]:
    """Read a file of the folder without its first line, the columns' names."""
    with (FOLDER / file_name).open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]
