"""A model: one SQL file that makes one table, and the header comment that describes it.

The header is the leading `--` lines: sentences that say what a row is, then `name: value` lines among
key, not null, partition, sort, grows by and temporary.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

from brewhouse.errors import UsageError
from brewhouse.lake.spec import Column, TableSpec

FOLDER = Path(__file__).parent
ZONES = ("staging", "silver", "gold")
_LISTS = ("key", "not null", "partition", "sort")


@dataclass(frozen=True)
class Model:
    """A table's SQL and what its header says.

    Attributes:
        name: Zone and table, as `silver.breweries`; the folder and the file's name.
        sql: The SELECT, in Spark SQL.
        description: What a row is.
        key: Columns that together are unique.
        not_null: Columns that are never null.
        partition: Columns by whose values the files are separated.
        sort: Columns by which the rows are ordered.
        grows_by: Column that says which snapshot a row is of, when the table keeps the rows of earlier ones: those of
            the same value are replaced, all others stay. Empty when each run makes the whole table anew.
        temporary: Whether it only serves other models and is not published.
        reads: Names of the tables its SQL reads.
    """

    name: str
    sql: str
    description: str
    key: tuple[str, ...]
    not_null: tuple[str, ...]
    partition: tuple[str, ...]
    sort: tuple[str, ...]
    grows_by: str
    temporary: bool
    reads: tuple[str, ...]

    def spec(self, columns: tuple[str, ...]) -> TableSpec:
        """Describe the table this model makes.

        Args:
            columns: Names of the columns its SQL gives, in order.

        Raises:
            UsageError: A column that `columns.toml` does not define.
        """
        defined = column_definitions()
        if unknown := [name for name in columns if name not in defined]:
            raise UsageError(
                f"Model {self.name} gives columns that are defined nowhere: {', '.join(unknown)}.",
                hint="Define them in models/columns.toml.",
            )
        return TableSpec(
            self.name, self.description, tuple(defined[name] for name in columns), self.partition, self.sort
        )


@cache
def column_definitions() -> dict[str, Column]:
    """Read `columns.toml`: every column by name, with type and description."""
    table = tomllib.loads((FOLDER / "columns.toml").read_text("utf-8"))
    return {name: Column(name, entry["type"], entry["description"]) for name, entry in table.items()}


def models_of(*zones: str) -> list[Model]:
    """Load the models of some zones, each after the ones it reads.

    Args:
        zones: Among staging, silver and gold.

    Example:
        >>> [model.name for model in models_of("staging", "silver")][:2]
        ['staging.records', 'silver.breweries']
    """
    models = {
        (model := parse(f"{zone}.{file.stem}", file.read_text("utf-8"))).name: model
        for zone in zones
        for file in sorted((FOLDER / zone).glob("*.sql"))
    }
    order = TopologicalSorter({name: [r for r in model.reads if r in models] for name, model in models.items()})
    return [models[name] for name in order.static_order()]


def parse(name: str, text: str) -> Model:
    r"""Read a model's file.

    Args:
        name: Zone and table.
        text: The file's content.

    Raises:
        UsageError: The SQL cannot be parsed.

    Example:
        >>> model = parse("gold.t", "-- A row a city.\n-- key: city\n\nSELECT city FROM silver.breweries")
        >>> model.description, model.key, model.reads
        ('A row a city.', ('city',), ('silver.breweries',))
    """
    header, body = _split(text)
    fields: dict[str, str] = {}
    sentences: list[str] = []
    for line in header:
        word, separator, value = line.partition(":")
        if separator and word in (*_LISTS, "grows by", "temporary"):
            fields[word] = value.strip()
        else:
            sentences.append(line)
    lists = {word: tuple(part.strip() for part in fields.get(word, "").split(",") if part.strip()) for word in _LISTS}
    return Model(
        name=name,
        sql=body,
        description=" ".join(sentences),
        key=lists["key"],
        not_null=lists["not null"],
        partition=lists["partition"],
        sort=lists["sort"],
        grows_by=fields.get("grows by", ""),
        temporary=fields.get("temporary") == "yes",
        reads=_tables_read(name, body),
    )


def _split(text: str) -> tuple[list[str], str]:
    lines = text.splitlines()
    size = next((i for i, line in enumerate(lines) if not line.startswith("--")), len(lines))
    return [line.removeprefix("--").strip() for line in lines[:size]], "\n".join(lines[size:]).strip()


def _tables_read(name: str, sql: str) -> tuple[str, ...]:
    import sqlglot
    from sqlglot import exp

    try:
        tree = sqlglot.parse_one(sql, dialect="spark")
    except sqlglot.ParseError as error:
        raise UsageError(f"Model {name} is no valid Spark SQL: {error}.", hint="Mend the file.") from error
    return tuple(sorted({f"{table.db}.{table.name}" for table in tree.find_all(exp.Table) if table.db}))
