"""The command about the models, and the example of docs/models.md as it is printed there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.mock_api.dataset import generate

Call = Callable[..., Any]
PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text("utf-8")


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The files that docs/models.md shows."""
    blocks = re.findall(r"^`([\w/-]+\.sql)`:\n\n```sql\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for name, text in blocks:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    return tmp_path / "my-models"


def test_the_example_of_the_docs_runs_and_a_removed_model_leaves_its_table(
    call: Call, tmp_path: Path, example: Path
) -> None:
    lake = ("--lake", tmp_path / "lake")
    sql = re.findall(r'brewhouse query "(.*?)"', PAGE)[0]
    with MockApiServer(generate(1500)) as source:
        assert call("run", *lake, "--models", example, "--source-url", source.url).code == 0
        before = json.loads(call("query", sql, *lake, "--json").out)
        (example / "crowded_cities.sql").unlink()
        assert call("run", *lake, "--models", example, "--source-url", source.url).code == 0
    rows = {row["table"]: row for row in json.loads(call("models", *lake, "--models", example, "--json").out)}
    assert rows["gold.crowded_cities"]["kind"] == "no model any more"
    assert rows["silver.open_breweries"]["kind"] == "own"
    assert len(before) == len(json.loads(call("query", sql, *lake, "--json").out)) == 5


def test_models_lists_built_in_and_own_models_with_their_inputs(call: Call, tmp_path: Path, example: Path) -> None:
    rows = json.loads(call("models", "--lake", tmp_path / "lake", "--models", example, "--json").out)
    assert {row["kind"] for row in rows} == {"built-in", "own"}
    (own,) = [row for row in rows if row["table"] == "silver.open_breweries"]
    assert (own["job"], own["reads"], own["key"]) == ("transform", ["silver.breweries"], ["id"])
    plain = call("models", "--lake", tmp_path / "lake")
    assert (plain.code, plain.err) == (0, "")
    assert "gold.breweries_by_location" in plain.out


def test_the_graph_is_text_or_svg(call: Call, tmp_path: Path, example: Path) -> None:
    options = ("--lake", tmp_path / "lake", "--models", example, "--graph")
    assert "silver.open_breweries *" in call("models", *options).out
    ET.fromstring(call("models", *options, "--format", "svg").out)
    assert call("models", *options, "--format", "svg", "--output", tmp_path / "l.svg").out == ""
    ET.fromstring((tmp_path / "l.svg").read_text("utf-8"))


@pytest.mark.parametrize("command", ["models", "run", "transform", "aggregate"])
def test_an_invalid_model_is_wrong_usage_with_its_place(
    call: Call, tmp_path: Path, example: Path, command: str
) -> None:
    (example / "bad.sql").write_text("SELECT nam FROM silver.breweries")
    done = call(command, "--lake", tmp_path / "lake", "--models", example)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"brewhouse: {example / 'bad.sql'}:1:8: unknown column nam. Did you mean name?")


def test_the_folder_can_be_set_in_brewhouse_toml(
    call: Call, tmp_path: Path, example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "brewhouse.toml").write_text(f"models = '{example.name}'\n")
    assert "gold.crowded_cities" in call("models").out


def test_a_check_reports_the_engine_on_standard_error(call: Call, tmp_path: Path, example: Path) -> None:
    done = call("models", "--lake", tmp_path / "lake", "--models", example, "--check", "--json")
    assert done.code == 0
    assert re.fullmatch(r"\d+ tables: every model runs on duckdb\.\n", done.err)
    assert {row["kind"] for row in json.loads(done.out)} == {"built-in", "own"}


def test_a_graph_that_cannot_be_written_is_an_error_with_its_path(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "none" / "l.svg"
    done = call("models", "--lake", tmp_path / "lake", "--graph", "--format", "svg", "--output", file)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"brewhouse: Failed to write {file}: No such file or directory.")


def test_a_missing_folder_of_models_is_wrong_usage(call: Call, tmp_path: Path) -> None:
    done = call("models", "--lake", tmp_path / "lake", "--models", tmp_path / "none")
    assert (done.code, done.out) == (2, "")
    assert str(tmp_path / "none") in done.err


def test_models_create_no_lake(call: Call, tmp_path: Path) -> None:
    assert call("models", "--lake", tmp_path / "lake").code == 0
    assert not (tmp_path / "lake").exists()
