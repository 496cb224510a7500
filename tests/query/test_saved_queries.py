"""The saved queries: valid SQL of Athena that DuckDB runs after translation."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
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
def test_it_is_one_select_in_athenas_dialect(saved: SavedQuery) -> None:
    (statement,) = sqlglot.parse(saved.sql, read="athena", error_level=sqlglot.ErrorLevel.RAISE)
    assert isinstance(statement, exp.Select)


@each
def test_it_runs_over_a_lake(saved: SavedQuery, demo_lake: Path) -> None:
    assert query(connect(Lake(demo_lake)), for_duckdb(saved.sql))


@each
def test_it_has_a_title_and_a_question(saved: SavedQuery) -> None:
    assert saved.title
    assert saved.question.endswith("?")


@each
def test_for_athena_it_names_only_existing_databases(saved: SavedQuery) -> None:
    tables = sqlglot.parse_one(for_athena(saved.sql, "other"), read="athena").find_all(exp.Table)
    known = {"other_monitoring.events", *(f"other_{model.name}" for model in models_of("silver", "gold"))}
    named = {f"{table.db}.{table.name}" for table in tables if table.db}
    assert named
    assert named <= known


def test_the_same_name_gives_the_same_query() -> None:
    assert saved_query("near").name == "near"


def test_an_unknown_name_is_an_error_that_lists_the_names() -> None:
    with pytest.raises(UsageError, match=r"Unknown saved query 'nothing'\. Known: .*top_cities"):
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
def test_a_file_without_its_header_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="begin with two comments"):
        _parse("name", text)


@each
def test_the_pretty_translation_has_the_same_result(saved: SavedQuery, demo_lake: Path) -> None:
    with connect(Lake(demo_lake)) as connection:
        results = [query(connection, for_duckdb(saved.sql, pretty=pretty)) for pretty in (False, True)]
    assert results[0] == results[1]
    assert "\n" in for_duckdb(saved.sql, pretty=True)


@each
def test_it_has_a_total_order(saved: SavedQuery, demo_lake: Path) -> None:
    assert re.search(r"^ORDER BY .+(\nLIMIT \d+)?\Z", saved.sql.strip(), re.MULTILINE)
    with connect(Lake(demo_lake)) as connection:
        first, second = (query(connection, for_duckdb(saved.sql)) for _ in range(2))
    assert first == second


@each
def test_its_result_columns_have_distinct_lower_case_names(saved: SavedQuery, demo_lake: Path) -> None:
    names = query(connect(Lake(demo_lake)), for_duckdb(saved.sql), lambda result: result.columns)
    assert len(set(names)) == len(names) > 1
    assert all(name == name.lower() and name.isidentifier() for name in names)


def test_names_titles_and_questions_are_unique_and_names_are_sorted() -> None:
    queries = saved_queries()
    for field in ("name", "title", "question"):
        assert len({getattr(saved, field) for saved in queries}) == len(queries)
    assert [saved.name for saved in queries] == sorted(saved.name for saved in queries)


@pytest.mark.parametrize(
    ("name", "sql"),
    [
        ("breweries_by_type", "SELECT count(*) FROM silver.breweries"),
        ("breweries_by_country", "SELECT count(DISTINCT country_name) FROM silver.breweries"),
        ("rejected_breweries", "SELECT count(DISTINCT reasons) FROM silver.rejected_breweries"),
        ("latest_runs", "SELECT count(*) FROM monitoring.runs"),
        ("latest_checks", "SELECT least(count(*), 200) FROM monitoring.checks"),
    ],
)
def test_a_result_agrees_with_the_tables(name: str, sql: str, demo_lake: Path) -> None:
    with connect(Lake(demo_lake)) as connection:
        sql_of_name = for_duckdb(saved_query(name).sql)
        names, values = query(connection, sql_of_name, lambda result: (result.columns, result.fetchall()))
        rows = [dict(zip(names, row, strict=True)) for row in values]
        ((expected,),) = query(connection, sql)
    total = sum(row["breweries"] for row in rows) if name == "breweries_by_type" else len(rows)
    assert total == expected


def test_the_nearest_breweries_are_sorted_by_distance_and_open(demo_lake: Path) -> None:
    rows = query(connect(Lake(demo_lake)), for_duckdb(saved_query("near").sql))
    distances = [row[3] for row in rows]
    assert distances == sorted(distances)
    assert 0 <= distances[0] <= distances[-1] <= 20_038
    assert not {"closed", "planning"} & {row[1] for row in rows}


@pytest.mark.parametrize(
    ("athena", "value"),
    [
        ("json_extract_scalar('{\"a\": 5}', '$.a')", "5"),
        ("json_extract_scalar('{}', '$.a')", None),
        ("cardinality(split('a; b', '; '))", 2),
        ("max_by(x, y)", "last"),
        ("round(100.0 * 1 / 3, 1)", 33.3),
        ("approx_distinct(x)", 2),
        ("sum(y) FILTER (WHERE x = 'last')", 2),
    ],
)
def test_functions_of_athena_are_translated(athena: str, value: object) -> None:
    sql = for_duckdb(f"SELECT {athena} FROM (VALUES ('first', 1), ('last', 2)) AS t (x, y)")
    ((found,), *_) = duckdb.execute(sql).fetchall()
    assert (float(found) if isinstance(value, float) else found) == value
