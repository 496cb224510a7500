"""The header of a model file: its leading `--` lines.

Sentences describe a row; `word: value` lines are fields, listed in docs/models.md. A line indented by two or more
spaces continues the one above.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias

from brewhouse.errors import suggestion
from brewhouse.models.problems import Problem

Severity: TypeAlias = Literal["error", "warning"]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule for the rows of a table.

    Attributes:
        columns: Columns that it names, all of the table.
        line: First line of its value, for `NoRow` that of the query.
    """

    columns: tuple[str, ...] = ()
    severity: Severity = "error"
    line: int = 0


class Unique(Rule):
    """The columns are unique together."""


class NotNull(Rule):
    """Each of the columns is never null."""


@dataclass(frozen=True, kw_only=True)
class AcceptedValues(Rule):
    """The column is null or has one of the values."""

    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RowCount(Rule):
    """The number of rows is within limits; None means no limit."""

    least: int | None
    most: int | None


@dataclass(frozen=True, kw_only=True)
class NoRow(Rule):
    """The query, in the lines of the file, returns no row; each row is a violation of the condition, its name."""

    name: str
    sql: str


@dataclass(frozen=True)
class Header:
    """The fields of a header.

    Attributes:
        partition: Columns whose values divide the rows into files, also those in which Spark keeps an ephemeral one.
        sort: Columns by which the rows of a file are ordered.
        incremental_by: Batch column of a table that keeps the rows of earlier snapshots: a run replaces the rows of
            its own batch. Empty if each run rebuilds the whole table.
        ephemeral: Whether only other models read the table, and it is not published; `view` if each of them computes it
            again, since that is faster than to keep its rows.
        rules: Rules for the rows; the uniqueness of the key first.
        lines: Line of each field except the rules, by its word, as `key` or `column total`.
    """

    description: str = ""
    key: tuple[str, ...] = ()
    partition: tuple[str, ...] = ()
    sort: tuple[str, ...] = ()
    incremental_by: str = ""
    ephemeral: bool | str = False
    rules: tuple[Rule, ...] = ()
    columns: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict, repr=False, compare=False)


class _FieldError(ValueError):
    """A field with an unknown word or an invalid value."""


def parse_header(text: str, file: str) -> tuple[Header, list[Problem]]:
    r"""Parse the header of a model file; `file` is its name in problems.

    Example:
        >>> header, _ = parse_header("-- A city.\n-- key: city\n-- warn row count: at least 1\nSELECT 1", "t.sql")
        >>> header.description, header.key, header.rules[1]
        ('A city.', ('city',), RowCount(columns=(), severity='warning', line=3, least=1, most=None))
    """
    sentences: list[str] = []
    rules: list[Rule] = []
    columns: dict[str, str] = {}
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    problems: list[Problem] = []
    for entry, line in _entries(header_lines(text)):
        try:
            name, severity, value = _split(entry, lines)
            if name in _RULES:
                rules.append(replace(_RULES[name](value, line), severity=severity))
                continue
            if not name:
                sentences.append(value)
                continue
            lines[name] = line
            if name.startswith("column "):
                columns[name.removeprefix("column ")] = value
            else:
                values[name.replace(" ", "_")] = _FIELDS[name](value)
        except _FieldError as error:
            problems.append(Problem(file, line, 0, str(error)))
    if "key" in values:
        rules.insert(0, Unique(columns=values["key"], line=lines["key"]))
    header = Header(description=" ".join(sentences), rules=tuple(rules), columns=columns, lines=lines, **values)
    return header, problems


def header_lines(text: str) -> list[str]:
    """Return the leading comment lines of a text."""
    lines = text.splitlines()
    return lines[: next((i for i, line in enumerate(lines) if not line.startswith("--")), len(lines))]


def _entries(lines: Collection[str]) -> Iterator[tuple[str, int]]:
    """Join continuation lines to the line above; yield each entry with its first line's number."""
    entry, first = "", 0
    for number, line in enumerate(lines, start=1):
        content = line.removeprefix("--")
        if entry and content.startswith("  ") and content.strip():
            entry += f"\n{content.strip()}"
            continue
        if entry:
            yield entry, first
        entry, first = content.strip(), number
    if entry:
        yield entry, first


