"""Choose the rows of the public dataset that tests/data holds: `python -m tests.data.sample ../shared/data`.

Of every version the rows of the same breweries, each cell as it is, in their order. A rule chooses the breweries, so
that none is chosen by hand. A brewery is in the sample if

- its id, a random UUID, begins with `00` or `80`,
- it has the first id of all rows of a version with the same country and state, or with the same type,
- it has the first id of those that were added, removed, changed, closed or reopened between two versions,
- its coordinates lie outside its country,
- it has the first id of one of several spellings of a city,
- another brewery has the same name, city and address.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from tests.real_data import DATES, SAMPLE

from brewhouse.places.gazetteer import city_key, countries
from brewhouse.places.reference import country_boxes

Row = Mapping[str, str]
Version = Mapping[str, Row]
"""The rows of a version by their ids."""


def read(path: Path) -> dict[str, Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def choose(versions: Sequence[Version]) -> set[str]:
    """Return the ids of the sample."""
    chosen: set[str] = set()
    for version in versions:
        chosen |= {key for key in version if key.startswith(("00", "80"))}
        chosen |= _first(version, lambda row: (row["country"], row["state_province"]))
        chosen |= _first(version, lambda row: row["brewery_type"])
        chosen |= {*_outside(version), *_spelt_differently(version), *_duplicates(version)}
    for before, after in pairwise(versions):
        both = {key: {"kind": _kind(before.get(key), after.get(key))} for key in before.keys() | after.keys()}
        chosen |= _first({key: row for key, row in both.items() if row["kind"]}, lambda row: row["kind"])
    return chosen


def _first(version: Version, group: Callable[[Row], Hashable]) -> set[str]:
    """Return the first id of each group."""
    return set({group(version[key]): key for key in sorted(version, reverse=True)}.values())


def _outside(version: Version) -> Iterator[str]:
    for key, row in version.items():
        country = countries().find(row["country"])
        if (
            row["longitude"]
            and country
            and not lies_in(country.code or "", float(row["longitude"]), float(row["latitude"]))
        ):
            yield key


def lies_in(country_code: str, longitude: float, latitude: float) -> bool:
    return any(
        code == country_code and west <= longitude <= east and south <= latitude <= north
        for code, west, south, east, north in country_boxes()
    )


def _spelt_differently(version: Version) -> Iterable[str]:
    def city(row: Row) -> tuple[str, ...]:
        return row["country"], row["state_province"], city_key(row["city"])

    cities = {key: city(row) for key, row in version.items()}
    spellings = Counter(place for place, _ in {(cities[key], row["city"]) for key, row in version.items()})
    several = {key: row for key, row in version.items() if spellings[cities[key]] > 1}
    return _first(several, lambda row: (row["country"], row["state_province"], row["city"]))


def _duplicates(version: Version) -> Iterable[str]:
    seen: dict[Hashable, list[str]] = {}
    for key, row in version.items():
        if row["address_1"]:
            seen.setdefault((row["name"].lower(), row["city"], row["address_1"].lower()), []).append(key)
    return [key for keys in seen.values() if len(keys) > 1 for key in keys]


def _kind(before: Row | None, after: Row | None) -> str:
    """Name what happened to a brewery between two versions, or nothing."""
    if before is None or after is None:
        return "added" if before is None else "removed"
    match before["brewery_type"] == "closed", after["brewery_type"] == "closed":
        case False, True:
            return "closed"
        case True, False:
            return "reopened"
    return "changed" if before != after else ""


def sample(folder: Path) -> dict[str, list[Row]]:
    """Return the rows of the sample, by the name of their file."""
    files = {f"breweries-{date}.csv": read(folder / f"breweries-{date}.csv") for date in DATES}
    chosen = choose(list(files.values()))
    return {name: [row for key, row in version.items() if key in chosen] for name, version in files.items()}


if __name__ == "__main__":
    for name, rows in sample(Path(sys.argv[1])).items():
        with (SAMPLE / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
