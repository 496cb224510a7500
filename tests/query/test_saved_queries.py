"""The saved queries: Athena's SQL, which gives the same on one machine."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from brewhouse.errors import UsageError
from brewhouse.lake.lake import Lake
from brewhouse.models.project import models_of
from brewhouse.query.connection import connect, query
from brewhouse.query.saved_queries import SavedQuery, _parse, for_athena, for_duckdb, saved_queries, saved_query

each = pytest.mark.parametrize("saved", saved_queries(), ids=lambda saved: saved.name)


@each
def test_it_is_one_select_of_athena(saved: SavedQuery) -> None:
    (statement,) = sqlglot.parse(saved.sql, read="athena", error_level=sqlglot.ErrorLevel.RAISE)
    assert isinstance(statement, exp.Select)


@each
def test_it_runs_over_a_lake(saved: SavedQuery, demo_lake: Path) -> None:
    assert query(connect(Lake(demo_lake)), for_duckdb(saved.sql)).fetchall()


@each
def test_it_says_what_it_answers(saved: SavedQuery) -> None:
    assert saved.title
    assert saved.question.endswith("?")


@each
def test_in_the_glue_catalog_it_names_only_databases_that_are_there(saved: SavedQuery) -> None:
    tables = sqlglot.parse_one(for_athena(saved.sql, "other"), read="athena").find_all(exp.Table)
    known = {"other_monitoring.events", *(f"other_{model.name}" for model in models_of("silver", "gold"))}
    named = {f"{table.db}.{table.name}" for table in tables if table.db}
    assert named
    assert named <= known


def test_the_same_name_gives_the_same_query() -> None:
    assert saved_query("near").name == "near"


def test_an_unknown_name_is_told_the_ones_there_are() -> None:
    with pytest.raises(UsageError, match="top_cities"):
        saved_query("nothing")


@pytest.mark.parametrize(
    ("sql", "athena"),
    [
        ('SELECT * FROM "silver".breweries', 'SELECT * FROM "b_silver".breweries'),
        ("SELECT * FROM Gold.t", "SELECT * FROM b_Gold.t"),
        ("SELECT 'silver.x', x.gold.y FROM t", "SELECT 'silver.x', x.gold.y FROM t"),
        ("SELECT gold FROM silver . t", "SELECT gold FROM b_silver . t"),
        ("SELECT 1 -- gold.t", "SELECT 1 -- gold.t"),
        ("SELECT 'ü' /* gold.t */ FROM gold.t, silver.s", "SELECT 'ü' /* gold.t */ FROM b_gold.t, b_silver.s"),
    ],
)
def test_only_a_zone_before_a_table_is_renamed(sql: str, athena: str) -> None:
    assert for_athena(sql, "b") == athena


@pytest.mark.parametrize("text", ["SELECT 1", "-- Title\nSELECT 1", "-- Title\n-- No question\nSELECT 1"])
def test_a_file_without_its_header_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="begin with two comments"):
        _parse("name", text)
