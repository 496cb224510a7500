"""The translation of Spark SQL: functions return the same values and types on both engines, and names of tables."""

from __future__ import annotations

import math
import random
import unicodedata
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
import sqlglot
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from brewhouse.engines.dialect import to_duckdb, to_spark
from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.engines.engine import EngineError
from brewhouse.engines.spark import SparkEngine
from brewhouse.models.model import ZONES
from brewhouse.models.project import models_of

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
    "CAST(CAST('-1e-310' AS DOUBLE) AS STRING)",
    "CAST(try_cast('x' AS DOUBLE) AS STRING)",
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
    "trim('\u00a0a\u3000')",
    "ltrim(' \u2003a ')",
    "rtrim(' a\u2003 ')",
    "trim(BOTH 'x' FROM 'xax ')",
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
    "NULL BETWEEN 1 AND 3",
    "contains('a  b', '  ')",
    "contains('a', CAST(NULL AS STRING))",
    "'a' = 'A'",
    "bit_length('🍺é')",
    "bit_length('')",
    "struct('a' AS x, CAST(NULL AS STRING) AS y, 1.5 AS z).x",
    "-CAST('1.5' AS DOUBLE) * 2",
    "3 * 4 > 8 * length('é')",
    "NOT (NULL OR true) AND false",
    "CAST(NULL AS STRING) IS NULL",
    "CASE 'b' WHEN 'a' THEN 1 WHEN 'b' THEN 2 END",
    "coalesce(nullif(regexp_extract('\"a\" : -1.5', '\"a\"[ \\\\t]*:[ \\\\t]*(-?[0-9][-+.0-9Ee]*)', 1), ''), 'none')",
    "lower(trim(regexp_replace('\u00a0A\u0085B ', '[\\\\s\\\\x0B\\\\x1C-\\\\x1F\\\\x85\\\\p{Z}]+', ' ')))",
]


AGGREGATES = """
    SELECT t, count(*) OVER (PARTITION BY t) AS w, row_number() OVER (PARTITION BY t ORDER BY n IS NULL, n) AS r,
        a, b, c, d, e, f, g, h, i, a / sum(a) OVER () AS j
    FROM (SELECT 1 AS n, 'é' AS t UNION ALL SELECT 2, 'Z' UNION ALL SELECT NULL, NULL UNION ALL SELECT 2, 'z')
    CROSS JOIN (
        SELECT count(*) AS a, count(n) AS b, count_if(n > 1) AS c, sum(n) AS d, min(t) AS e, max(t) AS f, avg(n) AS g,
            count(DISTINCT t) AS h, sum(CAST(n AS DOUBLE)) AS i
        FROM (SELECT 1 AS n, 'é' AS t UNION ALL SELECT 2, 'Z' UNION ALL SELECT NULL, NULL UNION ALL SELECT 2, 'z') AS r
    )
    ORDER BY n, t
"""

needs_letters_that_duckdb_knows = pytest.mark.skipif(
    unicodedata.unidata_version != "14.0.0", reason="needs the Unicode of Python 3.11"
)


def described(value: object) -> tuple[str, str]:
    return type(value).__name__, value.isoformat() if isinstance(value, datetime) else repr(value)


def test_scalar_functions_return_the_same(engine: DuckDBEngine, spark: SparkEngine) -> None:
    sql = f"SELECT {', '.join(f'{text} AS v{number}' for number, text in enumerate(EXPRESSIONS))}"
    one, other = (e.rows(sql)[0] for e in (engine, spark))
    differing = {
        text: (one[name], other[name])
        for text, name in zip(EXPRESSIONS, one, strict=True)
        if described(one[name]) != described(other[name])
    }
    assert differing == {}


def test_aggregates_and_windows_return_the_same(engine: DuckDBEngine, spark: SparkEngine) -> None:
    rows = [[list(map(described, row.values())) for row in e.rows(AGGREGATES)] for e in (engine, spark)]
    assert rows[0] == rows[1]


def functions(sql: str) -> set[str]:
    """List the functions and operators of a statement; xxhash64 has other values in DuckDB, which no table shows."""
    nodes = sqlglot.parse_one(sql, dialect="spark").find_all(exp.Func, exp.Binary, exp.Unary, exp.Predicate)
    names = {node.name if isinstance(node, exp.Anonymous) else type(node).__name__ for node in nodes}
    return names - {"Paren", "PropertyEQ", "If", "XXHASH64"}


def test_every_function_of_the_built_in_models_is_compared() -> None:
    compared = functions(f"SELECT {', '.join(EXPRESSIONS)}") | functions(AGGREGATES)
    models = models_of(*ZONES)
    selects = [select for model in models for select in (model.select, *model.check_selects)]
    used = {name for select in selects for name in functions(select.tree.sql("spark"))}
    assert used - compared == set()


