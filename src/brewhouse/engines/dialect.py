"""Between the models' Spark SQL and the engines: DuckDB's dialect, and the names that Spark's views can have.

Where a function of the same name gives another value in DuckDB, it becomes one of `DUCKDB_MACROS`, which gives Spark's.
"""

from __future__ import annotations

import math
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from brewhouse.errors import UsageError

if TYPE_CHECKING:
    from sqlglot import exp

DUCKDB_MACROS = """
    -- DuckDB changes the case letter by letter; Java and Python know of İ, ß and of the Greek final sigma.
    CREATE MACRO spark_lower(value) AS
        CASE WHEN strlen(value) = length(value) THEN lower(value) ELSE unicode_lower(value) END;
    CREATE MACRO spark_upper(value) AS
        CASE WHEN strlen(value) = length(value) THEN upper(value) ELSE unicode_upper(value) END;
    CREATE MACRO spark_string(value) AS CASE
        WHEN typeof(value) = 'DOUBLE' AND NOT abs(TRY_CAST(value AS DOUBLE)) BETWEEN 0.001 AND 9999999
            THEN java_double(TRY_CAST(value AS DOUBLE))
        WHEN typeof(value) = 'TIMESTAMP WITH TIME ZONE' THEN regexp_replace(CAST(value AS VARCHAR), '[+]00$', '')
        ELSE CAST(value AS VARCHAR)
    END;
"""


def java_double(value: float) -> str:
    """Write a number as Java, and so Spark, does.

    Example:
        >>> [java_double(value) for value in (0.0, -0.00012, 1e7, 12345678.9, 9999999.5, float("inf"))]
        ['0.0', '-1.2E-4', '1.0E7', '1.23456789E7', '9999999.5', 'Infinity']
    """
    if not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[repr(value)]
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    first, *rest = map(str, digits)
    return f"{'-' if sign else ''}{first}.{''.join(rest) or '0'}E{exponent + len(rest)}"


@lru_cache(maxsize=256)
def to_duckdb(sql: str) -> str:
    """Turn one statement of Spark SQL into DuckDB's dialect.

    Example:
        >>> to_duckdb("SELECT count_if(lower(name) RLIKE 'a') FROM t")
        "SELECT COUNT_IF(REGEXP_MATCHES(SPARK_LOWER(name), 'a')) FROM t"
    """
    import sqlglot

    return sqlglot.parse_one(sql, dialect="spark").transform(_like_spark).sql(dialect="duckdb")


def _like_spark(node: exp.Expr) -> exp.Expr:
    from sqlglot import exp

    if isinstance(node, exp.Lower | exp.Upper):
        return exp.func("spark_lower" if isinstance(node, exp.Lower) else "spark_upper", node.this)
    if isinstance(node, exp.Cast) and node.is_type("text"):
        return exp.func("spark_string", node.this)
    return node


@lru_cache(maxsize=256)
def to_spark(sql: str) -> str:
    """Name the tables of one statement of Spark SQL as Spark's temporary views; all else is left as it is written.

    Temporary views have no schema, so the whole name is quoted, and the table's own name becomes its alias.

    Example:
        >>> to_spark("SELECT city FROM silver.breweries, gold.t AS t")
        'SELECT city FROM `silver.breweries` AS `breweries`, `gold.t` AS t'
    """
    import sqlglot
    from sqlglot import exp

    try:
        tables = sorted(
            (table.args["db"].meta["start"], table.this.meta["end"] + 1, table)
            for table in sqlglot.parse_one(sql, dialect="spark").find_all(exp.Table)
            if table.db and not table.catalog
        )
    except sqlglot.ParseError as error:
        raise UsageError(f"This is no valid Spark SQL: {error}.", hint="Mend it.") from error
    parts, done = [], 0
    for start, end, table in tables:
        alias = "" if table.alias else f" AS {view_name(table.name)}"
        parts += [sql[done:start], view_name(f"{table.db}.{table.name}"), alias]
        done = end
    return "".join([*parts, sql[done:]])


def view_name(table: str) -> str:
    """Give the name of the temporary view that a table is read by in Spark.

    Example:
        >>> view_name("silver.breweries")
        '`silver.breweries`'
    """
    return f"`{table}`"
