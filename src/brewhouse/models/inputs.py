"""The tables a model can read that no model makes, with their columns: the one list of them."""

from __future__ import annotations

from dataclasses import dataclass

from brewhouse.api.contract import FIELDS
from brewhouse.iceberg.table_spec import Column


@dataclass(frozen=True)
class Input:
    """A table that is given.

    Attributes:
        columns: Its columns with their Iceberg types.
        zones: Zones whose models can read it: of transform (staging, silver), of aggregate (gold) or of both.
    """

    columns: tuple[Column, ...]
    zones: frozenset[str]


COORDINATES = ("longitude", "latitude")
_TRANSFORM = frozenset({"staging", "silver"})
_BREWERY = (
    "id", "name", "brewery_type", "address_1", "address_2", "address_3", "city", "state_province", "postal_code",
    "country", "country_code", "country_name", "state_code", "state_name", "city_name", "place_match",
    "coordinates_issue", "phone", "website_url", "snapshot_run",
)  # fmt: skip
_PLACE = (
    "country", "state_province", "city", "country_code", "country_name", "state_code", "state_name", "city_name",
    "place_match",
)  # fmt: skip

INPUTS: dict[str, Input] = {
    "bronze.breweries": Input(
        (
            *(Column(name, "string", "As received") for name in FIELDS),
            Column("page", "long", "Number of the page the record came in, from 1"),
            Column("record", "string", "The record as received, byte for byte"),
        ),
        _TRANSFORM,
    ),
    "bronze.snapshot": Input(
        (
            Column("run", "string", "Run id of the raw snapshot"),
            Column("taken_at", "timestamptz", "When the raw snapshot was complete, UTC"),
        ),
        _TRANSFORM,
    ),
    "previous.breweries": Input(
        (
            *(Column(name, "string", "As in silver.breweries, in the snapshot before") for name in _BREWERY),
            *(Column(name, "double", "As in silver.breweries, in the snapshot before") for name in COORDINATES),
            Column("snapshot_time", "timestamptz", "When the snapshot before was complete, UTC"),
        ),
        _TRANSFORM,
    ),
    "previous.snapshot": Input(
        (Column("run", "string", "Run id of the raw snapshot before; null when there is none"),),
        _TRANSFORM,
    ),
    "reference.places": Input(
        tuple(Column(name, "string", "As in silver.breweries, a row for each place it names") for name in _PLACE),
        _TRANSFORM,
    ),
    "reference.country_boxes": Input(
        (
            Column("country_code", "string", "ISO 3166-1 alpha-2"),
            *(Column(name, "double", "Degrees, WGS 84") for name in ("west", "south", "east", "north")),
        ),
        _TRANSFORM,
    ),
}
