"""Data contract checks: the rules of a model's header on the rows of its table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given as draw
from hypothesis import settings
from hypothesis import strategies as st

from brewhouse.checks.check import Check
from brewhouse.checks.data_contract import contract_checks, query_check
from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.models.model import parse

Given = Callable[..., DuckDBEngine]
Row = tuple[str | None, str | None]
COLUMNS = {"a": "STRING", "b": "STRING"}
KEYS = "-- A row.\n-- key: a, b\n-- not null: a\n\nSELECT 1"
RULES = """-- A row.
-- warn unique: a
-- accepted values: b in 1, it's
-- row count: 2 to 3
-- warn no row: a and b differ:
--   SELECT a FROM silver.t
--   WHERE a = b
SELECT 1"""


def checks(given: Given, header: str, rows: Sequence[Row]) -> dict[str, Check]:
    results = contract_checks(given("silver.t", COLUMNS, rows), parse("silver.t", header))
    return {check.name: check for check in results}


def violations(given: Given, header: str, rows: Sequence[Row]) -> dict[str, tuple[str, int]]:
    return {name: (check.severity, check.violations) for name, check in checks(given, header, rows).items()}


def test_rows_that_keep_the_rules_pass(given: Given) -> None:
    assert violations(given, KEYS, [("x", "1"), ("x", "2"), ("y", None)]) == {
        "(a, b) is unique": ("error", 0),
        "a is never null": ("error", 0),
    }
    assert violations(given, RULES, [("x", "1"), ("y", "it's"), ("z", None)]) == {
        "(a) is unique": ("warning", 0),
        "b is one of 1, it's": ("error", 0),
        "it has at least 2 and at most 3 rows": ("error", 0),
        "a and b differ": ("warning", 0),
    }


def test_violations_of_each_rule_are_counted(given: Given) -> None:
    assert violations(given, RULES, [("x", "x"), ("x", "1"), ("x", "2"), ("y", "y"), ("z", "1")]) == {
        "(a) is unique": ("warning", 1),
        "b is one of 1, it's": ("error", 3),
        "it has at least 2 and at most 3 rows": ("error", 2),
        "a and b differ": ("warning", 2),
    }


def test_a_duplicate_key_is_a_violation_nulls_included(given: Given) -> None:
    check = checks(given, KEYS, [("x", None), ("x", None), ("y", "1")])["(a, b) is unique"]
    assert (check.violations, check.severity, check.example) == (1, "error", '{"a":"x","b":null,"rows":2}')


def test_keys_that_are_equal_numbers_are_duplicates(given: Given) -> None:
    engine = given("silver.t", {"a": "DOUBLE"}, [(0.0,), (-0.0,), (1.0,)])
    (check,) = contract_checks(engine, parse("silver.t", "-- A row.\n-- key: a\n\nSELECT 1"))
    assert check.violations == 1


def test_each_null_is_a_violation_with_its_row_as_an_example(given: Given) -> None:
    check = checks(given, KEYS, [(None, "1"), (None, "2"), ("y", "1")])["a is never null"]
    assert check.violations == 2
    assert check.example in ('{"a":null,"b":"1"}', '{"a":null,"b":"2"}')


def test_a_passed_check_has_no_example(given: Given) -> None:
    assert {check.example for check in checks(given, KEYS, [("x", "1")]).values()} == {None}


@pytest.mark.parametrize(
    ("rule", "name", "rows", "expected"),
    [
        ("2 to 3", "it has at least 2 and at most 3 rows", 0, 2),
        ("2 to 3", "it has at least 2 and at most 3 rows", 2, 0),
        ("2 to 3", "it has at least 2 and at most 3 rows", 5, 2),
        ("at least 1", "it has at least 1 rows", 0, 1),
        ("at least 1", "it has at least 1 rows", 9, 0),
        ("at most 1", "it has at most 1 rows", 0, 0),
        ("at most 1", "it has at most 1 rows", 3, 2),
        ("2", "it has at least 2 and at most 2 rows", 2, 0),
        ("2", "it has at least 2 and at most 2 rows", 1, 1),
    ],
)
def test_a_row_count_is_violated_by_the_rows_beyond_its_limits(
    given: Given, rule: str, name: str, rows: int, expected: int
) -> None:
    header = f"-- A row.\n-- row count: {rule}\nSELECT 1"
    (check,) = checks(given, header, [(str(n), None) for n in range(rows)]).values()
    assert (check.name, check.violations) == (name, expected)
    assert check.example == (f"{rows} rows" if expected else None)


@pytest.mark.parametrize("value", ["it's", 'a "b"', "back\\slash", "%", "caf\u00e9", "--", "NULL"])
def test_an_accepted_value_is_compared_literally(given: Given, value: str) -> None:
    header = f"-- A row.\n-- accepted values: a in {value}, other\nSELECT 1"
    (check,) = checks(given, header, [(value, None), ("other", None), (None, None), ("x", None)]).values()
    assert (check.violations, check.example) == (1, '{"a":"x","b":null}')


def test_accepted_values_of_a_number_are_compared_as_text(given: Given) -> None:
    engine = given("silver.t", {"a": "INT"}, [(1,), (2,), (10,), (None,)])
    (check,) = contract_checks(engine, parse("silver.t", "-- A row.\n-- accepted values: a in 1, 2\nSELECT 1"))
    assert (check.violations, check.example) == (1, '{"a":10}')


def test_a_query_may_end_in_a_comment(given: Given) -> None:
    engine = given("silver.t", COLUMNS, [("x", "1")])
    sql = "SELECT a FROM silver.t -- every row"
    check = query_check(engine, "no x", "silver.t", sql, "warning")
    assert (check.violations, check.severity, check.example) == (1, "warning", '{"a":"x"}')


def test_a_value_without_a_json_type_is_shown_as_text(given: Given) -> None:
    engine = given("silver.t", COLUMNS, [("x", "1")])
    sql = "SELECT DATE '2026-08-02' AS day, CAST(1.50 AS DECIMAL(5,2)) AS price FROM silver.t"
    example = query_check(engine, "none", "silver.t", sql).example
    assert example in ('{"day":"2026-08-02","price":"1.50"}', '{"day":"2026-08-02","price":1.50}')


CELLS = st.sampled_from(["x", "y", "1", None])


@settings(max_examples=40)
@draw(rows=st.lists(st.tuples(CELLS, CELLS), max_size=6))
def test_keys_nulls_and_values_are_counted_as_in_python(given: Given, rows: list[Row]) -> None:
    header = "-- A row.\n-- key: a, b\n-- not null: b\n-- accepted values: a in x, y\nSELECT 1"
    counts: dict[Any, int] = {name: count for name, (_, count) in violations(given, header, rows).items()}
    assert counts == {
        "(a, b) is unique": sum(rows.count(row) > 1 for row in set(rows)),
        "b is never null": sum(b is None for _, b in rows),
        "a is one of x, y": sum(a == "1" for a, _ in rows),
    }
