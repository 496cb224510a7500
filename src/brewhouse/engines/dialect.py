"""Between the models' Spark SQL and the embedded engine's."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=256)
def to_duckdb(sql: str) -> str:
    """Turn one statement of Spark SQL into DuckDB's dialect.

    Example:
        >>> to_duckdb("SELECT count_if(name RLIKE 'a') FROM t")
        "SELECT COUNT_IF(REGEXP_MATCHES(name, 'a')) FROM t"
    """
    import sqlglot

    return sqlglot.transpile(sql, read="spark", write="duckdb")[0]
