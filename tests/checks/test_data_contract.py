"""A model's promises are checked on its rows."""

from __future__ import annotations

from collections.abc import Callable

from brewhouse.checks.check import Check
from brewhouse.checks.data_contract import contract_checks
from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.models.model import parse

Given = Callable[..., DuckDBEngine]
MODEL = parse("silver.t", "-- A row.\n-- key: a, b\n-- not null: a\n\nSELECT 1")


def checks(given: Given, *rows: tuple[str | None, str | None]) -> dict[str, Check]:
    violations = contract_checks(given("silver.t", {"a": "STRING", "b": "STRING"}, rows), MODEL)
    return {check.name: check for check in violations}


def test_good_rows_pass(given: Given) -> None:
    violations = checks(given, ("x", "1"), ("x", "2"), ("y", None))
    assert {name: check.violations for name, check in violations.items()} == {
        "(a, b) is unique": 0,
        "a is never null": 0,
    }


def test_a_key_that_stands_twice_is_found_nulls_included(given: Given) -> None:
    check = checks(given, ("x", None), ("x", None), ("y", "1"))["(a, b) is unique"]
    assert (check.violations, check.severity, check.example) == (1, "error", '{"a":"x","b":null,"rows":2}')


def test_a_null_is_found(given: Given) -> None:
    check = checks(given, (None, "1"), (None, "2"), ("y", "1"))["a is never null"]
    assert check.violations == 2
    assert check.example is not None
    assert '"a":null' in check.example


RULES = """-- A row.
-- warn unique: a
-- accepted values: b in 1, it's
-- row count: 2 to 3
-- warn no row: a and b differ:
--   SELECT a FROM silver.t
--   WHERE a = b
SELECT 1"""


def violations(given: Given, *rows: tuple[str | None, str | None]) -> dict[str, tuple[str, int]]:
    engine = given("silver.t", {"a": "STRING", "b": "STRING"}, rows)
    return {
        check.name: (check.severity, check.violations) for check in contract_checks(engine, parse("silver.t", RULES))
    }


def test_every_kind_of_check_passes_on_rows_that_keep_it(given: Given) -> None:
    assert violations(given, ("x", "1"), ("y", "it's"), ("z", None)) == {
        "(a) is unique": ("warning", 0),
        "b is one of 1, it's": ("error", 0),
        "it has at least 2 and at most 3 rows": ("error", 0),
        "a and b differ": ("warning", 0),
    }


def test_every_kind_of_check_finds_what_breaks_it(given: Given) -> None:
    assert violations(given, ("x", "x"), ("x", "1"), ("x", "2"), ("y", "y"), ("z", "1")) == {
        "(a) is unique": ("warning", 1),
        "b is one of 1, it's": ("error", 3),
        "it has at least 2 and at most 3 rows": ("error", 2),
        "a and b differ": ("warning", 2),
    }


def test_too_few_rows_are_told_with_their_number(given: Given) -> None:
    engine = given("silver.t", {"a": "STRING", "b": "STRING"}, [])
    (check,) = [each for each in contract_checks(engine, parse("silver.t", RULES)) if "rows" in each.name]
    assert (check.violations, check.example) == (2, "0 rows")
