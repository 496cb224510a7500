"""Every command works on a lake on S3 as on a local one."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.cli.main import main
from brewhouse.errors import install_command
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake
from brewhouse.lake.raw_snapshots import complete_runs
from brewhouse.mock_api.dataset import generate

Call = Any
READING = (
    ("query", "SELECT * EXCLUDE (snapshot_run, snapshot_time) FROM silver.breweries ORDER BY ALL", "--json"),
    ("query", "SELECT count(*), min(record) FROM bronze.breweries", "--format", "csv"),
    ("query", "SELECT sum(brewery_count) FROM gold.breweries_by_location", "--at", "2100-01-01", "--json"),
    ("describe", "silver.breweries", "--json"),
    ("rejected", "--json"),
    ("places", "--json"),
    ("diff", "last", "last", "--json"),
)


@pytest.fixture(scope="module")
def lakes(bucket: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The same run on a local lake and on one on S3."""
    local, shared = tmp_path_factory.mktemp("s3") / "lake", f"{bucket}/lake"
    with MockApiServer(generate(200, unusable=3)) as source, pytest.MonkeyPatch.context() as patch:
        for lake in (local, shared):
            patch.setattr(sys, "argv", ["brewhouse", "run", "--lake", str(lake), "--source-url", source.url])
            with pytest.raises(SystemExit) as left:
                main()
            assert not left.value.code
        yield local, shared


@pytest.mark.parametrize("command", READING, ids=lambda command: " ".join(command)[:40])
def test_reading_commands_print_the_same_as_locally(
    call: Call, lakes: tuple[Path, str], command: tuple[str, ...]
) -> None:
    local, shared = (call(*command, "--lake", lake) for lake in lakes)
    assert shared.code == 0, shared.err
    assert shared.out == local.out


def test_runs_tables_and_changes_are_listed(call: Call, lakes: tuple[Path, str]) -> None:
    _, lake = lakes
    assert [run["state"] for run in json.loads(call("runs", "--lake", lake, "--json").out)] == ["SUCCEEDED"]
    assert json.loads(call("show", "last", "--lake", lake, "--json").out)["state"] == "SUCCEEDED"
    assert {table["table"] for table in json.loads(call("tables", "--lake", lake, "--json").out)} >= {
        "gold.breweries_by_location",
        "silver.breweries",
    }
    kinds = {change["kind"] for change in json.loads(call("changes", "--lake", lake, "--json").out)}
    assert kinds == {"added"}


def test_tables_are_rebuilt_rolled_back_and_maintained(call: Call, lakes: tuple[Path, str], tmp_path: Path) -> None:
    _, lake = lakes
    for command in ("rebuild", "transform", "aggregate"):
        done = call(command, "--lake", lake)
        assert done.code == 0, done.err
    history = json.loads(call("history", "silver.breweries", "--lake", lake, "--json").out)
    assert [snapshot["current"] for snapshot in history] == [False, True]
    assert call("rollback", "silver.breweries", history[0]["snapshot"], "--lake", lake).code == 0
    now = json.loads(call("history", "silver.breweries", "--lake", lake, "--json").out)
    assert [snapshot["current"] for snapshot in now] == [True, False]
    would, did = (
        json.loads(call("maintain", "--lake", lake, "--json", "--keep-last", "1", "--keep-days", "0", *dry).out)
        for dry in (["--dry-run"], [])
    )
    assert would["total"]["snapshots_expired"] == did["total"]["snapshots_expired"] > 0
    assert would["total"]["files_waiting"] == did["total"]["files_waiting"] > 0

    records = [{name: value or "" for name, value in record.items()} for record in generate(150)]
    file = tmp_path / "breweries-2025-10-03.csv"
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, records[0].keys())
        writer.writeheader()
        writer.writerows(records)
    filled = call("backfill", file, "--lake", lake)
    assert filled.code == 0, filled.err
    assert len(complete_runs(Lake.at(lake))) == 2


def test_a_table_is_dropped_from_the_catalog_and_the_bucket(
    call: Call, lakes: tuple[Path, str], tmp_path: Path
) -> None:
    _, lake = lakes
    (tmp_path / "mine.sql").write_text("-- One row.\n-- key: n\nSELECT count(*) AS n FROM silver.breweries\n")
    assert call("aggregate", "--lake", lake, "--models", tmp_path).code == 0
    place = Lake.at(lake)
    assert any(place.store.list("warehouse/gold/mine/"))
    assert call("drop", "gold.mine", "--lake", lake, "--yes").out == "Deleted gold.mine.\n"
    assert not any(place.store.list("warehouse/gold/mine/"))
    assert "gold.mine" not in Tables(place).names()
    assert "does not exist" in call("query", "FROM gold.mine", "--lake", lake).err
    assert call("drop", "gold.mine", "--lake", lake, "--yes").code == 2
    assert call("verify", "--lake", lake).code == 0


@pytest.mark.parametrize("command", ["transform", "aggregate", "rebuild"])
def test_a_job_that_finds_nothing_creates_no_lake_on_s3(call: Call, bucket: str, command: str) -> None:
    done = call(command, "--lake", f"{bucket}/none")
    assert (done.code, "Run `brewhouse extract` first." in done.err) == (1, True)
    assert not any(Lake.at(f"{bucket}/none").store.list())


def test_the_demo_runs_on_s3(call: Call, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREWHOUSE_CATALOG_DATABASE_PREFIX", "demo")
    done = call("demo", "--rows", "50", "--lake", f"{bucket}/demo")
    assert done.code == 0, done.err
    assert f"--lake {bucket}/demo" in done.out


@pytest.mark.parametrize("library", ["boto3", "fsspec"])
@pytest.mark.parametrize(
    "command",
    [
        *(
            "run",
            "extract",
            "transform",
            "aggregate",
            "rebuild",
            "tables",
            "rejected",
            "changes",
            "places",
            "runs",
            "show",
        ),
        *("logs", "events", "schedule", "models", "verify", "maintain", "relocate", "doctor", "report", "mcp"),
        *(
            "query -",
            "describe gold.x",
            "history gold.x",
            "diff last last",
            "alerts check",
            "drop gold.x",
            "rollback x",
            *("demo", "serve", "schedule on", "schedule off", "alerts test", "backfill x.csv", "query x --at last"),
        ),
    ],
)
def test_every_command_says_what_a_lake_on_s3_needs(
    call: Call, monkeypatch: pytest.MonkeyPatch, command: str, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setattr(sys, "stdin", io.StringIO("SELECT 1"))
    done = call(*command.split(), "--lake", "s3://bucket/lake")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"brewhouse: A lake on S3 needs {library}, which is not installed. Run `{install_command('aws')}`.\n"
    )
