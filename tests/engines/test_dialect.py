"""A function of Spark SQL gives the same value and type on both engines."""

from __future__ import annotations

import random
from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from brewhouse.engines.dialect import java_double, to_spark
from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.engines.spark import SparkEngine

EXPRESSIONS = [
    r"lower('ÀÉÎ Zürich')",
    r"lower('İ')",
    r"lower('ΑΣ ΣΑΣ.')",
    r"lower('ẞ')",
    r"upper('straße ŉ ﬁ ΐ')",
    r"upper('i')",
    "lower(NULL)",
    "CAST(CAST('1e-5' AS DOUBLE) AS STRING)",
    "CAST(CAST('12345678.9' AS DOUBLE) AS STRING)",
    "CAST(CAST('10000000' AS DOUBLE) AS STRING)",
    "CAST(CAST('-0.0' AS DOUBLE) AS STRING)",
    "CAST(CAST('0.001' AS DOUBLE) AS STRING)",
    "CAST(CAST('NaN' AS DOUBLE) AS STRING)",
    "CAST(CAST('1e400' AS DOUBLE) AS STRING)",
    "CAST(CAST('4' AS DOUBLE) AS STRING)",
    "CAST(NULL AS STRING)",
    "CAST(12 AS STRING)",
    "CAST(true AS STRING)",
    "CAST(CAST('2026-08-02' AS DATE) AS STRING)",
    "CAST(CAST('2026-08-02 10:00:00+02:00' AS TIMESTAMP) AS STRING)",
    "CAST(CAST('2026-08-02 10:00:00.250' AS TIMESTAMP) AS STRING)",
    "CAST(CAST('2026-08-02 23:30:00+00:00' AS TIMESTAMP) AS DATE)",
    "CAST('2026-08-02T12:00:00+00:00' AS TIMESTAMP)",
    "try_cast('1e400' AS DOUBLE)",
    "try_cast('1e-400' AS DOUBLE)",
    "try_cast('5.' AS DOUBLE)",
    "try_cast('+.5' AS DOUBLE)",
    "try_cast('0.1234567890123456789' AS DOUBLE)",
    "try_cast('x' AS DOUBLE)",
    "CAST('x' AS INT)",
    "CAST('2026-13-01' AS DATE)",
    "1 / 2",
    "1 / 0",
    "7 / 7",
    "concat('a', NULL)",
    "concat('a', 'b')",
    "concat_ws(', ', 'a', NULL, 'b')",
    "concat_ws(', ', CAST(NULL AS STRING))",
    "coalesce(NULL, 'a')",
    "nullif('a', 'a')",
    "trim('  a  ')",
    "trim('\\ta ')",
    "length('🍺é')",
    "substring('🍺été', 2, 2)",
    "regexp_replace('a\\u00a0\\u2003b', '[\\\\s\\\\p{Z}]+', ' ')",
    "regexp_extract('ab12', '([0-9]+)', 1)",
    "regexp_extract('ab', '([0-9]+)', 1)",
    "'abc' RLIKE '^[a-c]+$'",
    "'é' RLIKE '[^ -~]'",
    "NULL <=> NULL",
    "'a' <=> NULL",
    "NOT 'a' <=> 'b'",
    "'a' < 'B'",
    "'é' < 'z'",
    "CASE WHEN CAST(NULL AS BOOLEAN) THEN 1 ELSE 2 END",
    "1 IN (1, NULL)",
    "2 IN (1, NULL)",
    "2 BETWEEN 1 AND 3",
]


def described(value: object) -> tuple[str, str]:
    return type(value).__name__, value.isoformat() if isinstance(value, datetime) else repr(value)


def test_every_function_that_models_use_gives_the_same(engine: DuckDBEngine, spark: SparkEngine) -> None:
    sql = f"SELECT {', '.join(f'{text} AS v{number}' for number, text in enumerate(EXPRESSIONS))}"
    one, other = (e.rows(sql)[0] for e in (engine, spark))
    differing = {
        text: (one[name], other[name])
        for text, name in zip(EXPRESSIONS, one, strict=True)
        if described(one[name]) != described(other[name])
    }
    assert differing == {}


def test_aggregates_give_the_same(engine: DuckDBEngine, spark: SparkEngine) -> None:
    sql = """
        SELECT count(*) AS a, count(n) AS b, count_if(n > 1) AS c, sum(n) AS d, min(t) AS e, max(t) AS f, avg(n) AS g,
            count(DISTINCT t) AS h, sum(CAST(n AS DOUBLE)) AS i
        FROM (SELECT 1 AS n, 'é' AS t UNION ALL SELECT 2, 'Z' UNION ALL SELECT NULL, NULL UNION ALL SELECT 2, 'z') AS r
    """
    assert [list(map(described, e.rows(sql)[0].values())) for e in (engine,)] == [
        list(map(described, e.rows(sql)[0].values())) for e in (spark,)
    ]


@given(st.floats(allow_nan=False))
def test_a_number_in_javas_writing_reads_as_the_same_number(value: float) -> None:
    assert float(java_double(value)) == value


def test_coordinates_are_written_alike(engine: DuckDBEngine, spark: SparkEngine) -> None:
    chance = random.Random(7)
    values = [round(chance.uniform(-180, 180), chance.randint(0, 15)) for _ in range(2000)]
    values += [chance.uniform(-1, 1) * 10.0 ** chance.randint(-12, 12) for _ in range(500)]
    texts = []
    for e in (engine, spark):
        e.attach_rows("reference.numbers", {"value": "double"}, [(value,) for value in values])
        texts.append(e.rows("SELECT CAST(value AS STRING) AS text FROM reference.numbers ORDER BY value"))
    assert texts[0] == texts[1]


def test_nothing_but_the_names_of_tables_is_changed_for_spark() -> None:
    sql = "SELECT '{🍺} silver.x' AS `gold.y`, b.id -- silver.z\nFROM silver.breweries AS b JOIN gold.`t` USING (id)"
    assert to_spark(sql) == sql.replace("silver.breweries AS b", "`silver.breweries` AS b").replace(
        "gold.`t`", "`gold.t` AS `t`"
    )
    assert to_spark("WITH t AS (SELECT 1 AS n) SELECT n FROM t") == "WITH t AS (SELECT 1 AS n) SELECT n FROM t"
