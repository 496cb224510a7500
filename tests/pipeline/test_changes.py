"""The log of changes from run to run: once per snapshot, whatever is repeated, republished or missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.lake_template import LakeTemplate
from tests.mock_api.server import MockApiServer

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake
from brewhouse.lake.raw_snapshots import complete_runs
from brewhouse.mock_api.dataset import generate
from brewhouse.models.project import models_of
from brewhouse.pipeline import transform as transforming
from brewhouse.pipeline.compare import compare
from brewhouse.pipeline.maintenance import run_maintenance
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.query.connection import connect
from brewhouse.settings import load

pytestmark = pytest.mark.xdist_group("changes")  # one lake to restore
RECORDS = list(generate(60))
IDS = sorted(str(record["id"]) for record in RECORDS)
COMPARED = (
    "name", "brewery_type", "address_1", "address_2", "address_3", "city", "state_province", "postal_code", "country",
    "longitude", "latitude", "phone", "website_url",
)  # fmt: skip
JOBS = ("extract", "transform", "aggregate")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def source() -> Iterator[MockApiServer]:
    with MockApiServer(RECORDS) as server:
        yield server


def run(lake: Lake, source: MockApiServer | None, jobs: tuple[str, ...] = JOBS, snapshot: str | None = None) -> str:
    url = source.url if source else "http://127.0.0.1:1/v1"
    return run_workflow(lake, load({"source_url": url}, environ={}), jobs, snapshot)


def republish(lake: Lake, snapshot: str) -> None:
    run(lake, None, JOBS[1:], snapshot)


def rows(lake: Lake, sql: str) -> list[tuple[Any, ...]]:
    with closing(connect(lake)) as connection:
        return connection.execute(sql).fetchall()


def content(lake: Lake) -> dict[str, list[tuple[Any, ...]]]:
    with closing(connect(lake)) as connection:
        return {
            name: connection.execute(f"SELECT * FROM {name} ORDER BY ALL").fetchall() for name in Tables(lake).names()
        }


def log(lake: Lake, snapshot: str) -> dict[str, str]:
    """The changes of each brewery in a snapshot."""
    return dict(rows(lake, f"SELECT id, kind FROM silver.brewery_changes WHERE snapshot_run = '{snapshot}'"))


def replayed(lake: Lake) -> list[tuple[Any, ...]]:
    """The breweries that the log leads to: each one's last row, unless it says removed."""
    columns = ", ".join(("id", *COMPARED))
    return rows(
        lake,
        f"SELECT {columns} FROM silver.brewery_changes "
        "QUALIFY row_number() OVER (PARTITION BY id ORDER BY snapshot_run DESC) = 1 AND kind <> 'removed' ORDER BY ALL",
    )


def shown(lake: Lake) -> list[tuple[Any, ...]]:
    return rows(lake, f"SELECT {', '.join(('id', *COMPARED))} FROM silver.breweries ORDER BY ALL")


def edited(source: MockApiServer) -> dict[str, str]:
    """Let something of each kind happen to the source, and say what the log must tell."""
    source.change(IDS[0], name="A New Name")
    source.remove([IDS[1]])
    source.change(IDS[2], brewery_type="closed")
    extra = {**RECORDS[0], "id": "ffffffff-0000-4000-8000-000000000000", "name": "Brand New"}
    source.add([extra])
    return {IDS[0]: "changed", IDS[1]: "removed", IDS[2]: "closed", str(extra["id"]): "added"}


def three_runs(lake: Lake, source: MockApiServer) -> list[str]:
    source.change(IDS[2], brewery_type="micro")
    runs = [run(lake, source)]
    edited(source)
    runs.append(run(lake, source))
    edit_again(source)
    return [*runs, run(lake, source)]


def edit_again(source: MockApiServer) -> None:
    source.change(IDS[0], city="Elsewhere")
    source.add([next(record for record in RECORDS if record["id"] == IDS[1])])


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[LakeTemplate, list[str]]:
    """A lake with three snapshots, and their runs."""
    template = LakeTemplate(tmp_path_factory.mktemp("changes"))
    with MockApiServer(RECORDS) as source:
        runs = three_runs(template.lake, source)
    template.keep()
    return template, runs


@pytest.fixture
def full(template: tuple[LakeTemplate, list[str]]) -> tuple[Lake, list[str]]:
    """A lake with three snapshots, and their runs."""
    return template[0].restore(), template[1]


@pytest.fixture
def edited_source(source: MockApiServer) -> MockApiServer:
    """The source as it is after the three runs."""
    edited(source)
    edit_again(source)
    return source


