"""`brewhouse maintain`: what it prints, and its options."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]


def test_it_says_what_it_would_do_and_does_it(call: Call, full: Path) -> None:
    options = ("--keep-days", "0", "--keep-last", "1", "--lake", full)
    before = call("history", "silver.breweries", "--lake", full, "--json").out
    done = call("maintain", "--dry-run", *options)
    assert (done.code, done.err) == (0, "")
    assert "Nothing was changed" in done.out
    assert call("history", "silver.breweries", "--lake", full, "--json").out == before
    report = json.loads(call("maintain", "--dry-run", "--json", *options).out)
    assert report["dry_run"] is True
    assert {table["table"]: table["snapshots_expired"] for table in report["tables"]} == {
        "gold.breweries_by_location": 1,
        "gold.breweries_by_type_and_location": 1,
        "silver.breweries": 1,
        "silver.rejected_breweries": 1,
    }
    assert report["total"]["snapshots_expired"] == 4


def test_it_maintains_and_is_shown_as_a_run(call: Call, full: Path) -> None:
    done = call("maintain", "--lake", full)
    assert done.code == 0
    assert "total" in done.out
    assert "maintain: 0 snapshots expired" in done.err
    assert json.loads(call("show", "last", "--lake", full, "--json").out)["jobs"][0]["name"] == "maintain"


@pytest.mark.parametrize("options", [("--keep-last", "0"), ("--keep-days", "-1")])
def test_a_setting_that_would_keep_nothing_is_refused(call: Call, full: Path, options: tuple[str, ...]) -> None:
    assert call("maintain", "--lake", full, *options).code == 2
