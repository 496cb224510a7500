"""Reconciliation: the tables add up to the snapshot, to each other and to the source's own counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from brewhouse.api.contract import GROUPS
from brewhouse.checks.check import Check
from brewhouse.checks.data_contract import check_result, query_check
from brewhouse.engines.engine import Engine, Row
from brewhouse.iceberg.table_spec import TableSpec
from brewhouse.lake.manifest import Manifest

ACCOUNTED = {
    "breweries": "`silver`.`breweries`",
    "rejected": "`silver`.`rejected_breweries`",
    "exact duplicates": "staging.records WHERE is_exact_duplicate",
}
"""Where the records of a snapshot are."""

_SILVER, _REJECTED = "silver.breweries", "silver.rejected_breweries"
_BY_LOCATION, _BY_TYPE = "gold.breweries_by_location", "gold.breweries_by_type_and_location"
_PLACE = ("country_code", "country_name", "state_code", "state_name")


def reconcile_silver(engine: Engine, manifest: Manifest, counts: Mapping[str, int]) -> list[Check]:
    """Check that each record of the snapshot is in one of `ACCOUNTED`, whose rows were counted."""
    counts = {part: counts[part] for part in ACCOUNTED}
    records = manifest.proof.records
    difference = abs(records - sum(counts.values()))
    parts = " + ".join(f"{number} {part}" for part, number in counts.items())
    query = "SELECT reasons, record FROM silver.rejected_breweries ORDER BY page, record LIMIT 1"
    first = engine.rows(query) if counts["rejected"] else []
    reason = next((f"{row['reasons']}: {row['record']}" for row in first), None)
    name = "records = breweries + rejected + exact duplicates"
    return [
        check_result(name, _SILVER, difference, f"{records} records, but {parts}"),
        check_result("every record can be used", _REJECTED, counts["rejected"], reason, "warning"),
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
    return check_result(f"the number of breweries fell by at most {max_percent:g} %", _SILVER, violations, example)


def reconcile_gold(engine: Engine, manifest: Manifest) -> list[Check]:
    """Check that gold counts each row of silver once, and silver, with its rejected records, what the source counts.

    The source is compared by its own names, gold by canonical ones. A group that the source does not count is compared
    with the counts of the snapshot. Breweries that the source could not return are subtracted from its counts.
    """
    counted = _count_groups(engine)
    received = [*counted[_SILVER], *counted[_REJECTED]]
    sums = [
        _same_sums(counted, _BY_LOCATION, _PLACE, "country and state"),
        _same_sums(counted, _BY_TYPE, _PLACE, "country and state"),
        _same_sums(counted, _BY_TYPE, ("brewery_type",), "type"),
    ]
    return sums + [_group_check(received, manifest, group, column) for group, column in GROUPS.items()]


def _count_groups(engine: Engine) -> dict[str, list[Row]]:
    """Count the rows of silver, and what gold counts, by all columns that a check compares, in one query."""
    place = {column: column for column in _PLACE}
    received = {column: column for column in GROUPS.values()}
    groups = {
        _SILVER: ("count(*)", place | received),
        _REJECTED: ("count(*)", received | {"state_province": "coalesce(state_province, state)"}),
        _BY_LOCATION: ("sum(brewery_count)", place),
        _BY_TYPE: ("sum(brewery_count)", place | {"brewery_type": "brewery_type"}),
    }
    counted: dict[str, list[Row]] = {table: [] for table in groups}
    selects = []
    for table, (count, values) in groups.items():
        columns = ", ".join(f"{values.get(column, 'NULL')} AS {column}" for column in place | received)
        by = ", ".join(values.values())
        selects.append(f"SELECT '{table}' AS part, {columns}, {count} AS n FROM {table} GROUP BY {by}")
    for row in engine.rows(" UNION ALL ".join(selects)):
        counted[row["part"]].append(row)
    return counted


def _by(groups: Sequence[Row], *columns: str) -> Counter[tuple[Any, ...]]:
    """Add up the counts of groups that have the same values in some columns."""
    counter: Counter[tuple[Any, ...]] = Counter()
    for group in groups:
        counter[tuple(group[column] for column in columns)] += int(group["n"] or 0)  # a sum of nothing but NULL is NULL
    return counter


def _same_sums(counted: Mapping[str, Sequence[Row]], table: str, columns: Sequence[str], group: str) -> Check:
    silver_rows, gold_rows = _by(counted[_SILVER], *columns), _by(counted[table], *columns)
    differing = [values for values in silver_rows | gold_rows if silver_rows[values] != gold_rows[values]]
    example = None
    if differing:
        values = min(differing, key=str)
        numbers = {"silver_rows": silver_rows[values], "gold_rows": gold_rows[values]}
        example = msgspec.json.encode(dict(zip(columns, values, strict=True)) | numbers).decode()
    return check_result(f"its counts add up to silver.breweries in every {group}", table, len(differing), example)


def _group_check(received: Sequence[Row], manifest: Manifest, group: str, column: str) -> Check:
    counted = _cleaned({name: n for (name,), n in _by(received, column).items() if name is not None}, column)
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
    return query_check(engine, "compacting it changes no row", after.name, sql)
