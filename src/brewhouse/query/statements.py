"""What a reader's SQL may be: one statement that reads tables by their names.

DuckDB counts as a SELECT what changes things too: a WITH clause may hold an INSERT, since 2.0 even a `COPY … TO`, which
writes a file wherever the connection may read. So the parsed tree decides, and only what is known to read is let in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from brewhouse.errors import UsageError

if TYPE_CHECKING:
    import duckdb

_READS = {"SELECT"}  # not EXPLAIN: with ANALYZE it runs what it explains, a COPY too
_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}  # not INSERT_QUERY_NODE and the like
_TABLE_FUNCTIONS = {
    *("range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree"),
    *("duckdb_columns", "duckdb_functions", "duckdb_tables", "duckdb_types", "duckdb_views", "pragma_table_info"),
}
_READ_FILES = {"read_parquet", "read_json", "read_json_objects"}


def reading_statement(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    """Parse what a reader asks, and see that it only reads, and only tables.

    Args:
        connection: Whose parser is asked; nothing runs.
        sql: A SELECT, or a statement that DuckDB treats as one (FROM, VALUES, DESCRIBE, SHOW, SUMMARIZE, PIVOT … IN).

    Returns:
        The statement, for `connection.execute`.

    Raises:
        UsageError: It is no single statement, it changes something, or it reads something else than tables.
        duckdb.Error: DuckDB cannot parse it.

    Example:
        >>> import duckdb
        >>> reading_statement(duckdb.connect(), "SELECT 1;").type.name
        'SELECT'
    """
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type.name not in _READS:
        kinds = ", ".join(statement.type.name for statement in statements) or "an empty text"
        raise UsageError(
            f"Only one SELECT can be run here, not {kinds}.",
            hint="To change tables, write a model or use `brewhouse rollback`. A PIVOT names its values: ON x IN (…).",
        )
    try:
        for node in _dictionaries(_tree(connection, sql)):
            _admit(node)
    except RecursionError:
        raise UsageError("The query cannot be run: it is nested too deeply.", hint="Write it in steps: WITH.") from None
    return statements[0]


def files_read_by_views(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """List the files, and patterns of files, that the views of a connection read, each once."""
    views = connection.execute("SELECT sql FROM duckdb_views() WHERE NOT internal").fetchall()
    found: dict[str, None] = {}
    for (sql,) in views:
        select = sql[sql.index(" AS SELECT ") + len(" AS ") :]
        for node in _dictionaries(_tree(connection, select)):
            if node.get("type") == "TABLE_FUNCTION" and node["function"]["function_name"] in _READ_FILES:
                places = node["function"]["arguments"][0]
                found.update({part["text"]: None for part in _dictionaries(places) if part.get("kind") == "STRING"})
    return list(found)


def _tree(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:  # noqa: ANN401 - JSON
    ((text,),) = connection.execute("SELECT json_serialize_sql(?::VARCHAR, skip_null := true)", [sql]).fetchall()
    tree = json.loads(text)
    if tree["error"]:
        raise UsageError(f"The query cannot be run: {tree['error_message']}", hint="Write it as one SELECT.")
    return tree


def _dictionaries(tree: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - JSON
    """Go through everything in a tree that has names."""
    left = [tree]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            yield part
            left.extend(part.values())
        elif isinstance(part, list):
            left.extend(part)


def _admit(node: dict[str, Any]) -> None:
    kind = node.get("type")
    if not isinstance(kind, str):
        return
    if kind.endswith("_NODE") and kind not in _NODES:
        raise UsageError(
            f"Only one SELECT can be run here, not {kind.split('_')[0]} in a WITH.",
            hint="To change tables, write a model or use `brewhouse rollback`.",
        )
    if kind == "TABLE_FUNCTION" and (name := node["function"]["function_name"].lower()) not in _TABLE_FUNCTIONS:
        raise UsageError(
            f"The query cannot be run: it reads {name}(…), and here only tables are read.",
            hint="`SHOW ALL TABLES` lists what there is.",
        )
    if kind == "BASE_TABLE" and (name := node["table_name"]) and any(sign in name for sign in "/\\.*?:"):
        raise UsageError(
            f"The query cannot be run: {name!r} is no table, and here only tables are read.",
            hint="`SHOW ALL TABLES` lists what there is.",
        )