def java_double(value: float) -> str:
    """Format a number as Java does."""
    if not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[repr(value)]
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    first, *rest = map(str, digits)
    return f"{'-' if sign else ''}{first}.{''.join(rest) or '0'}E{exponent + len(rest)}"


def results(engine: DuckDBEngine, expression: str, kind: str, values: list[Any]) -> list[Any]:
    """Compute an expression of `x` for each value."""
    engine.attach_rows("reference.x", {"n": "long", "x": kind}, list(enumerate(values)))
    return [row["y"] for row in engine.rows(f"SELECT {expression} AS y FROM reference.x ORDER BY n")]


NUMBERS = st.floats() | st.builds(lambda n, e: float(f"{n}e{e}"), st.integers(-(10**17), 10**17), st.integers(-30, 20))


@settings(max_examples=20, deadline=None)
@given(st.lists(NUMBERS, min_size=100, max_size=300))
def test_any_number_is_formatted_as_in_java(engine: DuckDBEngine, values: list[float]) -> None:
    assert results(engine, "CAST(x AS STRING)", "double", values) == list(map(java_double, values))


@needs_letters_that_duckdb_knows
@pytest.mark.parametrize("word", ["{}", "{}Σ", "A{}Σ", "AΣ{}", "AΣ{}B"])
def test_every_letter_changes_case_as_unicode_defines(engine: DuckDBEngine, word: str) -> None:
    letters = [chr(number) for number in range(1, 0x110000) if unicodedata.category(chr(number)) not in {"Cn", "Cs"}]
    texts = [" ".join(map(word.format, letters[first : first + 1000])) for first in range(0, len(letters), 1000)]
    for function, oracle in (("lower", str.lower), ("upper", str.upper)):
        assert results(engine, f"{function}(x)", "string", texts) == list(map(oracle, texts))


WORDS = st.text(st.sampled_from("AΣ\u03c3ςb.'\u2019 -\u0301\u0345\u02b0ªⅣ1İIßŉﬁᾳΐé\n\u00ad\u200b")) | st.text(
    st.characters(exclude_categories=["Cs", "Cn"], exclude_characters="\0")
)


@needs_letters_that_duckdb_knows
@settings(max_examples=20, deadline=None)
@given(st.lists(WORDS | st.none(), min_size=100, max_size=300))
def test_any_text_changes_case_as_unicode_defines(engine: DuckDBEngine, texts: list[str | None]) -> None:
    assert results(engine, "lower(x)", "string", texts) == [text and text.lower() for text in texts]
    assert results(engine, "upper(x)", "string", texts) == [text and text.upper() for text in texts]


def test_coordinates_have_the_same_text(engine: DuckDBEngine, spark: SparkEngine) -> None:
    chance = random.Random(7)
    values = [round(chance.uniform(-180, 180), chance.randint(0, 15)) for _ in range(2000)]
    values += [chance.uniform(-1, 1) * 10.0 ** chance.randint(-12, 12) for _ in range(500)]
    texts = []
    for e in (engine, spark):
        e.attach_rows("reference.numbers", {"value": "double"}, [(value,) for value in values])
        texts.append(e.rows("SELECT CAST(value AS STRING) AS text FROM reference.numbers ORDER BY value"))
    assert texts[0] == texts[1]


def test_only_table_names_change_for_spark() -> None:
    sql = "SELECT '{🍺} silver.x' AS `gold.y`, b.id -- silver.z\nFROM silver.breweries AS b JOIN gold.`t` USING (id)"
    assert to_spark(sql) == sql.replace("silver.breweries AS b", "`silver.breweries` AS b").replace(
        "gold.`t`", "`gold.t` AS `t`"
    )
    assert to_spark("WITH t AS (SELECT 1 AS n) SELECT n FROM t") == "WITH t AS (SELECT 1 AS n) SELECT n FROM t"


