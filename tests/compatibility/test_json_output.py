"""What every command gives with `--json`: keys and types, which programs rely on.

`rollback` is in `test_lake_of_today.py`. Not pinned, as they need an account or the package index: `aws package`,
`aws status`, `aws query`, `aws verify`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.compatibility.conftest import ALERTED, CRON, ONE_LAKE, Seen
from tests.compatibility.outside import COLUMNS, NOBODY, breweries, output, run_json, taker
from tests.compatibility.shapes import Shape, mismatches

pytestmark = ONE_LAKE

CHECK: Shape = {
    "job": "string",
    "name": "string",
    "table": "string",
    "severity": "string",
    "found": "integer",
    "example": "string|null",
    "passed": "boolean",
}
DRIFT: Shape = {"jobName": "string", "name": "string", "detail": "string", "count": "integer", "example": "string"}
PUBLISHED: Shape = {"table": "string", "snapshot": "integer", "rows": "integer"}
EXTRACTED: Shape = {
    "records": "integer",
    "requested_pages": "integer",
    "resumed_pages": "integer",
    "holes": "integer",
}
TRANSFORMED: Shape = {"records": "integer", "breweries": "integer", "rejected": "integer", "changes": "integer"}
AGGREGATED: Shape = {
    "gold.breweries_by_location": "integer",
    "gold.breweries_by_type_and_location": "integer",
    "gold.brewery_counts_over_time": "integer",
}
REBUILT: Shape = {"raw_snapshots": "integer", "left_out": "integer"}
MAINTAINED: dict[str, Shape] = {
    "snapshots_expired": "integer",
    "files_compacted": "integer",
    "files_written": "integer",
    "files_removed": "integer",
    "bytes_freed": "integer",
    "files_waiting": "integer",
    "bytes_waiting": "integer",
}
COUNTS = {
    "extract": EXTRACTED,
    "transform": TRANSFORMED,
    "aggregate": AGGREGATED,
    "rebuild": REBUILT,
    "maintain": MAINTAINED,
}
CHANGED = (
    "name", "brewery_type", "address_1", "address_2", "address_3", "city", "state_province", "postal_code", "country",
    "longitude", "latitude", "phone", "website_url",
)  # fmt: skip
CHANGE: Shape = {
    **{f"{name}{when}": "string|null" for name in CHANGED for when in ("", "_before")},
    **{f"{name}{when}": "number|null" for name in ("longitude", "latitude") for when in ("", "_before")},
    "id": "string",
    "kind": "string",
    "changed_fields": "string|null",
    "country_code": "string|null",
    "state_code": "string|null",
    "snapshot_run": "string",
    "snapshot_time": "string",
    "previous_run": "string|null",
}
OUTCOMES: Shape = [{"kind": "string", "subject": "string", "receiver": "string", "error": "string"}]
ENVELOPE: Shape = {
    "id": "string",
    "detail-type": "string",
    "source": "string",
    "time": "string",
    "version": "string",
    "detail": {"*": "string|number|boolean|null|list|object"},
}
LOG_LINE: Shape = {
    "time": "string",
    "level": "string",
    "run": "string",
    "job?": "string",
    "message": "string",
    "logger": "string",
    "traceback?": "string",
}

Report = dict[str, Any]


def report(*, ended: bool = True, checks: bool = False, drift: bool = False, published: bool = False) -> Shape:
    """Give the shape of a run's report; the list of its jobs is looked at by itself."""
    return {
        "run": "string",
        "state": "string",
        "started_at": "string",
        "workflow": "string",
        "workflow_run": "string",
        "trigger": "string",
        "planned": ["string"],
        "ended_at": "string",
        "seconds": "number" if ended else "null",
        "error": "string",
        "jobs": [
            {
                "name": "string",
                "state": "string",
                "started_at": "string",
                "seconds": "number|null",
                "message": "string",
                "counts": {"*": "integer"},
                "raw_snapshot": "string",
                "expired_runs": "list",
            }
        ],
        "checks": [CHECK] if checks else [],
        "drift": [DRIFT] if drift else [],
        "published": [PUBLISHED] if published else [],
    }


def ends(report: Report) -> list[tuple[str, str]]:
    """Give each job with its state."""
    return [(job["name"], job["state"]) for job in report["jobs"]]


