"""The compaction check: it passes for the same rows in any order, and fails for any other rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brewhouse.checks.compaction import same_rows
from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.iceberg.table_spec import Column, TableSpec

Given = Callable[..., DuckDBEngine]
COLUMNS = {"a": "STRING", "b": "INT"}
TABLE = TableSpec("silver.t", "", tuple(Column(name, kind, "") for name, kind in (("a", "string"), ("b", "int"))))
ROWS: list[tuple[str | None, int | None]] = [("x", 1), ("y", 2), (None, None), ("x", 1)]


def passes(given: Given, before: Sequence[object], after: Sequence[object]) -> bool:
    given("staging.before", COLUMNS, before)
    return same_rows(given("silver.t", COLUMNS, after), "staging.before", TABLE).passed


@pytest.mark.parametrize("after", [ROWS, ROWS[::-1], sorted(ROWS, key=str)])
def test_the_same_rows_in_any_order_pass(given: Given, after: list[object]) -> None:
    assert passes(given, ROWS, after)


@pytest.mark.parametrize(
    "after",
    [[], ROWS[1:], [*ROWS, ROWS[0]], [*ROWS[:3], ("x", 2)], [*ROWS[:3], ("x", None)], [("y", 1), ("x", 2), *ROWS[2:]]],
    ids=["none", "one lost", "one more", "one changed", "one null", "values swapped"],
)
def test_other_rows_fail(given: Given, after: list[object]) -> None:
    assert not passes(given, ROWS, after)


ANY_ROWS = st.lists(st.tuples(st.sampled_from(["x", "y", None]), st.integers(0, 2)), max_size=4)


@settings(max_examples=40)
@given(before=ANY_ROWS, after=ANY_ROWS)
def test_it_passes_exactly_for_equal_multisets_of_rows(given: Given, before: list[object], after: list[object]) -> None:
    assert passes(given, before, after) == (sorted(before, key=str) == sorted(after, key=str))


def test_a_failure_is_an_error_of_the_compacted_table(given: Given) -> None:
    given("staging.before", COLUMNS, ROWS)
    check = same_rows(given("silver.t", COLUMNS, []), "staging.before", TABLE)
    assert (check.name, check.table, check.severity) == ("compacting it changes no row", "silver.t", "error")
    assert check.violations == 1
