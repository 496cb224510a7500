"""One SELECT in Spark SQL: the tables and columns it names, and the places of those that are not there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brewhouse.models.problems import ModelError, Problem, place_of, suggestion

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.optimizer.scope import Scope

Known = Mapping[str, Sequence[str]]
"""Columns by table."""


@dataclass(frozen=True)
class Select:
    """A statement that was parsed, and where it stands.

    Attributes:
        tree: Its syntax tree.
        text: The text it was parsed from, of the same length as the file's.
        file: Name of the file, for problems.
    """

    tree: exp.Query
    text: str
    file: str

    @property
    def reads(self) -> tuple[str, ...]:
        """Names, with their zones, of the tables it reads."""
        return tuple(sorted({name for name, _ in self._tables() if "." in name}))

    def unreadable(self, readable: Mapping[str, str]) -> list[Problem]:
        """Find the tables it reads that are not there or cannot be read here.

        Args:
            readable: By table, why it cannot be read here; an empty text when it can.
        """
        from sqlglot.errors import OptimizeError

        can = [name for name, reason in readable.items() if not reason]
        try:
            tables = list(self._real_tables())
        except OptimizeError as error:
            return [self._at(self._start(), str(error).rstrip("."))]
        unknown = [(offset, f"there is no table {n}{suggestion(n, can)}") for n, offset in tables if n not in readable]
        closed = [(offset, f"{n} cannot be read here: {readable[n]}") for n, offset in tables if readable.get(n)]
        return [self._at(offset, what) for offset, what in unknown + closed]

    def columns(self, known: Known) -> tuple[tuple[str, ...], list[Problem]]:
        """Tell the columns it gives, in small letters, and what is wrong with those it names.

        Args:
            known: The columns of each table it reads.
        """
        from sqlglot.errors import OptimizeError
        from sqlglot.optimizer.qualify import qualify
        from sqlglot.optimizer.scope import traverse_scope

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
                allow_partial_qualification=True,  # or it stops at the first, and does not say where
            )
            scopes = traverse_scope(tree)
        except OptimizeError as error:
            return (), [self._optimizer_problem(str(error))]
        problems = {problem for scope in scopes for problem in self._unknown_columns(scope, known)}
        return tuple(tree.named_selects), sorted(problems)

    def unnamed(self) -> list[Problem]:
        """Find the columns it gives that have no name of their own."""
        from sqlglot import exp

        return [
            self._at(_offset(column, self._start()), f"give the column {column.sql('spark')} a name: … AS name")
            for column in self.tree.selects
            if not column.output_name and not column.is_star and not isinstance(column, exp.Aliases)
        ]

    def place_of_column(self, name: str) -> tuple[int, int]:
        """Tell where a column that it gives is written, as line and column; its first word when that is not known."""
        column = next((each for each in self.tree.selects if each.output_name.lower() == name), None)
        return place_of(self.text, self._start() if column is None else _offset(column, self._start()))

    def place_of_table(self, name: str) -> tuple[int, int]:
        """Tell where a table that it reads is written, as line and column."""
        offset = next((offset for table, offset in self._tables() if table == name), self._start())
        return place_of(self.text, offset)

    def _tables(self) -> Iterator[tuple[str, int]]:
        from sqlglot import exp

        for table in self.tree.find_all(exp.Table):
            if isinstance(table.this, exp.Identifier):  # else a function, as range(10)
                yield _name(table), _offset(table, self._start())

    def _real_tables(self) -> Iterator[tuple[str, int]]:
        """List the tables that are no common table expressions."""
        from sqlglot import exp
        from sqlglot.optimizer.scope import traverse_scope

        for scope in traverse_scope(self.tree):
            for table in scope.tables:
                source = scope.sources.get(table.alias_or_name)
                is_named = isinstance(table.this, exp.Identifier)
                if is_named and (table.db or not (table.name in scope.cte_sources or _is_cte(source))):
                    yield _name(table), _offset(table, self._start())

    def _unknown_columns(self, scope: Scope, known: Known) -> Iterator[Problem]:
        for column in scope.columns:
            offset = _meta(column.this)
            if offset is None:  # the library put it there for a star
                continue
            sources = [scope.sources[column.table]] if column.table in scope.sources else _outer(scope, column.table)
            if not column.table:
                every = {name: _columns(source, known) for name, source in scope.sources.items()}
                having = [name for name, columns in every.items() if column.name in columns]
                if len(having) > 1:
                    yield self._at(offset, f"column {column.name} is in {' and in '.join(having)}: say which is meant")
                else:
                    names = {name for columns in every.values() for name in columns}
                    yield self._at(offset, f"there is no column {column.name}{suggestion(column.name, names)}")
            elif not sources:
                meant = suggestion(column.table, scope.sources)
                yield self._at(offset, f"nothing is called {column.table} in {column.sql('spark')}{meant}")
            elif (names_there := _columns(sources[0], known)) and column.name not in names_there:
                meant = suggestion(column.name, names_there)
                yield self._at(offset, f"{column.table} has no column {column.name}{meant}")

    def _optimizer_problem(self, message: str) -> Problem:
        """Give an error that has no place the one of the name at its end, where it can be found."""
        from sqlglot import exp

        name = message.rstrip(".").rpartition(": ")[2]
        places = (_meta(each) for each in self.tree.find_all(exp.Identifier) if each.name == name)
        offset = max((place for place in places if place is not None), default=self._start())  # USING comes late
        what = message.rstrip(".").replace("automatically join", "join by a column that is not in both")
        return self._at(offset, what)

    def _start(self) -> int:
        """Offset of its first word."""
        blank = re.match(r"(?:\s|--[^\n]*(?:\n|$))*", self.text)
        return blank.end() if blank else 0

    def _at(self, offset: int, what: str) -> Problem:
        return Problem(self.file, *place_of(self.text, offset), what)


def parse_select(text: str, file: str) -> Select:
    r"""Parse a text that must be one SELECT, comments before it allowed.

    Args:
        text: The text; blanks in the place of what is no part of it keep the places right.
        file: Name of the file, for problems.

    Raises:
        ModelError: It is no valid SQL, or not one SELECT.

    Example:
        >>> parse_select("-- A table.\nSELECT id FROM silver.breweries", "t.sql").reads
        ('silver.breweries',)
    """
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import ParseError, TokenError

    try:
        tokens = sqlglot.tokenize(text, dialect="spark")
    except TokenError as error:
        line = _unfinished_line(text)
        raise ModelError([Problem(file, line, 0, "a text or a comment begins here and does not end")]) from error
    if not tokens:
        raise ModelError([Problem(file, max(len(text.splitlines()), 1), 0, "there is no SELECT")])
    first = tokens[0]
    if first.text.upper() not in ("SELECT", "WITH", "("):
        place = place_of(text, first.start)
        raise ModelError([Problem(file, *place, f"a table is one SELECT; this begins with {first.text}")])
    ends = [token for token in tokens if token.text == ";" and text[token.start] == ";"]
    if ends and (after := [token for token in tokens if token.start > ends[0].start]):
        raise ModelError(
            [Problem(file, *place_of(text, after[0].start), "a table is one SELECT; here is a second one")]
        )
    try:
        tree = sqlglot.parse_one(text, dialect="spark")
    except ParseError as error:
        raise ModelError([_syntax_problem(text, file, error)]) from error
    if not isinstance(tree, exp.Query):
        raise ModelError([Problem(file, *place_of(text, first.start), f"a table is one SELECT, no {tree.key.upper()}")])
    return Select(tree, text, file)


def _syntax_problem(text: str, file: str, error: object) -> Problem:
    fact = error.errors[0]  # type: ignore[attr-defined]
    word = str(fact["highlight"] or "")
    column = max(int(fact["col"]) - len(word) + 1, 1)
    what = re.sub(r"<Token [^>]*?text: (.*?), line: [^>]*>", r"\1", str(fact["description"]))
    what = what.replace("SENTINEL", "the end").rstrip(".")
    near = f" near {word}" if word and word not in what else ""
    return Problem(file, min(int(fact["line"]), text.count("\n") + 1), column, f"no valid Spark SQL{near}: {what}")


def _unfinished_line(text: str) -> int:
    """Find the line from which on the text cannot be told into words any more."""
    import sqlglot
    from sqlglot.errors import TokenError

    lines = text.splitlines(keepends=True)
    for count in range(len(lines) - 1, 0, -1):
        try:
            sqlglot.tokenize("".join(lines[:count]), dialect="spark")
        except TokenError:
            continue
        return count + 1
    return 1


def _outer(scope: Scope, name: str) -> list[Scope | exp.Table]:
    """Find what a name means in the scopes around one."""
    while scope.parent is not None:
        scope = scope.parent
        if name in scope.sources:
            return [scope.sources[name]]
    return []


def _columns(source: Scope | exp.Table, known: Known) -> Sequence[str]:
    """Name the columns of what a SELECT reads; none when they cannot be known."""
    from sqlglot import exp

    if isinstance(source, exp.Table):
        return known.get(_name(source), ())
    if isinstance(source.expression, exp.Query):
        names = source.expression.named_selects
        return () if "*" in names else names
    return ()


def _is_cte(source: object) -> bool:
    from sqlglot.optimizer.scope import Scope

    return isinstance(source, Scope)


def _name(table: exp.Table) -> str:
    return ".".join(part.name.lower() for part in table.parts)


def _offset(node: exp.Expr, default: int) -> int:
    """Tell where a part of a statement begins."""
    from sqlglot import exp

    places = [_meta(each) for each in node.find_all(exp.Identifier, exp.Func, exp.Literal, exp.Star)]
    return min((place for place in places if place is not None), default=default)


def _meta(node: exp.Expr) -> int | None:
    start = node.meta.get("start")
    return start if isinstance(start, int) else None
