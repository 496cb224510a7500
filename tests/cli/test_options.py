"""Shared options: their names, defaults and precedence over settings."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from tests.cli.conftest import Call

from brewhouse.cli.options import JsonOption, setting_flags, settings_and_lake
from brewhouse.errors import UsageError


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BREWHOUSE_LAKE", raising=False)


def test_the_default_lake_is_a_folder_named_lake(tmp_path: Path) -> None:
    _, lake = settings_and_lake(None)
    assert Path(lake.root).resolve() == tmp_path / "lake"


@pytest.mark.parametrize(
    ("option", "environment", "file", "expected"),
    [
        ("typed", "environ", "toml", "typed"),
        (None, "environ", "toml", "environ"),
        (None, None, "toml", "toml"),
        (None, None, None, "lake"),
    ],
)
def test_an_option_precedes_the_environment_and_the_settings_file(
    monkeypatch: pytest.MonkeyPatch, option: str | None, environment: str | None, file: str | None, expected: str
) -> None:
    if environment:
        monkeypatch.setenv("BREWHOUSE_LAKE", environment)
    if file:
        Path("brewhouse.toml").write_text(f"lake = '{file}'\n")
    _, lake = settings_and_lake(option)
    assert Path(lake.root).name == expected


def test_options_that_are_not_given_leave_the_settings() -> None:
    Path("brewhouse.toml").write_text("concurrency = 3\nengine = 'spark'\n")
    settings, _ = settings_and_lake(None, concurrency=None, engine=None, max_count_drop_percent=50.0)
    assert (settings.concurrency, settings.engine, settings.max_count_drop_percent) == (3, "spark", 50.0)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"concurrency": 0}, r"--concurrency must be 1 or more \(got 0\)\."),
        ({"max_count_drop_percent": 101.0}, r"--max-count-drop-percent must be 100 or less \(got 101\.0\)\."),
        ({"snapshot_retention_days": -1}, r"--keep-days must be 0 or more \(got -1\)\."),
        ({"engine": "klingon"}, r"--engine must be one of duckdb, spark \(got 'klingon'\)\."),
    ],
)
def test_an_option_out_of_range_is_a_usage_error_that_names_it(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        settings_and_lake(None, **flags)


def test_an_s3_address_is_a_lake_on_s3() -> None:
    _, lake = settings_and_lake("s3://some-bucket/prefix")
    assert str(lake.root) == "s3://some-bucket/prefix"
    assert not lake.is_local


@pytest.mark.parametrize("command", ["run", "transform", "aggregate", "rebuild", "models", "diff", "maintain"])
def test_commands_that_compute_share_the_engine_options(call: Call, command: str) -> None:
    out = " ".join(call(command, "--help").out.split())
    assert "--engine <duckdb|spark> Engine of the models. Default: duckdb" in out
    assert "--spark-master <str> Spark master URL. Default: local[*]" in out


@pytest.mark.parametrize(
    "command",
    [
        *("run", "extract", "transform", "aggregate", "rebuild", "rollback", "query", "queries", "tables", "describe"),
        *("history", "rejected", "changes", "diff", "places", "models", "runs", "show", "events", "logs", "schedule"),
        *("backfill", "maintain", "alerts test", "alerts check", "aws status", "aws query", "aws estimate"),
    ],
)
def test_commands_with_results_print_json_on_request(call: Call, command: str) -> None:
    assert "--json" in call(*command.split(), "--help").out


def test_a_command_receives_setting_flags_next_to_its_own_options() -> None:
    received: dict[str, object] = {}

    @setting_flags("lake", "dry_run", "engine")
    def command(
        *,
        as_json: JsonOption = False,
        dry_run: Annotated[bool, typer.Option("--dry-run")] = False,
        **flags: object,
    ) -> None:
        received.update(flags, as_json=as_json, dry_run=dry_run)

    app = typer.Typer()
    app.command()(command)
    app(args=["--engine", "spark", "--dry-run"], standalone_mode=False)
    assert received == {"lake": None, "engine": "spark", "as_json": False, "dry_run": True}
    assert list(inspect.signature(command).parameters) == ["lake", "dry_run", "engine", "as_json"]


def test_a_flag_of_an_unknown_setting_fails_at_import() -> None:
    with pytest.raises(KeyError, match="no_such_setting"):

        @setting_flags("no_such_setting")
        def command(**flags: object) -> None: ...


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("run", "--snapshot", "last", "--source-url", "http://x"),
            "--snapshot and --source-url contradict each other",
        ),
        (("run", "--snapshot", "last", "--concurrency", "2"), "--snapshot and --concurrency contradict"),
        (("run", "--engine", "duckdb", "--spark-master", "local[2]"), "--spark-master has no effect without --engine"),
        (("maintain", "--spark-master", "local[2]"), "no effect without --engine spark. Add --engine spark, or omit"),
        (("mock-api", "--data", "x.csv", "--rows", "0"), "--data and --rows contradict each other"),
        (("mcp", "--port", "0"), "--port has no effect without --http. Add --http, or omit --port."),
        (("mcp", "--host", "0.0.0.0"), "--host has no effect without --http"),
        (("report", "--country", "BE", "--state", "US-OR"), "--country BE and --state US-OR contradict each other"),
        (("backfill", "x.csv", "--path", "y.csv"), "--path applies to a repository (got y.csv). Omit --path"),
        (("models", "--graph", "--json"), "--graph and --json contradict each other. Omit --json or --graph."),
        (("models", "--format", "svg"), "--format has no effect without --graph. Add --graph, or omit --format."),
        (("models", "--output", "x.svg"), "--output has no effect without --graph"),
        (("query", "SELECT 1", "--limit", "3", "--all"), "--limit and --all contradict"),
        (("runs", "--limit", "3", "--all"), "--limit and --all contradict"),
    ],
)
def test_contradicting_options_are_rejected(call: Call, arguments: tuple[str, ...], message: str) -> None:
    done = call(*arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