@pytest.fixture(scope="module")
def runs(seen: Seen) -> list[Report]:
    """Every run of the lake, as `runs` lists them."""
    made: list[Report] = run_json("runs", "--lake", seen.lake)
    return made


@pytest.mark.parametrize(
    ("step", "jobs", "shape"),
    [
        ("run", ["extract", "transform", "aggregate"], report(checks=True, drift=True, published=True)),
        ("extract", ["extract"], report(drift=True)),
        ("transform", ["transform"], report(checks=True, published=True)),
        ("aggregate", ["aggregate"], report(checks=True, published=True)),
        ("rebuild", ["rebuild"], report(checks=True, published=True)),
    ],
)
def test_the_report_of_a_run(seen: Seen, step: str, jobs: list[str], shape: Shape) -> None:
    made = seen.outputs[step]
    assert mismatches(made, shape) == []
    assert made["state"] == "SUCCEEDED"
    assert made["workflow"] == ("rebuild" if step == "rebuild" else "breweries")
    assert made["planned"] == jobs
    assert ends(made) == [(name, "SUCCEEDED") for name in jobs]
    for job in made["jobs"]:
        assert mismatches(job["counts"], COUNTS[job["name"]]) == []


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
def test_maintain(seen: Seen, arguments: tuple[str, ...]) -> None:
    made = run_json("maintain", *arguments, "--lake", seen.lake) if arguments else seen.outputs["maintain"]
    one: Shape = {"table": "string", **MAINTAINED}
    assert mismatches(made, {"dry_run": "boolean", "tables": [one], "total": one}) == []
    assert made["dry_run"] == bool(arguments)
    assert len(made["tables"]) == 7


@pytest.mark.parametrize(
    ("step", "state", "jobs", "shape"),
    [
        (
            "checks failed",
            "FAILED",
            [("extract", "SUCCEEDED"), ("transform", "FAILED")],
            report(checks=True),
        ),
        ("failed", "FAILED", [("transform", "FAILED")], report()),
        ("stopped", "STOPPED", [("extract", "STOPPED")], report()),
        ("killed", "FAILED", [("extract", "FAILED")], report()),
        (
            "run",
            "SUCCEEDED",
            [("extract", "SUCCEEDED"), ("transform", "SUCCEEDED"), ("aggregate", "SUCCEEDED")],
            report(checks=True, drift=True, published=True),
        ),
    ],
)
def test_a_run_among_all_runs(
    runs: list[Report], seen: Seen, step: str, state: str, jobs: list[tuple[str, str]], shape: Shape
) -> None:
    (made,) = (run for run in runs if run["run"] == seen.run_of(step))
    assert mismatches(made, shape) == []
    assert made["state"] == state
    assert ends(made) == jobs
    assert bool(made["error"]) == (state != "SUCCEEDED")


def test_runs_are_listed_newest_first(runs: list[Report]) -> None:
    assert [run["state"] for run in runs] == [
        "SUCCEEDED",  # maintain
        "SUCCEEDED",  # rebuild
        "FAILED",  # as it was killed
        "STOPPED",
        "FAILED",  # for want of a raw snapshot
        "FAILED",  # by a check
        "SUCCEEDED",  # aggregate
        "SUCCEEDED",  # transform
        "SUCCEEDED",  # extract
        "SUCCEEDED",  # all three
    ]


def test_show_prints_one_of_them(runs: list[Report], seen: Seen) -> None:
    assert run_json("show", "last", "--lake", seen.lake) == runs[0]
    made = run_json("show", seen.run_of("checks failed"), "--lake", seen.lake)
    assert made == runs[5]
    failed = [check for check in made["checks"] if not check["passed"] and check["severity"] == "error"]
    assert [(check["job"], check["table"], check["found"]) for check in failed] == [
        ("transform", "silver.breweries", 40)
    ]
    assert {check["severity"] for check in made["checks"]} == {"error", "warning"}


def test_events_are_lines_with_the_envelope_of_eventbridge(seen: Seen) -> None:
    lines = output("events", "--limit", "1000", "--lake", seen.lake, "--json").splitlines()
    made = [json.loads(line) for line in lines]
    assert mismatches(made, [ENVELOPE]) == []
    assert [event["id"] for event in made] == sorted(event["id"] for step in seen.events.values() for event in step)


