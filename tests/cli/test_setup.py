"""Set-up: a new folder, the settings and their origins, what is wrong on this machine, and tables to delete."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from tests.cli.conftest import Call

from brewhouse.mock_api.dataset import generate
from brewhouse.mock_api.demo_server import DemoApiServer
from brewhouse.settings import Settings, load, setting_names


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new folder, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_init_creates_settings_a_model_and_gitignore(call: Call, folder: Path) -> None:
    done = call("init")
    assert (done.code, done.err) == (0, "")
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert files == {"brewhouse.toml", "models/gold/open_breweries_by_country.sql", ".gitignore"}
    assert load({}, environ={}) == load({"models": Path("models")}, folder=folder / "none", environ={})
    checked = call("models", "--check", "--json")
    assert checked.code == 0
    assert "gold.open_breweries_by_country" in [row["table"] for row in json.loads(checked.out)]


def test_the_settings_file_describes_every_setting_with_its_default(call: Call, folder: Path) -> None:
    call("init")
    text = (folder / "brewhouse.toml").read_text("utf-8")
    lines = text.splitlines()
    active = "\n".join(line.removeprefix("# ") if " = " in line else line for line in lines)
    parsed = tomllib.loads("\n".join(line for line in active.splitlines() if not line.startswith("#")))
    names = [*(n for n in parsed if not isinstance(parsed[n], dict))]
    names += [f"{section}.{n}" for section, values in parsed.items() if isinstance(values, dict) for n in values]
    assert sorted(names) == sorted(setting_names())
    unset = {name for name in ("catalog_uri", "password", "ping_url") if f'# {name} = ""' in lines}
    assert unset == {"catalog_uri", "password", "ping_url"}
    described = [before for before, line in pairwise(lines) if line.startswith("# ") and " = " in line]
    assert all(line.startswith("# ") and len(line) > 10 for line in described)
    assert parsed["concurrency"] == Settings().concurrency


def test_init_keeps_files_that_exist(call: Call, folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "brewhouse.toml").write_text("concurrency = 2\n")
    done = call("init", "mine")
    assert done.out.splitlines()[0] == "kept     mine/brewhouse.toml"
    assert (folder / "mine" / "brewhouse.toml").read_text() == "concurrency = 2\n"
    assert (folder / "mine" / "models" / "gold").is_dir()


def test_config_lists_each_value_with_its_origin_and_no_secret(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "brewhouse.toml").write_text('concurrency = 3\n[alerts]\nurls = ["json://t0ken"]\n')
    monkeypatch.setenv("BREWHOUSE_TIMEOUT_S", "7")
    monkeypatch.setenv("BREWHOUSE_SOURCE_URL", "https://joe:s3cret@example.com/v1?key=s3cret")
    done = call("config", "--json")
    rows = {row["setting"]: (row["value"], row["origin"]) for row in json.loads(done.out)}
    assert list(rows) == setting_names()
    assert rows["concurrency"] == ("3", "brewhouse.toml")
    assert rows["timeout_s"] == ("7.0", "BREWHOUSE_TIMEOUT_S")
    assert rows["source_url"] == ("https://example.com/v1", "BREWHOUSE_SOURCE_URL")
    assert rows["alerts.urls"] == ("…", "brewhouse.toml")
    assert rows["max_attempts"] == ("6", "default")
    assert "s3cret" not in done.out + call("config").out
    assert [row["setting"] for row in json.loads(call("config", "timeout_s", "--json").out)] == ["timeout_s"]
    assert call("config", "colour").err == (
        "brewhouse: 'colour' is not a setting. `brewhouse config` lists the settings.\n"
    )


def test_doctor_finds_everything_in_order(call: Call, full: Path) -> None:
    with DemoApiServer(generate(3)) as source, pytest.MonkeyPatch.context() as patch:
        patch.setenv("BREWHOUSE_SOURCE_URL", source.url)
        done = call("doctor", "--lake", full, "--json")
    states = {row["check"]: row["state"] for row in json.loads(done.out)}
    assert done.code == 0
    assert list(states) == ["python", "extras", "java", "disk", "lake", "source", "rate limit", "clock"]
    assert set(states.values()) == {"ok"}


def test_doctor_names_what_to_do(call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREWHOUSE_SOURCE_URL", "http://joe:s3cret@127.0.0.1:1/v1")
    monkeypatch.setenv("BREWHOUSE_ENGINE", "spark")
    monkeypatch.setenv("PATH", str(folder))
    done = call("doctor")
    lines = [line.split(maxsplit=2) for line in done.out.splitlines()]
    assert (done.code, done.err) == (1, "brewhouse: Not in order: java, source. Each line above says what to do.\n")
    assert ["error", "java", "not installed"] in lines
    assert "Install Java 17 or 21, or use --engine duckdb." in done.out
    assert "Run `brewhouse run`." in done.out
    assert "s3cret" not in done.out
    assert not (folder / "lake").exists()
    assert "cannot be written" not in done.out
    monkeypatch.setattr(os, "access", lambda *_: False)  # the tests may run as root, who may write anywhere
    out = " ".join(call("doctor").out.split())
    assert f"warning permissions {folder} cannot be written: runs fail Change its permissions" in out


MODEL = (
    "-- One row per country.\n-- key: country\nSELECT country, count(*) AS n FROM silver.breweries GROUP BY country\n"
)


def test_a_table_whose_model_is_gone_can_be_dropped(call: Call, copied: Path, folder: Path) -> None:
    (folder / "models").mkdir()
    (folder / "models" / "mine.sql").write_text(MODEL)
    (folder / "brewhouse.toml").write_text('models = "models"\n')
    assert call("aggregate", "--lake", copied).code == 0
    refused = call("drop", "gold.mine", "--lake", copied, "--yes")
    assert (refused.code, "Delete models/mine.sql first." in refused.err) == (2, True)
    (folder / "models" / "mine.sql").unlink()
    assert call("drop", "gold.mine", "--lake", copied).code == 1  # not confirmed
    assert call("drop", "gold.mine", "--lake", copied, "--yes").out == "Deleted gold.mine.\n"
    assert "gold.mine" not in [row["table"] for row in json.loads(call("tables", "--lake", copied, "--json").out)]
    assert "does not exist" in call("query", "FROM gold.mine", "--lake", copied).err
    assert not (copied / "warehouse" / "gold" / "mine").exists()
    assert json.loads(call("show", "--lake", copied, "--json").out)["workflow"] == "drop"
    assert call("aggregate", "--lake", copied).code == 0
    assert call("verify", "--lake", copied).code == 0


def test_built_in_and_unknown_tables_cannot_be_dropped(call: Call, full: Path) -> None:
    done = call("drop", "silver.breweries", "--lake", full, "--yes")
    assert (done.code, "Built-in tables cannot be dropped." in done.err) == (2, True)
    assert call("drop", "gold.none", "--lake", full, "--yes").code == 2


@pytest.fixture(scope="module")
def failed_lake(tmp_path_factory: pytest.TempPathFactory, full: Path) -> Path:
    """A lake whose first run failed."""
    root = tmp_path_factory.mktemp("failed") / "lake"
    root.mkdir()
    shutil.copytree(full / "events", root / "events")
    shutil.copytree(full / "logs", root / "logs")
    return root


NONE, FAILED, FULL = "no lake", "first run failed", "published"
CODES = {
    ("tables",): (1, 1, 0),
    ("describe", "silver.breweries"): (1, 1, 0),
    ("history", "silver.breweries"): (1, 1, 0),
    ("query", "FROM silver.breweries"): (1, 1, 0),
    ("query", "FROM monitoring.runs"): (1, 0, 0),
    ("query", "--saved", "top_cities"): (1, 1, 0),
    ("query", "nonsense"): (1, 2, 2),
    ("rejected",): (1, 1, 0),
    ("changes",): (1, 1, 0),
    ("places",): (1, 1, 0),
    ("diff", "last", "last"): (1, 1, 0),
    ("report", "--output", "/tmp/none/report.svg"): (1, 1, 1),
    ("runs",): (1, 0, 0),
    ("show",): (1, 0, 0),
    ("show", "none"): (1, 2, 2),
    ("logs",): (1, 0, 0),
    ("logs", "last", "none"): (1, 2, 2),
    ("events",): (1, 0, 0),
    ("alerts", "check"): (1, 0, 0),
    ("verify",): (1, 0, 0),
    ("maintain", "--dry-run"): (1, 1, 0),
    ("relocate",): (1, 1, 0),
    ("drop", "gold.none"): (1, 1, 2),
    ("describe", "gold.none"): (1, 1, 2),
    ("history", "gold.none"): (1, 1, 2),
    ("rollback", "gold.none", "1"): (1, 1, 2),
    ("events", "--run", "none"): (1, 2, 2),
    ("query", "--saved", "none"): (2, 2, 2),
    ("rollback", "none"): (1, 1, 2),
    ("schedule",): (0, 0, 0),
    ("models",): (0, 0, 0),
    ("queries",): (0, 0, 0),
    ("config",): (0, 0, 0),
}


@pytest.mark.parametrize("command", CODES, ids=" ".join)
def test_the_exit_code_follows_from_the_state_of_the_lake_and_none_is_created(
    call: Call, tmp_path: Path, failed_lake: Path, full: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    lakes = (tmp_path / "lake", failed_lake, full)
    for lake, code in zip(lakes, CODES[command], strict=True):
        monkeypatch.setenv("BREWHOUSE_LAKE", str(lake))
        done = call(*command)
        assert done.code == code, (lake, done.err)
        assert bool(done.err) == bool(code) or command[0] == "verify", done.err
    assert not (tmp_path / "lake").exists()
    assert sorted(path.name for path in failed_lake.iterdir()) == ["events", "logs"]
