"""Breweries to serve, generated in any number."""

from __future__ import annotations

import random
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brewhouse.api.contract import COORDINATES, Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SPREAD_DEGREES = 0.2


@cache
def _words() -> dict[str, Any]:
    found = tomllib.loads(Path(__file__).with_name("words.toml").read_text("utf-8"))
    return {**found, "types": [name for name, share in found["types"].items() for _ in range(share)]}


def generate(count: int, seed: int = 1, *, unusable: int = 0) -> Iterator[Record]:
    """Generate breweries, the same ones for the same seed; a larger count only appends to them.

    Every hundred rows contain one of each irregularity of the real data: surrounding and repeated blanks, accents,
    emoji, coordinates as text, out of range or at 0,0, empty strings, no state.

    Args:
        unusable: Number of records that no table accepts: alternately an empty name and an id that is not a UUID.

    Yields:
        Records with the API's 16 fields in the API's order; ids are unique.

    Example:
        >>> first, second = generate(2)
        >>> first["id"], first["country"], first == next(generate(1))
        ('cd613e30-d8f1-4adf-81b7-584a2265b1f5', 'United States', True)
    """
    chance = random.Random(seed)  # noqa: S311 - reproducible data, not a secret
    for row in range(count):
        record = _generate_record(chance)
        _make_irregular(record, row)
        number = (row + 1) * unusable // count
        if number > row * unusable // count:
            record["name" if number % 2 else "id"] = "" if number % 2 else f"brewery-{row}"
        yield record


def _generate_record(chance: random.Random) -> Record:
    words, dice = _words(), chance.random
    number = f"{chance.getrandbits(128):032x}"
    stem = _chosen(words["stems"], dice()) + _chosen(words["endings"], dice())
    region = _chosen(words["regions"], dice() ** 2)
    digits = int(dice() * 1_000_000_000)
    street = f"{digits % 997 + 1} {_nth(words['streets'], digits)}" if digits % 16 else None
    has_coordinates = digits % 5 > 0
    return {
        "id": f"{number[:8]}-{number[8:12]}-4{number[13:16]}-8{number[17:20]}-{number[20:]}",
        "name": f"{stem} {_nth(words['kinds'], digits)}",
        "brewery_type": _chosen(words["types"], dice()),
        "address_1": street,
        "address_2": f"Unit {digits % 40}" if digits % 23 == 0 else None,
        "address_3": None,
        "city": _nth(region["cities"], digits),
        "state_province": region["state"],
        "postal_code": f"{digits:09d}"[-region["postal_digits"] :],
        "country": region["country"],
        "longitude": round(region["longitude"] + (dice() - 0.5) * _SPREAD_DEGREES, 8) if has_coordinates else None,
        "latitude": round(region["latitude"] + (dice() - 0.5) * _SPREAD_DEGREES, 8) if has_coordinates else None,
        "phone": f"{region['phone']}{digits % 10_000:04d}" if digits % 11 else None,
        "website_url": f"https://{stem.lower()}.example/beer" if digits % 9 else None,
        "state": region["state"],
        "street": street,
    }


def _chosen(words: Sequence[Any], chance: float) -> Any:  # noqa: ANN401 - a word or a region
    return words[int(chance * len(words))]


def _nth(words: Sequence[str], number: int) -> str:
    return words[number % len(words)]


_IRREGULAR_FIELDS: dict[int, Record] = {
    53: {"longitude": 250.75, "latitude": 48.1},
    63: {"longitude": 0, "latitude": 0},
    73: {"address_2": "", "phone": "", "website_url": ""},
    83: {"state_province": None, "state": None, "postal_code": None},
    93: {"longitude": 11, "latitude": None},
}


def _make_irregular(record: Record, row: int) -> None:
    """Give one of every hundred rows each irregularity of the real data."""
    turn, position = divmod(row, 100)
    record |= _IRREGULAR_FIELDS.get(position, {})
    match position:
        case 3:
            field = ("name", "city", "country", "address_1")[turn % 4]
            record[field] = f" {record[field] or 'Malt Lane'} "
            record["street"] = record["address_1"]
        case 13:
            record["name"] = record["name"].replace(" ", "  ")
        case 23:
            record["name"] = _nth(_words()["accented"], turn)
        case 33:
            record["name"] += f" {_nth(_words()['emoji'], turn)}"
        case 44:
            record.update({name: str(record[name]) for name in COORDINATES if record[name] is not None})
