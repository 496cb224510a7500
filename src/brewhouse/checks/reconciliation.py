"""Reconciliation: the tables add up to the snapshot, to each other and to the source's own counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from brewhouse.api.contract import GROUPS
from brewhouse.checks.check import Check
from brewhouse.checks.data_contract import Measure, check_result, measured, query_measure
from brewhouse.engines.engine import Engine
from brewhouse.iceberg.table_spec import TableSpec
from brewhouse.lake.manifest import Manifest

ACCOUNTED = {
    "breweries": "silver.breweries",
    "rejected": "silver.rejected_breweries",
    "exact duplicates": "staging.records WHERE is_exact_duplicate",
}
"""Where the records of a snapshot are."""


def reconcile_silver(engine: Engine, manifest: Manifest, counts: Mapping[str, int]) -> list[Check]:
    """Check that each record of the snapshot is in one of `ACCOUNTED`, whose rows were counted."""
    counts = {part: counts[part] for part in ACCOUNTED}
    records = manifest.proof.records
    difference = abs(records - sum(counts.values()))
    parts = " + ".join(f"{number} {part}" for part, number in counts.items())
    query = "SELECT reasons, record FROM silver.rejected_breweries ORDER BY page, record LIMIT 1"
    first = engine.rows(query) if counts["rejected"] else []
    reason = next((f"{row['reasons']}: {row['record']}" for row in first), None)
    return [
        check_result(
            "records = breweries + rejected + exact duplicates",
            "silver.breweries",
            difference,
            f"{records} records, but {parts}",
        ),
        check_result("every record can be used", "silver.rejected_breweries", counts["rejected"], reason, "warning"),
    ]


def count_drop(count: int, published: int | None, max_percent: float) -> Check:
    """Check that the number of breweries did not drop by more than a threshold, in percent of the published number.

    Example:
        >>> [count_drop(now, before, 20.0).violations for now, before in [(79, 100), (80, 100), (5, None)]]
        [21, 0, 0]
    """
    drop = max((published or 0) - count, 0)
    violations = drop if drop > (published or 0) * max_percent / 100 else 0
    example = f"{published} published, {count} now; allow it with --max-count-drop-percent"
    return check_result(
        f"the number of breweries fell by at most {max_percent:g} %", "silver.breweries", violations, example
    )


def gold_sums(engine: Engine) -> list[Measure]:
    """Count the countries, states and types in which the gold tables do not count every row of silver once."""
    place = "country_code, country_name, state_code, state_name"
    return [
        _same_sums(engine, "gold.breweries_by_location", place, "country and state"),
        _same_sums(engine, "gold.breweries_by_type_and_location", place, "country and state"),
        _same_sums(engine, "gold.breweries_by_type_and_location", "brewery_type", "type"),
    ]


def _same_sums(engine: Engine, table: str, columns: str, group: str) -> Measure:
    return query_measure(
        engine,
        f"its counts add up to silver.breweries in every {group}",
        table,
        f"""
        SELECT {columns}, sum(silver_rows) AS silver_rows, sum(gold_rows) AS gold_rows
        FROM (
            SELECT {columns}, count(*) AS silver_rows, 0 AS gold_rows FROM silver.breweries GROUP BY {columns}
            UNION ALL
            SELECT {columns}, 0 AS silver_rows, sum(brewery_count) AS gold_rows FROM {table} GROUP BY {columns}
        ) AS both_sides
        GROUP BY {columns}
        HAVING sum(silver_rows) <> sum(gold_rows)
        """,
    )


def source_counts(engine: Engine, manifest: Manifest) -> list[Check]:
    """Check silver, with its rejected records, against the source's own counts, by the source's names.

    Gold uses canonical names; another check compares it with silver. A group that the source does not count is compared
    with the counts of the snapshot. Breweries that the source could not return are subtracted from its counts.
    """
    counted = _group_counts(engine)
    return [_group_check(counted[group], manifest, group, column) for group, column in GROUPS.items()]


def _group_check(counted: Counter[str], manifest: Manifest, group: str, column: str) -> Check:
    reported: Mapping[str, int] | None = getattr(manifest.meta_after, group)
    if reported is None:
        expected = _cleaned(getattr(manifest.received, group), column)
    else:
        expected = _cleaned(reported, column)
        expected.subtract(_cleaned(manifest.missing.get(group, {}), column))
    differing = sorted(name for name in expected.keys() | counted.keys() if expected[name] != counted[name])
    example = next((f"{name}: {expected[name]} expected, {counted[name]} counted" for name in differing), None)
    origin = "/meta" if reported is not None else "the snapshot"
    return check_result(f"its counts equal {origin}'s own {group}", "silver.breweries", len(differing), example)


def _group_counts(engine: Engine) -> dict[str, Counter[str]]:
    """Count the breweries and the rejected records of every group, in one query, by its clean name."""
    rejected = GROUPS | {"by_state": "coalesce(state_province, state)"}
    selects = (
        f"SELECT '{group}' AS part, {value} AS name, count(*) AS n FROM {table} GROUP BY {value}"
        for table, values in (("silver.breweries", GROUPS), ("silver.rejected_breweries", rejected))
        for group, value in values.items()
    )
    counted: dict[str, Counter[str]] = {group: Counter() for group in GROUPS}
    for row in engine.rows(" UNION ALL ".join(selects)):
        if row["name"] is not None:
            counted[row["part"]].update(_cleaned({row["name"]: int(row["n"])}, GROUPS[row["part"]]))
    return counted


def _cleaned(groups: Mapping[str, int], column: str) -> Counter[str]:
    """Add up the groups whose names the silver models clean to the same one."""
    counter: Counter[str] = Counter()
    for name, number in groups.items():
        clean = " ".join(name.split())
        counter[clean.lower() if column == "brewery_type" else clean] += number
    del counter[""]
    return counter


def same_rows(engine: Engine, before: str, after: TableSpec) -> Check:
    """Check that compaction changes no row, by the number of rows and the sum of their hashes, whatever their order.

    Args:
        before: Name under which the engine reads the rows before compaction.
        after: The table, under whose name the engine reads the compacted rows.
    """
    columns = ", ".join(f"`{column.name}`" for column in after.columns)
    facts = f"SELECT count(*) AS number, sum(hash({columns})) AS hashes"
    sql = f"{facts} FROM {before} EXCEPT {facts} FROM {after.name}"
    (check,) = measured(engine, [query_measure(engine, "compacting it changes no row", after.name, sql)])
    return check


def count_rows(engine: Engine, tables: Mapping[str, str]) -> dict[str, int]:
    """Count the rows of tables, in one query, by a name of each."""
    counts = ", ".join(f"(SELECT count(*) FROM {rows}) AS n{number}" for number, rows in enumerate(tables.values()))
    (row,) = engine.rows(f"SELECT {counts}")
    return {name: int(row[f"n{number}"]) for number, name in enumerate(tables)}