def test_logs_are_lines(seen: Seen) -> None:
    made = [json.loads(line) for line in output("logs", seen.run_of("run"), "--lake", seen.lake, "--json").splitlines()]
    assert mismatches(made, [LOG_LINE]) == []
    assert {line.get("job") for line in made} == {None, "extract", "transform", "aggregate"}
    assert {line["level"] for line in made} == {"INFO", "WARN"}


def test_query_gives_an_object_a_row_with_values_as_json_has_them(seen: Seen) -> None:
    sql = (
        "SELECT 1 AS whole, 1.5::DOUBLE AS number, 'x' AS text, NULL AS nothing, true AS truth, [1, 2] AS list, "
        "{'a': 1} AS object, TIMESTAMPTZ '2026-08-02 12:00:00+00' AS time, DATE '2026-08-02' AS day, "
        "1.50::DECIMAL(9, 2) AS decimal FROM silver.breweries LIMIT 1"
    )
    assert run_json("query", sql, "--lake", seen.lake) == [
        {
            "whole": 1,
            "number": 1.5,
            "text": "x",
            "nothing": None,
            "truth": True,
            "list": [1, 2],
            "object": {"a": 1},
            "time": "2026-08-02T12:00:00Z",
            "day": "2026-08-02",
            "decimal": 1.5,  # as JSON has it: 1.50
        }
    ]


def test_queries() -> None:
    made = run_json("queries")
    assert mismatches(made, [{"name": "string", "question": "string"}]) == []
    assert {query["name"] for query in made} == {
        "breweries_by_country",
        "breweries_by_type",
        "counts_over_time",
        "coverage",
        "latest_changes",
        "latest_checks",
        "latest_runs",
        "near",
        "rejected_breweries",
        "top_cities",
        "types_by_state",
    }


def test_tables(seen: Seen) -> None:
    made = run_json("tables", "--lake", seen.lake)
    shape: Shape = [{"table": "string", "rows": "integer", "published": "string", "description": "string"}]
    assert mismatches(made, shape) == []
    assert {row["table"]: row["rows"] for row in made} == {
        "gold.breweries_by_location": 6,
        "gold.breweries_by_type_and_location": 13,
        "gold.brewery_counts_over_time": 13,
        "silver.breweries": 60,
        "silver.brewery_changes": 66,
        "silver.rejected_breweries": 1,
        "silver.suspect_breweries": 1,
    }


def test_describe(seen: Seen) -> None:
    made = run_json("describe", "silver.breweries", "--lake", seen.lake)
    shape: Shape = {
        "name": "string",
        "description": "string",
        "columns": [{"name": "string", "type": "string", "description": "string", "field_id": "integer"}],
        "partition": ["string"],
        "sort": ["string"],
    }
    assert mismatches(made, shape) == []


def test_history(seen: Seen) -> None:
    made = run_json("history", "silver.breweries", "--lake", seen.lake)
    shape: Shape = {
        "snapshot": "integer",
        "committed": "string",
        "run": "string|null",
        "raw_snapshot": "string|null",
        "rows": "integer",
        "current": "boolean",
        "rolled_back": "boolean",
        "branch": "string|null",
    }
    assert mismatches(made, [shape]) == []
    assert [row["rows"] for row in made if row["current"]] == [60]


def test_rejected(seen: Seen) -> None:
    made = run_json("rejected", "--lake", seen.lake)
    assert mismatches(made, [{"reasons": "string", "page": "integer", "record": "string"}]) == []
    (row,) = made
    assert json.loads(row["record"])["id"] == "00000000-0000-4000-8000-000000000059"


def test_changes(seen: Seen) -> None:
    made = run_json("changes", "--lake", seen.lake)
    assert mismatches(made, [CHANGE]) == []
    assert {row["kind"] for row in made} == {"added", "removed", "changed", "closed"}


def test_diff(seen: Seen) -> None:
    made = run_json("diff", seen.run_of("run"), seen.run_of("extract"), "--lake", seen.lake)
    assert mismatches(made, [CHANGE]) == []
    assert sorted((row["kind"], int(row["id"][-3:])) for row in made) == [
        ("added", 61),
        ("added", 62),
        ("added", 63),
        ("changed", 3),
        ("closed", 4),
        ("removed", 1),
        ("removed", 2),
    ]


