"""Errors, exit codes, help, progress, and the commands that serve."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brewhouse.cli.main import app
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import run_lock
from brewhouse.mock_api.dataset import generate
from brewhouse.mock_api.server import MockApiServer

Call = Callable[..., Any]
COMMANDS = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
GROUPS = [str(group.typer_instance.info.name) for group in app.registered_groups if group.typer_instance]


def shell(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "brewhouse", *map(str, arguments)]
    quick = {**os.environ, "BREWHOUSE_MAX_ATTEMPTS": "1", "BREWHOUSE_RETRY_INITIAL_WAIT_S": "0"}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=quick, check=False)


@pytest.mark.parametrize("command", [*COMMANDS, *GROUPS])
def test_help_has_an_example_and_says_what_each_option_is(call: Call, command: str) -> None:
    done = call(command, "--help")
    assert done.code == 0
    assert f"Example: brewhouse {command}" in done.out


def test_help_of_the_whole_names_every_command(call: Call) -> None:
    out = call("--help").out
    assert "Example" in out
    assert all(command in out for command in (*COMMANDS, *GROUPS))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("no-such-command",), 2),
        (("query",), 2),
        (("show", "no-such-run"), 2),
        (("query", "SELECT 1"), 1),
        (("transform",), 1),
        (("aggregate",), 1),
        (("run", "--source-url", "http://127.0.0.1:1/v1"), 1),
        (("run", "--concurrency", "0"), 2),
        (("mock-api", "--dialect", "klingon", "--rows", "1", "--port", "0"), 2),
        (("mock-api", "--data", "absent.csv", "--port", "0"), None),
    ],
)
def test_an_error_is_on_standard_error_without_traceback(
    tmp_path: Path, arguments: tuple[str, ...], code: int | None
) -> None:
    place = () if arguments[0] in ("mock-api", "no-such-command") else ("--lake", tmp_path / "lake")
    done = shell(*arguments, *place)
    assert done.returncode in ((1, 2) if code is None else (code,)), done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()
    if done.stderr.startswith("brewhouse: "):
        assert "\n\n" not in done.stderr.strip()


@pytest.mark.parametrize(
    "arguments",
    [
        ("describe", "gold.none"),
        ("history", "gold.none"),
        ("rollback", "gold.none", "1"),
        ("rollback", "silver.breweries", "1"),
    ],
)
def test_an_unknown_table_or_snapshot_is_an_error_in_words(call: Call, full: Path, arguments: tuple[str, ...]) -> None:
    done = call(*arguments, "--lake", full)
    assert done.code in (1, 2)
    assert done.err.startswith("brewhouse: ")
    assert "Unexpected" not in done.err


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = shell("query", "SELECT 1", "--lake", tmp_path / "lake", "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_failed_checks_are_exit_code_3_and_publish_nothing(call: Call, tmp_path: Path) -> None:
    records = list(generate(200))
    lake = ("--lake", tmp_path / "lake")
    with MockApiServer(records) as source:
        assert call("run", *lake, "--source-url", source.url).code == 0
        before = call("tables", *lake, "--json").out
        source.remove([str(record["id"]) for record in records[:100]])
        done = call("run", *lake, "--source-url", source.url)
    assert done.code == 3
    assert "--max-count-drop-percent" in done.err
    assert call("tables", *lake, "--json").out == before


def test_a_second_run_is_exit_code_1_and_names_the_first(call: Call, tmp_path: Path) -> None:
    with run_lock(Lake(tmp_path / "lake"), "FIRST"):
        done = call("transform", "--lake", tmp_path / "lake")
    assert done.code == 1
    assert "locked by run FIRST" in done.err


def test_progress_is_plain_lines_on_standard_error_when_piped(tmp_path: Path) -> None:
    with MockApiServer(generate(450)) as source:
        done = shell("run", "--lake", tmp_path / "lake", "--source-url", source.url, "--json")
    assert json.loads(done.stdout)["state"] == "SUCCEEDED"
    assert "\x1b" not in done.stderr + done.stdout
    lines = done.stderr.splitlines()
    for start in ("extract: started", "extract: 3 of 3 pages", "transform: started", "model gold.", "aggregate: gold"):
        assert any(line.startswith(start) for line in lines), start
    assert not [line for line in lines if not line.startswith(("extract: ", "transform: ", "aggregate: ", "model "))]


def test_rollback_shows_the_earlier_snapshot_again(call: Call, tmp_path: Path) -> None:
    lake = ("--lake", tmp_path / "lake")
    records = list(generate(120))
    with MockApiServer(records[10:]) as source:
        call("run", *lake, "--source-url", source.url)
        source.add(records[:10])
        call("run", *lake, "--source-url", source.url)
    count = "SELECT count(*) AS n FROM silver.breweries"
    assert json.loads(call("query", count, *lake, "--json").out) == [{"n": 120}]
    first = json.loads(call("history", "silver.breweries", *lake, "--json").out)[0]["snapshot"]
    assert call("rollback", "silver.breweries", first, *lake).code == 0
    assert json.loads(call("query", count, *lake, "--json").out) == [{"n": 110}]
    last = json.loads(call("history", "silver.breweries", *lake, "--json").out)[-1]["snapshot"]
    now = json.loads(call("rollback", "silver.breweries", last, *lake, "--json").out)
    assert (now["table"], now["snapshot_id"], now["rows"]) == ("silver.breweries", last, 120)


def test_each_job_by_itself_tells_what_it_did_as_json(call: Call, tmp_path: Path) -> None:
    lake = ("--lake", tmp_path / "lake", "--json")
    with MockApiServer(generate(120)) as source:
        outcomes = [
            call("extract", "--source-url", source.url, *lake),
            call("transform", *lake),
            call("aggregate", *lake),
        ]
    told = [json.loads(outcome.out) for outcome in outcomes]
    assert [(run["state"], run["jobs"][0]["name"]) for run in told] == [
        ("SUCCEEDED", "extract"),
        ("SUCCEEDED", "transform"),
        ("SUCCEEDED", "aggregate"),
    ]
    assert told[0]["jobs"][0]["counts"]["records"] == told[1]["jobs"][0]["counts"]["records"] == 120


def test_demo_publishes_and_names_three_things_to_try(tmp_path: Path) -> None:
    done = shell("demo", "--rows", 300, "--lake", tmp_path / "lake")
    assert done.returncode == 0, done.stderr
    assert "Three things to try next" in done.stdout
    (query, serve) = [shlex.split(line, comments=True)[1:] for line in done.stdout.splitlines() if "--lake" in line]
    asked = shell(*query)
    assert "Germany" in asked.stdout
    assert not asked.stderr
    assert shell(*serve, "--help").returncode == 0
    assert "name is missing" in shell("rejected", "--lake", tmp_path / "lake").stdout
    assert "297" in done.stdout


def test_mock_api_serves_until_it_is_interrupted() -> None:
    command = [sys.executable, "-m", "brewhouse", "mock-api", "--rows", "30", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        url = said.split(" at ")[1].split(";")[0]
        with urllib.request.urlopen(f"{url}/breweries/meta") as answer:
            assert int(json.load(answer)["total"]) == 30
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) in (0, 130)
