"""Nothing lost and nothing twice: the tables add up to the snapshot, to each other and to the source's own counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from brewhouse.checks.check import Check
from brewhouse.checks.data_contract import violations
from brewhouse.engines.engine import Engine
from brewhouse.lake.manifest import Manifest

_GROUPS = {"by_country": "country", "by_state": "state_province", "by_type": "brewery_type"}


def reconcile_silver(engine: Engine, manifest: Manifest) -> list[Check]:
    """Check that every record of the snapshot went somewhere: a brewery, a rejected record or an exact duplicate.

    Args:
        engine: Reads the staging and silver tables.
        manifest: Says how many records there are.
    """
    counts = {
        part: _count(engine, sql)
        for part, sql in {
            "breweries": "SELECT count(*) AS n FROM silver.breweries",
            "rejected": "SELECT count(*) AS n FROM silver.rejected_breweries",
            "exact duplicates": "SELECT count(*) AS n FROM staging.records WHERE is_exact_duplicate",
        }.items()
    }
    records = manifest.proof.records
    unaccounted = abs(records - sum(counts.values()))
    parts = " + ".join(f"{number} {part}" for part, number in counts.items())
    return [
        Check(
            name="records = breweries + rejected + exact duplicates",
            table="silver.breweries",
            severity="error",
            violations=unaccounted,
            example=f"{records} records, but {parts}" if unaccounted else None,
        ),
        Check(
            name="every record can be used",
            table="silver.rejected_breweries",
            severity="warning",
            violations=counts["rejected"],
            example=_first_reason(engine) if counts["rejected"] else None,
        ),
    ]


def count_drop(count: int, published: int | None, max_percent: float) -> Check:
    """Check that the number of breweries did not fall by more than the threshold.

    Args:
        count: Breweries now.
        published: Breweries in the published table, None without one.
        max_percent: The fall that is allowed, in percent of the published number.

    Example:
        >>> [count_drop(now, before, 20.0).violations for now, before in [(79, 100), (80, 100), (5, None)]]
        [21, 0, 0]
    """
    lost = max((published or 0) - count, 0)
    fell = lost > (published or 0) * max_percent / 100
    return Check(
        name=f"the number of breweries fell by at most {max_percent:g} %",
        table="silver.breweries",
        severity="error",
        violations=lost if fell else 0,
        example=f"{published} published, {count} now; allow it with --max-count-drop-percent" if fell else None,
    )


def gold_sums(engine: Engine) -> list[Check]:
    """Check that the gold tables count every row of silver once, in every country, state and type.

    Args:
        engine: Reads the silver and gold tables.
    """
    place = "country_code, country_name, state_code, state_name"
    return [
        _same_sums(engine, "gold.breweries_by_location", place, "country and state"),
        _same_sums(engine, "gold.breweries_by_type_and_location", place, "country and state"),
        _same_sums(engine, "gold.breweries_by_type_and_location", "brewery_type", "type"),
    ]


def _same_sums(engine: Engine, table: str, columns: str, words: str) -> Check:
    return violations(
        engine,
        f"its counts add up to silver.breweries in every {words}",
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
    """Check silver, what it rejected included, against the source's own groups, by the source's names.

    Gold goes by canonical names; that it adds up to silver is a check of its own. Where the source gave no groups,
    those counted while the snapshot was taken stand in for them. Breweries that the source could not give (holes) are
    taken off.

    Args:
        engine: Reads the silver tables.
        manifest: Holds the source's groups.
    """
    return [_group_check(engine, manifest, group, column) for group, column in _GROUPS.items()]


def _group_check(engine: Engine, manifest: Manifest, group: str, column: str) -> Check:
    theirs: Mapping[str, int] | None = getattr(manifest.meta_after, group)
    origin = "/meta's" if theirs is not None else "the snapshot's"
    expected = _cleaned(theirs if theirs is not None else getattr(manifest.received, group), column)
    if theirs is not None:
        expected.subtract(_cleaned(manifest.missing.get(group, {}), column))
    ours = _cleaned(_groups(engine, "silver.breweries", column), column)
    ours.update(_cleaned(_rejected_groups(engine, column), column))
    differing = sorted(name for name in expected.keys() | ours.keys() if expected[name] != ours[name])
    example = f"{differing[0]}: {expected[differing[0]]} there, {ours[differing[0]]} here" if differing else None
    return Check(
        name=f"its counts equal {origin} own {group}",
        table="silver.breweries",
        severity="error",
        violations=len(differing),
        example=example,
    )


def _rejected_groups(engine: Engine, column: str) -> dict[str, int]:
    value = "coalesce(state_province, state)" if column == "state_province" else column
    return _groups(engine, "silver.rejected_breweries", value)


def _groups(engine: Engine, table: str, value: str) -> dict[str, int]:
    rows = engine.rows(f"SELECT {value} AS name, count(*) AS n FROM {table} GROUP BY {value}")
    return {row["name"]: int(row["n"]) for row in rows if row["name"] is not None}


def _cleaned(groups: Mapping[str, int], column: str) -> Counter[str]:
    """Add up groups whose names the silver models clean to the same one."""
    counter: Counter[str] = Counter()
    for name, number in groups.items():
        clean = " ".join(name.split())
        counter[clean.lower() if column == "brewery_type" else clean] += number
    del counter[""]
    return counter


def _count(engine: Engine, sql: str) -> int:
    return int(engine.rows(sql)[0]["n"])


def _first_reason(engine: Engine) -> str:
    row = engine.rows("SELECT reasons, record FROM silver.rejected_breweries ORDER BY page, record LIMIT 1")[0]
    return f"{row['reasons']}: {row['record']}"