@pytest.mark.parametrize(
    ("sql", "translated"),
    [
        ("SELECT id FROM silver.a", "SELECT id FROM `silver.a` AS `a`"),
        ("SELECT x.id FROM silver.a x", "SELECT x.id FROM `silver.a` x"),
        ("SELECT id FROM `silver`.`a`", "SELECT id FROM `silver.a` AS `a`"),
        ("SELECT id FROM silver . a", "SELECT id FROM `silver.a` AS `a`"),
        ("SELECT id FROM a", "SELECT id FROM a"),
        ("SELECT id FROM cat.silver.a", "SELECT id FROM cat.silver.a"),
        ("SELECT id FROM range(3)", "SELECT id FROM range(3)"),
        (
            "WITH a AS (SELECT 1 AS id) SELECT id FROM a, silver.a AS b",
            "WITH a AS (SELECT 1 AS id) SELECT id FROM a, `silver.a` AS b",
        ),
        ("SELECT (SELECT max(n) FROM gold.t) AS m", "SELECT (SELECT max(n) FROM `gold.t` AS `t`) AS m"),
        ("SELECT 1 AS n UNION ALL SELECT n FROM gold.t", "SELECT 1 AS n UNION ALL SELECT n FROM `gold.t` AS `t`"),
        ("SELECT a.n FROM a.b AS a -- a.c\n/* a.d */", "SELECT a.n FROM `a.b` AS a -- a.c\n/* a.d */"),
        (
            "SELECT '🍺 a.b', n\nFROM a.b JOIN\n  c.d USING (n)",
            "SELECT '🍺 a.b', n\nFROM `a.b` AS `b` JOIN\n  `c.d` AS `d` USING (n)",
        ),
    ],
)
def test_tables_with_a_schema_become_temporary_views(sql: str, translated: str) -> None:
    assert to_spark(sql) == translated


@pytest.mark.parametrize(
    ("sql", "translated"),
    [
        ("SELECT a <=> b AS c FROM t", "SELECT a IS NOT DISTINCT FROM b AS c FROM t"),
        ("SELECT upper(a) AS u, CAST(a AS STRING) AS s", "SELECT SPARK_UPPER(a) AS u, SPARK_STRING(a) AS s"),
        ("SELECT a FROM t LEFT ANTI JOIN u ON t.id = u.id", "SELECT a FROM t ANTI JOIN u ON t.id = u.id"),
        ("SELECT 'it\\'s' AS a", "SELECT 'it''s' AS a"),
        ("SELECT `a b` FROM t", 'SELECT "a b" FROM t'),
    ],
)
def test_spark_sql_is_translated_to_duckdb(sql: str, translated: str) -> None:
    assert to_duckdb(sql) == translated


@pytest.mark.parametrize("translate", [to_duckdb, to_spark])
@pytest.mark.parametrize("sql", ["SELECT (", "SELECT 'x", "SELECT a FROM WHERE"])
def test_invalid_sql_is_an_engine_error_without_escape_codes(translate: Callable[[str], str], sql: str) -> None:
    with pytest.raises(EngineError, match=r"^Invalid Spark SQL: [^\x1b]+\. Fix the statement\.$"):
        translate(sql)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0.001, "0.001"), (0.0009999, "9.999E-4"), (9999999.0, "9999999.0"), (1e7, "1.0E7"), (-0.0, "-0.0")),
        *((1e22, "1.0E22"), (5e-324, "5.0E-324"), (-1.5e-5, "-1.5E-5"), (math.nan, "NaN"), (-math.inf, "-Infinity")),
    ],
)
def test_numbers_are_formatted_as_in_java(engine: DuckDBEngine, value: float, text: str) -> None:
    assert results(engine, "CAST(x AS STRING)", "double", [value]) == [text] == [java_double(value)]


# Letters above are of Unicode 14, which Java 17 does not know.
LETTERS = st.characters(max_codepoint=0x2BFF, exclude_categories=["Cn"], exclude_characters="\0") | st.sampled_from(
    " \t\u00a0\u3000\x85\u0130ΣßA'\"\\\U0001f37a"
)
TEXT_FUNCTIONS = (
    "lower(t)", "upper(t)", "trim(t)", "length(t)", "bit_length(t)", "nullif(t, '')", "contains(t, 'a')",
    "t <=> lower(t)", "substring(t, 2, 3)", "concat(t, '|', t)",
    "CASE WHEN t RLIKE '^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?$' THEN try_cast(t AS DOUBLE) END",
    "regexp_replace(t, '[\\\\s\\\\x0B\\\\x1C-\\\\x1F\\\\x85\\\\p{Z}]+', ' ')", "concat_ws('; ', t, NULL, t)",
)  # fmt: skip


@settings(max_examples=3, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.lists(st.text(LETTERS, max_size=10) | st.none() | st.floats().map(str), min_size=40, max_size=80))
def test_text_functions_return_the_same_for_any_text(
    engine: DuckDBEngine, spark: SparkEngine, texts: list[str | None]
) -> None:
    cells = ", ".join(f"{text} AS v{number}" for number, text in enumerate(TEXT_FUNCTIONS))
    results = []
    for e in (engine, spark):
        e.attach_rows("reference.texts", {"number": "long", "t": "string"}, list(enumerate(texts)))
        rows = e.rows(f"SELECT {cells} FROM reference.texts ORDER BY number")
        results.append([list(map(described, row.values())) for row in rows])
    differing = [
        (function, text, one, other)
        for text, *pair in zip(texts, *results, strict=True)
        for function, one, other in zip(TEXT_FUNCTIONS, *pair, strict=True)
        if one != other
    ]
    assert differing == []
