"""Data contract checks: the rules in a model's header, checked on the rows of its table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from brewhouse.checks.check import Check
from brewhouse.engines.engine import Engine
from brewhouse.models.header import AcceptedValues, NoRow, NotNull, RowCount, Rule, Severity, Unique
from brewhouse.models.model import Model


class Measure(NamedTuple):
    """A number and the result of the check that it makes.

    Attributes:
        sql: An aggregate of a table's rows in Spark SQL, or a query of one number.
    """

    sql: str
    result: Callable[[int], Check]
    is_query: bool = False


def contract_checks(engine: Engine, model: Model) -> list[Check]:
    """Check all rules of a model, in one query, on the rows that the engine reads under the model's name."""
    return rule_checks(engine, model.name, model.rules)


def rule_checks(engine: Engine, table: str, rules: Iterable[Rule]) -> list[Check]:
    """Check rules, in one query, on the rows that the engine reads under the table's name."""
    rows = ".".join(_quoted(part) for part in table.split("."))
    return measured(engine, [each for rule in rules for each in _measures(engine, table, rows, rule)], rows)


def _measures(engine: Engine, table: str, rows: str, rule: Rule) -> Iterator[Measure]:
    match rule:
        case Unique(columns=names):
            columns = ", ".join(map(_quoted, names))
            sql = f"SELECT {columns}, count(*) AS rows FROM {rows} GROUP BY {columns} HAVING count(*) > 1"
            yield query_measure(engine, f"({', '.join(names)}) is unique", table, sql, rule.severity)
        case NotNull(columns=names):
            for name in names:
                yield _rows_where(engine, f"{name} is never null", table, f"{_quoted(name)} IS NULL", rule.severity)
        case AcceptedValues(columns=(name,), values=values):
            condition = f"CAST({_quoted(name)} AS STRING) NOT IN ({', '.join(map(_literal, values))})"
            yield _rows_where(engine, f"{name} is one of {', '.join(values)}", table, condition, rule.severity)
        case RowCount():
            yield Measure("count(*)", partial(_row_count_check, table=table, rule=rule))
        case NoRow(name=name, sql=sql):
            yield query_measure(engine, name, table, sql, rule.severity)


def query_check(engine: Engine, name: str, table: str, sql: str, severity: Severity = "error") -> Check:
    """Make a check of a query in Spark SQL, each row of which is a violation."""
    (check,) = measured(engine, [query_measure(engine, name, table, sql, severity)])
    return check


def query_measure(engine: Engine, name: str, table: str, sql: str, severity: Severity = "error") -> Measure:
    """Count the rows of a query, each of which is a violation."""
    count = f"SELECT count(*) FROM ({sql}\n) AS violation"
    return Measure(count, partial(_with_example, engine, name, table, sql, severity), is_query=True)


def measured(engine: Engine, measures: Sequence[Measure], table: str = "") -> list[Check]:
    """Compute measures in one query, those that are aggregates of the rows of a table."""
    if not measures:
        return []
    numbered = [(f"n{number}", measure) for number, measure in enumerate(measures)]
    aggregates = ", ".join(f"{measure.sql} AS {name}" for name, measure in numbered if not measure.is_query)
    queries = [f"({measure.sql}) AS {name}" for name, measure in numbered if measure.is_query]
    columns = ", ".join(["aggregates.*"] * bool(aggregates) + queries)
    source = f"FROM (SELECT {aggregates} FROM {table}) AS aggregates" if aggregates else ""
    (row,) = engine.rows(f"SELECT {columns} {source}")
    return [measure.result(int(row[f"n{number}"])) for number, measure in enumerate(measures)]


def _rows_where(engine: Engine, name: str, table: str, condition: str, severity: Severity) -> Measure:
    """Count the rows of a table that meet a condition."""
    sql = f"SELECT * FROM {'.'.join(map(_quoted, table.split('.')))} WHERE {condition}"
    return Measure(
        f"count(CASE WHEN {condition} THEN 1 END)", partial(_with_example, engine, name, table, sql, severity)
    )


def _with_example(engine: Engine, name: str, table: str, sql: str, severity: Severity, violations: int) -> Check:
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


def check_result(name: str, table: str, violations: int, example: str | None, severity: Severity = "error") -> Check:
    """Return the result of a check; only a failed one keeps the example."""
    shown = example if violations else None
    return Check(name=name, table=table, severity=severity, violations=violations, example=shown)
