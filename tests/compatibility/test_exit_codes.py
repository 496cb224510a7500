"""Exit codes: 0 done, 1 failed, 2 wrong usage, 3 checks failed; 130 after Ctrl-C, 143 after SIGTERM."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.compatibility.conftest import NOTHING
from tests.compatibility.outside import (
    address_of,
    breweries,
    brewhouse,
    command,
    environment,
    interrupt,
    mock_api,
    output,
    rows,
    run_json,
)

Arguments = tuple[str, ...]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake after one run; what is done to it publishes nothing."""
    root = tmp_path_factory.mktemp("codes") / "lake"
    with mock_api(breweries(1)) as url:
        output("run", "--lake", root, "--source-url", url)
    return root


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("tables",),
        ("query", "SELECT count(*) FROM silver.breweries"),
        ("alerts", "check"),
    ],
)
def test_done_is_0(lake: Path, arguments: Arguments) -> None:
    place = () if arguments[0] == "--help" else ("--lake", lake)
    done = brewhouse(*arguments, *place)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("transform", "--snapshot", "NONE"),
        ("query", "SELECT 1", "--output", "/proc/none/result"),
    ],
)
def test_what_failed_is_1_and_said_on_standard_error(lake: Path, arguments: Arguments) -> None:
    refused(1, *arguments, "--lake", lake)


@pytest.mark.parametrize("arguments", [("query", "SELECT 1"), ("tables",), ("transform",), ("maintain",)])
def test_a_lake_without_what_is_needed_is_1(tmp_path: Path, arguments: Arguments) -> None:
    refused(1, *arguments, "--lake", tmp_path / "lake")


def test_a_source_that_does_not_answer_is_1(tmp_path: Path) -> None:
    refused(
        1,
        *("run", "--lake", tmp_path / "lake"),
        variables={"BREWHOUSE_RETRY_WAIT_MAX_S": "0.01"},
    )


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (("no-such-command",), {}),
        (("query",), {}),
        (("query", "SELECT nothing FROM silver.breweries"), {}),
        (("query", "SELECT 1", "--format", "parquet"), {}),
        (("show", "no-such-run"), {}),
        (("describe", "gold.none"), {}),
        (("rollback", "gold.none", "1"), {}),
        (("run", "--concurrency", "0"), {}),
        (("run", "--engine", "none"), {}),
        (("run",), {"BREWHOUSE_PER_PAGE_ROWS": "none"}),
        (("rollback", "silver.breweries", "1"), {}),
        (("schedule",), {"BREWHOUSE_SCHEDULE_CRON": "no cron"}),
        (("alerts", "test"), {}),
    ],
)
def test_wrong_usage_is_2_and_said_on_standard_error(
    lake: Path, arguments: Arguments, variables: dict[str, str]
) -> None:
    place = () if arguments[0].startswith("no-") else ("--lake", lake)
    refused(2, *arguments, *place, variables=variables)


def test_failed_checks_are_3_and_publish_nothing(lake: Path) -> None:
    before = run_json("tables", "--lake", lake)
    with mock_api(breweries(1)[:20]) as url:
        refused(3, "run", "--lake", lake, "--source-url", url)
    assert run_json("tables", "--lake", lake) == before
    refused(3, "transform", "--lake", lake, "--max-count-drop-percent", "60")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_says_so_by_its_code_and_in_the_lake(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    assert interrupt(tmp_path / "lake", number) == code
    last = run_json("show", "last", "--lake", tmp_path / "lake")
    assert (last["state"], [(job["name"], job["state"]) for job in last["jobs"]]) == (
        "STOPPED",
        [("extract", "STOPPED")],
    )


def test_a_second_run_at_the_same_time_is_1(lake: Path) -> None:
    with mock_api(breweries(1), "slow_s=600,page=1") as url:
        going = command("extract", "--lake", lake, "--source-url", url)
        with subprocess.Popen(going, env=environment(), stderr=subprocess.PIPE, text=True) as first:
            assert first.stderr is not None
            assert first.stderr.readline()  # its first word; it has the lock by then
            refused(1, "transform", "--lake", lake)
            first.send_signal(signal.SIGINT)
            first.stderr.read()
    assert first.returncode == 130


def test_a_run_goes_on_with_what_a_killed_one_left(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    small_pages = {"BREWHOUSE_PER_PAGE_ROWS": "20"}
    with mock_api(breweries(1), "slow_s=600,page=2,times=1") as url:
        going = command("run", "--lake", lake, "--source-url", url, "--concurrency", "1")
        with subprocess.Popen(
            going, env=environment(small_pages), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        ) as first:
            assert first.stderr is not None
            for _ in first.stderr:  # a line for each step
                if list(lake.glob("bronze/breweries/*/*/page-*")):
                    break
            first.kill()
            first.stderr.read()
        assert first.returncode == -signal.SIGKILL
        made = run_json(
            "run", "--lake", lake, "--source-url", url, variables={**small_pages, "BREWHOUSE_TIMEOUT_S": "2"}
        )
    assert made["state"] == "SUCCEEDED"
    assert {name: made["jobs"][0]["counts"][name] for name in ("records", "resumed_pages")} == {
        "records": 60,
        "resumed_pages": 1,
    }
    assert rows(lake, "SELECT count(*) FROM silver.breweries") == [(59,)]
    assert [run["state"] for run in run_json("runs", "--lake", lake)] == ["SUCCEEDED", "FAILED"]


@pytest.mark.parametrize(("what", "codes"), [("serve", {0}), ("mock-api", {0, 130})])
def test_what_serves_until_ctrl_c_ends_quietly_then(lake: Path, what: str, codes: set[int]) -> None:
    options = ("--lake", lake) if what == "serve" else ("--rows", "5")
    with subprocess.Popen(
        command(what, *options, "--port", "0"), env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        url = address_of(process)
        with urllib.request.urlopen(url if what == "serve" else f"{url}/breweries", timeout=30) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode in codes  # the mock API answers a moment before it waits for Ctrl-C


def test_what_follows_events_until_ctrl_c_ends_with_0_then(lake: Path) -> None:
    following = command("events", "--follow", "--limit", "1", "--json", "--lake", lake)
    with subprocess.Popen(following, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()  # what there was
        output("schedule", "off", "--lake", lake)
        assert json.loads(process.stdout.readline())["detail"]["state"] == "OFF"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0


def refused(code: int, *arguments: object, variables: Mapping[str, str] = NOTHING) -> None:
    """Run a command that must end with a code, with words on standard error and nothing on standard output."""
    done = brewhouse(*arguments, variables=variables)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr
