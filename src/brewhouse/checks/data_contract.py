"""What a table's model promises in its header: unique, never null, accepted values, a number of rows, no such row."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from brewhouse.checks.check import Check, Severity
from brewhouse.engines.engine import Engine
from brewhouse.models.header import AcceptedValues, NoRow, NotNull, RowCount, Rule, Unique
from brewhouse.models.model import Model


def contract_checks(engine: Engine, model: Model) -> list[Check]:
    """Check what a model's header promises of its rows.

    Args:
        engine: Reads the rows under the model's name, and what its `no row` rules read.
        model: Whose rules are checked.
    """
    return [check for rule in model.rules for check in rule_checks(engine, model.name, rule)]


def rule_checks(engine: Engine, table: str, rule: Rule) -> Iterator[Check]:
    """Check one promise, on the rows that the engine reads under the table's name."""
    rows = ".".join(_quoted(part) for part in table.split("."))
    match rule:
        case Unique(columns=names):
            columns = ", ".join(map(_quoted, names))
            sql = f"SELECT {columns}, count(*) AS rows FROM {rows} GROUP BY {columns} HAVING count(*) > 1"
            yield violations(engine, f"({', '.join(names)}) is unique", table, sql, rule.severity)
        case NotNull(columns=names):
            for name in names:
                sql = f"SELECT * FROM {rows} WHERE {_quoted(name)} IS NULL"
                yield violations(engine, f"{name} is never null", table, sql, rule.severity)
        case AcceptedValues(columns=(name,), values=values):
            accepted = ", ".join(map(_literal, values))
            sql = f"SELECT * FROM {rows} WHERE CAST({_quoted(name)} AS STRING) NOT IN ({accepted})"
            yield violations(engine, f"{name} is one of {', '.join(values)}", table, sql, rule.severity)
        case RowCount():
            number = engine.rows(f"SELECT count(*) AS n FROM {rows}")[0]["n"]
            yield _row_count(number, table, rule)
        case NoRow(name=name, sql=sql):
            yield violations(engine, name, table, sql, rule.severity)


def violations(engine: Engine, name: str, table: str, sql: str, severity: Severity = "error") -> Check:
    """Make a check of a query that must give no row.

    Args:
        engine: Answers the query.
        name: What must hold.
        table: The table it is about.
        sql: Spark SQL whose every row is a violation.
        severity: What a violation means.
    """
    found = engine.rows(f"SELECT count(*) AS found FROM ({sql}\n) AS violation")[0]["found"]
    example = engine.rows(f"SELECT * FROM ({sql}\n) AS violation LIMIT 1") if found else []
    text = msgspec.json.encode(example[0], enc_hook=str).decode() if example else None
    return Check(name=name, table=table, severity=severity, violations=found, example=text)


def _row_count(number: int, table: str, rule: RowCount) -> Check:
    """Compare a number of rows with what it may be; what is found is by how many it is off."""
    low = 0 if rule.least is None else rule.least
    high = number if rule.most is None else rule.most
    found = max(low - number, number - high, 0)
    limits = [
        f"{word} {limit}" for word, limit in (("at least", rule.least), ("at most", rule.most)) if limit is not None
    ]
    return Check(
        name=f"it has {' and '.join(limits)} rows",
        table=table,
        severity=rule.severity,
        violations=found,
        example=f"{number} rows" if found else None,
    )


def _quoted(name: str) -> str:
    return f"`{name}`"


def _literal(text: str) -> str:
    """Quote a text as Spark SQL does."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