@pytest.mark.parametrize("arguments", [(), ("--unmatched",)])
def test_places(seen: Seen, arguments: tuple[str, ...]) -> None:
    made = run_json("places", *arguments, "--lake", seen.lake)
    shape: Shape = {
        "country": "string|null",
        "state_province": "string|null",
        "country_code": "string|null",
        "country_name": "string|null",
        "state_code": "string|null",
        "state_name": "string|null",
        "place_match": "string",
        "breweries": "integer",
    }
    assert mismatches(made, [shape]) == []
    assert ("Belgium" in {row["country"] for row in made}) == (not arguments)
    assert "Atlantis" in {row["country"] for row in made}


def test_models(seen: Seen, tmp_path: Path) -> None:
    own = tmp_path / "gold" / "own.sql"
    own.parent.mkdir()
    own.write_text("SELECT country, count(*) AS n FROM silver.breweries GROUP BY country\n", "utf-8")
    made = run_json("models", "--models", tmp_path, "--lake", seen.lake)
    shape: Shape = {
        "table": "string",
        "kind": "string",
        "job": "string",
        "reads": "list",
        "key": "list",
        "description": "string",
    }
    assert mismatches(made, [shape]) == []
    assert {(row["kind"], row["job"]) for row in made} == {
        ("built-in", "transform"),
        ("built-in", "aggregate"),
        ("own", "aggregate"),
    }


def test_schedule(seen: Seen) -> None:
    made = run_json("schedule", "--count", "3", "--lake", seen.lake, variables=CRON)
    shape: Shape = {"cron": "string", "time_zone": "string", "is_on": "boolean", "next": ["string"]}
    assert mismatches(made, shape) == []
    assert (made["cron"], made["time_zone"], made["is_on"]) == ("0 6 * * *", "Europe/Berlin", True)
    assert len(made["next"]) == 3


def test_schedule_without_one(tmp_path: Path) -> None:
    made = run_json("schedule", "--lake", tmp_path / "lake")
    assert made == {"cron": None, "time_zone": None, "is_on": True, "next": []}


def test_backfill(tmp_path: Path) -> None:
    source = breweries(1)
    file = tmp_path / "breweries-2025-10-03.csv"
    lines = [",".join(COLUMNS), *(",".join(row.get(name, "") for name in COLUMNS) for row in source)]
    file.write_text("\n".join(lines) + "\n", "utf-8")
    made = run_json("backfill", file, "--lake", tmp_path / "lake")
    version: Shape = {
        "time": "string",
        "name": "string",
        "outcome": "string",
        "records": "integer",
        "slugs": "integer",
        "linked": "integer",
        "snapshot": "string",
        "reason": "string",
    }
    deviation: Shape = {"name": "string", "detail": "string", "count": "integer", "example": "string"}
    assert mismatches(made, {"run": "string", "versions": [version], "drift": [deviation]}) == []
    assert [(each["outcome"], each["records"]) for each in made["versions"]] == [("new", 60)]
    again = run_json("backfill", file, "--lake", tmp_path / "lake")
    assert [each["outcome"] for each in again["versions"]] == ["there already"]


def test_alerts(seen: Seen, tmp_path: Path) -> None:
    with taker() as url:
        sent = run_json("alerts", "test", "--lake", tmp_path / "lake", variables={ALERTED: url})
    failed = run_json("alerts", "test", "--lake", tmp_path / "lake", code=1, variables={ALERTED: NOBODY})
    for made in (sent, failed, seen.outputs["alert sent"], seen.outputs["alert failed"]):
        assert mismatches(made, OUTCOMES) == []
    assert [(made["kind"], bool(made["error"])) for made in (*sent, *failed)] == [("test", False), ("test", True)]
    assert seen.outputs["killed and closed"] == []


def test_estimate_of_what_aws_costs() -> None:
    made = run_json("aws", "estimate")
    part: Shape = {"part": "string", "usd_month": "number"}
    assert mismatches(made, {"as_of": "string", "region": "string", "derived": "boolean", "parts": [part]}) == []
