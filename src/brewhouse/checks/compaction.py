"""Compaction check: the same rows as before, in fewer files."""

from __future__ import annotations

from brewhouse.checks.check import Check
from brewhouse.checks.data_contract import query_check
from brewhouse.engines.engine import Engine
from brewhouse.iceberg.table_spec import TableSpec


def same_rows(engine: Engine, before: str, after: TableSpec) -> Check:
    """Compare the number of rows, and the order-independent sum of their hashes.

    Args:
        before: Name under which the engine reads the rows before compaction.
        after: The table, under whose name the engine reads the compacted rows.
    """
    columns = ", ".join(f"`{column.name}`" for column in after.columns)
    facts = f"SELECT count(*) AS number, sum(hash({columns})) AS hashes"
    sql = f"{facts} FROM {before} EXCEPT {facts} FROM {after.name}"
    return query_check(engine, "compacting it changes no row", after.name, sql)
