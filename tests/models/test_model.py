"""What a model's file says, and that every column is defined once and used."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.errors import UsageError
from brewhouse.models.model import ZONES, Model, column_definitions, parse
from brewhouse.models.project import models_of

MODELS = models_of(*ZONES)


def test_defined_columns_are_the_used_ones(transform: Callable[..., DuckDBEngine]) -> None:
    engine = transform()
    columns = {model.name: engine.compute(model) for model in MODELS}
    used = {column.name for model in MODELS if not model.temporary for column in columns[model.name]}
    assert used == set(column_definitions())


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model.name))
def test_every_model_says_what_a_row_is_and_promises_only_columns_it_has(
    model: Model, transform: Callable[..., DuckDBEngine]
) -> None:
    assert model.description.endswith(".")
    engine = transform()
    columns: tuple[str, ...] = ()
    for each in MODELS[: MODELS.index(model) + 1]:
        columns = tuple(column.name for column in engine.compute(each))
    assert {*model.key, *model.partition, *model.sort, *(c for r in model.rules for c in r.columns)} <= set(columns)


def test_every_column_has_a_description() -> None:
    assert [column.name for column in column_definitions().values() if not column.description.strip()] == []


def test_a_model_stands_after_the_ones_it_reads() -> None:
    names = [model.name for model in MODELS]
    late = [(m.name, r) for m in MODELS for r in m.reads if r in names and names.index(r) > names.index(m.name)]
    assert late == []


def test_a_column_defined_nowhere_is_named() -> None:
    with pytest.raises(UsageError, match=r"gold\.t gives columns that are defined nowhere: colour"):
        parse("gold.t", "SELECT colour FROM silver.breweries").spec(("name", "colour"))


def test_sql_that_cannot_be_parsed_names_the_model() -> None:
    with pytest.raises(UsageError, match=r"gold\.t is no valid Spark SQL"):
        parse("gold.t", "SELECT FROM WHERE (")


def test_the_header_is_read() -> None:
    model = parse(
        "gold.t", "-- A row: a city.\n-- Really.\n-- key: a, b\n-- not null: a\n-- temporary: yes\n\nSELECT 1"
    )
    assert model.description == "A row: a city. Really."
    assert (model.key, model.not_null, model.partition, model.temporary) == (("a", "b"), ("a",), (), True)
