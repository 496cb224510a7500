"""What a model's file says, and that every column is defined once and used."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.iceberg.table_spec import Column
from brewhouse.models.model import ZONES, Model, column_definitions, parse
from brewhouse.models.problems import ModelError
from brewhouse.models.project import models_of

MODELS = models_of(*ZONES)


def test_defined_columns_are_the_used_ones(transform: Callable[..., DuckDBEngine]) -> None:
    engine = transform()
    columns = {model.name: engine.compute(model) for model in MODELS}
    used = {(model.name, column.name) for model in MODELS if not model.ephemeral for column in columns[model.name]}
    defined = {tuple(name.rsplit(".", 1)) for name in column_definitions()}
    assert {column for _, column in used} == {name for (*table, name) in defined if not table}
    assert {place for place in defined if len(place) > 1} <= used


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
    with pytest.raises(ModelError, match=r"models/columns\.toml lacks columns of gold\.t: colour"):
        parse("gold.t", "SELECT colour FROM silver.breweries").spec((Column("colour", "string", ""),))


def test_a_built_in_column_is_as_defined_whatever_the_engine_says() -> None:
    (column,) = parse("gold.t", "SELECT 1 AS page").spec((Column("page", "int", ""),)).columns
    assert column == column_definitions()["page"]


def test_a_users_column_has_the_engines_type_and_its_own_or_the_defined_description() -> None:
    text = "-- column a: The first letter.\nSELECT 'x' AS a, 'y' AS city, 1 AS b"
    model = parse("gold.t", text, user_defined=True)
    spec = model.spec((Column("a", "string", ""), Column("city", "string", ""), Column("b", "int", "")))
    city = column_definitions()["city"].description
    assert [(c.type, c.description) for c in spec.columns] == [
        ("string", "The first letter."),
        ("string", city),
        ("int", ""),
    ]


def test_a_type_no_table_can_hold_and_a_partition_by_fractions_are_placed() -> None:
    model = parse("gold.t", "-- partition: b\nSELECT\n  array(1) AS a,\n  1.5 AS b", file="t.sql", user_defined=True)
    with pytest.raises(ModelError) as caught:
        model.spec((Column("a", "INTEGER[]", ""), Column("b", "double", "")))
    first, second = caught.value.problems
    assert str(first).startswith("t.sql:3:3: column a has type INTEGER[]")
    assert "CAST" in first.what
    assert str(second).startswith("t.sql:4:3: column b is a double")
