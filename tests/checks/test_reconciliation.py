"""The tables add up to the snapshot, to each other and to the source's own counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brewhouse.api.contract import parse_page
from brewhouse.checks.check import Check
from brewhouse.checks.completeness import CompletenessCheck
from brewhouse.checks.data_contract import checks_and_counts
from brewhouse.checks.reconciliation import ACCOUNTED, count_drop, reconcile_gold, reconcile_silver, same_rows
from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.iceberg.table_spec import Column, TableSpec
from brewhouse.lake.manifest import Counts, Manifest, Proof
from brewhouse.models.model import parse
from brewhouse.models.project import models_of
from brewhouse.source import Meta

Transform = Callable[..., DuckDBEngine]


def brewery(number: int, **fields: object) -> dict[str, Any]:
    return {"id": f"00000000-0000-0000-0000-{number:012}", "name": "N", "country": "France", **fields}


RECORDS = [
    brewery(1, brewery_type="micro", state_province="Var"),
    brewery(2, brewery_type=" Micro ", state_province="Var "),
    brewery(3, brewery_type="closed", country="Italy"),
    brewery(3, brewery_type="closed", country="Italy"),
    brewery(4, name=None, brewery_type="micro", state="Var"),
]
COUNTS: dict[str, dict[str, int]] = {
    "by_type": {"micro": 2, " Micro ": 1, "closed": 1},
    "by_country": {"France": 3, "Italy": 1},
    "by_state": {"Var": 2, "Var ": 1},
}


def manifest(
    records: int = 5, missing: dict[str, dict[str, int]] | None = None, **groups: dict[str, int] | None
) -> Manifest:
    meta = msgspec.convert({"total": 4, **COUNTS, **groups}, Meta)
    return Manifest(
        run="RUN1", date="2026-08-02", source_url="http://x", per_page_rows=200,
        started_at="2026-08-02T12:00:00+00:00", finished_at="2026-08-02T12:00:00+00:00", code_version="0",
        meta_before=meta, meta_after=meta, received=Counts(total=4, **COUNTS), missing=missing or {},
        fields_seen={}, drift=[], missing_rows=[], pages=[],
        proof=Proof(records=records, distinct_ids=4, records_without_id=0, groups_compared=[], attempts=1),
    )  # fmt: skip


def with_counts(group: str, counts: dict[str, int]) -> Manifest:
    good = manifest()
    return msgspec.structs.replace(good, meta_after=msgspec.structs.replace(good.meta_after, **{group: counts}))


@pytest.fixture
def lakehouse(transform: Transform) -> DuckDBEngine:
    engine = transform(RECORDS)
    for model in models_of("gold"):
        engine.compute(model)
    return engine


def accounted(engine: DuckDBEngine, proven: Manifest) -> list[Check]:
    return reconcile_silver(engine, proven, checks_and_counts(engine, (), ACCOUNTED)[1])


def sums(engine: DuckDBEngine) -> list[Check]:
    return reconcile_gold(engine, manifest())[:3]


def source_counts(engine: DuckDBEngine, proven: Manifest) -> list[Check]:
    return reconcile_gold(engine, proven)[3:]


def failed(checks: list[Check]) -> dict[str, tuple[int, str | None]]:
    return {check.name: (check.violations, check.example) for check in checks if not check.passed}


def test_every_record_is_accounted_for_and_rejected_ones_are_a_warning(lakehouse: DuckDBEngine) -> None:
    accounts, usable = accounted(lakehouse, manifest())
    assert accounts.passed
    assert (accounts.severity, usable.severity, usable.violations) == ("error", "warning", 1)
    assert usable.example is not None
    assert usable.example.startswith("name is missing: {")


@pytest.mark.parametrize("records", [4, 7])
def test_a_lost_or_invented_record_is_an_error(lakehouse: DuckDBEngine, records: int) -> None:
    check = accounted(lakehouse, manifest(records))[0]
    assert check.violations == abs(records - 5)
    assert check.example == f"{records} records, but 3 breweries + 1 rejected + 1 exact duplicates"


@pytest.mark.parametrize(
    ("count", "published", "violations"),
    [(80, 100, 0), (79, 100, 21), (0, 100, 100), (100, 80, 0), (5, None, 0), (0, 0, 0)],
)
def test_a_drop_beyond_the_threshold_is_an_error(count: int, published: int | None, violations: int) -> None:
    check = count_drop(count, published, 20.0)
    assert (check.violations, check.severity) == (violations, "error")
    assert (check.example is None) == (violations == 0)


def test_correct_tables_add_up_and_equal_the_sources_counts(lakehouse: DuckDBEngine) -> None:
    assert failed(sums(lakehouse)) == {}
    assert failed(source_counts(lakehouse, manifest())) == {}


def test_a_gold_table_that_lost_a_country_is_an_error(lakehouse: DuckDBEngine) -> None:
    lakehouse.compute(parse("staging.all_places", "SELECT * FROM gold.breweries_by_location"))
    lakehouse.compute(
        parse("gold.breweries_by_location", "SELECT * FROM staging.all_places WHERE country_code <> 'IT'")
    )
    by_place, *by_type = sums(lakehouse)
    assert all(check.passed for check in by_type)
    assert by_place.violations == 1
    assert by_place.example is not None
    assert '"country_name":"Italy"' in by_place.example


@pytest.mark.parametrize(
    ("group", "theirs", "example"),
    [
        ("by_country", {"France": 2, "Italy": 1, "Spain": 1}, "France: 2 expected, 3 counted"),
        ("by_type", {"micro": 3}, "closed: 0 expected, 1 counted"),
        ("by_state", {"Var": 4}, "Var: 4 expected, 3 counted"),
    ],
)
def test_a_group_that_differs_from_the_sources_count_is_an_error(
    lakehouse: DuckDBEngine, group: str, theirs: dict[str, int], example: str
) -> None:
    (check,) = [c for c in source_counts(lakehouse, with_counts(group, theirs)) if not c.passed]
    assert check.name == f"its counts equal /meta's own {group}"
    assert check.example == example
    assert check.severity == "error"


def test_rows_that_the_source_cannot_return_are_subtracted_from_its_counts(lakehouse: DuckDBEngine) -> None:
    more = {"France": 3, "Italy": 2}
    missing = {"by_country": {"Italy": 1}}
    assert failed(source_counts(lakehouse, manifest(by_country=more, missing=missing))) == {}
    assert failed(source_counts(lakehouse, manifest(by_country=more))) != {}


def test_a_group_that_the_source_does_not_count_is_compared_with_the_snapshot(lakehouse: DuckDBEngine) -> None:
    checks = source_counts(lakehouse, manifest(by_state=None))
    assert "its counts equal the snapshot's own by_state" in {check.name for check in checks}
    assert failed(checks) == {}


def test_names_that_are_not_text_are_counted_as_silver_reads_them(transform: Transform) -> None:
    values: list[Any] = [True, 12, 1.0, 1.5, 1e22, 12345678901234567890123, [1, "a  b"], {"a": [None, "\u00e9/"]}]
    records = [brewery(n, country=v, state_province=v, brewery_type=v) for n, v in enumerate(values)]
    check = CompletenessCheck()
    check.count(1, *parse_page(msgspec.json.encode(records)))
    total = Meta(total=len(records))
    proven = msgspec.structs.replace(
        manifest(), meta_after=total, received=check.result(total, total, page_size_rows=200).received
    )
    engine = transform(records)
    for model in models_of("gold"):
        engine.compute(model)
    assert failed(reconcile_gold(engine, proven)) == {}


def test_the_limit_of_a_drop_is_a_setting_and_the_error_names_its_option() -> None:
    assert count_drop(50, 100, 50.0).passed
    assert count_drop(99, 100, 0.0).violations == 1
    assert count_drop(0, 100, 100.0).passed
    check = count_drop(1, 100, 20.5)
    assert check.name == "the number of breweries fell by at most 20.5 %"
    assert check.example == "100 published, 1 now; allow it with --max-count-drop-percent"


@pytest.mark.parametrize(
    ("table", "sql", "name"),
    [
        (
            "gold.breweries_by_type_and_location",
            "SELECT * FROM staging.before WHERE brewery_type <> 'closed'",
            "its counts add up to silver.breweries in every type",
        ),
        (
            "gold.breweries_by_location",
            "SELECT * FROM staging.before UNION ALL SELECT * FROM staging.before",
            "its counts add up to silver.breweries in every country and state",
        ),
    ],
    ids=["a lost type", "every row twice"],
)
def test_a_gold_table_with_lost_or_duplicate_rows_is_an_error(
    lakehouse: DuckDBEngine, table: str, sql: str, name: str
) -> None:
    lakehouse.compute(parse("staging.before", f"SELECT * FROM {table}"))
    lakehouse.compute(parse(table, sql))
    assert name in {check.name for check in sums(lakehouse) if not check.passed}


def test_an_empty_lakehouse_reconciles(transform: Transform) -> None:
    engine = transform([])
    for model in models_of("gold"):
        engine.compute(model)
    none: dict[str, dict[str, int]] = {"by_type": {}, "by_country": {}, "by_state": {}}
    empty = msgspec.structs.replace(manifest(0, None, **none), received=Counts(total=0, **none))
    checks = [*accounted(engine, empty), *sums(engine), *source_counts(engine, empty)]
    assert failed(checks) == {}


def test_groups_that_differ_only_in_whitespace_or_the_case_of_types_are_added_up(lakehouse: DuckDBEngine) -> None:
    groups = {"by_type": {"MICRO": 2, "micro ": 1, "closed": 1}, "by_state": {" Var": 1, "Var  ": 2, " ": 4}}
    assert failed(source_counts(lakehouse, manifest(5, None, **groups))) == {}


# Compaction


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
