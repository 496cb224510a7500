"""Breweries to serve: invented ones in any number, or those of a CSV file of the public dataset."""

from __future__ import annotations

import csv
import random
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.mock_api.dialects import FIELDS
from brewhouse.mock_api.invented import ACCENTED, EMOJI, ENDINGS, KINDS, PLACES, STEMS, STREETS, TYPES
from brewhouse.mock_api.php_json import NumberAsWritten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Record = dict[str, object]

CSV_COLUMNS = FIELDS[:-2]
_SPREAD_DEGREES = 0.2
_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def generate(count: int, seed: int = 1, *, unusable: int = 0) -> Iterator[Record]:
    """Invent breweries, the same ones for the same seed; a larger count only adds to them.

    In every hundred rows there is one of each awkward thing real data has: blanks around values, doubled
    blanks, accents, emoji, coordinates as text, out of range or at 0,0, empty strings, no state.

    Args:
        count: How many records.
        seed: What the ids and everything else are made from.
        unusable: How many of them no table can take: by turns an empty name and an id that is no UUID.

    Yields:
        Records with the API's 16 fields in the API's order; no two have the same id.

    Raises:
        UsageError: When a number is negative, or more records are to be unusable than there are.

    Example:
        >>> first, second = generate(2)
        >>> first["id"], first["country"], first == next(generate(1))
        ('cd613e30-d8f1-4adf-81b7-584a2265b1f5', 'United States', True)
    """
    if count < 0 or not 0 <= unusable <= count:
        raise UsageError(f"{unusable} unusable of {count} breweries cannot be made.", hint="Ask for 0 or more.")
    chance = random.Random(seed)  # noqa: S311 - the same invented data for the same seed is the point
    for row in range(count):
        record = _invent(chance)
        awkward = _AWKWARD.get(row % 100)
        if awkward:
            awkward(record, row // 100)
        spoilt = (row + 1) * unusable // count
        if spoilt > row * unusable // count:
            record["name" if spoilt % 2 else "id"] = "" if spoilt % 2 else f"brewery-{row}"
        yield record


def read_csv(path: Path | str) -> Iterator[Record]:
    """Read a CSV file of the public dataset as the API would answer it.

    Args:
        path: A file with a header and the API's columns, but for `state` and `street`.

    Yields:
        Records with the API's 16 fields in the API's order; an empty cell is `None`, a coordinate is a number
        that keeps its digits, and a coordinate that is no number stays text.

    Raises:
        BrewhouseError: When the file is missing, unreadable or lacks a column; raised before the first row is
            asked for.
    """
    with _readable(path), _open(path) as file:
        header = next(csv.reader(file), [])
    missing = [column for column in CSV_COLUMNS if column not in header]
    if missing:
        raise BrewhouseError(
            f"The dataset '{path}' has no column {', '.join(missing)}.",
            hint=f"Its header must have {', '.join(CSV_COLUMNS)}.",
        )
    return _rows(path)


def coordinate(text: str) -> float | str:
    """Read a coordinate so that it goes into JSON as it stands here.

    Example:
        >>> coordinate("36"), coordinate("11.327765"), coordinate("11.50").text, coordinate("12° E")
        (36, 11.327765, '11.50', '12° E')
    """
    if not _JSON_NUMBER.fullmatch(text):
        return text
    number = float(text)
    if str(int(number)) == text:
        return int(number)
    return number if repr(number) == text else NumberAsWritten(text)


def _open(path: Path | str) -> TextIO:
    return Path(path).open(encoding="utf-8-sig", newline="")


@contextmanager
def _readable(path: Path | str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BrewhouseError(
            f"The dataset '{path}' cannot be read: {error.strerror}.",
            hint="Give the path of a breweries CSV.",
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BrewhouseError(f"The dataset '{path}' is no CSV in UTF-8: {error}.", hint="Save it anew.") from error


def _rows(path: Path | str) -> Iterator[Record]:
    with _readable(path), _open(path) as file:
        for cells in csv.DictReader(file, strict=True):
            record: Record = {column: cells[column] or None for column in CSV_COLUMNS}
            for column in ("longitude", "latitude"):
                record[column] = coordinate(cells[column]) if cells[column] else None
            record["state"] = record["state_province"]
            record["street"] = record["address_1"]
            yield record


def _invent(chance: random.Random) -> Record:
    dice = chance.random
    number = f"{chance.getrandbits(128):032x}"
    stem = STEMS[int(dice() * len(STEMS))] + ENDINGS[int(dice() * len(ENDINGS))]
    place = PLACES[int(dice() ** 2 * len(PLACES))]
    digits = int(dice() * 1_000_000_000)
    street = f"{digits % 997 + 1} {STREETS[digits % len(STREETS)]}" if digits % 16 else None
    has_place = digits % 5 > 0
    return {
        "id": f"{number[:8]}-{number[8:12]}-4{number[13:16]}-8{number[17:20]}-{number[20:]}",
        "name": f"{stem} {KINDS[digits % len(KINDS)]}",
        "brewery_type": TYPES[int(dice() * len(TYPES))],
        "address_1": street,
        "address_2": f"Unit {digits % 40}" if digits % 23 == 0 else None,
        "address_3": None,
        "city": place.cities[digits % len(place.cities)],
        "state_province": place.state,
        "postal_code": f"{digits:09d}"[-place.postal_digits :],
        "country": place.country,
        "longitude": round(place.longitude + (dice() - 0.5) * _SPREAD_DEGREES, 8) if has_place else None,
        "latitude": round(place.latitude + (dice() - 0.5) * _SPREAD_DEGREES, 8) if has_place else None,
        "phone": f"{place.phone}{digits % 10_000:04d}" if digits % 11 else None,
        "website_url": f"https://{stem.lower()}.example/beer" if digits % 9 else None,
        "state": place.state,
        "street": street,
    }


def _blanks_around(record: Record, turn: int) -> None:
    field = ("name", "city", "country", "address_1")[turn % 4]
    record[field] = f" {record[field] or 'Malt Lane'} "
    record["street"] = record["address_1"]


def _doubled_blanks(record: Record, _turn: int) -> None:
    record["name"] = str(record["name"]).replace(" ", "  ")


def _accents(record: Record, turn: int) -> None:
    record["name"] = ACCENTED[turn % len(ACCENTED)]


def _emoji(record: Record, turn: int) -> None:
    record["name"] = f"{record['name']} {EMOJI[turn % len(EMOJI)]}"


def _coordinates(longitude: object, latitude: object) -> Callable[[Record, int], None]:
    def awkward(record: Record, _turn: int) -> None:
        record["longitude"], record["latitude"] = longitude, latitude

    return awkward


def _coordinates_as_text(record: Record, _turn: int) -> None:
    for name in ("longitude", "latitude"):
        record[name] = None if record[name] is None else str(record[name])


def _empty_strings(record: Record, _turn: int) -> None:
    record["address_2"] = record["phone"] = record["website_url"] = ""


def _no_state(record: Record, _turn: int) -> None:
    record["state_province"] = record["state"] = record["postal_code"] = None


_AWKWARD: dict[int, Callable[[Record, int], None]] = {
    3: _blanks_around,
    13: _doubled_blanks,
    23: _accents,
    33: _emoji,
    44: _coordinates_as_text,
    53: _coordinates(250.75, 48.1),
    63: _coordinates(0, 0),
    73: _empty_strings,
    83: _no_state,
    93: _coordinates(11, None),
}
