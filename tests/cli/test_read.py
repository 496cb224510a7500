"""Commands that read: their output in every format, changes and places, and their errors."""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from tests.iceberg.parquet import publish, spec_of
from tests.mock_api.server import MockApiServer

from brewhouse.cli.main import main
from brewhouse.iceberg.lake_catalog import NAME
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate

COUNT = "SELECT 'breweries' AS what, count(*) AS number FROM silver.breweries"
Call = Callable[..., Any]


def test_query_prints_a_table_with_its_row_count(call: Call, full: Path) -> None:
    done = call("query", COUNT, "--lake", full)
    assert (done.code, done.err) == (0, "")
    assert "what" in done.out
    assert "296" in done.out
    assert done.out.endswith("1 row\n")


def test_query_prints_csv(call: Call, full: Path) -> None:
    done = call("query", COUNT, "--lake", full, "--format", "csv")
    assert list(csv.reader(io.StringIO(done.out))) == [["what", "number"], ["breweries", "296"]]


@pytest.mark.parametrize("options", [("--json",), ("--format", "json")])
def test_query_prints_json(call: Call, full: Path, options: tuple[str, ...]) -> None:
    assert json.loads(call("query", COUNT, "--lake", full, *options).out) == [{"what": "breweries", "number": 296}]


@pytest.mark.parametrize("name", ["table", "csv", "json"])
def test_query_writes_the_same_text_into_a_file(call: Call, full: Path, tmp_path: Path, name: str) -> None:
    printed = call("query", COUNT, "--lake", full, "--format", name).out
    done = call("query", COUNT, "--lake", full, "--format", name, "--output", tmp_path / "result")
    assert (done.code, done.out) == (0, "")
    assert (tmp_path / "result").read_text("utf-8") == printed


def test_query_writes_parquet(call: Call, full: Path, tmp_path: Path) -> None:
    assert call("query", COUNT, "--lake", full, "--format", "parquet", "--output", tmp_path / "r.parquet").code == 0
    assert pq.read_table(tmp_path / "r.parquet").to_pylist() == [{"what": "breweries", "number": 296}]


def test_repeated_column_names_are_numbered_in_json(call: Call, full: Path) -> None:
    done = call("query", "SELECT 1 AS a, 2 AS a, 3 AS a_1", "--lake", full, "--json")
    assert list(json.loads(done.out)[0].values()) == [1, 2, 3]


@pytest.mark.parametrize("name", ["csv", "json", "table", "parquet"])
def test_an_unwritable_file_is_an_error_with_its_path(call: Call, full: Path, tmp_path: Path, name: str) -> None:
    file = tmp_path / "nowhere" / "result"
    done = call("query", COUNT, "--lake", full, "--format", name, "--output", file)
    assert done.code == 1
    assert done.err.startswith(f"brewhouse: Failed to write {file}: No such file or directory.")
    assert "--output" in done.err


NEEDS = {
    "tables": ("tables", "describe gold.x", "history gold.x", "rollback gold.x 1", "rollback 01KT7JWVRG5CJVXM0D2Z1",
               "query 'TABLE gold.x'", "query 'TABLE gold.x' --at 2026-01-01", "places", "rejected", "changes",
               "maintain --dry-run", "relocate", "drop gold.x"),
    "snapshots": ("diff last last", "transform", "aggregate", "rebuild"),
    "runs": ("show", "logs"),
}  # fmt: skip
FAILED = "`; `brewhouse show` says how the last run ended."


@pytest.mark.parametrize(
    ("state", "messages"),
    [
        ("missing", dict.fromkeys(NEEDS, "does not exist. Check --lake, or run `brewhouse ")),
        (
            "empty",
            {
                "tables": "has no published tables. Run `brewhouse run` first.",
                "snapshots": "has no complete raw snapshot. Run `brewhouse extract` first.",
                "runs": "has no runs. Run `brewhouse run` first.",
            },
        ),
        ("failed", {"tables": FAILED}),
    ],
)
def test_every_command_says_why_a_lake_has_nothing_for_it_and_what_to_do(
    call: Call, tmp_path: Path, state: str, messages: dict[str, str]
) -> None:
    lake = tmp_path / "lake"
    if state == "empty":
        lake.mkdir()
    elif state == "failed":
        with MockApiServer(generate(20), faults=["status=404"]) as source:
            assert call("run", "--lake", lake, "--source-url", source.url).code == 1
    before = sorted(tmp_path.rglob("*"))
    for needed, message in messages.items():
        for command in NEEDS[needed]:
            done = call(*shlex.split(command), "--lake", lake)
            assert (done.code, done.out) == (1, ""), command
            assert message in done.err, command
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("command", ["transform", "aggregate", "rebuild", "run --snapshot last"])
def test_a_job_that_finds_nothing_creates_no_lake_to_record_it(call: Call, tmp_path: Path, command: str) -> None:
    done = call(*command.split(), "--lake", tmp_path / "lake")
    assert (done.code, done.out) == (1, "")
    assert "run `brewhouse extract` first." in done.err
    assert not (tmp_path / "lake").exists()


