"""The tables that silver models can read and no model creates, with their columns."""

from __future__ import annotations

from brewhouse.api.contract import COORDINATES, FIELDS
from brewhouse.iceberg.table_spec import Column

_BREWERY = (
    "id", "name", "brewery_type", "address_1", "address_2", "address_3", "city", "state_province", "postal_code",
    "country", "country_code", "country_name", "state_code", "state_name", "city_name", "place_match",
    "coordinates_issue", "phone", "website_url", "snapshot_run",
)  # fmt: skip
_PLACE = (
    "country", "state_province", "city", "country_code", "country_name", "state_code", "state_name", "city_name",
    "place_match",
)  # fmt: skip
_AS_BEFORE = "As in silver.breweries, of the previous snapshot"

INPUTS: dict[str, tuple[Column, ...]] = {
    "bronze.breweries": (
        *(Column(name, "string", "As received") for name in FIELDS),
        Column("page", "long", "Page number of the record, from 1"),
        Column("record", "string", "The record as received, byte for byte"),
    ),
    "bronze.snapshot": (
        Column("run", "string", "Run id of the raw snapshot"),
        Column("taken_at", "timestamptz", "Time at which the raw snapshot was complete, UTC"),
    ),
    "previous.breweries": (
        *(Column(name, "string", _AS_BEFORE) for name in _BREWERY),
        *(Column(name, "double", _AS_BEFORE) for name in COORDINATES),
        Column("snapshot_time", "timestamptz", "Time at which the previous snapshot was complete, UTC"),
    ),
    "previous.snapshot": (Column("run", "string", "Run id of the previous raw snapshot; null if there is none"),),
    "reference.places": tuple(
        Column(name, "string", "As in silver.breweries; one row per combination") for name in _PLACE
    ),
    "reference.country_boxes": (
        Column("country_code", "string", "ISO 3166-1 alpha-2"),
        *(Column(name, "double", "Degrees, WGS 84") for name in ("west", "south", "east", "north")),
    ),
}
