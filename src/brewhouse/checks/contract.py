"""What every table's model promises: its key is unique, its required columns are never null."""

from __future__ import annotations

import msgspec

from brewhouse.checks.check import Check, Severity
from brewhouse.engines.engine import Engine
from brewhouse.models.model import Model


def contract_checks(engine: Engine, model: Model) -> list[Check]:
    """Check what a model's header promises of its rows.

    Args:
        engine: Reads the rows under the model's name.
        model: Whose key and required columns are checked.
    """
    checks = []
    if model.key:
        columns = ", ".join(model.key)
        sql = f"SELECT {columns}, count(*) AS rows FROM {model.name} GROUP BY {columns} HAVING count(*) > 1"
        checks.append(violations(engine, f"({columns}) is unique", model.name, sql))
    for column in model.not_null:
        sql = f"SELECT * FROM {model.name} WHERE {column} IS NULL"
        checks.append(violations(engine, f"{column} is never null", model.name, sql))
    return checks


def violations(engine: Engine, name: str, table: str, sql: str, severity: Severity = "error") -> Check:
    """Make a check of a query that must give no row.

    Args:
        engine: Answers the query.
        name: What must hold.
        table: The table it is about.
        sql: Spark SQL whose every row is a violation.
        severity: What a violation means.
    """
    found = engine.rows(f"SELECT count(*) AS found FROM ({sql}) AS violation")[0]["found"]
    example = engine.rows(f"SELECT * FROM ({sql}) AS violation LIMIT 1") if found else []
    text = msgspec.json.encode(example[0], enc_hook=str).decode() if example else None
    return Check(name=name, table=table, severity=severity, found=found, example=text)