def test_a_lake_that_is_a_file_is_an_error(call: Call, tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("")
    done = call("tables", "--lake", tmp_path / "lake")
    assert done.code == 2
    assert "lake is not a folder." in done.err


def test_a_time_of_the_history_shows_that_snapshot(call: Call, full: Path) -> None:
    (first, *_) = json.loads(call("history", "silver.breweries", "--lake", full, "--json").out)
    done = call(
        "query", "SELECT count(*) AS n FROM silver.breweries", "--lake", full, "--at", first["committed"], "--json"
    )
    assert json.loads(done.out) == [{"n": first["rows"]}]


def test_a_query_error_is_one_paragraph_that_ends_with_its_place(call: Call, full: Path) -> None:
    done = call("query", "SELECT nope FROM silver.breweries", "--lake", full)
    assert done.code == 2
    message, line, mark = done.err.rstrip().rsplit("\n", 2)
    assert message.endswith("`brewhouse tables` lists the tables.")
    assert (line, mark.strip()) == ("LINE 1: SELECT nope FROM silver.breweries", "^^^^")
    assert "\n\n" not in done.err


def test_an_empty_query_is_an_error(call: Call, full: Path) -> None:
    done = call("query", "", "--lake", full)
    assert done.code == 2
    assert "not an empty text" in done.err


@pytest.mark.parametrize("table", ["breweries", "silver.nothing", ""])
def test_an_unknown_table_is_an_error_that_lists_the_tables(call: Call, full: Path, table: str) -> None:
    for command in ("describe", "history"):
        done = call(command, table, "--lake", full)
        assert done.code == 2
        assert f"has no table {table}; it has: gold.breweries_by_location" in done.err
        assert done.err.endswith(
            "Did you mean silver.breweries?\n" if table == "breweries" else "creates missing ones.\n"
        )


def test_parquet_without_a_file_is_wrong_usage(call: Call, full: Path) -> None:
    done = call("query", COUNT, "--lake", full, "--format", "parquet")
    assert done.code == 2
    assert "--output" in done.err


@pytest.mark.parametrize(
    "sql",
    [
        "DROP VIEW silver.breweries",
        "CREATE TABLE t AS SELECT 1",
        "SELECT 1; SELECT 2",
        "SELECT nothing",
        "",
        "COPY (SELECT 1) TO 'x.csv'",
    ],
)
def test_query_only_reads(call: Call, full: Path, sql: str) -> None:
    done = call("query", sql, "--lake", full)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("brewhouse: ")


@pytest.mark.parametrize("zone", ["bronze.breweries", "silver.rejected_breweries", "gold.breweries_by_location"])
def test_every_zone_can_be_queried(call: Call, full: Path, zone: str) -> None:
    assert call("query", f"SELECT * FROM {zone} LIMIT 1", "--lake", full).code == 0


@pytest.mark.parametrize(
    ("command", "columns"),
    [
        (("tables",), {"table", "rows", "published", "description"}),
        (
            ("history", "silver.breweries"),
            {"snapshot", "committed", "run", "raw_snapshot", "rows", "current", "rolled_back", "branch"},
        ),
        (("rejected",), {"reasons", "page", "record"}),
        (
            ("runs",),
            {"run", "workflow", "state", "started_at", "ended_at", "seconds", "error", "jobs", "checks", "drift"}
            | {"published", "planned", "workflow_run", "trigger"},
        ),
    ],
)
def test_lists_are_tables_and_with_json_arrays(
    call: Call, full: Path, command: tuple[str, ...], columns: set[str]
) -> None:
    rows = json.loads(call(*command, "--lake", full, "--json").out)
    assert rows
    assert all(set(row) == columns for row in rows)
    plain = call(*command, "--lake", full)
    assert (plain.code, plain.err) == (0, "")
    assert plain.out.strip()


def test_history_reads_as_of_each_run(call: Call, full: Path) -> None:
    history = json.loads(call("history", "silver.breweries", "--lake", full, "--json").out)
    assert len(history) == 2
    for snapshot in history:
        for at in (snapshot["run"], snapshot["snapshot"]):
            sql = "SELECT DISTINCT snapshot_run AS run FROM silver.breweries"
            (row,) = json.loads(call("query", sql, "--lake", full, "--at", at, "--json").out)
            assert row["run"] == snapshot["raw_snapshot"]


def test_describe_lists_every_column(call: Call, full: Path) -> None:
    spec = json.loads(call("describe", "gold.breweries_by_location", "--lake", full, "--json").out)
    plain = call("describe", "gold.breweries_by_location", "--lake", full).out
    assert all(column["name"] in plain for column in spec["columns"])


def test_show_prints_jobs_checks_and_tables(call: Call, full: Path) -> None:
    report = json.loads(call("show", "--lake", full, "--json").out)
    assert report["state"] == "SUCCEEDED"
    assert [job["name"] for job in report["jobs"]] == ["extract", "transform", "aggregate"]
    assert report["checks"]
    assert report["run"] in call("show", report["run"], "--lake", full).out


def test_a_saved_query_runs_by_its_name(call: Call, full: Path) -> None:
    done = call("query", "--saved", "breweries_by_country", "--lake", full, "--format", "csv")
    assert (done.code, done.err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert sum(int(row["breweries"]) for row in rows) == 296


def test_queries_lists_the_saved_queries(call: Call, full: Path) -> None:
    listed = json.loads(call("queries", "--json").out)
    assert "top_cities" in [query["name"] for query in listed]
    assert call("query", "--saved", listed[0]["name"], "--lake", full).code == 0


@pytest.mark.parametrize("arguments", [(), (COUNT, "--saved", "top_cities")])
def test_a_query_needs_either_sql_or_a_saved_name(call: Call, full: Path, arguments: tuple[str, ...]) -> None:
    done = call("query", *arguments, "--lake", full)
    assert done.code == 2
    assert "brewhouse queries" in done.err


BY_COUNTRY = "SELECT count(*) AS n FROM silver.breweries WHERE country_code = $country AND latitude > $south"


def test_parameters_are_values_and_not_sql(call: Call, full: Path) -> None:
    options = ("--param", "country=US", "--param", "south=10", "--lake", full, "--json")
    assert json.loads(call("query", BY_COUNTRY, *options).out)[0]["n"] > 0
    injected = call(
        "query", BY_COUNTRY, "--param", "country=' OR true --", "--param", "south=1", "--lake", full, "--json"
    )
    assert json.loads(injected.out) == [{"n": 0}]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("country=BE",), "The query has no value for $south. Pass --param south=VALUE."),
        (("country=BE", "south=1", "x=1"), "The query has no parameter $x. Write $x in the SQL."),
    ],
)
def test_parameters_are_those_of_the_query(call: Call, full: Path, given: tuple[str, ...], message: str) -> None:
    done = call("query", BY_COUNTRY, *(part for each in given for part in ("--param", each)), "--lake", full)
    assert (done.code, done.err) == (2, f"brewhouse: {message}\n")


