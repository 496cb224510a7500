"""The real dataset: what is published equals what a few lines count in the CSV, version after version."""

from __future__ import annotations

import csv
from collections import Counter
from contextlib import closing
from functools import cache
from typing import Any

import pytest
from tests.mock_api.csv_records import read_csv
from tests.mock_api.server import MockApiServer
from tests.real_data import DATA, DATES

from brewhouse.backfill.backfill_job import run_backfill
from brewhouse.backfill.version_sources import list_versions
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake
from brewhouse.pipeline.compare import compare
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.query.connection import connect
from brewhouse.settings import load

GOLD = ("gold.breweries_by_type_and_location", "gold.breweries_by_location")


class ThreeVersions:
    """A lake with all versions of the dataset in it, one way or the other."""

    def __init__(self, lake: Lake, runs: list[str]) -> None:
        self.lake = lake
        self.runs = runs

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(connect(self.lake)) as connection:
            return connection.execute(sql).fetchall()

    def totals(self, column: str, at: str | None = None, table: str = GOLD[0]) -> dict[str | None, int]:
        sql = f"SELECT {column}, sum(brewery_count) FROM {table} GROUP BY 1"
        with closing(connect(self.lake, at)) as connection:
            return {name: int(number) for name, number in connection.execute(sql).fetchall()}


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> ThreeVersions:
    """Three runs against the API."""
    lake = Lake(tmp_path_factory.mktemp("taken") / "lake")
    runs = []
    for version in DATES:
        with MockApiServer(read_csv(DATA / f"breweries-{version}.csv")) as server:
            settings = load({"source_url": server.url, "concurrency": 8}, environ={})
            runs.append(run_workflow(lake, settings))
    return ThreeVersions(lake, runs)


def counted(version: str, column: str) -> dict[str | None, int]:
    with (DATA / f"breweries-{version}.csv").open(encoding="utf-8", newline="") as file:
        return dict(Counter(" ".join(row[column].split()) or None for row in csv.DictReader(file)))


def by_code(countries: dict[str | None, int]) -> dict[str | None, int]:
    """Add up the source's countries by ISO's codes, from what anybody knows of these 23."""
    known = {
        "Australia": "AU", "Austria": "AT", "Belgium": "BE", "Canada": "CA", "England": "GB", "Finland": "FI",
        "France": "FR", "Germany": "DE", "Ireland": "IE", "Isle of Man": "IM", "Italy": "IT", "Japan": "JP",
        "Netherlands": "NL", "New Zealand": "NZ", "Poland": "PL", "Portugal": "PT", "Scotland": "GB",
        "Singapore": "SG", "South Africa": "ZA", "South Korea": "KR", "Sweden": "SE", "Ukraine": "UA",
        "United States": "US",
    }  # fmt: skip
    totals: Counter[str | None] = Counter()
    for name, number in countries.items():
        totals[known[name or ""]] += number
    return dict(totals)


@pytest.mark.parametrize("column", ["country", "brewery_type", "state_province", "city"])
def test_totals_are_those_counted_from_the_csv(taken: ThreeVersions, column: str) -> None:
    assert dict(taken.rows(f"SELECT {column}, count(*) FROM silver.breweries GROUP BY 1")) == counted(
        "2026-08-02", column
    )


@pytest.mark.parametrize("table", GOLD)
def test_totals_by_country_code_are_those_counted_from_the_csv(taken: ThreeVersions, table: str) -> None:
    assert taken.totals("country_code", table=table) == by_code(counted("2026-08-02", "country"))


def test_totals_by_type_are_those_counted_from_the_csv(taken: ThreeVersions) -> None:
    assert taken.totals("brewery_type") == counted("2026-08-02", "brewery_type")


def test_flanders_is_counted_under_one_name(taken: ThreeVersions) -> None:
    states = counted("2026-08-02", "state_province")
    names = [name for name in states if name in ("Vlaanderen", "Flanders", "Région flamande", "Vlaams Gewest")]
    assert len(names) > 1
    assert taken.totals("state_code")["BE-VLG"] == sum(states[name] for name in names)


def test_operating_planned_and_closed_add_up_to_all_breweries(taken: ThreeVersions) -> None:
    types = counted("2026-08-02", "brewery_type")
    sql = f"SELECT sum(operating_count), sum(planned_count), sum(closed_count) FROM {GOLD[1]}"
    operating, planned, closed = taken.rows(sql)[0]
    assert (planned, closed) == (types["planning"], types["closed"])
    assert operating == sum(types.values()) - planned - closed


def test_every_id_of_the_csv_is_published_once(taken: ThreeVersions) -> None:
    with (DATA / "breweries-2026-08-02.csv").open(encoding="utf-8", newline="") as file:
        ids = sorted(row["id"] for row in csv.DictReader(file))
    assert [row[0] for row in taken.rows("SELECT id FROM silver.breweries ORDER BY id")] == ids


@pytest.mark.parametrize("version", DATES)
def test_each_version_can_be_read_as_of_its_run(taken: ThreeVersions, version: str) -> None:
    run = taken.runs[DATES.index(version)]
    assert taken.totals("brewery_type", at=run) == counted(version, "brewery_type")
    assert taken.totals("country_code", at=run) == by_code(counted(version, "country"))


