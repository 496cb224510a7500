"""A SELECT in Spark SQL: the tables and columns that it names, and the positions of unknown ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import OptimizeError, ParseError, TokenError
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, traverse_scope

from brewhouse.errors import suggestion
from brewhouse.models.problems import ModelError, Problem, line_and_column

_MAX_DEPTH = 500  # of brackets

Known = Mapping[str, Sequence[str]]
"""Columns by table."""


@dataclass(frozen=True)
class Select:
    """A parsed SELECT with its text, in which offsets are those in the file, and the file as errors name it."""

    tree: exp.Query
    text: str
    file: str

    @property
    def reads(self) -> tuple[str, ...]:
        """Names, with zones, of the tables that it reads."""
        return tuple(sorted({name for name, _ in self._tables() if "." in name}))

    def table_problems(self, readable: Mapping[str, str]) -> list[Problem]:
        """Find tables that do not exist or cannot be read, with the reason given for each table, empty if it can."""
        can = [name for name, reason in readable.items() if not reason]
        tables = list(self._real_tables())
        unknown = [(offset, f"unknown table {n}. {suggestion(n, can)}") for n, offset in tables if n not in readable]
        closed = [(offset, f"{n} cannot be read here: {readable[n]}") for n, offset in tables if readable.get(n)]
        return [self._problem(offset, what) for offset, what in unknown + closed]

    def columns(self, known: Known) -> tuple[tuple[str, ...], list[Problem]]:
        """Derive the result columns, in lower case, from those of the tables that it reads; find unknown columns."""
        schema: dict[str, dict[str, object]] = {}
        for table, columns in known.items():
            zone, _, name = table.partition(".")
            schema.setdefault(zone, {})[name] = dict.fromkeys(columns, "unknown")
        try:
            tree = qualify(
                self.tree.copy(),
                dialect="spark",
                schema=dict(schema),
                identify=False,
                validate_qualify_columns=False,
                allow_partial_qualification=True,  # otherwise it stops at the first unknown column, without a position
            )
            scopes = traverse_scope(tree)
        except OptimizeError as error:
            return (), [self._optimizer_problem(str(error))]
        # An outer scope repeats the problems of a subquery; those of the subquery know its columns.
        found = (problem for scope in reversed(scopes) for problem in self._unknown_columns(scope, known))
        return tuple(tree.named_selects), sorted({(each.line, each.column): each for each in found}.values())

    def unnamed_columns(self) -> list[Problem]:
        """Find result columns without a name."""
        return [
            self._problem(_offset(column, self._start()), f"name the column {column.sql('spark')}: … AS name")
            for column in self.tree.selects
            if not column.output_name and not column.is_star and not isinstance(column, exp.Aliases)
        ]

    def column_position(self, name: str) -> tuple[int, int]:
        """Return line and column of a result column, or of the SELECT if it is not written out."""
        column = next((each for each in self.tree.selects if each.output_name.lower() == name), None)
        return line_and_column(self.text, self._start() if column is None else _offset(column, self._start()))

    def table_position(self, name: str) -> tuple[int, int]:
        """Return line and column of a table that it reads."""
        offset = next((offset for table, offset in self._tables() if table == name), self._start())
        return line_and_column(self.text, offset)

    def _tables(self) -> Iterator[tuple[str, int]]:
        for table in self.tree.find_all(exp.Table):
            if isinstance(table.this, exp.Identifier):  # not a function, as range(10)
                yield _name(table), _offset(table, self._start())

    def _real_tables(self) -> Iterator[tuple[str, int]]:
        """List the tables that are not common table expressions."""
        for scope in traverse_scope(self.tree):
            for table in scope.tables:
                is_cte = table.name in scope.cte_sources or isinstance(scope.sources.get(table.alias_or_name), Scope)
                if isinstance(table.this, exp.Identifier) and (table.db or not is_cte):
                    yield _name(table), _offset(table, self._start())

    def _unknown_columns(self, scope: Scope, known: Known) -> Iterator[Problem]:
        for column in [] if scope.pivots else scope.columns:  # sqlglot does not resolve those of a PIVOT
            offset = _start_of(column.this)
            if offset is None:  # sqlglot added it for a star
                continue
            name, table = column.name, column.table
            sources = [scope.sources[table]] if table in scope.sources else _outer_sources(scope, table)
            if not table:
                by_source = {source: _columns(each, known) for source, (_, each) in scope.selected_sources.items()}
                having = [source for source, columns in by_source.items() if name in columns]
                if len(having) > 1:
                    yield self._problem(offset, f"ambiguous column {name}: qualify it with {' or '.join(having)}")
                else:
                    names = {each for columns in by_source.values() for each in columns}
                    yield self._problem(offset, f"unknown column {name}. {suggestion(name, names)}")
            elif not sources:
                where = f"{table} in {column.sql('spark')}"
                yield self._problem(offset, f"unknown table or alias {where}. {suggestion(table, scope.sources)}")
            elif (columns := _columns(sources[0], known)) and name not in columns:
                yield self._problem(offset, f"unknown column {name} in {table}. {suggestion(name, columns)}")

    def _optimizer_problem(self, message: str) -> Problem:
        """Locate an error of sqlglot's optimizer by the name at its end."""
        message = message.rstrip(".")
        name = message.rpartition(": ")[2]
        offsets = (_start_of(each) for each in self.tree.find_all(exp.Identifier) if each.name == name)
        last = max((offset for offset in offsets if offset is not None), default=self._start())  # that of USING
        return self._problem(last, message.replace("automatically join", "join by a column that is not in both"))

    def _start(self) -> int:
        """Return the offset of its first word."""
        blank = re.match(r"(?:\s|--[^\n]*(?:\n|$))*", self.text)
        return blank.end() if blank else 0

    def _problem(self, offset: int, what: str) -> Problem:
        return Problem(self.file, *line_and_column(self.text, offset), what)