def test_a_table_has_50_rows_and_counts_the_others(call: Call, full: Path) -> None:
    done = call("query", "SELECT * FROM silver.breweries", "--lake", full)
    lines = done.out.splitlines()
    assert lines[52] == "… 246 more (--all)"
    assert len(call("query", "SELECT * FROM silver.breweries", "--lake", full, "--all").out.splitlines()) == 296 + 4
    assert "… 295 more (--all)" in call("query", "FROM silver.breweries", "--lake", full, "--limit", "1").out
    assert len(json.loads(call("query", "FROM silver.breweries", "--lake", full, "--json").out)) == 296
    assert len(json.loads(call("query", "FROM silver.breweries", "--lake", full, "--json", "--limit", "7").out)) == 7


@pytest.mark.parametrize("option", [("--at", "2026-01-01"), ("--lake", "x"), ("--param", "a=1")])
def test_options_that_athena_ignores_are_rejected(call: Call, option: tuple[str, ...]) -> None:
    done = call("query", "SELECT 1", "--on", "athena", *option)
    assert (done.code, done.out) == (2, "")
    assert f"--on athena and {option[0]} contradict each other" in done.err


def test_ctrl_c_stops_a_query_with_130(full: Path) -> None:
    sql = "SELECT count(*) FROM range(100000000) a, range(100000) b WHERE (a.range * b.range) % 7 = 3"
    command = [sys.executable, "-m", "brewhouse", "query", "-", "--lake", str(full), "--json"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(sql.encode())
        process.stdin.close()
        process.stdin = None
        running = f"/proc/{process.pid}/task"
        while len(os.listdir(running)) < 3:  # noqa: PTH208 - DuckDB's threads show that the query has begun
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    assert (process.returncode, out, b"Traceback" in errors) == (130, b"", False), errors


def test_the_limit_of_a_history_is_of_its_newest_snapshots(call: Call, full: Path) -> None:
    rows = json.loads(call("history", "silver.breweries", "--lake", full, "--json").out)
    assert json.loads(call("history", "silver.breweries", "--lake", full, "--json", "--limit", "1").out) == rows[1:]
    assert [row["current"] for row in rows] == [False, True]
    table = call("history", "silver.breweries", "--lake", full, "--limit", "1").out
    assert [str(row["snapshot"]) in table for row in rows] == [False, True]


def test_the_history_marks_snapshots_of_other_branches(call: Call, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    publish(Tables(lake), spec_of(n="long"), (1,))
    with closing(SqlCatalog(NAME, uri=f"sqlite:///{lake.catalog_file}", warehouse=f"file://{lake.warehouse}")) as other:
        table = other.load_table("silver.t")
        table.manage_snapshots().create_branch(table.metadata.current_snapshot_id or 0, "audit").commit()
        table.append(table.scan().to_arrow(), branch="audit")
    rows = json.loads(call("history", "silver.t", "--lake", lake.root, "--json").out)
    assert [(row["rows"], row["current"], row["rolled_back"], row["branch"]) for row in rows] == [
        (1, True, False, None),
        (2, False, False, "audit"),
    ]


HEADER = (
    "id,name,brewery_type,city,state_province,country,address_1,address_2,address_3,postal_code,phone,website_url,"
    "longitude,latitude"
)
IDS = [f"0000000{number}-0000-4000-8000-000000000000" for number in range(5)]
VERSIONS = {
    "2025-01-01": [
        (IDS[0], "Ales", "micro", "York", "", "England"),
        (IDS[1], "Brew", "micro", "Gent", "Vlaanderen", "Belgium"),
        (IDS[2], "Cask", "closed", "Lyon", "", "France"),
        (IDS[3], "Dray", "micro", "Nowhere", "", "Atlantis"),
    ],
    "2026-02-02": [
        (IDS[0], "Ales & Co", "micro", "York", "", "England"),
        (IDS[2], "Cask", "micro", "Lyon", "", "France"),
        (IDS[3], "Dray", "closed", "Nowhere", "", "Atlantis"),
        (IDS[4], "Elm", "nano", "Gent", "Vlaanderen", "Belgium"),
    ],
}
KINDS = {IDS[0]: "changed", IDS[1]: "removed", IDS[2]: "reopened", IDS[3]: "closed", IDS[4]: "added"}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with two versions of a small dataset."""
    folder = tmp_path_factory.mktemp("changes")
    for date, rows in VERSIONS.items():
        lines = [HEADER, *(",".join((*row, *[""] * 8)) for row in rows)]
        (folder / f"breweries-{date}.csv").write_text("".join(f"{line}\n" for line in lines))
    files = [str(file) for file in sorted(folder.glob("*.csv"))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["brewhouse", "backfill", *files, "--lake", str(folder / "lake")])
        with pytest.raises(SystemExit) as left:
            main()
        assert not left.value.code
    return folder / "lake"


def listed(call: Call, lake: Path, *arguments: object) -> list[dict[str, Any]]:
    done = call(*arguments, "--lake", lake, "--json")
    assert (done.code, done.err) == (0, "")
    rows: list[dict[str, Any]] = json.loads(done.out)
    return rows


def test_changes_are_listed_newest_snapshot_first(call: Call, lake: Path) -> None:
    rows = listed(call, lake, "changes")
    assert len(rows) == 9
    assert {row["id"]: row["kind"] for row in rows[:5]} == KINDS
    assert {row["kind"] for row in rows[5:]} == {"added"}


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (("--since", "2026-02-02"), set(IDS)),
        (("--since", "2026-02-03"), set()),
        (("--since", "2025-01-02", "--country", "BE"), {IDS[1], IDS[4]}),
        (("--since", "2025-01-02", "--country", "be", "--kind", "removed"), {IDS[1]}),
        (("--kind", "closed", "--kind", "reopened"), {IDS[2], IDS[3]}),
        (("--country", "AQ"), set()),
    ],
)
def test_changes_can_be_filtered(call: Call, lake: Path, options: tuple[str, ...], ids: set[str]) -> None:
    assert {row["id"] for row in listed(call, lake, "changes", *options)} == ids


def test_changes_are_printed_with_old_and_new_values_and_the_count_of_each_kind(call: Call, lake: Path) -> None:
    done = call("changes", "--since", "2026-01-01", "--lake", lake)
    assert (done.code, done.err) == (0, "")
    assert "name: Ales -> Ales & Co" in done.out
    assert "brewery_type: closed -> micro" in done.out
    assert "York, England" in done.out
    assert done.out.endswith("1 added, 1 changed, 1 closed, 1 removed, 1 reopened\n")


def test_a_limit_reports_that_rows_are_missing(call: Call, lake: Path) -> None:
    done = call("changes", "--limit", "2", "--lake", lake)
    assert "\n… 7 more (--all)\n" in done.out
    assert sum(key in done.out for key in IDS) == 2
    assert len(listed(call, lake, "changes", "--limit", "2")) == 2
    assert len(listed(call, lake, "diff", "2025-01-01", "last", "--limit", "3")) == 3


def test_no_changes_are_reported(call: Call, lake: Path) -> None:
    for command in (("changes", "--country", "AQ"), ("diff", "last", "last")):
        done = call(*command, "--lake", lake)
        assert (done.code, done.out.splitlines()[-1]) == (0, "no changes")


def test_a_diff_compares_any_two_snapshots_either_way(call: Call, lake: Path) -> None:
    there = listed(call, lake, "diff", "2025-01-01", "last")
    assert {row["id"]: row["kind"] for row in there} == KINDS
    back = listed(call, lake, "diff", "2026-02-02", "2025-01-01")
    opposite = {"added": "removed", "removed": "added", "closed": "reopened", "reopened": "closed"}
    assert {row["id"]: row["kind"] for row in back} == {key: opposite.get(kind, kind) for key, kind in KINDS.items()}
    run = there[0]["snapshot_run"]
    assert listed(call, lake, "diff", run, "last") == []


def test_places_are_listed_with_their_codes(call: Call, lake: Path) -> None:
    rows = {row["country"]: row for row in listed(call, lake, "places")}
    assert set(rows) == {"England", "Belgium", "France", "Atlantis"}
    assert (rows["Belgium"]["country_code"], rows["Belgium"]["state_code"]) == ("BE", "BE-VLG")
    assert rows["Belgium"]["breweries"] == 1
    assert "Atlantis" in call("places", "--lake", lake).out


def test_unmatched_places_are_listed_alone(call: Call, lake: Path) -> None:
    (row,) = listed(call, lake, "places", "--unmatched")
    assert (row["country"], row["country_code"], row["place_match"]) == ("Atlantis", None, "none")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("changes", "--since", "yesterday"), 2, "'yesterday' is not a date"),
        (("changes", "--since", "2026-02-30"), 2, "'2026-02-30' is not a date"),
        (("changes", "--kind", "vanished"), 2, "(got vanished)"),
        (("changes", "--limit", "0"), 2, "--limit"),
        (("changes", "--limit", "-1"), 2, "--limit"),
        (("changes", "--country", "XX"), 2, "'XX' is not the ISO 3166 code of a country. `brewhouse places`"),
        (("changes", "--country", "United States"), 2, "is not the ISO 3166 code of a country. Write US."),
        (("changes", "--country", "USA"), 2, "is not the ISO 3166 code of a country. Write US."),
        (("diff", "last"), 2, "SECOND"),
        (("diff", "2020-01-01", "last"), 2, "no raw snapshot 2020-01-01"),
        (("diff", "last", "../.."), 2, "no raw snapshot ../.."),
    ],
)
def test_invalid_arguments_are_wrong_usage(
    call: Call, lake: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = call(*arguments, "--lake", lake)
    assert (done.code, done.out) == (code, "")
    assert message.lower() in done.err.lower()


@pytest.mark.parametrize(
    ("command", "code"), [(("changes",), 1), (("places",), 1), (("diff", "last", "last"), 1), (("rebuild",), 1)]
)
def test_an_empty_lake_is_an_error_with_a_hint(call: Call, tmp_path: Path, command: tuple[str, ...], code: int) -> None:
    done = call(*command, "--lake", tmp_path / "none")
    assert (done.code, done.out) == (code, "")
    assert str(tmp_path / "none") in done.err


def test_a_lake_with_events_only_has_no_tables(call: Call, tmp_path: Path) -> None:
    (tmp_path / "events" / "date=2026-08-02").mkdir(parents=True)
    for command in ("changes", "places"):
        done = call(command, "--lake", tmp_path)
        assert (done.code, done.err.count("\n")) == (1, 1)
        assert "The lake has no tables yet. Run `brewhouse run`; `brewhouse show` says how" in done.err
