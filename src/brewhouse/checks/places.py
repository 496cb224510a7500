"""Doubts about places: unknown names, coordinates elsewhere, probable duplicates. They are told, never mended."""

from __future__ import annotations

from brewhouse.checks.check import Check
from brewhouse.checks.contract import violations
from brewhouse.engines.engine import Engine

_DOUBTS = {
    "coordinates outside the country": "coordinates lie in the brewery's country",
    "coordinates swapped": "no coordinates fit only the other way round",
    "probable duplicate": "no two breweries have the same name, city and address",
}


def place_doubts(engine: Engine) -> list[Check]:
    """Count what is doubtful about places, as warnings.

    Args:
        engine: Reads the silver tables.
    """
    unmatched = (
        "SELECT country, state_province, count(*) AS breweries FROM silver.breweries "
        "WHERE place_match = 'none' GROUP BY country, state_province"
    )
    suspects = "SELECT id, name, country_name, detail FROM silver.suspect_breweries WHERE doubt ="
    return [
        violations(engine, "every place is known to ISO 3166", "silver.breweries", unmatched, "warning"),
        *(
            violations(engine, name, "silver.suspect_breweries", f"{suspects} '{doubt}'", "warning")
            for doubt, name in _DOUBTS.items()
        ),
    ]
