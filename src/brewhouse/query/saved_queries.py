"""Saved queries: an analyst's first questions, in Athena's dialect, with their translation to DuckDB.

They name tables by zone, as `gold.breweries_by_location`. In a local lake the zones are schemas; in the Glue Data
Catalog they are databases with a prefix, which `for_athena` adds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from brewhouse.errors import NotFoundError, UsageError, suggestion
from brewhouse.query.statements import PLACEHOLDER

_ZONES = ("bronze", "silver", "gold", "monitoring")


@dataclass(frozen=True)
class SavedQuery:
    """A query that ships with Brewhouse: the stem, the header's lines and the whole text of its file."""

    name: str
    title: str
    question: str
    sql: str


@cache
def saved_queries() -> tuple[SavedQuery, ...]:
    """Load all saved queries, sorted by name."""
    found = (file for file in files("brewhouse.query").joinpath("sql").iterdir() if file.name.endswith(".sql"))
    return tuple(_parse(file.name.removesuffix(".sql"), file.read_text("utf-8")) for file in sorted(found, key=str))


def saved_query(name: str) -> SavedQuery:
    """Find a saved query by name.

    Raises:
        NotFoundError: It does not exist; the hint lists the names.
    """
    queries = {query.name: query for query in saved_queries()}
    if name not in queries:
        raise NotFoundError(f"Unknown saved query {name!r}.", hint=suggestion(name, queries))
    return queries[name]


def for_duckdb(sql: str, *, pretty: bool = False) -> str:
    """Translate a query from Athena's dialect to DuckDB's, optionally with line breaks.

    Example:
        >>> for_duckdb("SELECT approx_distinct(id) FROM silver.breweries")
        'SELECT APPROX_COUNT_DISTINCT(id) FROM silver.breweries'
    """
    import sqlglot

    return sqlglot.transpile(sql, read="athena", write="duckdb", pretty=pretty)[0]


def formatted(sql: str) -> str:
    """Format a query in DuckDB's dialect, with its placeholders.

    Raises:
        UsageError: It cannot be parsed.

    Example:
        >>> formatted("select {{ name }}").split()
        ['SELECT', '{{name}}']
    """
    import sqlglot

    named = re.sub(PLACEHOLDER, r"placeholder_\1_", sql, flags=re.ASCII)
    try:
        parts = sqlglot.transpile(named, read="duckdb", write="duckdb", pretty=True)
    except sqlglot.errors.SqlglotError as error:
        raise UsageError("The query cannot be formatted: syntax error.", hint="Run it to see where.") from error
    return re.sub(r"placeholder_(\w+?)_\b", r"{{\1}}", ";\n".join(parts))


def for_athena(sql: str, database: str) -> str:
    """Prefix the zones in a query as the databases of the Glue Data Catalog; keep the rest, comments included.

    Example:
        >>> for_athena("SELECT 'gold.x' FROM gold.breweries_by_location -- gold.y", "brewhouse")
        "SELECT 'gold.x' FROM brewhouse_gold.breweries_by_location -- gold.y"
    """
    from sqlglot import TokenType
    from sqlglot.dialects.athena import Athena

    tokens = Athena().tokenize(sql)
    starts = [
        token.start + (token.token_type is TokenType.IDENTIFIER)  # the token of a quoted name includes its quote
        for before, token, after in zip([None, *tokens], tokens, tokens[1:], strict=False)
        if token.text.lower() in _ZONES
        and token.token_type is not TokenType.STRING
        and after.token_type is TokenType.DOT
        and (before is None or before.token_type is not TokenType.DOT)
    ]
    for start in reversed(starts):
        sql = f"{sql[:start]}{database}_{sql[start:]}"
    return sql


def _parse(name: str, text: str) -> SavedQuery:
    header = re.match(r"-- (?P<title>.+)\n-- (?P<question>.+\?)\n(?=\S)", text)
    if header is None:
        raise ValueError(f"query/sql/{name}.sql does not begin with two comments, its title and its question.")
    return SavedQuery(name, header["title"], header["question"], text)