def test_each_run_logs_the_changes_of_its_snapshot(lake: Lake, source: MockApiServer) -> None:
    source.change(IDS[2], brewery_type="micro")
    first = run(lake, source)
    assert log(lake, first) == dict.fromkeys(IDS, "added")
    expected = edited(source)
    second = run(lake, source)
    assert log(lake, second) == expected
    third = run(lake, source)
    assert log(lake, third) == {}
    source.change(IDS[2], brewery_type="micro")
    fourth = run(lake, source)
    assert log(lake, fourth) == {IDS[2]: "reopened"}
    pairs = rows(lake, "SELECT DISTINCT previous_run, snapshot_run FROM silver.brewery_changes ORDER BY 2")
    assert pairs == [(None, first), (first, second), (third, fourth)]
    assert replayed(lake) == shown(lake)


def test_a_brewery_that_returns_keeps_its_history(full: tuple[Lake, list[str]]) -> None:
    lake, history = full
    kinds = rows(lake, f"SELECT kind FROM silver.brewery_changes WHERE id = '{IDS[1]}' ORDER BY snapshot_run")
    assert kinds == [("added",), ("removed",), ("added",)]
    assert rows(lake, f"SELECT count(*) FROM silver.breweries WHERE id = '{IDS[1]}'") == [(1,)]
    assert len(history) == 3


def test_any_edit_is_a_change_and_not_a_removal(lake: Lake, source: MockApiServer) -> None:
    for field, key in zip(COMPARED, IDS, strict=False):
        source.change(key, longitude=-1.0, latitude=54.0, **({} if field.endswith("itude") else {field: "before"}))
    run(lake, source)
    for field, key in zip(COMPARED, IDS, strict=False):
        source.change(key, **{field: 1.25 if field.endswith("itude") else "after"})
    second = run(lake, source)
    assert [row[0] for row in rows(lake, "SELECT id FROM silver.breweries ORDER BY id")] == IDS
    sql = f"SELECT id, changed_fields FROM silver.brewery_changes WHERE snapshot_run = '{second}' ORDER BY id"
    assert rows(lake, sql) == list(zip(IDS, COMPARED, strict=False))


def test_a_repeated_job_appends_nothing(full: tuple[Lake, list[str]]) -> None:
    lake, history = full
    before = content(lake)
    run(lake, None, JOBS[1:])
    run(lake, None, JOBS[1:])
    assert content(lake) == before
    assert replayed(lake) == shown(lake)
    assert complete_runs(lake) == history


