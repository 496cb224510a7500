"""Words for generated breweries: real places, and names that no real brewery has."""

from __future__ import annotations

import csv
from itertools import islice
from pathlib import Path
from typing import NamedTuple


class Region(NamedTuple):
    """A region of a country with some of its cities, and its centre in degrees."""

    country: str
    state: str
    cities: tuple[str, ...]
    longitude: float
    latitude: float
    postal_digits: int
    phone: str


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


with (Path(__file__).parent / "regions.csv").open(encoding="utf-8", newline="") as _file:
    REGIONS = [
        Region(country, state, _split(cities), float(x), float(y), int(digits), phone)
        for country, state, cities, x, y, digits, phone in islice(csv.reader(_file), 1, None)
    ]

TYPES = (
    *(("micro",) * 100), *(("brewpub",) * 66), *(("planning",) * 11), *(("closed",) * 11), *(("regional",) * 4),
    *(("contract",) * 3), *(("large",) * 2), *(("proprietor",) * 2),
    "taproom", "bar", "nano", "cidery", "beergarden", "location",
)  # fmt: skip
"""Brewery types in the proportions of the real dataset; 11 % are closed or planning."""

STEMS = _split(
    "Brindl, Quorv, Ostra, Velmar, Thistle, Zunder, Ferrow, Marlquin, Oxbar, Pelgrin, Snarrow, Tolluv, Umberd, "
    "Wexal, Yarrick, Dravenn, Eskwil, Galvor, Hollux, Ibberd, Jorvan, Kestwin, Lunquar, Nethro"
)
ENDINGS = _split("wick, vane, moor, dell, stow, garth, fell, quay, holt, mere, combe, nook, rill, thorpe, lund, berg")
KINDS = _split(
    "Brewing Co, Brewery, Beer Company, Brauerei, Brewpub, Ales, Brouwerij, Craft Beer, Fermentations, Taproom"
)
ACCENTED = _split("Brøndvåk Bryggeri, Müllenquär Bräu, Çandoré Brasserie, Žďárnix Pivovar, Ōkumaré & Söhne, 李鸟酿")
EMOJI = _split("🍺, 🍻, 🌾, 👩‍🔬, 🇧🇪")
STREETS = _split("Malt Lane, Hop Street, Cooper Row, Mash Tun Road, Yeast Alley, Barley Mow, Kettle Way")
