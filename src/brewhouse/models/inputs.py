"""The tables a model can read that no model makes, with their columns: the one list of them."""

from __future__ import annotations

from dataclasses import dataclass

from brewhouse.lake.spec import Column
from brewhouse.lake.views import RAW_FIELDS


@dataclass(frozen=True)
class Input:
    """A table that is given.

    Attributes:
        columns: Its columns with their Iceberg types.
        zones: Zones whose models can read it: of transform (staging, silver), of aggregate (gold) or of both.
    """

    columns: tuple[Column, ...]
    zones: frozenset[str]


_TRANSFORM = frozenset({"staging", "silver"})

INPUTS: dict[str, Input] = {
    "bronze.breweries": Input(
        (
            *(Column(name, "string", "As received") for name in RAW_FIELDS),
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
}
