"""The user's own models in the workflow: published and checked like the built-in ones, refused before anything."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.errors import ChecksFailed
from brewhouse.events.event import read_events
from brewhouse.events.run_reports import run_reports
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate
from brewhouse.models.problems import ModelError
from brewhouse.pipeline.dry_run import dry_run
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.query.connection import connect
from brewhouse.settings import load

OPEN = """-- One row per brewery that is open.
-- key: id
-- partition: has_coordinates
-- column has_coordinates: Whether both coordinates are known
SELECT id, city_name AS city, country_name AS country, longitude IS NOT NULL AS has_coordinates
FROM silver.breweries
WHERE brewery_type NOT IN ('closed', 'planning')
"""
CITIES = """-- One row per city with an open brewery.
-- key: country, city
-- row count: at least 1
-- no row: it has no more open breweries than all: SELECT c.city FROM gold.cities AS c JOIN
--   (SELECT country_name AS country, city_name AS city, sum(brewery_count) AS n
--    FROM gold.breweries_by_location GROUP BY 1, 2) AS l
--     ON l.country = c.country AND l.city = c.city
--   WHERE c.open_count > l.n
-- column open_count: Number of open breweries
SELECT country, city, count(*) AS Open_Count, sum(CAST(has_coordinates AS INT)) AS with_coordinates_count,
  max(country) < 'N' AS is_early, avg(1.5) AS mean, DATE '2026-01-01' AS day
FROM silver.open_breweries GROUP BY country, city
"""


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    (folder / "silver").mkdir(parents=True)
    (folder / "silver" / "open_breweries.sql").write_text(OPEN)
    (folder / "cities.sql").write_text(CITIES)
    return folder


def run(lake: Lake, url: str, models: Path, *jobs: str) -> None:
    settings = load({"source_url": url, "models": models, "max_attempts": 1}, environ={})
    run_workflow(lake, settings, jobs or ("extract", "transform", "aggregate"))


def test_user_defined_tables_are_published_and_rebuilt_when_a_model_changes(lake: Lake, models: Path) -> None:
    with MockApiServer(generate(300)) as source:
        run(lake, source.url, models)
        spec = Tables(lake).describe("gold.cities")
        assert {c.name: c.type for c in spec.columns} == {
            "country": "string",
            "city": "string",
            "open_count": "long",
            "with_coordinates_count": "long",
            "is_early": "boolean",
            "mean": "double",
            "day": "date",
        }
        assert Tables(lake).describe("silver.open_breweries").partition == ("has_coordinates",)
        with closing(connect(lake)) as connection:
            sql = "SELECT sum(open_count), (SELECT count(*) FROM silver.open_breweries) FROM gold.cities"
            total, count = connection.execute(sql).fetchone() or (0, 1)
        assert total == count > 200
        names = ("gold.cities", "gold.breweries_by_location", "silver.breweries")
        before = [len(Tables(lake).history(name)) for name in names]
        run(lake, source.url, models, "transform", "aggregate")
        assert [len(Tables(lake).history(name)) for name in names] == before
        (models / "silver" / "open_breweries.sql").write_text(OPEN + "AND id > '8'\n")
        run(lake, source.url, models, "transform", "aggregate")
    assert len(Tables(lake).history("gold.cities")) == before[0] + 1


def test_gold_is_rebuilt_after_silver(lake: Lake, models: Path) -> None:
    with MockApiServer(generate(300)) as source:
        run(lake, source.url, models)
        (models / "silver" / "open_breweries.sql").write_text(OPEN + "AND id > '8'\n")
        run(lake, source.url, models, "aggregate")
        run(lake, source.url, models, "transform", "aggregate")
    with closing(connect(lake)) as connection:
        sql = "SELECT sum(open_count), (SELECT count(*) FROM silver.open_breweries) FROM gold.cities"
        total, count = connection.execute(sql).fetchone() or (0, 1)
    assert total == count


def test_a_failing_check_publishes_nothing_and_a_warning_is_recorded(lake: Lake, models: Path) -> None:
    (models / "cities.sql").write_text(CITIES.replace("-- row count: at least 1", "-- warn row count: at most 1"))
    (models / "bad.sql").write_text("-- A row.\n-- no row: there is none: SELECT * FROM gold.bad\nSELECT 1 AS page")
    with (
        MockApiServer(generate(200)) as source,
        pytest.raises(ChecksFailed, match=r"gold\.bad: there is none \(1 violations"),
    ):
        run(lake, source.url, models)
    assert [name for name in Tables(lake).names() if name.startswith("gold.")] == []
    found = [check for check in run_reports(read_events(lake))[-1].checks if not check["passed"]]
    assert {(check["table"], check["severity"]) for check in found} == {
        ("gold.cities", "warning"),
        ("gold.bad", "error"),
    }


def test_an_invalid_model_fails_the_run_before_its_first_request(lake: Lake, models: Path) -> None:
    (models / "bad.sql").write_text("SELECT nam FROM silver.breweries")
    with pytest.raises(ModelError, match=r"bad\.sql:1:8: unknown column nam"):
        run(lake, "http://127.0.0.1:1/v1", models)
    assert not lake.root.exists()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("SELECT no_such(id) AS a\nFROM silver.breweries", r"x\.sql:1:1: the engine cannot run it: .* no_such"),
        ("-- no row: x: SELECT nope(id) FROM gold.x\nSELECT id FROM silver.breweries", r"x\.sql:1: the engine cannot"),
        ("SELECT id,\n  split(name, ' ') AS words FROM silver.breweries", r"x\.sql:2:3: column words .* VARCHAR\[\]"),
        ("-- partition: l\nSELECT longitude AS l FROM silver.breweries", r"x\.sql:2:8: column l is a double"),
    ],
)
def test_an_engine_error_is_reported_with_its_place(models: Path, text: str, problem: str) -> None:
    (models / "x.sql").write_text(text)
    with pytest.raises(ModelError, match=problem):
        dry_run(load({"models": models}, environ={}))


def test_every_type_of_a_table_is_inferred_by_the_engine(models: Path) -> None:
    (models / "x.sql").write_text(
        "SELECT CAST(1 AS TINYINT) AS a, CAST(1 AS INT) AS b, CAST(1 AS BIGINT) AS c, sum(page) AS d, 1.5 AS e, "
        "CAST(1 AS FLOAT) AS f, 'x' AS g, true AS h, DATE '2026-01-01' AS i, max(snapshot_time) AS j "
        "FROM silver.rejected_breweries"
    )
    types = [column.type for column in dry_run(load({"models": models}, environ={}))["gold.x"].columns]
    assert types == ["int", "int", "long", "long", "double", "double", "string", "boolean", "date", "timestamptz"]
