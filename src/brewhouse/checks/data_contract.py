"""Data contract checks: the rules in a model's header, checked on the rows of its table."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from brewhouse.checks.check import Check, check_result
from brewhouse.engines.engine import Engine
from brewhouse.models.header import AcceptedValues, NoRow, NotNull, RowCount, Rule, Severity, Unique
from brewhouse.models.model import Model


def contract_checks(engine: Engine, model: Model) -> list[Check]:
    """Check all rules of a model on the rows that the engine reads under the model's name."""
    return [check for rule in model.rules for check in rule_checks(engine, model.name, rule)]


def rule_checks(engine: Engine, table: str, rule: Rule) -> Iterator[Check]:
    """Check one rule on the rows that the engine reads under the table's name."""
    rows = ".".join(_quoted(part) for part in table.split("."))
    match rule:
        case Unique(columns=names):
            columns = ", ".join(map(_quoted, names))
            sql = f"SELECT {columns}, count(*) AS rows FROM {rows} GROUP BY {columns} HAVING count(*) > 1"
            yield query_check(engine, f"({', '.join(names)}) is unique", table, sql, rule.severity)
        case NotNull(columns=names):
            for name in names:
                sql = f"SELECT * FROM {rows} WHERE {_quoted(name)} IS NULL"
                yield query_check(engine, f"{name} is never null", table, sql, rule.severity)
        case AcceptedValues(columns=(name,), values=values):
            accepted = ", ".join(map(_literal, values))
            sql = f"SELECT * FROM {rows} WHERE CAST({_quoted(name)} AS STRING) NOT IN ({accepted})"
            yield query_check(engine, f"{name} is one of {', '.join(values)}", table, sql, rule.severity)
        case RowCount():
            yield _row_count_check(engine.rows(f"SELECT count(*) AS n FROM {rows}")[0]["n"], table, rule)
        case NoRow(name=name, sql=sql):
            yield query_check(engine, name, table, sql, rule.severity)


def query_check(engine: Engine, name: str, table: str, sql: str, severity: Severity = "error") -> Check:
    """Make a check of a query in Spark SQL, each row of which is a violation."""
    violations = engine.rows(f"SELECT count(*) AS n FROM ({sql}\n) AS violation")[0]["n"]
    example = engine.rows(f"SELECT * FROM ({sql}\n) AS violation LIMIT 1") if violations else []
    text = msgspec.json.encode(example[0], enc_hook=str).decode() if example else None
    return check_result(name, table, violations, text, severity)


def _row_count_check(number: int, table: str, rule: RowCount) -> Check:
    """Compare a number of rows with its limits; the violations are the rows beyond the limit."""
    limits = [
        f"{word} {limit}" for word, limit in (("at least", rule.least), ("at most", rule.most)) if limit is not None
    ]
    low = 0 if rule.least is None else rule.least
    high = number if rule.most is None else rule.most
    violations = max(low - number, number - high, 0)
    return check_result(f"it has {' and '.join(limits)} rows", table, violations, f"{number} rows", rule.severity)


def _quoted(name: str) -> str:
    return f"`{name}`"


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
