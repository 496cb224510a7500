"""Translation of the models' Spark SQL to DuckDB, and of table names to Spark's temporary views.

A function that DuckDB computes differently from Spark is replaced by a macro of `DUCKDB_MACROS` that does not.
"""

from __future__ import annotations

import math
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from brewhouse.engines.engine import EngineError
from brewhouse.models.model import prepared

if TYPE_CHECKING:
    import duckdb
    from sqlglot import exp

DUCKDB_MACROS = """
    -- DuckDB maps case letter by letter; Java and Python handle İ, ß and the Greek final sigma.
    CREATE MACRO spark_lower(value) AS CASE
        WHEN strlen(value) = length(value) THEN lower(value)
        WHEN contains(value, 'Σ') THEN unicode_lower(value)
        ELSE lower(replace(value, 'İ', 'i̇'))
    END;
    CREATE MACRO spark_upper(value) AS
        CASE WHEN strlen(value) = length(value) THEN upper(value) ELSE unicode_upper(value) END;
    CREATE MACRO spark_string(value) AS CASE
        WHEN typeof(value) = 'DOUBLE' AND TRY_CAST(value AS DOUBLE) <> 0
            AND NOT abs(TRY_CAST(value AS DOUBLE)) BETWEEN 0.001 AND 9999999
            THEN java_double(TRY_CAST(value AS DOUBLE))
        WHEN typeof(value) = 'TIMESTAMP WITH TIME ZONE' THEN regexp_replace(CAST(value AS VARCHAR), '[+]00$', '')
        ELSE CAST(value AS VARCHAR)
    END;
"""

NEEDS_PYTHON = "a value needs a function in Python"
PYTHON_FUNCTIONS = ("unicode_lower", "unicode_upper", "java_double")
"""Functions of the macros that few values need; DuckDB imports NumPy, which takes 50 ms, to call Python."""
PLACEHOLDERS = "".join(
    f"CREATE MACRO {name}(value) AS CAST(error('{NEEDS_PYTHON}') AS VARCHAR);" for name in PYTHON_FUNCTIONS
)


def add_python_functions(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the functions of `PYTHON_FUNCTIONS`, in place of their placeholders."""
    for name in PYTHON_FUNCTIONS:
        connection.execute(f"DROP MACRO IF EXISTS {name}")
    connection.create_function("unicode_lower", str.lower, ["VARCHAR"], "VARCHAR")
    connection.create_function("unicode_upper", str.upper, ["VARCHAR"], "VARCHAR")
    connection.create_function("java_double", java_double, ["DOUBLE"], "VARCHAR")


def java_double(value: float) -> str:
    """Format a number as Java, and so Spark, does.

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
    """Translate a statement from Spark SQL to DuckDB.

    Example:
        >>> to_duckdb("SELECT count_if(lower(name) RLIKE 'a') FROM t")
        "SELECT COUNT_IF(REGEXP_MATCHES(SPARK_LOWER(name), 'a')) FROM t"
    """
    return prepared().duckdb.get(sql) or translate(sql)


def translate(sql: str) -> str:
    """Translate a statement from Spark SQL to DuckDB with sqlglot, whether it is prepared or not."""
    return _parse(sql).transform(_with_macros).sql(dialect="duckdb")


def _parse(sql: str) -> exp.Expr:
    import sqlglot

    try:
        return sqlglot.parse_one(sql, dialect="spark")
    except sqlglot.errors.SqlglotError as error:
        reason = str(error).partition("\n")[0].rstrip(".")  # an excerpt with escape codes for terminals follows
        raise EngineError(f"Invalid Spark SQL: {reason}.", hint="Fix the statement.") from error


def _with_macros(node: exp.Expr) -> exp.Expr:
    from sqlglot import exp

    if isinstance(node, exp.Lower | exp.Upper):
        return exp.func(f"spark_{node.key}", node.this)
    if isinstance(node, exp.Cast) and node.is_type("text"):
        return exp.func("spark_string", node.this)
    if isinstance(node, exp.Trim) and not node.expression:
        node.set("expression", exp.Literal.string(" "))  # by default, DuckDB trims every Unicode space
    return node


@lru_cache(maxsize=256)
def to_spark(sql: str) -> str:
    """Replace the tables of a Spark SQL statement by the temporary views of the session; keep the rest as written.

    Temporary views have no schema, so the full name is quoted, and the table's name becomes its alias.

    Example:
        >>> to_spark("SELECT city FROM silver.breweries, gold.t AS t")
        'SELECT city FROM `silver.breweries` AS `breweries`, `gold.t` AS t'
    """
    from sqlglot import exp

    tables = sorted(
        (table.args["db"].meta["start"], table.this.meta["end"] + 1, table)
        for table in _parse(sql).find_all(exp.Table)
        if table.db and not table.catalog
    )
    parts, done = [], 0
    for start, end, table in tables:
        alias = "" if table.alias else f" AS {view_name(table.name)}"
        parts += [sql[done:start], view_name(f"{table.db}.{table.name}"), alias]
        done = end
    return "".join([*parts, sql[done:]])


def view_name(table: str) -> str:
    """Return the quoted name of a table's temporary view in Spark."""
    return f"`{table}`"