@pytest.mark.parametrize("table", ["silver.breweries", *GOLD])
def test_history_has_every_version_and_the_last_is_current(taken: ThreeVersions, table: str) -> None:
    history = Tables(taken.lake).history(table)
    assert [snapshot.properties["brewhouse.run"] for snapshot in history] == taken.runs
    assert [snapshot.current for snapshot in history] == [False, False, True]


CHANGES = "silver.brewery_changes"


@cache
def tidied(version: str) -> dict[str, tuple[str | float | None, ...]]:
    """Every row of a CSV by its id, in one order of the columns, cleaned with a line of Python."""
    with (DATA / f"breweries-{version}.csv").open(encoding="utf-8", newline="") as file:
        return {
            row["id"]: tuple(
                (float(value) if name in ("longitude", "latitude") else " ".join(value.split())) if value else None
                for name, value in sorted(row.items())
            )
            for row in csv.DictReader(file)
        }


def differences(earlier: str, later: str) -> dict[str, int]:
    """Count the ids that are new, gone or different from one CSV to another."""
    before, after = tidied(earlier), tidied(later)
    return {
        "added": len(after.keys() - before.keys()),
        "removed": len(before.keys() - after.keys()),
        "changed": sum(before[key] != after[key] for key in before.keys() & after.keys()),
    }


def moves_to_and_from_closed(earlier: str, later: str) -> tuple[int, int]:
    types = []
    for version in (earlier, later):
        with (DATA / f"breweries-{version}.csv").open(encoding="utf-8", newline="") as file:
            types.append({row["id"]: row["brewery_type"] for row in csv.DictReader(file)})
    before, after = types
    both = [(before[key] == "closed", after[key] == "closed") for key in before.keys() & after.keys()]
    return both.count((False, True)), both.count((True, False))


@pytest.fixture(scope="module")
def backfilled(tmp_path_factory: pytest.TempPathFactory) -> ThreeVersions:
    """One backfill from the files."""
    lake = Lake(tmp_path_factory.mktemp("backfilled") / "lake")
    files = [DATA / f"breweries-{version}.csv" for version in DATES]
    _, done = run_backfill(lake, load({}, environ={}), list_versions(files))
    return ThreeVersions(lake, [str(version.snapshot) for version in done.versions])


@pytest.fixture(params=["taken", "backfilled"])
def three(request: pytest.FixtureRequest) -> ThreeVersions:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, ThreeVersions)
    return found


def test_added_removed_and_changed_ids_equal_an_independent_count(three: ThreeVersions) -> None:
    for earlier, later, snapshot in zip(DATES, DATES[1:], three.runs[1:], strict=False):
        kinds = dict(three.rows(f"SELECT kind, count(*) FROM {CHANGES} WHERE snapshot_run = '{snapshot}' GROUP BY 1"))
        closed, reopened = moves_to_and_from_closed(earlier, later)
        assert (kinds.pop("closed", 0), kinds.pop("reopened", 0)) == (closed, reopened)
        kinds["changed"] = kinds.get("changed", 0) + closed + reopened
        assert {"added": 0, "removed": 0, **kinds} == differences(earlier, later)
    first = three.rows(f"SELECT kind, count(*) FROM {CHANGES} WHERE snapshot_run = '{three.runs[0]}' GROUP BY 1")
    assert first == [("added", len(tidied(DATES[0])))]


def test_a_comparison_equals_an_independent_count(backfilled: ThreeVersions) -> None:
    found = compare(backfilled.lake, load({}, environ={}), DATES[0], DATES[-1])
    names = {"closed": "changed", "reopened": "changed"}
    kinds = Counter(names.get(str(row["kind"]), str(row["kind"])) for row in found)
    assert kinds == differences(DATES[0], DATES[-1])


def test_counts_over_time_are_those_of_the_files(backfilled: ThreeVersions) -> None:
    over_time = "SELECT {}, sum(brewery_count) FROM gold.brewery_counts_over_time WHERE snapshot_date = '{}' GROUP BY 1"
    for version in DATES:
        by_type = {name: int(number) for name, number in backfilled.rows(over_time.format("brewery_type", version))}
        assert by_type == counted(version, "brewery_type")
        by_country = {name: int(number) for name, number in backfilled.rows(over_time.format("country_code", version))}
        assert by_country == by_code(counted(version, "country"))
    assert backfilled.rows("SELECT count(DISTINCT snapshot_date) FROM gold.brewery_counts_over_time") == [(3,)]


def test_the_last_run_of_a_day_counts_over_time(taken: ThreeVersions) -> None:
    rows = taken.rows("SELECT DISTINCT snapshot_run FROM gold.brewery_counts_over_time ORDER BY snapshot_date DESC")
    assert rows[0] == (taken.runs[-1],)


def test_backfill_and_runs_publish_the_same_breweries(taken: ThreeVersions, backfilled: ThreeVersions) -> None:
    sql = "SELECT COLUMNS(lambda c: NOT starts_with(c, 'snapshot_')) FROM silver.breweries ORDER BY id"
    assert taken.rows(sql) == backfilled.rows(sql)
