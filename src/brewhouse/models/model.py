"""A model: one SQL file that defines one table, with a header comment that describes it."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from brewhouse.iceberg.table_spec import DUCKDB_TYPES, Column, TableSpec
from brewhouse.models.header import Header, NoRow, header_lines, parse_header
from brewhouse.models.problems import ModelError, Problem

if TYPE_CHECKING:
    from brewhouse.models.select import Select

FOLDER = Path(__file__).parent
ZONES = ("staging", "silver", "gold")


@dataclass(frozen=True, kw_only=True)
class Model(Header):
    """A model file, parsed.

    Attributes:
        sql: The SELECT, in Spark SQL.
        reads: Names of the tables that the SELECT reads.
        depends_on: Names of the tables that must exist before it: those that the SELECT and its checks read.
        version: Hash of its file and, once ordered by `models_of`, of the files that it depends on.
        file: Its file, as errors name it.
    """

    name: str
    sql: str
    reads: tuple[str, ...]
    depends_on: tuple[str, ...]
    user_defined: bool
    version: str
    file: str = field(repr=False, compare=False)
    text: str = field(repr=False, compare=False)

    @cached_property
    def select(self) -> Select:
        """The SELECT, parsed."""
        from brewhouse.models.select import parse_select  # imports sqlglot, which built-in models do not need

        return parse_select(self.text, self.file)

    @cached_property
    def check_selects(self) -> tuple[Select, ...]:
        """The queries of its `no row` rules, parsed."""
        return tuple(_check_select(rule, self.text, self.file) for rule in self.rules if isinstance(rule, NoRow))

    @property
    def zone(self) -> str:
        """The first part of its name."""
        return self.name.partition(".")[0]

    def spec(self, columns: Sequence[Column]) -> TableSpec:
        """Describe the table with the result columns of the SELECT, which have the engine's types.

        A built-in model's columns have the type and description of `columns.toml`; a user's have the engine's type and
        the description of the header or, without one, of `columns.toml`.

        Raises:
            ModelError: `columns.toml` lacks a column of a built-in model, a table cannot store a column's type, or a
                partition column is a double.
        """
        defined = column_definitions()
        if self.user_defined:
            described = {name: column.description for name, column in defined.items()}
            described |= {name: description for name, description in self.columns.items() if description}
            typed = tuple(Column(column.name, column.type, described.get(column.name, "")) for column in columns)
        elif unknown := [column.name for column in columns if column.name not in defined]:
            raise ModelError([self.problem(f"models/columns.toml lacks columns of {self.name}: {', '.join(unknown)}")])
        else:
            typed = tuple(defined.get(f"{self.name}.{column.name}", defined[column.name]) for column in columns)
        if problems := list(self._type_problems(typed)):
            raise ModelError(problems)
        return TableSpec(self.name, self.description, typed, self.partition, self.sort)

    def problem(self, what: str, column: str = "") -> Problem:
        """Create a problem at a result column, or at the SELECT."""
        return Problem(self.file, *self.select.column_position(column), what)

    def _type_problems(self, columns: Sequence[Column]) -> Iterator[Problem]:
        for column in columns:
            if column.type not in DUCKDB_TYPES:
                what = f"column {column.name} has type {column.type}, which tables cannot store; cast it"
                yield self.problem(f"{what}, for example with CAST(… AS STRING)", column.name)
            elif column.type == "double" and column.name in self.partition:
                double = f"column {column.name} is a double, which cannot be a partition column"
                yield self.problem(f"{double}; partition by another one, or cast it", column.name)


@cache
def column_definitions() -> dict[str, Column]:
    """Load `columns.toml` by column name, prefixed with the table's where the definition holds for one table only."""
    table = tomllib.loads((FOLDER / "columns.toml").read_text("utf-8"))
    return {name: Column(name.rpartition(".")[2], entry["type"], entry["description"]) for name, entry in table.items()}


def parse(name: str, text: str, *, file: str | None = None, user_defined: bool = False) -> Model:
    r"""Parse a model file.

    Args:
        file: The file as errors name it; None uses the model's name.

    Raises:
        ModelError: A header field is invalid, or the SQL or a check's query is not one SELECT.

    Example:
        >>> model = parse("gold.t", "-- A city.\n-- key: city\n\nSELECT city FROM silver.breweries")
        >>> model.description, model.key, model.reads
        ('A city.', ('city',), ('silver.breweries',))
    """
    file = file or name
    header, problems = parse_header(text, file)
    version = hashlib.sha256(text.encode()).hexdigest()[:16]
    model = Model(
        **vars(header), name=name, sql="", reads=(), depends_on=(), user_defined=user_defined, version=version,
        file=file, text=text,
    )  # fmt: skip
    if version in (known := prepared().reads):
        (reads, depends_on), body = known[version], text
    else:
        try:
            reads, body = model.select.reads, model.select.text
        except ModelError as error:
            raise ModelError([*problems, *error.problems]) from error
        if problems:
            raise ModelError(problems)
        of_checks = {table for check in model.check_selects for table in check.reads if table != name}
        depends_on = tuple(sorted({*reads, *of_checks}))
    sql = "\n".join(body.splitlines()[len(header_lines(text)) :]).strip()
    return replace(model, sql=sql, reads=reads, depends_on=depends_on)


class Prepared(msgspec.Struct, frozen=True):
    """What was derived from the built-in SQL.

    Attributes:
        reads: The tables that a model's SELECT reads, and those that it depends on, by the hash of its file.
        duckdb: Translation to DuckDB, by statement.
    """

    reads: dict[str, tuple[tuple[str, ...], tuple[str, ...]]]
    duckdb: dict[str, str]


@cache
def prepared() -> Prepared:
    """Load `prepared.json`, which `make docs` writes so that a run with built-in models need not import sqlglot."""
    return msgspec.json.decode((FOLDER / "prepared.json").read_bytes(), type=Prepared)


def _check_select(rule: NoRow, text: str, file: str) -> Select:
    """Parse the query of a rule, padded so that positions in it are positions in the file."""
    from brewhouse.models.select import parse_select

    lines = text.splitlines()[rule.line - 1 :]
    padded = (" " * max(line.find(part), 0) + part for part, line in zip(rule.sql.split("\n"), lines, strict=False))
    return parse_select("\n" * (rule.line - 1) + "\n".join(padded), file)