def parse_select(text: str, file: str) -> Select:
    """Parse one SELECT; comments may precede it, and blanks in place of other parts of the file keep positions right.

    Raises:
        ModelError: The text is not valid SQL, or not one SELECT.
    """

    def error_at(offset: int, what: str) -> ModelError:
        return ModelError([Problem(file, *line_and_column(text, offset), what)])

    try:
        tokens = sqlglot.tokenize(text, dialect="spark")
    except TokenError as error:
        problem = Problem(file, _unterminated_line(text), 0, "a string or a comment begins here; close it")
        raise ModelError([problem]) from error
    if not tokens:
        raise ModelError([Problem(file, max(len(text.splitlines()), 1), 0, "the file has no SELECT; write one")])
    steps = ((token.text in {"(", "["}) - (token.text in {")", "]"}) for token in tokens)
    if max(accumulate(steps)) > _MAX_DEPTH:
        raise RecursionError  # with Python 3.13, sqlglot's compiled parser would overflow the stack
    first = tokens[0]
    if first.text.upper() not in ("SELECT", "WITH", "("):
        raise error_at(first.start, f"a model is one SELECT, but this begins with {first.text}")
    ends = [token for token in tokens if token.text == ";" and text[token.start] == ";"]
    if ends and (after := [token for token in tokens if token.start > ends[0].start]):
        raise error_at(after[0].start, "a model is one SELECT; remove the second statement")
    text = text[: ends[0].start] if ends else text
    try:
        tree = sqlglot.parse_one(text, dialect="spark")
    except ParseError as error:
        raise ModelError([_syntax_problem(text, file, error.errors[0])]) from error
    if not isinstance(tree, exp.Query):
        raise error_at(first.start, f"a model is one SELECT, not {tree.key.upper()}")
    return Select(tree, text, file)


def _syntax_problem(text: str, file: str, fact: Mapping[str, Any]) -> Problem:
    word = str(fact["highlight"] or "")
    column = max(int(fact["col"]) - len(word) + 1, 1)
    what = re.sub(r"<Token [^>]*?text: (.*?), line: [^>]*>", r"\1", str(fact["description"]))
    what = what.replace("SENTINEL", "the end").rstrip(".")
    near = f" near {word}" if word and word not in what else ""
    return Problem(file, min(int(fact["line"]), text.count("\n") + 1), column, f"invalid Spark SQL{near}: {what}")


def _unterminated_line(text: str) -> int:
    """Find the first line from which on the text cannot be tokenized."""
    lines = text.splitlines(keepends=True)
    for count in range(len(lines) - 1, 0, -1):
        try:
            sqlglot.tokenize("".join(lines[:count]), dialect="spark")
        except TokenError:
            continue
        return count + 1
    return 1


def _outer_sources(scope: Scope, name: str) -> list[Scope | exp.Table]:
    """Resolve a name in the enclosing scopes."""
    while scope.parent is not None:
        scope = scope.parent
        if name in scope.sources:
            return [scope.sources[name]]
    return []


def _columns(source: Scope | exp.Table, known: Known) -> Sequence[str]:
    """List the columns of a table or subquery; none if they are unknown."""
    if isinstance(source, exp.Table):
        return known.get(_name(source), ())
    names = source.expression.named_selects if isinstance(source.expression, exp.Query) else []
    return () if "*" in names else names


def _name(table: exp.Table) -> str:
    return ".".join(part.name.lower() for part in table.parts)


def _offset(node: exp.Expr, default: int) -> int:
    """Return the offset at which a part of a statement begins."""
    offsets = [_start_of(each) for each in node.find_all(exp.Identifier, exp.Func, exp.Literal, exp.Star)]
    return min((offset for offset in offsets if offset is not None), default=default)


def _start_of(node: exp.Expr) -> int | None:
    start = node.meta.get("start")
    return start if isinstance(start, int) else None
