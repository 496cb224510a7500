"""What compaction promises: the same rows as before, stored in fewer files."""

from __future__ import annotations

from brewhouse.checks.check import Check
from brewhouse.checks.data_contract import violations
from brewhouse.engines.engine import Engine
from brewhouse.iceberg.table_spec import TableSpec


def same_rows(engine: Engine, before: str, after: TableSpec) -> Check:
    """Compare the number of rows, and a sum of their hashes that does not depend on their order.

    Args:
        engine: Reads both.
        before: Name under which the rows are read as they were.
        after: The table, read as it would be.
    """
    columns = ", ".join(f"`{column.name}`" for column in after.columns)
    facts = f"SELECT count(*) AS number, sum(hash({columns})) AS hashes"
    sql = f"{facts} FROM {before} EXCEPT {facts} FROM {after.name}"
    return violations(engine, "compacting it changes no row", after.name, sql)
