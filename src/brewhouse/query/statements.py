"""Validation of a reader's SQL: one statement that reads tables by name.

DuckDB classifies some statements with side effects as SELECT: a WITH clause may contain an INSERT and, since 2.0, a
`COPY … TO`, which writes a file. Therefore the parsed tree is validated, and only what is known to read is accepted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from brewhouse.errors import UsageError

if TYPE_CHECKING:
    import duckdb

_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}  # not INSERT_QUERY_NODE and the like
_TABLE_FUNCTIONS = {
    *("range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree"),
    *("duckdb_columns", "duckdb_functions", "duckdb_tables", "duckdb_types", "duckdb_views", "pragma_table_info"),
}
_TEXT = re.compile("'(?:[^']|'')*'")
_VIEW_FILES = re.compile(  # as DuckDB writes the SQL of a view; texts and quoted names hide what they contain
    rf"read_(?:parquet|json|json_objects)\((?:list_value\()?(?P<files>{_TEXT.pattern}(?:, {_TEXT.pattern})*)"
    rf'|{_TEXT.pattern}|"(?:[^"]|"")*"'
)
_WRITE_HINT = "To change tables, write a model or use `brewhouse rollback`."
_TABLES_HINT = "`SHOW ALL TABLES` lists the tables."
PLACEHOLDER = r"\{\{\s*([A-Za-z_]\w*)\s*\}\}"
_PLACEHOLDERS = re.compile(
    rf"""--[^\n]*|/\*.*?\*/|"(?:[^"]|"")*"|('(?:[^']|'')*')|{PLACEHOLDER}""", re.DOTALL | re.ASCII
)


def with_parameters(sql: str) -> tuple[str, list[str]]:
    """Turn placeholders, in texts too, into parameters of a statement; returns their names in order of appearance.

    Example:
        >>> with_parameters("SELECT {{n}} -- {{no}}")
        ('SELECT $n -- {{no}}', ['n'])
        >>> with_parameters("FROM t WHERE name LIKE '{{start}}%'")
        ("FROM t WHERE name LIKE ('' || $start || '%')", ['start'])
    """
    names: list[str] = []

    def bound(match: re.Match[str]) -> str:
        whole, text, name = match.group(0, 1, 2)
        if text:
            names.extend(re.findall(PLACEHOLDER, text, re.ASCII))
            parts = re.sub(PLACEHOLDER, r"' || $\1 || '", text, flags=re.ASCII)
            return f"({parts})" if parts != text else text
        if name:
            names.append(name)
            return f"${name}"
        return whole

    return _PLACEHOLDERS.sub(bound, sql), list(dict.fromkeys(names))


def reading_statement(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    """Parse a statement, without running it, and verify that it only reads tables.

    Args:
        sql: A SELECT, or a statement that DuckDB treats as one (FROM, VALUES, DESCRIBE, SHOW, SUMMARIZE, PIVOT … IN).

    Raises:
        UsageError: It is not a single statement, it changes something, or it reads something other than tables.
        duckdb.Error: DuckDB cannot parse it.
    """
    statements = connection.extract_statements(sql)
    kinds = [statement.type.name for statement in statements]
    if kinds != ["SELECT"]:  # not EXPLAIN, which with ANALYZE runs its statement
        raise UsageError(
            f"Only one SELECT can be run here, not {', '.join(kinds) or 'an empty text'}.",
            hint=f"{_WRITE_HINT} A PIVOT names its values: ON x IN (…).",
        )
    try:
        for node in _dictionaries(_tree(connection, sql)):
            _validate(node)
    except RecursionError:
        what = "The query cannot be run: it is nested too deeply."
        raise UsageError(what, hint="Split it into steps with WITH.") from None
    return statements[0]


def reading_relation(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, object] = MappingProxyType({})
) -> duckdb.DuckDBPyRelation:
    """Return the result of a statement that `reading_statement` accepts, before it is computed.

    Raises:
        UsageError: The parameters are not those of the statement.
    """
    import duckdb

    statement = reading_statement(connection, sql)
    if missing := sorted(statement.named_parameters - parameters.keys()):
        raise UsageError(f"The query has no value for ${missing[0]}.", hint=f"Pass --param {missing[0]}=VALUE.")
    if unknown := sorted(parameters.keys() - statement.named_parameters):
        raise UsageError(f"The query has no parameter ${unknown[0]}.", hint=f"Write ${unknown[0]} in the SQL.")
    try:
        relation = connection.sql(statement, params=dict(parameters) or None)
    except duckdb.Error:
        connection.execute(statement, dict(parameters) or None)  # its error includes the position in the text
        raise
    if not relation.columns:
        raise UsageError("The query has no columns.", hint="Begin with SELECT.")
    return relation


def files_read_by_views(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """List the files and file patterns that the views of a connection read, without duplicates."""
    views = connection.execute("SELECT sql FROM duckdb_views() WHERE NOT internal").fetchall()
    lists = [match["files"] for (sql,) in views for match in _VIEW_FILES.finditer(sql) if match["files"]]
    return list(dict.fromkeys(text[1:-1].replace("''", "'") for each in lists for text in _TEXT.findall(each)))


def _tree(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:  # noqa: ANN401 - JSON
    ((text,),) = connection.execute("SELECT json_serialize_sql(?::VARCHAR, skip_null := true)", [sql]).fetchall()
    tree = json.loads(text)
    if tree["error"]:
        raise UsageError(f"The query cannot be run: {tree['error_message']}", hint="Write it as one SELECT.")
    return tree


def _dictionaries(tree: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - JSON
    """Iterate over all objects in a JSON value."""
    stack = [tree]
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            yield part
            stack.extend(part.values())
        elif isinstance(part, list):
            stack.extend(part)


def _validate(node: dict[str, Any]) -> None:
    kind = node.get("type")
    if not isinstance(kind, str):
        return
    if kind.endswith("_NODE") and kind not in _NODES:
        raise UsageError(f"Only one SELECT can be run here, not {kind.split('_')[0]} in a WITH.", hint=_WRITE_HINT)
    what = ""
    if kind == "TABLE_FUNCTION" and (name := node["function"]["function_name"].lower()) not in _TABLE_FUNCTIONS:
        what = f"it reads {name}(…)"
    if kind == "BASE_TABLE" and (name := node["table_name"]) and any(sign in name for sign in "/\\.*?:"):
        what = f"{name!r} is not a table"
    if what:
        raise UsageError(f"The query cannot be run: {what}, and only tables are read here.", hint=_TABLES_HINT)
