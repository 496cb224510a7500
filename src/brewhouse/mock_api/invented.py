"""The words of which invented breweries are made: real places, and names no brewery has."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """A part of a country, with some of its cities and the middle of it in degrees."""

    country: str
    state: str
    cities: tuple[str, ...]
    longitude: float
    latitude: float
    postal_digits: int
    phone: str


def _place(country: str, state: str, cities: str, where: tuple[float, float], postal: tuple[int, str]) -> Place:
    return Place(country, state, tuple(cities.split(", ")), *where, *postal)


_US = (5, "503555")
_DE = (5, "+49 30 555")
PLACES = (
    _place("United States", "Oregon", "Portland, Bend, Eugene, Salem, Astoria", (-122.6, 44.6), _US),
    _place("United States", "California", "San Diego, Oakland, Fresno, Chico, Petaluma", (-119.4, 36.8), _US),
    _place("United States", "Colorado", "Denver, Boulder, Fort Collins, Durango", (-105.3, 39.5), _US),
    _place("United States", "Texas", "Austin, Houston, Dallas, El Paso, Marfa", (-98.4, 31.5), _US),
    _place("United States", "Vermont", "Burlington, Stowe, Montpelier", (-72.6, 44.2), _US),
    _place("United States", "Michigan", "Detroit, Grand Rapids, Kalamazoo", (-84.9, 43.3), _US),
    _place("United States", "Washington", "Seattle, Spokane, Yakima, Walla Walla", (-120.5, 47.4), _US),
    _place("United States", "North Carolina", "Asheville, Durham, Winston-Salem", (-79.4, 35.6), _US),
    _place("Germany", "Bayern", "München, Bamberg, Nürnberg, Würzburg, Kulmbach", (11.4, 49.0), _DE),
    _place("Germany", "Nordrhein-Westfalen", "Köln, Düsseldorf, Dortmund, Münster", (7.5, 51.5), _DE),
    _place("Germany", "Sachsen", "Dresden, Leipzig, Görlitz", (13.3, 51.0), _DE),
    _place("Austria", "Kärnten", "Klagenfurt am Wörthersee, Villach", (13.9, 46.7), (4, "+43 463 555")),
    _place("Austria", "Wien", "Wien", (16.4, 48.2), (4, "+43 1 555")),
    _place("Belgium", "Vlaanderen", "Gent, Brugge, Leuven, Mol", (4.4, 51.0), (4, "+32 9 555")),
    _place("Belgium", "Région wallonne", "Liège, Namur, Dinant", (5.0, 50.3), (4, "+32 4 555")),
    _place("France", "Bretagne", "Rennes, Brest, Quimper", (-2.9, 48.2), (5, "+33 2 55 55")),
    _place("England", "West Yorkshire", "Leeds, Bradford, Hebden Bridge", (-1.7, 53.8), (4, "0113 555")),
    _place("England", "Bristol", "Bristol", (-2.6, 51.5), (4, "0117 555")),
    _place("Scotland", "Highland", "Inverness, Fort William, Ullapool", (-4.8, 57.5), (4, "01463 555")),
    _place("Isle of Man", "Isle of Man", "Douglas, Peel", (-4.5, 54.2), (4, "01624 555")),
    _place("Ireland", "Galway", "Galway, Clifden, Oranmore", (-9.0, 53.3), (4, "+353 91 555")),
    _place("Ireland", "Cork", "Cork, Kinsale, Bantry", (-8.5, 51.9), (4, "+353 21 555")),
    _place("Poland", "Dolnośląskie", "Wrocław, Świdnica, Legnica", (16.9, 51.1), (5, "+48 71 555")),
    _place("Portugal", "Lisboa", "Lisboa, Sintra, Cascais", (-9.2, 38.8), (4, "+351 21 555")),
    _place("Italy", "Lazio", "Roma, Latina, Viterbo", (12.6, 41.9), (5, "+39 06 555")),
    _place("Sweden", "Skåne", "Malmö, Lund, Ystad", (13.5, 55.9), (5, "+46 40 555")),
    _place("Australia", "NSW", "Sydney, Newcastle, Byron Bay", (149.0, -32.2), (4, "+61 2 5550")),
    _place("Australia", "Victoria", "Melbourne, Ballarat, Bright", (144.3, -37.0), (4, "+61 3 5550")),
    _place("New Zealand", "Northland", "Whangārei, Kerikeri", (174.0, -35.4), (4, "+64 9 555")),
    _place("South Korea", "Daegu", "Daegu", (128.6, 35.9), (5, "053-555-")),
    _place("Japan", "Hokkaidō", "Sapporo, Otaru, Hakodate", (142.4, 43.4), (7, "011-555-")),
    _place("Singapore", "Singapore", "Singapore", (103.8, 1.3), (6, "+65 6555 ")),
)

TYPES = (
    *(("micro",) * 100),
    *(("brewpub",) * 66),
    *(("planning",) * 11),
    *(("closed",) * 11),
    *(("regional",) * 4),
    *(("contract",) * 3),
    *(("large",) * 2),
    *(("proprietor",) * 2),
    *("taproom", "bar", "nano", "cidery", "beergarden", "location"),
)
"""The types in the shares they have; 11 % are closed or planning, which are no places to have a beer."""

STEMS = (
    "Brindl",
    "Quorv",
    "Ostra",
    "Velmar",
    "Thistle",
    "Zunder",
    "Ferrow",
    "Marlquin",
    "Oxbar",
    "Pelgrin",
    "Snarrow",
    "Tolluv",
    "Umberd",
    "Wexal",
    "Yarrick",
    "Dravenn",
    "Eskwil",
    "Galvor",
    "Hollux",
    "Ibberd",
    "Jorvan",
    "Kestwin",
    "Lunquar",
    "Nethro",
)
ENDINGS = (
    "wick",
    "vane",
    "moor",
    "dell",
    "stow",
    "garth",
    "fell",
    "quay",
    "holt",
    "mere",
    "combe",
    "nook",
    "rill",
    "thorpe",
    "lund",
    "berg",
)
KINDS = (
    "Brewing Co",
    "Brewery",
    "Beer Company",
    "Brauerei",
    "Brewpub",
    "Ales",
    "Brouwerij",
    "Craft Beer",
    "Fermentations",
    "Taproom",
)
ACCENTED = (
    "Brøndvåk Bryggeri",
    "Müllenquär Bräu",
    "Çandoré Brasserie",
    "Žďárnix Pivovar",
    "Ōkumaré & Söhne",
    "李鸟酿",
)
EMOJI = ("🍺", "🍻", "🌾", "👩‍🔬", "🇧🇪")
STREETS = (
    "Malt Lane",
    "Hop Street",
    "Cooper Row",
    "Mash Tun Road",
    "Yeast Alley",
    "Barley Mow",
    "Kettle Way",
)
