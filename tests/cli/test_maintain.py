"""`brewhouse maintain`: its output and its options."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.mock_api.dataset import generate

Call = Callable[..., Any]


def test_a_dry_run_reports_the_changes_that_a_run_makes(call: Call, tmp_path: Path) -> None:
    lake = ("--lake", tmp_path / "lake")
    with MockApiServer(generate(60)) as source:
        for _ in range(2):
            assert call("run", *lake, "--source-url", source.url).code == 0
    before = call("history", "silver.breweries", *lake, "--json").out
    options = ("--keep-days", "0", "--keep-last", "1", *lake)
    done = call("maintain", "--dry-run", *options)
    assert (done.code, done.err) == (0, "")
    assert "Nothing was changed" in done.out
    preview = json.loads(call("maintain", "--dry-run", "--json", *options).out)
    assert preview["dry_run"] is True
    tables = json.loads(call("tables", *lake, "--json").out)
    expired = {table["table"]: table["snapshots_expired"] for table in preview["tables"]}
    assert expired == {table["table"]: 1 for table in tables}
    assert call("history", "silver.breweries", *lake, "--json").out == before

    done = call("maintain", *options)
    assert done.code == 0
    assert f"maintain: {len(tables)} snapshots expired" in done.err
    assert "total" in done.out
    assert "deleted once unused for a day" in done.out
    assert len(json.loads(call("history", "silver.breweries", *lake, "--json").out)) == 1
    assert json.loads(call("show", "last", *lake, "--json").out)["jobs"][0]["name"] == "maintain"


@pytest.mark.parametrize("options", [("--keep-last", "0"), ("--keep-days", "-1"), ("--keep-days", "1e9")])
def test_an_invalid_setting_is_wrong_usage(call: Call, tmp_path: Path, options: tuple[str, ...]) -> None:
    assert call("maintain", "--lake", tmp_path, *options).code == 2


def test_a_lake_without_tables_is_an_error(call: Call, tmp_path: Path) -> None:
    done = call("maintain", "--lake", tmp_path / "lake")
    assert (done.code, done.out) == (1, "")
    assert "has no tables" in done.err
