"""A model: one SQL file that makes one table, and the header comment that describes it.

The header is the leading `--` lines: sentences that say what a row is, then `name: value` lines; docs/models.md
lists them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from brewhouse.iceberg.table_spec import Column, TableSpec
from brewhouse.models.header import NoRow, Rule, parse_header
from brewhouse.models.problems import ModelError, Problem
from brewhouse.models.select import Select, parse_select

FOLDER = Path(__file__).parent
ZONES = ("staging", "silver", "gold")
_TYPES = ("string", "double", "long", "int", "boolean", "timestamptz", "date")


@dataclass(frozen=True)
class Model:
    """A table's SQL and what its header says.

    Attributes:
        name: Zone and table, as `silver.breweries`; the folder and the file's name.
        sql: The SELECT, in Spark SQL.
        description: What a row is.
        key: Columns that together are unique.
        partition: Columns by whose values the files are separated.
        sort: Columns by which the rows are ordered.
        incremental_by: Column that identifies the batch of a row, for a table that keeps the rows of earlier
            snapshots: a run replaces the rows of its own batch. Empty when each run rebuilds the whole table.
        ephemeral: Whether it only serves other models and is not published.
        rules: What must hold of its rows, the key's uniqueness first.
        columns: What its own columns mean, by name.
        reads: Names of the tables its SQL reads.
        depends_on: Names of the tables that must be there before it: those it reads, and those its checks read.
        user_defined: Whether the user wrote it, not Brewhouse.
        version: Tells it from what it was while its file, or that of a model it needs, was another.
        file: Its file, as errors name it.
        text: The file's content.
        select: Its SQL, parsed.
    """

    name: str
    sql: str
    description: str
    key: tuple[str, ...]
    partition: tuple[str, ...]
    sort: tuple[str, ...]
    incremental_by: str
    ephemeral: bool
    rules: tuple[Rule, ...]
    columns: dict[str, str]
    reads: tuple[str, ...]
    depends_on: tuple[str, ...]
    user_defined: bool
    version: str
    file: str = field(repr=False, compare=False)
    text: str = field(repr=False, compare=False)
    select: Select = field(repr=False, compare=False)

    @property
    def zone(self) -> str:
        """The first part of its name."""
        return self.name.partition(".")[0]

    def spec(self, columns: Sequence[Column]) -> TableSpec:
        """Describe the table this model makes.

        A built-in model's columns have the type and description of `columns.toml`; a user's have the type the engine
        gives them and the description of the header, else that of the column of the same name there.

        Args:
            columns: What its SQL gives, in order, with the engine's types.

        Raises:
            ModelError: A built-in model's column is not in `columns.toml`, one has a type no table can hold, or the
                table is partitioned by one with fractions.
        """
        defined = column_definitions()
        if not self.user_defined:
            if unknown := [column.name for column in columns if column.name not in defined]:
                what = f"{self.name} gives columns that models/columns.toml does not define: {', '.join(unknown)}"
                raise ModelError([self.problem(what)])
            typed = tuple(defined.get(f"{self.name}.{column.name}", defined[column.name]) for column in columns)
        else:
            typed = tuple(Column(column.name, column.type, self._meaning(column.name)) for column in columns)
        if problems := [*self._bad_types(typed)]:
            raise ModelError(problems)
        return TableSpec(self.name, self.description, typed, self.partition, self.sort)

    def problem(self, what: str, column: str = "") -> Problem:
        """Say that something is wrong with it, or with one of the columns it gives."""
        return Problem(self.file, *self.select.place_of_column(column), what)

    def check_select(self, rule: NoRow) -> Select:
        """Parse the query of one of its `no row` rules.

        Raises:
            ModelError: It is not one SELECT.
        """
        lines = self.text.splitlines()
        begin = rule.line - 1
        sql = "\n".join(
            " " * max(line.find(part), 0) + part
            for part, line in zip(rule.sql.split("\n"), lines[begin:], strict=False)
        )
        return parse_select("\n" * begin + sql, self.file)

    def _meaning(self, column: str) -> str:
        known = column_definitions().get(column)
        return self.columns.get(column) or (known.description if known else "")

    def _bad_types(self, columns: Sequence[Column]) -> list[Problem]:
        return [
            self.problem(
                f"column {column.name} is of the engine's type {column.type}, which a table cannot hold; "
                f"make it one of another with CAST(… AS STRING) or the like",
                column.name,
            )
            for column in columns
            if column.type not in _TYPES
        ] + [
            self.problem(f"column {column.name} is a number with fractions: no files are separated by it", column.name)
            for column in columns
            if column.type == "double" and column.name in self.partition
        ]


@cache
def column_definitions() -> dict[str, Column]:
    """Read `columns.toml`: every column by name, its table's before it where it is another one there."""
    table = tomllib.loads((FOLDER / "columns.toml").read_text("utf-8"))
    return {name: Column(name.rpartition(".")[2], entry["type"], entry["description"]) for name, entry in table.items()}


def parse(name: str, text: str, *, file: str | None = None, user_defined: bool = False) -> Model:
    r"""Read a model's file.

    Args:
        name: Zone and table.
        text: The file's content.
        file: Its file, as errors name it; None names the model.
        user_defined: Whether it is the user's.

    Raises:
        ModelError: The header has a field that cannot be understood, or the SQL is not one SELECT.

    Example:
        >>> model = parse("gold.t", "-- A row a city.\n-- key: city\n\nSELECT city FROM silver.breweries")
        >>> model.description, model.key, model.reads
        ('A row a city.', ('city',), ('silver.breweries',))
    """
    file = file or name
    header = parse_header(text, file)
    problems = list(header.problems)
    try:
        select = parse_select(text, file)
    except ModelError as error:
        raise ModelError([*problems, *error.problems]) from error
    if problems:
        raise ModelError(problems)
    model = Model(
        name=name,
        sql="\n".join(text.splitlines()[header.size :]).strip().rstrip("; \n"),
        description=header.description,
        key=header.key,
        partition=header.partition,
        sort=header.sort,
        incremental_by=header.incremental_by,
        ephemeral=header.ephemeral,
        rules=header.rules,
        columns={column: meaning for column, (meaning, _) in header.columns.items()},
        reads=select.reads,
        depends_on=select.reads,
        user_defined=user_defined,
        version="",
        file=file,
        text=text,
        select=select,
    )
    return _with_needs(model)


def _with_needs(model: Model) -> Model:
    needs = set(model.reads)
    for rule in model.rules:
        if isinstance(rule, NoRow):
            needs.update(model.check_select(rule).reads)
    if model.name not in model.reads:
        needs.discard(model.name)  # a check may read the table it is about
    return replace(model, depends_on=tuple(sorted(needs)))
