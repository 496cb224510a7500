"""Translation of the models' Spark SQL to DuckDB, and of table names to Spark's temporary views.

A function that DuckDB computes differently from Spark is replaced by a macro of `duckdb_macros.sql` that does not.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from brewhouse.engines.engine import EngineError
from brewhouse.models.model import prepared

if TYPE_CHECKING:
    from sqlglot import exp

_CASED = (
    r"\p{Lu}\p{Ll}\p{Lt}\x{AA}\x{BA}\x{2160}-\x{217F}\x{24B6}-\x{24E9}"
    r"\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189}"
)
_CASE_IGNORABLE = (
    r"\p{Mn}\p{Me}\p{Cf}\p{Lm}\p{Sk}\x{27}.:\x{B7}\x{387}\x{55F}\x{5F4}"
    r"\x{2018}\x{2019}\x{2024}\x{2027}\x{FE13}\x{FE52}\x{FE55}\x{FF07}\x{FF0E}\x{FF1A}"
)
_FINAL_SIGMA = f"([{_CASED}][{_CASE_IGNORABLE}]*)Σ([{_CASE_IGNORABLE}]*(?:[^{_CASED}{_CASE_IGNORABLE}]|$))"
"""A Σ that ends a word: after a cased letter and not before one, whatever is ignorable between them."""

_RANGES = (0xDF, 0x149, 0x1F0, 0x390, 0x3B0, 0x587, *range(0x1E96, 0x1FFD), *range(0xFB00, 0xFB18))
_EXPANDING = [letter for letter in map(chr, _RANGES) if len(letter.upper()) > 1]
"""Letters that become several in upper case."""


def duckdb_macros() -> str:
    """Return the statements that create the macros with which DuckDB computes as Spark does."""
    sql = Path(__file__).with_name("duckdb_macros.sql").read_text("utf-8")
    expanded = " ".join(map(str.upper, _EXPANDING))
    for name, text in {"final_sigma": _FINAL_SIGMA, "expanding": "".join(_EXPANDING), "expanded": expanded}.items():
        sql = sql.replace(f"{{{name}}}", text)
    return sql


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
    if isinstance(node, exp.Anonymous) and node.name.lower() == "xxhash64":
        node.set("this", "hash")  # of 64 bits as well, but with other values
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