def _split(entry: str, seen: Collection[str]) -> tuple[str, Severity, str]:
    """Split an entry into field name, severity and value; the name of a sentence is empty."""
    word, colon, value = (part.strip() for part in entry.partition(":"))
    name = " ".join(word.lower().split())
    severity: Severity = "warning" if name.startswith("warn ") else "error"
    name = name.removeprefix("warn ")
    if not (colon and (name in _RULES or name in _FIELDS or re.fullmatch(r"column \w+", name))):
        if colon and (meant := _closest(name)):
            raise _FieldError(f"unknown field '{name}'. Did you mean {meant}?")
        return "", "error", _one_line(entry)
    if severity == "warning" and name not in _RULES:
        raise _FieldError(f"{name} is not a check, so it cannot be a warning. {suggestion(name, _RULES)}")
    if name in seen:
        raise _FieldError(f"{name} is specified twice; keep one")
    return name, severity, value if name in _RULES else _one_line(value)


def _closest(name: str) -> str | None:
    """Find the field that a misspelt one resembles; a sentence with a colon resembles none."""
    first, _, rest = name.partition(" ")
    if rest and " " not in rest and get_close_matches(first, ["column"], n=1, cutoff=0.8):
        return f"column {rest}"
    fields = [*_RULES, *_FIELDS]
    close = get_close_matches(name, fields, n=1, cutoff=0.8) or [f for f in fields if sorted(f) == sorted(name)]
    return close[0] if close else None


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _one_of(name: str, values: dict[str, Any]) -> Callable[[str], Any]:
    def parse(value: str) -> Any:  # noqa: ANN401 - the field's value
        if value not in values:
            raise _FieldError(f"{name} must be {' or '.join(values)}, not {value!r}")
        return values[value]

    return parse


def _names(value: str) -> tuple[str, ...]:
    names = tuple(part.strip().lower() for part in value.split(","))
    if not all(names):
        raise _FieldError(f"columns are separated by commas, as in `key: country, city` (got {value!r})")
    return names


def _accepted_values(value: str, line: int) -> Rule:
    match = re.fullmatch(r"(\w+)\s+in\s+(\S.*)", _one_line(value))
    values = tuple(
        plain if quoted is None else quoted.replace("''", "'")
        for quoted, plain in (item.groups() for item in _VALUE.finditer(match[2] if match else ""))
        if quoted is not None or plain
    )
    if not match or not values:
        raise _FieldError(f"invalid accepted values {value!r}; write `accepted values: brewery_type in micro, nano`")
    return AcceptedValues(columns=(match[1].lower(),), values=values, line=line)


def _row_count(value: str, line: int) -> Rule:
    pattern = r"at least (?P<least>\d+)|at most (?P<most>\d+)|(?P<low>\d+)( to (?P<high>\d+))?"
    match = re.fullmatch(pattern, _one_line(value))
    if not match:
        raise _FieldError(f"invalid row count {value!r}; write `1 to 5000`, `at least 1`, `at most 10` or `1`")
    limits = {name: int(digits) for name, digits in match.groupdict().items() if digits}
    low, high = limits.get("low"), limits.get("high", limits.get("low"))
    if low is not None and high is not None and low > high:
        raise _FieldError(f"invalid row count: {low} is greater than {high}; write the smaller one first")
    return RowCount(least=limits.get("least", low), most=limits.get("most", high), line=line)


def _no_row(value: str, line: int) -> Rule:
    name, _, sql = value.partition(":")
    if not name.strip() or not sql.strip():
        raise _FieldError(f"invalid check {value!r}; write `no row: <condition>: SELECT …`")
    begin = value.index(sql.strip(), len(name))
    return NoRow(name=_one_line(name), sql=sql.strip().rstrip(";"), line=line + value[:begin].count("\n"))


_VALUE = re.compile(r"\s*(?:'((?:[^']|'')*)'|([^,]*?))\s*(?:,|$)")
_FIELDS: dict[str, Callable[[str], Any]] = {
    "key": _names,
    "partition": _names,
    "sort": _names,
    "incremental by": _one_of("incremental by", {name: name for name in ("snapshot_run", "snapshot_date")}),
    "ephemeral": _one_of("ephemeral", {"yes": True, "no": False, "view": "view"}),
}
_RULES: dict[str, Callable[[str, int], Rule]] = {
    "unique": lambda value, line: Unique(columns=_names(value), line=line),
    "not null": lambda value, line: NotNull(columns=_names(value), line=line),
    "accepted values": _accepted_values,
    "row count": _row_count,
    "no row": _no_row,
}
