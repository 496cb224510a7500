"""Model files: their parsed parts, the table that they describe, and the definitions of the columns."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.iceberg.table_spec import DUCKDB_TYPES, Column
from brewhouse.models.header import NoRow
from brewhouse.models.model import ZONES, Model, column_definitions, parse
from brewhouse.models.problems import ModelError
from brewhouse.models.project import models_of

MODELS = models_of(*ZONES)


def test_the_defined_columns_are_the_used_ones(transform: Callable[..., DuckDBEngine]) -> None:
    engine = transform()
    columns = {model.name: engine.compute(model) for model in MODELS}
    used = {(model.name, column.name) for model in MODELS if not model.ephemeral for column in columns[model.name]}
    defined = {tuple(name.rsplit(".", 1)) for name in column_definitions()}
    assert {column for _, column in used} == {name for (*table, name) in defined if not table}
    assert {place for place in defined if len(place) > 1} <= used


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model.name))
def test_every_model_has_a_description_and_names_only_its_own_columns(
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


def test_a_model_comes_after_those_that_it_reads() -> None:
    names = [model.name for model in MODELS]
    late = [(m.name, r) for m in MODELS for r in m.reads if r in names and names.index(r) > names.index(m.name)]
    assert late == []


def test_an_undefined_column_of_a_built_in_model_is_an_error() -> None:
    with pytest.raises(ModelError, match=r"models/columns\.toml lacks columns of gold\.t: colour"):
        parse("gold.t", "SELECT colour FROM silver.breweries").spec((Column("colour", "string", ""),))


def test_a_built_in_column_has_the_defined_type_not_the_engines() -> None:
    (column,) = parse("gold.t", "SELECT 1 AS page").spec((Column("page", "int", ""),)).columns
    assert column == column_definitions()["page"]


def test_a_user_defined_column_has_the_engines_type_and_its_own_or_the_defined_description() -> None:
    text = "-- column a: The first letter.\nSELECT 'x' AS a, 'y' AS city, 1 AS b"
    model = parse("gold.t", text, user_defined=True)
    spec = model.spec((Column("a", "string", ""), Column("city", "string", ""), Column("b", "int", "")))
    city = column_definitions()["city"].description
    assert [(c.type, c.description) for c in spec.columns] == [
        ("string", "The first letter."),
        ("string", city),
        ("int", ""),
    ]


def test_an_unsupported_type_and_a_double_partition_are_reported_with_their_positions() -> None:
    model = parse("gold.t", "-- partition: b\nSELECT\n  array(1) AS a,\n  1.5 AS b", file="t.sql", user_defined=True)
    with pytest.raises(ModelError) as caught:
        model.spec((Column("a", "INTEGER[]", ""), Column("b", "double", "")))
    first, second = caught.value.problems
    assert str(first).startswith("t.sql:3:3: column a has type INTEGER[]")
    assert "CAST" in first.what
    assert str(second).startswith("t.sql:4:3: column b is a double")


def test_every_defined_column_has_a_type_that_tables_can_store() -> None:
    assert {column.type for column in column_definitions().values()} <= set(DUCKDB_TYPES)


def test_a_definition_for_one_table_overrides_the_general_one() -> None:
    text = "SELECT 1 AS longitude"
    specs = [
        parse(name, text).spec((Column("longitude", "int", ""),)) for name in ("silver.rejected_breweries", "gold.t")
    ]
    assert [spec.columns[0].type for spec in specs] == ["string", "double"]
    assert specs[0].columns[0].name == "longitude"


def test_a_spec_has_the_description_partition_and_sort_order_of_the_header() -> None:
    text = "-- A row.\n-- partition: b\n-- sort: a, b\nSELECT 1 AS a, 2 AS b"
    spec = parse("gold.t", text, user_defined=True).spec((Column("a", "int", ""), Column("b", "int", "")))
    assert (spec.name, spec.description, spec.partition, spec.sort) == ("gold.t", "A row.", ("b",), ("a", "b"))


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("-- A row.\n\nSELECT 1 AS a\n", "SELECT 1 AS a"),
        ("SELECT 1 AS a ;\n", "SELECT 1 AS a"),
        ("-- A row.\nSELECT 1 AS a; -- end\n-- of file", "SELECT 1 AS a"),
        ("-- A row.\nSELECT ';' AS a", "SELECT ';' AS a"),
        ("-- A row.\n\n-- not the header\nSELECT 1 AS a", "-- not the header\nSELECT 1 AS a"),
        ("SELECT 1 AS a -- why", "SELECT 1 AS a -- why"),
    ],
)
def test_the_sql_is_the_statement_without_header_and_semicolon(text: str, sql: str, engine: DuckDBEngine) -> None:
    model = parse("gold.t", text)
    assert model.sql == sql
    assert [column.name for column in engine.compute(model)] == ["a"]


def test_a_model_has_the_fields_of_its_header() -> None:
    text = (
        "-- A row.\n-- key: a\n-- incremental by: snapshot_run\n-- ephemeral: yes\nSELECT 1 AS a, 'x' AS snapshot_run"
    )
    model = parse("silver.t", text)
    assert (model.zone, model.key, model.incremental_by, model.ephemeral) == ("silver", ("a",), "snapshot_run", True)
    assert (model.file, model.user_defined, model.reads, model.depends_on) == ("silver.t", False, (), ())


@pytest.mark.parametrize(
    ("name", "depends_on"),
    [("gold.t", ("gold.c", "silver.a")), ("gold.other", ("gold.c", "gold.t", "silver.a"))],
)
def test_a_model_depends_on_the_tables_of_its_checks_but_not_on_itself(name: str, depends_on: tuple[str, ...]) -> None:
    checks = "-- no row: x: SELECT * FROM gold.t\n-- no row: y:\n--   SELECT *\n--   FROM gold.c\n"
    model = parse(name, f"{checks}SELECT id FROM silver.a")
    assert (model.reads, model.depends_on) == (("silver.a",), depends_on)
    assert [select.reads for select in model.check_selects] == [("gold.t",), ("gold.c",)]


def test_a_model_that_reads_itself_depends_on_itself() -> None:
    assert parse("gold.t", "SELECT id FROM gold.t").depends_on == ("gold.t",)


@pytest.mark.parametrize(
    ("check", "position"),
    [
        ("-- no row: x: SELECT * FROM gold.u", (2, 29)),
        ("-- no row: x:\n--   SELECT *\n--     FROM gold.u", (4, 13)),
        ("-- warn no row: a long\n--   name: SELECT *\n--   FROM gold.u", (4, 11)),
    ],
)
def test_a_check_query_keeps_its_position_in_the_file(check: str, position: tuple[int, int]) -> None:
    (select,) = parse("gold.t", f"-- A row.\n{check}\nSELECT 1 AS a").check_selects
    (problem,) = select.table_problems({})
    assert (problem.line, problem.column) == position


def test_problems_of_header_and_select_are_reported_together() -> None:
    with pytest.raises(ModelError) as caught:
        parse("gold.t", "-- kye: a\n-- ephemeral: maybe\nSELECT FROM WHERE", file="t.sql")
    assert [problem.line for problem in caught.value.problems] == [1, 2, 3]


def test_a_version_is_a_hash_of_the_text() -> None:
    versions = [parse("gold.t", text).version for text in ("SELECT 1 AS a", "SELECT 1 AS a ", "SELECT 1 AS a")]
    assert versions[0] == versions[2] != versions[1]
    assert all(len(version) == 16 for version in versions)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model.name))
def test_every_check_of_a_built_in_model_has_a_distinct_name_and_a_plain_one(model: Model) -> None:
    names = [rule.name for rule in model.rules if isinstance(rule, NoRow)]
    assert len(set(names)) == len(names)
    assert all(name == name.strip() and name[0].islower() and not name.endswith(".") for name in names)
