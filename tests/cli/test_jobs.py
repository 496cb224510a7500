"""Commands that change a lake: run, extract, transform, aggregate, rebuild, rollback, relocate, backfill, maintain."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from tests.cli.conftest import Call, read_terminal, shell
from tests.mock_api.server import MockApiServer

from brewhouse.console.sandbox import QueryRequest, execute
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import run_lock
from brewhouse.mock_api.dataset import generate

HEADER = (
    "id,name,brewery_type,address_1,address_2,address_3,city,state_province,postal_code,country,phone,website_url,"
    "longitude,latitude\n"
)
KEY = "00000001-0000-4000-8000-000000000000"


def test_failed_checks_are_exit_code_3_and_publish_nothing(call: Call, copied: Path) -> None:
    lake = ("--lake", copied)
    before = call("tables", *lake, "--json").out
    with MockApiServer(list(generate(300, unusable=4))[:150]) as source:
        done = call("run", *lake, "--source-url", source.url)
    assert done.code == 3
    assert "--max-count-drop-percent" in done.err
    assert call("tables", *lake, "--json").out == before


def test_a_second_run_fails_with_exit_code_1_and_names_the_first(call: Call, tmp_path: Path) -> None:
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
    for start in (
        "extract: started",
        "extract: 3 of 3 pages",
        "transform: started",
        "model gold.",
        "aggregate: silver and gold",
    ):
        assert any(line.startswith(start) for line in lines), start
    assert not [line for line in lines if not line.startswith(("extract: ", "transform: ", "aggregate: ", "model "))]


def test_rollback_restores_an_earlier_snapshot(call: Call, copied: Path) -> None:
    lake = ("--lake", copied)
    with MockApiServer(generate(310, unusable=4)) as source:
        call("run", *lake, "--source-url", source.url)
    count = "SELECT count(*) AS n FROM silver.breweries"
    assert json.loads(call("query", count, *lake, "--json").out) == [{"n": 306}]
    first = json.loads(call("history", "silver.breweries", *lake, "--json").out)[0]["snapshot"]
    assert call("rollback", "silver.breweries", first, *lake).code == 0
    assert json.loads(call("query", count, *lake, "--json").out) == [{"n": 296}]
    last = json.loads(call("history", "silver.breweries", *lake, "--json").out)[-1]["snapshot"]
    now = json.loads(call("rollback", "silver.breweries", last, *lake, "--json").out)
    assert (now["table"], now["snapshot_id"], now["rows"]) == ("silver.breweries", last, 306)


def test_each_job_reports_its_result_as_json(call: Call, tmp_path: Path) -> None:
    lake = ("--lake", tmp_path / "lake", "--json")
    with MockApiServer(generate(120)) as source:
        outcomes = [
            call("extract", "--source-url", source.url, *lake),
            call("transform", *lake),
            call("aggregate", *lake),
        ]
    reports = [json.loads(outcome.out) for outcome in outcomes]
    assert [(run["state"], run["jobs"][0]["name"]) for run in reports] == [
        ("SUCCEEDED", "extract"),
        ("SUCCEEDED", "transform"),
        ("SUCCEEDED", "aggregate"),
    ]
    assert reports[0]["jobs"][0]["counts"]["records"] == reports[1]["jobs"][0]["counts"]["records"] == 120


@pytest.mark.parametrize(
    "arguments",
    [
        ("describe", "gold.none"),
        ("history", "gold.none"),
        ("rollback", "gold.none", "1"),
        ("rollback", "silver.breweries", "1"),
    ],
)
def test_an_unknown_table_or_snapshot_is_a_readable_error(call: Call, full: Path, arguments: tuple[str, ...]) -> None:
    done = call(*arguments, "--lake", full)
    assert done.code in (1, 2)
    assert done.err.startswith("brewhouse: ")
    assert "Unexpected" not in done.err


def test_a_run_of_an_earlier_raw_snapshot_publishes_it_again(call: Call, copied: Path) -> None:
    lake = ("--lake", copied)
    count = ("query", "SELECT count(*) AS n FROM silver.breweries", *lake, "--json")
    first = json.loads(call("show", "last", *lake, "--json").out)["run"]
    with MockApiServer(generate(310, unusable=4)) as source:
        call("run", *lake, "--source-url", source.url)
    assert json.loads(call(*count).out) == [{"n": 306}]
    report = json.loads(call("run", *lake, "--snapshot", first, "--json").out)
    assert [job["name"] for job in report["jobs"]] == ["transform", "aggregate"]
    assert json.loads(call(*count).out) == [{"n": 296}]


@pytest.mark.parametrize("command", ["run", "transform"])
def test_an_unknown_raw_snapshot_is_an_error_that_names_it(call: Call, copied: Path, command: str) -> None:
    done = call(command, "--lake", copied, "--snapshot", "NO-SUCH-RUN")
    assert done.code in (1, 2)
    assert "NO-SUCH-RUN" in done.err


def test_missing_rows_fail_a_run_unless_allowed(call: Call, tmp_path: Path) -> None:
    arguments = ("extract", "--lake", tmp_path / "lake", "--json")
    with MockApiServer(generate(250), faults=["poison=7"]) as source, pytest.MonkeyPatch.context() as patch:
        for name, value in {"MAX_ATTEMPTS": "1", "RETRY_INITIAL_WAIT_S": "0", "EXTRACT_RETRY_WAIT_S": "0"}.items():
            patch.setenv(f"BREWHOUSE_{name}", value)
        refused = call(*arguments, "--source-url", source.url)
        allowed = call(*arguments, "--source-url", source.url, "--max-missing-rows", "1")
    assert (refused.code, refused.out) == (1, "")
    assert "--max-missing-rows" in refused.err
    assert allowed.code == 0, allowed.err
    assert json.loads(allowed.out)["jobs"][0]["counts"]["records"] == 249


@pytest.mark.parametrize("lost", ["", "data/*.parquet"])
def test_a_rebuild_makes_the_tables_from_every_raw_snapshot(call: Call, full: Path, tmp_path: Path, lost: str) -> None:
    """Also of a lake that was copied, even without some files of a table."""
    shutil.copytree(full, tmp_path / "lake")
    for file in (tmp_path / "lake" / "warehouse" / "gold" / "breweries_by_location").glob(lost) if lost else ():
        file.unlink()
    if lost:
        refused = call("relocate", "--lake", tmp_path / "lake")
        assert refused.code == 1
        assert "a file of gold.breweries_by_location is missing or damaged" in refused.err
        assert "brewhouse rebuild" in refused.err
    sql = (
        "SELECT country_code, state_code, sum(brewery_count) FROM gold.breweries_by_location GROUP BY ALL ORDER BY ALL"
    )
    before = call("query", sql, "--lake", full, "--json").out
    report = json.loads(call("rebuild", "--lake", tmp_path / "lake", "--json").out)
    assert (report["state"], [job["name"] for job in report["jobs"]]) == ("SUCCEEDED", ["rebuild"])
    assert call("query", sql, "--lake", tmp_path / "lake", "--json").out == before


def test_progress_is_drawn_in_a_terminal_and_leaves_a_line_per_job(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with MockApiServer(generate(60)) as source:
        options = ["--lake", str(tmp_path / "lake"), "--source-url", source.url, "--json"]
        command = [sys.executable, "-m", "brewhouse", "run", *options]
        environ = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environ, text=True)
        os.close(theirs)
        shown = read_terminal(ours)
        out, _ = process.communicate(timeout=60)
    assert json.loads(out)["state"] == "SUCCEEDED"
    assert shown.count("✓") == 3
    assert all(job in shown for job in ("extract", "transform", "aggregate"))


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Versions with a slug, a missing id and a UUID."""
    folder = tmp_path_factory.mktemp("versions")
    content = {"2022-01-01": "ales-york", "2023-01-01": "", "2024-01-01": KEY}
    for date, key in content.items():
        (folder / f"breweries-{date}.csv").write_text(f"{HEADER}{key},Ales,micro,1 Main St,,,York,,,,,,,\n")
    return sorted(folder.glob("*.csv"))


