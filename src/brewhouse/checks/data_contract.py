"""Data contract checks: the rules in a model's header, checked on the rows of its table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
        rows: The table as SQL names it; empty for a query.
    """

    sql: str
    result: Callable[[Engine, int], Check]
    rows: str = ""


def contract_checks(engine: Engine, *models: Model) -> list[Check]:
    """Check all rules of models on what the engine reads by their names, in one query."""
    return checks_and_counts(engine, models, {})[0]


def checks_and_counts(
    engine: Engine, models: Iterable[Model], tables: Mapping[str, str]
) -> tuple[list[Check], dict[str, int]]:
    """Check all rules of models and count the rows of tables, by a name of each, in one query."""
    measures = [each for model in models for rule in model.rules for each in _measures(model.name, rule)]
    counts = [("count(*)", rows) for rows in tables.values()]
    numbers = _computed(engine, [*((measure.sql, measure.rows) for measure in measures), *counts])
    checks = [measure.result(engine, number) for measure, number in zip(measures, numbers, strict=False)]
    return checks, dict(zip(tables, numbers[len(measures) :], strict=True))


def _measures(table: str, rule: Rule) -> Iterator[Measure]:
    rows = ".".join(map(_quoted, table.split(".")))

    def rows_where(name: str, condition: str) -> Measure:
        result = partial(_with_example, name, table, f"SELECT * FROM {rows} WHERE {condition}", rule.severity)
        return Measure(f"count(CASE WHEN {condition} THEN 1 END)", result, rows)

    match rule:
        case Unique(columns=names):
            columns = ", ".join(map(_quoted, names))
            sql = f"SELECT {columns}, count(*) AS rows FROM {rows} GROUP BY {columns} HAVING count(*) > 1"
            result = partial(_unique_check, f"({', '.join(names)}) is unique", table, sql, rule.severity)
            yield Measure(f"count(*) - count(DISTINCT xxhash64({columns}))", result, rows)
        case NotNull(columns=names):
            for name in names:
                yield rows_where(f"{name} is never null", f"{_quoted(name)} IS NULL")
        case AcceptedValues(columns=(name,), values=values):
            condition = f"CAST({_quoted(name)} AS STRING) NOT IN ({', '.join(map(_literal, values))})"
            yield rows_where(f"{name} is one of {', '.join(values)}", condition)
        case RowCount():
            yield Measure("count(*)", partial(_row_count_check, table, rule), rows)
        case NoRow(name=name, sql=sql):
            yield _query_measure(name, table, sql, rule.severity)


def query_check(engine: Engine, name: str, table: str, sql: str, severity: Severity = "error") -> Check:
    """Make a check of a query in Spark SQL, each row of which is a violation."""
    measure = _query_measure(name, table, sql, severity)
    return measure.result(engine, _computed(engine, [(measure.sql, "")])[0])


def _unique_check(name: str, table: str, sql: str, severity: Severity, engine: Engine, shared: int) -> Check:
    """Count the keys that rows share only if rows share a hash of it, which takes half the time to find out."""
    return query_check(engine, name, table, sql, severity) if shared else check_result(name, table, 0, None, severity)


def _query_measure(name: str, table: str, sql: str, severity: Severity) -> Measure:
    """Count the rows of a query, each of which is a violation."""
    count = f"SELECT count(*) FROM ({sql}\n) AS violation"
    return Measure(count, partial(_with_example, name, table, sql, severity))


def _computed(engine: Engine, numbers: Sequence[tuple[str, str]]) -> list[int]:
    """Compute numbers in one query, which reads each table once for its aggregates.

    Args:
        numbers: Each an aggregate and the table as SQL names it, or a query and nothing.
    """
    if not numbers:
        return []
    selects = [(f"n{number}", f"({sql})") for number, (sql, rows) in enumerate(numbers) if not rows]
    aggregates: dict[str, list[str]] = {}
    for number, (sql, rows) in enumerate(numbers):
        if rows:
            aggregates.setdefault(rows, []).append(f"{sql} AS n{number}")
    for number, (rows, parts) in enumerate(aggregates.items()):  # not a join, for which Spark would broadcast each row
        selects.append((f"t{number}", f"(SELECT struct({', '.join(parts)}) FROM {rows})"))
    (row,) = engine.rows(f"SELECT {', '.join(f'{sql} AS {name}' for name, sql in selects)}")
    for number in range(len(aggregates)):
        row |= row[f"t{number}"]
    return [int(row[f"n{number}"]) for number in range(len(numbers))]


def _with_example(name: str, table: str, sql: str, severity: Severity, engine: Engine, violations: int) -> Check:
    example = engine.rows(f"SELECT * FROM ({sql}\n) AS violation LIMIT 1") if violations else []
    text = msgspec.json.encode(example[0], enc_hook=str).decode() if example else None
    return check_result(name, table, violations, text, severity)


def _row_count_check(table: str, rule: RowCount, _: Engine, number: int) -> Check:
    """Compare a number of rows with its limits; the violations are the rows beyond the limit."""
    bounds = {"at least": rule.least, "at most": rule.most}
    limits = [f"{name} {limit}" for name, limit in bounds.items() if limit is not None]
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
