"""The header of a model's file: its leading `--` lines, and what they promise of the table.

Sentences say what a row is; `word: value` lines are fields. A line that begins with two or more blanks goes on
with the field or sentence above it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar, Literal, TypeAlias

from brewhouse.models.problems import Problem, suggestion

Severity: TypeAlias = Literal["error", "warning"]


@dataclass(frozen=True)
class Unique:
    """These columns together are unique."""

    columns: tuple[str, ...]
    severity: Severity = "error"
    line: int = 0


@dataclass(frozen=True)
class NotNull:
    """Each of these columns has a value in every row."""

    columns: tuple[str, ...]
    severity: Severity = "error"
    line: int = 0


@dataclass(frozen=True)
class AcceptedValues:
    """A column has one of these values, or null."""

    columns: tuple[str]
    values: tuple[str, ...]
    severity: Severity = "error"
    line: int = 0


@dataclass(frozen=True)
class RowCount:
    """The table has so many rows; None is no limit."""

    least: int | None
    most: int | None
    severity: Severity = "error"
    line: int = 0
    columns: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True)
class NoRow:
    """A query gives no row; each row it gives is a violation.

    Attributes:
        name: What must hold.
        sql: The query, its lines those of the file.
        severity: What a row means.
        line: In which the query begins.
    """

    name: str
    sql: str
    severity: Severity = "error"
    line: int = 0
    columns: ClassVar[tuple[str, ...]] = ()


Rule: TypeAlias = Unique | NotNull | AcceptedValues | RowCount | NoRow


@dataclass(frozen=True)
class Header:
    """What a header says; see `Model` for the attributes that are not here.

    Attributes:
        size: Number of its lines.
        lines: In which line each of key, partition, sort and incremental by stands.
        columns: Descriptions of columns, each with its line.
        problems: What is wrong in it.
    """

    size: int
    description: str
    key: tuple[str, ...]
    partition: tuple[str, ...]
    sort: tuple[str, ...]
    incremental_by: str
    ephemeral: bool
    rules: tuple[Rule, ...]
    columns: dict[str, tuple[str, int]]
    lines: dict[str, int]
    problems: tuple[Problem, ...]


def parse_header(text: str, file: str) -> Header:
    r"""Read the header of a model's file.

    Args:
        text: The file's content.
        file: Its name, for problems.

    Example:
        >>> header = parse_header("-- A row a city.\n-- key: city\n-- warn row count: at least 1\nSELECT 1", "t.sql")
        >>> header.description, header.key, header.rules[1]
        ('A row a city.', ('city',), RowCount(least=1, most=None, severity='warning', line=3))
    """
    return _Reader(file).read(text)


@dataclass(frozen=True)
class _Entry:
    """A sentence, or a field with its word, and where it begins."""

    text: str
    line: int


class _Mistake(Exception):  # noqa: N818 - caught where the line is known
    """A field's value that cannot be understood."""


class _Reader:
    def __init__(self, file: str) -> None:
        self._file = file
        self._problems: list[Problem] = []
        self._sentences: list[str] = []
        self._lists: dict[str, tuple[str, ...]] = {}
        self._lines: dict[str, int] = {}
        self._rules: list[Rule] = []
        self._columns: dict[str, tuple[str, int]] = {}
        self._incremental_by = ""
        self._ephemeral = False

    def read(self, text: str) -> Header:
        lines = _header_lines(text)
        for entry in _entries(lines):
            try:
                self._take(entry)
            except _Mistake as mistake:
                self._problems.append(Problem(self._file, entry.line, 0, str(mistake)))
        key = self._lists.get("key", ())
        unique = (Unique(key, line=self._lines["key"]),) if key else ()
        return Header(
            size=len(lines),
            description=" ".join(self._sentences),
            key=key,
            partition=self._lists.get("partition", ()),
            sort=self._lists.get("sort", ()),
            incremental_by=self._incremental_by,
            ephemeral=self._ephemeral,
            rules=(*unique, *self._rules),
            columns=self._columns,
            lines=self._lines,
            problems=tuple(self._problems),
        )

    def _take(self, entry: _Entry) -> None:
        """Sort one entry into the place its word names."""
        word, separator, value = (part.strip() for part in entry.text.partition(":"))
        severity: Severity = "warning" if word.lower().startswith("warn ") else "error"
        field = " ".join(word.lower().removeprefix("warn ").split())
        if not separator or not _is_field(field):
            if separator and (meant := _misspelt(field)):
                raise _Mistake(f"there is no field {word}; did you mean {meant}?")
            self._sentences.append(_one_line(entry.text))
        elif field in _CHECKS:
            self._rules.append(_CHECKS[field](value, severity, entry.line))
        elif severity == "warning":
            raise _Mistake(f"only a check can be a warning, and {field} is none{suggestion(field, _CHECKS)}")
        elif field.startswith("column "):
            self._columns[_once(field.removeprefix("column "), self._columns)] = (_one_line(value), entry.line)
        elif field == "incremental by":
            self._incremental_by = _batch(value)
            self._lines[field] = entry.line
        elif field == "ephemeral":
            self._ephemeral = _yes(value)
        else:
            self._lists[_once(field, self._lists)] = _names(value)
            self._lines[field] = entry.line