Backfilled = tuple[Path, subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def backfilled(versions: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Backfilled:
    """A lake that is made by a backfill, and its result; tests only read it."""
    lake = tmp_path_factory.mktemp("backfilled") / "lake"
    return lake, shell("backfill", *versions, "--lake", lake, "--json")


def test_a_backfill_prints_the_outcome_of_each_version(call: Call, versions: list[Path], tmp_path: Path) -> None:
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


def test_a_backfill_abbreviates_the_commit_of_a_git_version(call: Call, versions: list[Path], tmp_path: Path) -> None:
    repository = tmp_path / "clone"
    repository.mkdir()
    shutil.copy(versions[-1], repository / "breweries.csv")
    identity = ("-c", "user.name=n", "-c", "user.email=e@example.com")
    for arguments in (("init", "--quiet"), ("add", "."), (*identity, "commit", "--quiet", "-m", "Add data")):
        subprocess.run(["git", "-C", repository, *arguments], check=True)
    commit = subprocess.check_output(["git", "-C", repository, "rev-parse", "HEAD"], text=True)
    done = call("backfill", repository, "--lake", tmp_path / "lake")
    assert f" git:{commit[:8]}:breweries.csv " in done.out


def test_a_backfill_adds_its_versions_to_the_tables(call: Call, backfilled: Backfilled) -> None:
    lake = ("--lake", backfilled[0], "--json")
    sql = "SELECT snapshot_date, sum(brewery_count) AS n FROM gold.brewery_counts_over_time GROUP BY 1 ORDER BY 1"
    assert json.loads(call("query", sql, *lake).out) == [
        {"snapshot_date": "2022-01-01", "n": 1},
        {"snapshot_date": "2024-01-01", "n": 1},
    ]


def test_a_backfill_is_a_run(call: Call, backfilled: Backfilled) -> None:
    lake, done = backfilled
    result = json.loads(done.stdout)
    report = json.loads(call("show", result["run"], "--lake", lake, "--json").out)
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


def test_a_second_backfill_changes_nothing(
    call: Call, versions: list[Path], backfilled: Backfilled, tmp_path: Path
) -> None:
    shutil.copytree(backfilled[0], tmp_path / "lake")
    call("relocate", "--lake", tmp_path / "lake")
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


def test_a_dry_run_reports_the_changes_that_a_run_makes(call: Call, copied: Path) -> None:
    lake = ("--lake", copied)
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
def test_an_invalid_retention_is_wrong_usage(call: Call, tmp_path: Path, options: tuple[str, ...]) -> None:
    assert call("maintain", "--lake", tmp_path, *options).code == 2


def test_maintaining_a_lake_without_tables_is_an_error(call: Call, tmp_path: Path) -> None:
    done = call("maintain", "--lake", tmp_path / "lake")
    assert (done.code, done.out) == (1, "")
    assert "does not exist" in done.err


WRITES: tuple[tuple[str, ...], ...] = (
    *(("run",), ("extract",), ("transform",), ("aggregate",), ("maintain",), ("schedule", "on"), ("schedule", "off")),
    *(("rollback", "gold.breweries_by_location", "1"), ("alerts", "check"), ("alerts", "test"), ("backfill", "CSV")),
    ("maintain", "--dry-run"),
)
READS: tuple[tuple[str, ...], ...] = (
    *(("tables",), ("describe", "silver.breweries"), ("history", "silver.breweries"), ("changes",), ("rejected",)),
    *(("query", "SELECT count(*) FROM silver.breweries"), ("query", "SELECT count(*) FROM bronze.breweries")),
    *(("query", "SELECT count(*) FROM gold.brewery_counts_over_time", "--at", "2100-01-01"), ("places",), ("runs",)),
    *(("show",), ("logs",), ("models",), ("schedule",)),
)


def content(root: Path) -> dict[Path, bytes]:
    return {file.relative_to(root): file.read_bytes() for file in root.rglob("*") if file.is_file()}


def test_a_moved_lake_is_read_and_not_written_until_it_is_relocated(
    call: Call, full: Path, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BREWHOUSE_ALERTS_URLS", "json://127.0.0.1:1")
    monkeypatch.setenv("BREWHOUSE_ALERTS_LATE_AFTER_HOURS", "0.0000001")
    (tmp_path / "breweries-2025-01-01.csv").write_text(HEADER)
    moved = copied.rename(tmp_path / "moved")  # its original does not exist
    before = content(moved)
    snapshot = json.loads(call("history", "gold.breweries_by_location", "--lake", full, "--json").out)[0]["snapshot"]
    values = {"CSV": str(tmp_path / "breweries-2025-01-01.csv"), "1": str(snapshot)}
    for command in WRITES:
        arguments = [values.get(argument, argument) for argument in command]
        done = call(*arguments, "--lake", moved)
        assert done.code == 1, command
        assert f"was moved or copied from {copied}" in done.err, command
        assert f"Run `brewhouse relocate --lake {moved}`" in done.err, command
        assert content(moved) == before, command
    for command in READS:
        assert call(*command, "--lake", moved).out == call(*command, "--lake", full).out, command
    assert call("relocate", "--lake", moved).out == f"7 tables relocated to {moved}.\n"
    assert json.loads(call("relocate", "--lake", moved, "--json").out) == {"lake": str(moved), "tables": []}
    with duckdb.connect(str(moved / "brewhouse.duckdb"), read_only=True) as client:
        assert client.execute("SELECT count(*) FROM silver.breweries").fetchone() == (296,)
    with MockApiServer(generate(310, unusable=4)) as source:
        assert call("run", "--lake", moved, "--source-url", source.url).code == 0
    done = call("query", "SELECT count(*) AS n FROM silver.breweries", "--lake", moved, "--json")
    assert json.loads(done.out) == [{"n": 306}]


def test_a_lake_without_tables_is_not_relocated(call: Call, tmp_path: Path) -> None:
    done = call("relocate", "--lake", tmp_path / "lake")
    assert done.code == 1
    assert "does not exist" in done.err
    assert not (tmp_path / "lake").exists()


def test_the_commands_of_the_page_on_backups_work(call: Call, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copied.parent)
    sql = "SELECT count(*), (SELECT count(*) FROM silver.brewery_changes) AS changes FROM silver.breweries"
    before = call("query", sql, "--lake", copied, "--json").out
    page = (Path(__file__).parents[2] / "docs" / "backup.md").read_text("utf-8")
    for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("brewhouse "):
                done = call(*shlex.split(line)[1:])
                assert done.code == 0, f"{line}: {done.err}"
            else:
                subprocess.run(line, shell=True, check=True)
        lake = "lake-moved" if "lake-moved" in block else "lake"
        assert call("query", sql, "--lake", lake, "--json").out == before, block


def test_names_of_folders_are_neither_patterns_nor_partitions(call: Call, full: Path, tmp_path: Path) -> None:
    lake = tmp_path / "beer [2026]" / "country=BE" / "json=1" / "lake"
    shutil.copytree(full, tmp_path / "beer 2" / "country=BE" / "json=1" / "lake")  # what [2026] would match
    with MockApiServer(generate(60)) as source:
        assert call("run", "--lake", lake, "--source-url", source.url).code == 0
    sql = (
        "SELECT count(*), count(DISTINCT country) > 1, (SELECT count(*) FROM bronze.breweries), "
        "(SELECT count(*) FROM monitoring.runs), (SELECT count(*) > 1 FROM gold.breweries_by_location) "
        "FROM silver.breweries"
    )
    for options in ((), ("--at", "2100-01-01")):
        shown = call("query", sql, "--lake", lake, "--format", "csv", *options)
        assert shown.out.splitlines()[1].lower() == f"60,true,{0 if options else 60},1,true", shown.err
    result = execute(QueryRequest(lake=str(lake), sql=sql, folder=str(tmp_path)))
    assert (result.error, result.rows) == (None, 1)
