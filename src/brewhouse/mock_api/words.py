"""Words for generated breweries: real places, and names that no real brewery has."""

from __future__ import annotations

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


_US = (5, "503555")
_DE = (5, "+49 30 555")
REGIONS = [
    Region(country, state, _split(cities), *centre, *postal)
    for country, state, cities, centre, postal in (
        ("United States", "Oregon", "Portland, Bend, Eugene, Salem, Astoria", (-122.6, 44.6), _US),
        ("United States", "California", "San Diego, Oakland, Fresno, Chico, Petaluma", (-119.4, 36.8), _US),
        ("United States", "Colorado", "Denver, Boulder, Fort Collins, Durango", (-105.3, 39.5), _US),
        ("United States", "Texas", "Austin, Houston, Dallas, El Paso, Marfa", (-98.4, 31.5), _US),
        ("United States", "Vermont", "Burlington, Stowe, Montpelier", (-72.6, 44.2), _US),
        ("United States", "Michigan", "Detroit, Grand Rapids, Kalamazoo", (-84.9, 43.3), _US),
        ("United States", "Washington", "Seattle, Spokane, Yakima, Walla Walla", (-120.5, 47.4), _US),
        ("United States", "North Carolina", "Asheville, Durham, Winston-Salem", (-79.4, 35.6), _US),
        ("Germany", "Bayern", "München, Bamberg, Nürnberg, Würzburg, Kulmbach", (11.4, 49.0), _DE),
        ("Germany", "Nordrhein-Westfalen", "Köln, Düsseldorf, Dortmund, Münster", (7.5, 51.5), _DE),
        ("Germany", "Sachsen", "Dresden, Leipzig, Görlitz", (13.3, 51.0), _DE),
        ("Austria", "Kärnten", "Klagenfurt am Wörthersee, Villach", (13.9, 46.7), (4, "+43 463 555")),
        ("Austria", "Wien", "Wien", (16.4, 48.2), (4, "+43 1 555")),
        ("Belgium", "Vlaanderen", "Gent, Brugge, Leuven, Mol", (4.4, 51.0), (4, "+32 9 555")),
        ("Belgium", "Région wallonne", "Liège, Namur, Dinant", (5.0, 50.3), (4, "+32 4 555")),
        ("France", "Bretagne", "Rennes, Brest, Quimper", (-2.9, 48.2), (5, "+33 2 55 55")),
        ("England", "West Yorkshire", "Leeds, Bradford, Hebden Bridge", (-1.7, 53.8), (4, "0113 555")),
        ("England", "Bristol", "Bristol", (-2.6, 51.5), (4, "0117 555")),
        ("Scotland", "Highland", "Inverness, Fort William, Ullapool", (-4.8, 57.5), (4, "01463 555")),
        ("Isle of Man", "Isle of Man", "Douglas, Peel", (-4.5, 54.2), (4, "01624 555")),
        ("Ireland", "Galway", "Galway, Clifden, Oranmore", (-9.0, 53.3), (4, "+353 91 555")),
        ("Ireland", "Cork", "Cork, Kinsale, Bantry", (-8.5, 51.9), (4, "+353 21 555")),
        ("Poland", "Dolnośląskie", "Wrocław, Świdnica, Legnica", (16.9, 51.1), (5, "+48 71 555")),
        ("Portugal", "Lisboa", "Lisboa, Sintra, Cascais", (-9.2, 38.8), (4, "+351 21 555")),
        ("Italy", "Lazio", "Roma, Latina, Viterbo", (12.6, 41.9), (5, "+39 06 555")),
        ("Sweden", "Skåne", "Malmö, Lund, Ystad", (13.5, 55.9), (5, "+46 40 555")),
        ("Australia", "NSW", "Sydney, Newcastle, Byron Bay", (149.0, -32.2), (4, "+61 2 5550")),
        ("Australia", "Victoria", "Melbourne, Ballarat, Bright", (144.3, -37.0), (4, "+61 3 5550")),
        ("New Zealand", "Northland", "Whangārei, Kerikeri", (174.0, -35.4), (4, "+64 9 555")),
        ("South Korea", "Daegu", "Daegu", (128.6, 35.9), (5, "053-555-")),
        ("Japan", "Hokkaidō", "Sapporo, Otaru, Hakodate", (142.4, 43.4), (7, "011-555-")),
        ("Singapore", "Singapore", "Singapore", (103.8, 1.3), (6, "+65 6555 ")),
    )
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