def test_a_change_of_the_models_is_not_a_change_of_a_brewery(
    lake: Lake, source: MockApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(lake, source)

    def others(*zones: str, folder: Path | None = None) -> list[Any]:
        """The same models, but breweries have their names in capitals."""
        return [
            replace(model, sql=model.sql.replace("record.name,", "upper(record.name) AS name,", 1), version="other")
            if model.name == "silver.breweries"
            else model
            for model in models_of(*zones, folder=folder)
        ]

    monkeypatch.setattr(transforming, "models_of", others)
    second = run(lake, source)
    assert log(lake, second) == {}
    assert rows(lake, "SELECT count(*) FROM silver.breweries WHERE name <> upper(name)") == [(0,)]
    assert set(log(lake, first).values()) == {"added"}


def test_an_older_snapshot_can_be_republished_and_then_the_newest(full: tuple[Lake, list[str]]) -> None:
    lake, history = full
    before = content(lake)
    republish(lake, history[0])
    assert rows(lake, "SELECT DISTINCT snapshot_run FROM silver.breweries") == [(history[0],)]
    changes = "silver.brewery_changes"
    assert rows(lake, f"SELECT * FROM {changes} ORDER BY ALL") == before[changes]
    for snapshot in (history[1], history[2]):
        republish(lake, snapshot)
    assert content(lake) == before


def test_a_late_snapshot_leaves_the_change_log_complete(lake: Lake, source: MockApiServer) -> None:
    source.change(IDS[2], brewery_type="micro")
    run(lake, source)
    edited(source)
    late = run(lake, source, ("extract",))
    source.change(IDS[0], name=str(RECORDS[0]["name"]), city="Elsewhere")
    source.change(IDS[2], brewery_type="micro")
    newest = run(lake, source)
    before = replayed(lake)
    republish(lake, late)
    assert log(lake, late) == {}
    republish(lake, newest)
    assert replayed(lake) == shown(lake) == before


def test_a_day_with_several_snapshots_counts_once_over_time(full: tuple[Lake, list[str]]) -> None:
    lake, history = full
    day, runs, total = rows(
        lake,
        "SELECT min(snapshot_date), list(DISTINCT snapshot_run), sum(brewery_count) "
        "FROM gold.brewery_counts_over_time GROUP BY snapshot_date",
    )[-1]
    assert (runs, total) == ([history[-1]], len(shown(lake)))
    assert rows(lake, "SELECT DISTINCT CAST(snapshot_time AS DATE) FROM silver.breweries") == [(day,)]


def test_dates_are_in_utc_in_every_time_zone(lake: Lake, tmp_path: Path) -> None:
    file = tmp_path / "breweries-2026-08-02.csv"
    file.write_text("id,name,brewery_type,address_1,address_2,address_3,city,state_province,postal_code,country,phone,"
                    f"website_url,longitude,latitude\n{IDS[0]},Ales,micro,1 Main St,,,York,,,,,,,\n")  # fmt: skip
    west = {**os.environ, "TZ": "America/New_York"}

    def brewhouse(*arguments: str) -> str:
        command = [sys.executable, "-m", "brewhouse", *arguments, "--lake", str(lake.root), "--json"]
        return subprocess.run(command, env=west, check=True, capture_output=True, text=True).stdout

    brewhouse("backfill", str(file))
    sql = "SELECT snapshot_date, snapshot_run FROM gold.brewery_counts_over_time"
    assert [row["snapshot_date"] for row in json.loads(brewhouse("query", sql))] == ["2026-08-02"]
    assert len(json.loads(brewhouse("changes", "--since", "2026-08-02"))) == 1
    (change,) = json.loads(brewhouse("changes"))
    assert change["snapshot_time"].startswith("2026-08-02T00:00:00")


def forget_older_table_snapshots(lake: Lake) -> None:
    run_maintenance(lake, load({"snapshot_retention_days": 0, "min_snapshots_to_keep": 1}, environ={}))


def test_a_lake_with_expired_table_snapshots_continues(
    full: tuple[Lake, list[str]], edited_source: MockApiServer
) -> None:
    lake, history = full
    forget_older_table_snapshots(lake)
    assert len(Tables(lake).history("silver.breweries")) == 1
    republish(lake, history[1])
    republish(lake, history[2])
    edited_source.remove([IDS[5]])
    assert log(lake, run(lake, edited_source)) == {IDS[5]: "removed"}
    assert replayed(lake) == shown(lake)


def raw_folder(lake: Lake, snapshot: str) -> Path:
    (folder,) = lake.bronze.glob(f"date=*/run={snapshot}")
    return folder


def test_the_published_table_replaces_a_lost_raw_snapshot(
    full: tuple[Lake, list[str]], edited_source: MockApiServer
) -> None:
    lake, history = full
    shutil.rmtree(raw_folder(lake, history[-1]))
    edited_source.remove([IDS[5]])
    assert log(lake, run(lake, edited_source)) == {IDS[5]: "removed"}


def test_without_the_raw_snapshot_and_its_table_nothing_is_published(full: tuple[Lake, list[str]]) -> None:
    lake, history = full
    republish(lake, history[0])
    forget_older_table_snapshots(lake)
    shutil.rmtree(raw_folder(lake, history[1]))
    before = content(lake)
    with pytest.raises(BrewhouseError, match=f"the raw snapshot {history[1]} and the table made of it no longer exist"):
        republish(lake, history[2])
    assert content(lake) == before


def test_a_reversed_comparison_is_the_inverse(full: tuple[Lake, list[str]]) -> None:
    lake, history = full
    settings = load({}, environ={})
    there, back = compare(lake, settings, history[0], "last"), compare(lake, settings, "last", history[0])
    assert [row["id"] for row in there] == [row["id"] for row in back]
    opposite = {
        "added": "removed",
        "removed": "added",
        "changed": "changed",
        "closed": "reopened",
        "reopened": "closed",
    }
    for one, other in zip(there, back, strict=True):
        assert other["kind"] == opposite[one["kind"]]
        assert other["changed_fields"] == one["changed_fields"]
        if one["changed_fields"]:
            assert [other[name] for name in COMPARED] == [one[f"{name}_before"] for name in COMPARED]
            assert [other[f"{name}_before"] for name in COMPARED] == [one[name] for name in COMPARED]
    assert {row["kind"] for row in there} == {"added", "changed", "closed"}


def test_a_comparison_of_adjacent_snapshots_equals_the_change_log(full: tuple[Lake, list[str]]) -> None:
    lake, history = full
    found = compare(lake, load({}, environ={}), history[0], history[1])
    columns = ", ".join(found[0])
    logged = rows(lake, f"SELECT {columns} FROM silver.brewery_changes WHERE snapshot_run = '{history[1]}' ORDER BY id")
    assert [tuple(row.values()) for row in found] == logged


def test_a_snapshot_is_named_by_run_date_or_last(full: tuple[Lake, list[str]]) -> None:
    lake, history = full
    settings = load({}, environ={})
    date = raw_folder(lake, history[2]).parent.name.removeprefix("date=")
    for name in (history[2], date, "last"):
        assert compare(lake, settings, name, history[2]) == []
    with pytest.raises(UsageError, match="has no raw snapshot 1999-01-01; it has"):
        compare(lake, settings, "1999-01-01", "last")


def test_a_comparison_publishes_nothing(full: tuple[Lake, list[str]]) -> None:
    lake, history = full
    before = {name: Tables(lake).history(name) for name in Tables(lake).names()}
    compare(lake, load({}, environ={}), history[0], history[2])
    assert {name: Tables(lake).history(name) for name in Tables(lake).names()} == before