def _header_lines(text: str) -> list[str]:
    lines = text.splitlines()
    return lines[: next((i for i, line in enumerate(lines) if not line.startswith("--")), len(lines))]


def _entries(lines: list[str]) -> list[_Entry]:
    """Join each line that is indented to the one above it."""
    entries: list[_Entry] = []
    for number, line in enumerate(lines, start=1):
        content = line.removeprefix("--")
        if entries and content.startswith("  ") and content.strip():
            entries[-1] = _Entry(f"{entries[-1].text}\n{content.strip()}", entries[-1].line)
        else:
            entries.append(_Entry(content.strip(), number))
    return [entry for entry in entries if entry.text]


def _is_field(word: str) -> bool:
    return word in _CHECKS or word in _LISTS or word in _SINGLE or bool(re.fullmatch(r"column \w+", word))


def _misspelt(word: str) -> str | None:
    """Tell which field a word before a colon was meant to be; a sentence with a colon is none."""
    first, blank, rest = word.partition(" ")
    if blank and " " not in rest and get_close_matches(first, ["column"], n=1, cutoff=0.8):
        return f"column {rest}"
    fields = [*_CHECKS, *_LISTS, *_SINGLE]
    close = get_close_matches(word, fields, n=1, cutoff=0.8) or [f for f in fields if sorted(f) == sorted(word)]
    return close[0] if close else None


def _once(name: str, known: Collection[str]) -> str:
    if name in known:
        raise _Mistake(f"{name} stands here a second time")
    return name


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _yes(value: str) -> bool:
    if value not in ("yes", "no"):
        raise _Mistake(f"ephemeral is yes or no, not {value!r}")
    return value == "yes"


def _batch(value: str) -> str:
    if value not in _BATCHES:
        raise _Mistake(f"a table incremental by {' or '.join(_BATCHES)}, not {value!r}")
    return value


def _names(value: str) -> tuple[str, ...]:
    names = tuple(part.strip().lower() for part in value.split(","))
    if not all(names):
        raise _Mistake("columns are separated by commas, as in `key: country, city`")
    return names


def _accepted(value: str, severity: Severity, line: int) -> Rule:
    found = re.fullmatch(r"(\w+)\s+in\s+(\S.*)", _one_line(value))
    listed = _VALUE.finditer(found.group(2) if found else "")
    values = tuple(
        plain if quoted is None else quoted.replace("''", "'")
        for quoted, plain in (value.groups() for value in listed)
        if quoted is not None or plain
    )
    if not found or not values:
        raise _Mistake("accepted values are written as `accepted values: brewery_type in micro, nano`")
    return AcceptedValues((found.group(1).lower(),), values, severity, line)


def _row_count(value: str, severity: Severity, line: int) -> Rule:
    found = re.fullmatch(r"(?:(\d+) to (\d+)|at least (\d+)|at most (\d+)|(\d+))", _one_line(value))
    if not found:
        raise _Mistake("a row count is written as `1 to 5000`, `at least 1`, `at most 10` or `1`")
    low, high, least, most, exact = (None if part is None else int(part) for part in found.groups())
    rule = RowCount(_first(low, least, exact), _first(high, most, exact), severity, line)
    if rule.least is not None and rule.most is not None and rule.least > rule.most:
        raise _Mistake(f"no table has {value} rows")
    return rule


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def _no_row(value: str, severity: Severity, line: int) -> Rule:
    name, _, sql = value.partition(":")
    if not name.strip() or not sql.strip():
        raise _Mistake("it is written as `no row: <what must hold>: SELECT …`")
    begin = value.index(sql.strip(), len(name))
    return NoRow(_one_line(name), sql.strip().rstrip(";"), severity, line + value[:begin].count("\n"))


_VALUE = re.compile(r"\s*(?:'((?:[^']|'')*)'|([^,]*?))\s*(?:,|$)")
_LISTS = ("key", "partition", "sort")
_SINGLE = ("incremental by", "ephemeral")
_BATCHES = ("snapshot_run", "snapshot_date")
_CHECKS: dict[str, Callable[[str, Severity, int], Rule]] = {
    "unique": lambda value, severity, line: Unique(_names(value), severity, line),
    "not null": lambda value, severity, line: NotNull(_names(value), severity, line),
    "accepted values": _accepted,
    "row count": _row_count,
    "no row": _no_row,
}
