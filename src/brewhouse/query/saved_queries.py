"""Saved queries: what a brewery analyst asks first, in Athena's dialect, and how they run where.

They name tables by zone, as `gold.breweries_by_location`. On one machine the zones are schemas of those names; in the
Glue catalog they are databases with a name of their own before the zone, which `for_athena` alone puts there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from brewhouse.errors import UsageError

_ZONES = ("bronze", "silver", "gold", "monitoring")


@dataclass(frozen=True)
class SavedQuery:
    """A query that ships with Brewhouse.

    Attributes:
        name: What it is called by, the file's name.
        title: A few words.
        question: What it answers, a sentence.
        sql: The file's text, header comment included, in Athena's dialect.
    """

    name: str
    title: str
    question: str
    sql: str


@cache
def saved_queries() -> tuple[SavedQuery, ...]:
    """Load all saved queries, by name."""
    found = (file for file in files("brewhouse.query").joinpath("sql").iterdir() if file.name.endswith(".sql"))
    return tuple(_parse(file.name.removesuffix(".sql"), file.read_text("utf-8")) for file in sorted(found, key=str))


def saved_query(name: str) -> SavedQuery:
    """Find a saved query.

    Raises:
        UsageError: There is none of that name; says which there are.

    Example:
        >>> saved_query("top_cities").title
        'Cities with the most breweries'
    """
    for query in saved_queries():
        if query.name == name:
            return query
    names = ", ".join(query.name for query in saved_queries())
    raise UsageError(f"There is no saved query {name}.", hint=f"There are: {names}.")


def for_duckdb(sql: str, *, pretty: bool = False) -> str:
    """Turn a query in Athena's dialect into DuckDB's.

    Args:
        sql: A query.
        pretty: Set it out over several lines, for people.

    Example:
        >>> for_duckdb("SELECT approx_distinct(id) FROM silver.breweries")
        'SELECT APPROX_COUNT_DISTINCT(id) FROM silver.breweries'
    """
    import sqlglot

    return sqlglot.transpile(sql, read="athena", write="duckdb", pretty=pretty)[0]


def for_athena(sql: str, database: str) -> str:
    """Name the databases of the Glue catalog in a query; all else stays as it is written, comments too.

    Args:
        sql: A query that names tables by zone.
        database: What the names of the databases begin with: `brewhouse` gives `brewhouse_silver`.

    Example:
        >>> for_athena("SELECT 'gold.x' FROM gold.breweries_by_location -- gold.y", "brewhouse")
        "SELECT 'gold.x' FROM brewhouse_gold.breweries_by_location -- gold.y"
    """
    from sqlglot import TokenType
    from sqlglot.dialects.athena import Athena

    tokens = Athena().tokenize(sql)
    starts = [
        token.start + (token.token_type is TokenType.IDENTIFIER)  # a quoted name begins with its quote
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
        raise ValueError(f"queries/{name}.sql does not begin with two comments, its title and its question.")
    return SavedQuery(name, header["title"], header["question"], text)
