"""`brewhouse backfill`: the outcome of each version, and its run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import run_lock

Call = Callable[..., Any]
HEADER = (
    "id,name,brewery_type,address_1,address_2,address_3,city,state_province,postal_code,country,phone,website_url,"
    "longitude,latitude\n"
)
KEY = "00000001-0000-4000-8000-000000000000"


@pytest.fixture
def versions(tmp_path: Path) -> list[Path]:
    """Versions with a slug, a missing id and a UUID."""
    content = {"2022-01-01": "ales-york", "2023-01-01": "", "2024-01-01": KEY}
    for date, key in content.items():
        (tmp_path / f"breweries-{date}.csv").write_text(f"{HEADER}{key},Ales,micro,1 Main St,,,York,,,,,,,\n")
    return sorted(tmp_path.glob("*.csv"))


def test_the_outcome_of_each_version_is_printed(call: Call, versions: list[Path], tmp_path: Path) -> None:
    done = call("backfill", *versions, "--lake", tmp_path / "lake")
    assert done.code == 0
    lines = [line.split() for line in done.out.splitlines() if "breweries-" in line]
    assert lines == [
        ["2022-01-01T00:00:00Z", "breweries-2022-01-01.csv", "1", "1", "of", "1", "new"],
        "2023-01-01T00:00:00Z breweries-2023-01-01.csv held back: 1 of its 1 records have no id".split(),  # noqa: SIM905
        ["2024-01-01T00:00:00Z", "breweries-2024-01-01.csv", "1", "new"],
    ]
    assert "3 versions: 2 new, 0 already present, 1 held back" in done.out
    assert "3 of 3 snapshots" in done.err


def test_the_tables_include_the_history(call: Call, versions: list[Path], tmp_path: Path) -> None:
    lake = ("--lake", tmp_path / "lake", "--json")
    call("backfill", *versions, *lake)
    sql = "SELECT snapshot_date, sum(brewery_count) AS n FROM gold.brewery_counts_over_time GROUP BY 1 ORDER BY 1"
    assert json.loads(call("query", sql, *lake).out) == [
        {"snapshot_date": "2022-01-01", "n": 1},
        {"snapshot_date": "2024-01-01", "n": 1},
    ]


def test_a_backfill_is_a_run(call: Call, versions: list[Path], tmp_path: Path) -> None:
    result = json.loads(call("backfill", *versions, "--lake", tmp_path / "lake", "--json").out)
    report = json.loads(call("show", result["run"], "--lake", tmp_path / "lake", "--json").out)
    assert [version["outcome"] for version in result["versions"]] == ["new", "held back", "new"]
    assert result["versions"][1]["reason"] == "1 of its 1 records have no id"
    assert [(job["name"], job["state"]) for job in report["jobs"]] == [
        ("backfill", "SUCCEEDED"),
        ("rebuild", "SUCCEEDED"),
    ]
    assert report["jobs"][0]["counts"] == {"versions": 3, "new": 2, "there_already": 0, "held_back": 1}
    assert report["checks"][0]["found"] == 1
    assert "breweries-2023-01-01.csv: 1 of its 1 records have no id" in report["checks"][0]["example"]
    assert "missing_field" in {drift["name"] for drift in report["drift"]}


def test_a_second_run_changes_nothing(call: Call, versions: list[Path], tmp_path: Path) -> None:
    call("backfill", *versions, "--lake", tmp_path / "lake")
    history = call("history", "silver.breweries", "--lake", tmp_path / "lake").out
    done = call("backfill", *versions, "--lake", tmp_path / "lake")
    assert "0 new, 2 already present, 1 held back" in done.out
    assert "nothing to do" in done.err
    assert call("history", "silver.breweries", "--lake", tmp_path / "lake").out == history


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("breweries.csv",), 2, "--date"),
        (("nothing-2024-01-01.csv",), 2, "does not exist"),
        ((".",), 2, "not a git repository"),
        (("breweries.csv", "--date", "2024-02-30"), 2, "2024-02-30"),
        (("breweries.csv", "--date", "2024-02-03"), 1, "its header is not one of the dataset's"),
        ((), 2, "paths"),
    ],
)
def test_an_invalid_version_is_an_error_with_its_cause(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("breweries.csv").write_text("what,else\n1,2\n")
    done = call("backfill", *arguments, "--lake", tmp_path / "lake")
    assert done.code == code
    assert message in done.err


def test_a_backfill_fails_while_another_run_holds_the_lock(call: Call, versions: list[Path], tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    with run_lock(lake, "OTHER"):
        done = call("backfill", *versions, "--lake", lake.root)
    assert done.code == 1
    assert "locked by run OTHER" in done.err
