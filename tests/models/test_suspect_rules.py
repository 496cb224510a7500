"""Checks of suspect places: counted with an example, and never blocking the publication."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from brewhouse.checks.check import Check, raise_on_failure
from brewhouse.checks.data_contract import contract_checks
from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.models.project import models_of

Transform = Callable[..., DuckDBEngine]
UNKNOWN, OUTSIDE, SWAPPED, DUPLICATE = range(4)


def brewery(number: int, **fields: object) -> dict[str, Any]:
    return {"id": f"00000000-0000-4000-8000-{number:012}", "name": f"N{number}", "country": "Italy", **fields}


def checks(engine: DuckDBEngine) -> list[Check]:
    models = [model for model in models_of("silver") if model.name in ("silver.breweries", "silver.suspect_breweries")]
    every = [check for model in models for check in contract_checks(engine, model)]
    return [check for check in every if check.severity == "warning"]


def test_valid_breweries_pass_every_check(transform: Transform) -> None:
    found = checks(transform([brewery(1, state_province="Lazio", latitude=41.9, longitude=12.5), brewery(2)]))
    assert [check.violations for check in found] == [0, 0, 0, 0]


def test_each_unknown_place_is_counted_once(transform: Transform) -> None:
    nowhere = [brewery(number, country="Nowhere") for number in (1, 2)]
    engine = transform([*nowhere, brewery(3, state_province="Atlantis"), brewery(4, country=None)])
    check = checks(engine)[UNKNOWN]
    assert (check.violations, check.name) == (3, "every place is known to ISO 3166")
    assert engine.rows("SELECT count(*) AS n FROM silver.breweries") == [{"n": 4}]


def test_each_issue_has_its_own_check_with_an_example(transform: Transform) -> None:
    same = {"name": "Copy", "city": "Roma", "address_1": "1 Via Roma"}
    engine = transform(
        [
            brewery(1, latitude=-41.9, longitude=12.5),
            brewery(2, latitude=12.5, longitude=41.9),
            brewery(3, **same),
            brewery(4, **same),
        ]
    )
    found = checks(engine)
    assert [check.violations for check in found] == [0, 1, 1, 2]
    assert '"N1"' in (found[OUTSIDE].example or "")
    assert '"N2"' in (found[SWAPPED].example or "")
    assert '"Copy"' in (found[DUPLICATE].example or "")


def test_suspect_breweries_do_not_block_the_publication(transform: Transform) -> None:
    found = checks(transform([brewery(1, country="Nowhere"), brewery(2, latitude=-41.9, longitude=12.5)]))
    assert {check.severity for check in found} == {"warning"}
    raise_on_failure(found)
