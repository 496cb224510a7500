"""A lake that Brewhouse 0.1.0 made is read, continued, rolled back, rebuilt and maintained by the code as it is.

`make_lake.py` describes how it was made and what it holds.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.compatibility.make_lake import HERE, home_of
from tests.compatibility.outside import breweries, brewhouse, mock_api, output, rows, run_json
from tests.compatibility.shapes import Shape, mismatches

pytestmark = pytest.mark.xdist_group("the lake of version 0.1.0")

VERSION = "0.1.0"
RUNS = (
    "01M8H8Q65JBG355BN00MPQ3CV8",
    "01M8H8Q8FHHC4TWHDNSM8152AQ",
    "01M8H8QARMPPMGSSENCXSG0VKQ",
    "01M8H8QCY807SA1MPXJQS8SAZQ",
    "01M8H8QECWA52CMY2450QCG23V",
    "01M8H8QF9ZC1G2A9CDFJDW03M9",
)
FIRST, SECOND, THIRD, CHECKS_FAILED, FAILED, KILLED = RUNS
SNAPSHOTS = {  # of silver.breweries, by the run
    FIRST: 748201804472301831,
    SECOND: 5171720270332228618,
    THIRD: 1499828969067666963,
}
PUBLISHED = {
    "gold.breweries_by_location": 6,
    "gold.breweries_by_type_and_location": 12,
    "gold.brewery_counts_over_time": 12,
    "silver.breweries": 60,
    "silver.brewery_changes": 70,
    "silver.rejected_breweries": 1,
    "silver.suspect_breweries": 1,
}
UNUSABLE = 59
WHAT_CHANGED = {
    SECOND: {
        *(("added", number, None) for number in (61, 62, 63)),
        *(("removed", number, None) for number in (1, 2)),
        ("changed", 3, "name"),
        ("closed", 4, "brewery_type"),
    },
    THIRD: {
        ("added", 64, None),
        ("removed", 6, None),
        ("reopened", 4, "brewery_type"),
        ("changed", 7, "phone"),
    },
}
WHAT_CHANGES_NEXT = {
    *(("added", number, None) for number in (65, 66)),
    ("removed", 8, None),
    ("closed", 9, "brewery_type"),
    ("changed", 10, "name, city"),
}

Change = tuple[str, int, str | None]


@pytest.fixture
def lake() -> Iterator[Path]:
    """The lake of version 0.1.0, where it was made; nobody else has it meanwhile."""
    home = home_of(VERSION)
    with home.with_name(f"{home.name}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        with tarfile.open(HERE / f"lake-{VERSION}.tar.gz") as archive:
            archive.extractall(home, filter="data")
        try:
            yield home / "lake"
        finally:
            shutil.rmtree(home)


def usable(version: int) -> list[dict[str, Any]]:
    """Give the breweries of a version that the tables can take, as they are to be there."""
    names = ("id", "name", "brewery_type", "address_1", "city", "country", "phone")
    return [
        {name: brewery[name] for name in names}
        for brewery in sorted(breweries(version), key=lambda brewery: brewery["id"])
        if brewery["name"]
    ]


def published(lake: Path, *options: object) -> list[dict[str, Any]]:
    """Read the breweries that a lake shows."""
    names = "id, name, brewery_type, address_1, city, country, phone"
    found: list[dict[str, Any]] = run_json(
        "query", f"SELECT {names} FROM silver.breweries ORDER BY id", "--lake", lake, *options
    )
    return found


def changed(lake: Path) -> dict[str, set[Change]]:
    """Read the change log, by the run of the snapshot."""
    log: dict[str, set[Change]] = {}
    every = run_json("changes", "--lake", lake)
    for row in every:
        log.setdefault(row["snapshot_run"], set()).add((row["kind"], int(row["id"][-12:]), row["changed_fields"]))
    assert sum(map(len, log.values())) == len(every)
    return log


def row_counts(lake: Path) -> dict[str, int]:
    """Count the rows of each table, as it says and as they are."""
    said = {row["table"]: row["rows"] for row in run_json("tables", "--lake", lake)}
    counts = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM {name}" for name in said)
    assert dict(rows(lake, counts)) == said
    return {str(name): int(count) for name, count in said.items()}


def totals(lake: Path) -> list[tuple[Any, ...]]:
    """Add up the gold tables."""
    return rows(
        lake,
        "SELECT sum(brewery_count), sum(operating_count), sum(closed_count), "
        "(SELECT sum(brewery_count) FROM gold.breweries_by_type_and_location) FROM gold.breweries_by_location",
    )


def test_the_tables_are_read(lake: Path) -> None:
    assert row_counts(lake) == PUBLISHED
    assert published(lake) == usable(3)
    assert totals(lake) == [(60, 60, 0, 60)]
    assert rows(lake, "SELECT record ->> 'id', page FROM silver.rejected_breweries") == [
        (f"00000000-0000-4000-8000-{UNUSABLE:012d}", 1)
    ]
    assert rows(lake, "SELECT count(*) FROM bronze.breweries") == [(61,)]


def test_the_change_log_is_read(lake: Path) -> None:
    log = changed(lake)
    assert set(log) == {FIRST, SECOND, THIRD}
    assert log[FIRST] == {("added", number, None) for number in range(1, 61) if number != UNUSABLE}
    assert {run: log[run] for run in (SECOND, THIRD)} == WHAT_CHANGED


def test_the_history_is_read_and_what_was_shown_then(lake: Path) -> None:
    history = run_json("history", "silver.breweries", "--lake", lake)
    assert [(row["snapshot"], row["run"], row["raw_snapshot"], row["rows"], row["current"]) for row in history] == [
        (SNAPSHOTS[FIRST], FIRST, FIRST, 59, False),
        (SNAPSHOTS[SECOND], SECOND, SECOND, 60, False),
        (SNAPSHOTS[THIRD], THIRD, THIRD, 60, True),
    ]
    for at in (FIRST, SNAPSHOTS[FIRST], history[0]["committed"]):
        assert published(lake, "--at", at) == usable(1), at
    for version, at in ((2, SECOND), (3, SNAPSHOTS[THIRD])):
        assert published(lake, "--at", at) == usable(version), at


def test_what_happened_is_read(lake: Path) -> None:
    runs = run_json("runs", "--lake", lake)
    assert [(run["run"], run["state"]) for run in runs] == [
        (KILLED, "INTERRUPTED"),
        (FAILED, "FAILED"),
        (CHECKS_FAILED, "FAILED"),
        (THIRD, "SUCCEEDED"),
        (SECOND, "SUCCEEDED"),
        (FIRST, "SUCCEEDED"),
    ]
    shown = run_json("show", SECOND, "--lake", lake)
    assert shown == runs[4]
    assert [(job["name"], job["state"]) for job in shown["jobs"]] == [
        ("extract", "SUCCEEDED"),
        ("transform", "SUCCEEDED"),
        ("aggregate", "SUCCEEDED"),
    ]
    assert {table["table"]: table["rows"] for table in shown["published"]}["silver.breweries"] == 60
    assert [(drift["name"], drift["detail"]) for drift in shown["drift"]] == [
        ("coordinates_as_text", "latitude"),
        ("coordinates_as_text", "longitude"),
    ]
    events = [json.loads(line) for line in output("events", "--limit", 1000, "--json", "--lake", lake).splitlines()]
    assert Counter(event["detail-type"] for event in events) == {
        "Brewhouse Check Result": 7,
        "Brewhouse Run State Change": 11,
        "Brewhouse Schema Drift": 6,
        "Brewhouse Tables Published": 6,
        "Glue Job State Change": 41,
    }
    assert output("logs", SECOND, "aggregate", "--lake", lake)


def test_its_events_are_read_by_sql(lake: Path) -> None:
    assert rows(lake, "SELECT run, state FROM monitoring.runs ORDER BY run") == [
        (FIRST, "SUCCEEDED"),
        (SECOND, "SUCCEEDED"),
        (THIRD, "SUCCEEDED"),
        (CHECKS_FAILED, "FAILED"),
        (FAILED, "FAILED"),
        (KILLED, "RUNNING"),
    ]
    assert rows(lake, "SELECT count(*) FROM monitoring.unreadable_events") == [(0,)]
    failed = "SELECT run, name, found FROM monitoring.checks WHERE NOT passed AND severity = 'error'"
    assert [(run, found) for run, _, found in rows(lake, failed)] == [(CHECKS_FAILED, 40)]


def test_raw_snapshots_are_compared(lake: Path) -> None:
    made = run_json("diff", SECOND, THIRD, "--lake", lake)
    assert {(row["kind"], int(row["id"][-12:]), row["changed_fields"]) for row in made} == WHAT_CHANGED[THIRD]


def test_a_run_continues_it(lake: Path) -> None:
    before = changed(lake)
    with mock_api(breweries(4)) as url:
        made = run_json("run", "--lake", lake, "--source-url", url)
    assert made["state"] == "SUCCEEDED"
    assert made["drift"]
    assert published(lake) == usable(4)
    assert changed(lake) == {**before, made["run"]: WHAT_CHANGES_NEXT}
    assert row_counts(lake)["silver.brewery_changes"] == PUBLISHED["silver.brewery_changes"] + len(WHAT_CHANGES_NEXT)
    assert totals(lake) == [(61, 60, 1, 61)]
    history = run_json("history", "silver.breweries", "--lake", lake)
    assert [row["run"] for row in history] == [FIRST, SECOND, THIRD, made["run"]]
    assert published(lake, "--at", SECOND) == usable(2)
    assert rows(
        lake,
        f"SELECT DISTINCT previous_run FROM silver.brewery_changes WHERE snapshot_run = '{made['run']}'",
    ) == [(THIRD,)]
    assert [(run["run"], run["state"]) for run in run_json("runs", "--lake", lake)][:3] == [
        (made["run"], "SUCCEEDED"),
        (KILLED, "FAILED"),  # its end is written by the next run
        (FAILED, "FAILED"),
    ]


def test_it_is_relocated(tmp_path: Path) -> None:
    with tarfile.open(HERE / f"lake-{VERSION}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    lake = tmp_path / "lake"
    assert published(lake) == usable(3)
    refused = brewhouse("transform", "--lake", lake)
    assert refused.returncode == 1
    assert f"was moved or copied from {home_of(VERSION)}/lake" in refused.stderr
    assert set(run_json("relocate", "--lake", lake)["tables"]) == set(PUBLISHED)
    assert published(lake, "--at", SECOND) == usable(2)
    made = run_json("run", "--snapshot", THIRD, "--lake", lake)
    assert made["state"] == "SUCCEEDED"
    assert row_counts(lake) == PUBLISHED


def test_a_fall_is_found_against_what_it_shows(lake: Path) -> None:
    with mock_api(breweries(1)[:20]) as url:
        assert brewhouse("run", "--lake", lake, "--source-url", url).returncode == 3
    assert published(lake) == usable(3)


def test_a_raw_snapshot_of_it_is_published_again(lake: Path) -> None:
    before = changed(lake)
    made = run_json("run", "--snapshot", SECOND, "--lake", lake)
    assert made["state"] == "SUCCEEDED"
    assert published(lake) == usable(2)
    after = changed(lake)
    assert {run: after[run] for run in (FIRST, SECOND, THIRD)} == before


def test_it_is_rolled_back_and_forth(lake: Path) -> None:
    shape: Shape = {
        "table": "string",
        "snapshot_id": "integer",
        "committed_at": "string",
        "operation": "string",
        "rows": "integer",
        "files": "integer",
        "properties": {
            "brewhouse.run": "string",
            "brewhouse.raw-snapshot": "string",
            "brewhouse.compared-with": "string",
            "brewhouse.models": "string",
        },
        "current": "boolean",
        "rolled_back": "boolean",
        "branch": "string",
    }
    for version, run in ((1, FIRST), (3, THIRD)):
        shown = run_json("rollback", "silver.breweries", SNAPSHOTS[run], "--lake", lake)
        assert mismatches(shown, shape) == []
        assert (shown["table"], shown["snapshot_id"]) == ("silver.breweries", SNAPSHOTS[run])
        assert (shown["rows"], shown["current"]) == (len(usable(version)), True)
        assert published(lake) == usable(version)
        current = [row["snapshot"] for row in run_json("history", "silver.breweries", "--lake", lake) if row["current"]]
        assert current == [SNAPSHOTS[run]]
        assert sum(map(len, changed(lake).values())) == PUBLISHED["silver.brewery_changes"]


def test_it_is_rebuilt(lake: Path) -> None:
    before = changed(lake)
    made = run_json("rebuild", "--lake", lake)
    assert (made["state"], made["jobs"][0]["counts"]) == ("SUCCEEDED", {"raw_snapshots": 4, "left_out": 1})
    assert row_counts(lake) == PUBLISHED
    assert published(lake) == usable(3)
    assert changed(lake) == before
    assert totals(lake) == [(60, 60, 0, 60)]
    history = run_json("history", "silver.breweries", "--lake", lake)
    assert [(row["run"], row["raw_snapshot"]) for row in history] == [
        *((run, run) for run in (FIRST, SECOND, THIRD)),
        *((made["run"], run) for run in (FIRST, SECOND, THIRD)),
    ]


def test_it_is_maintained(lake: Path) -> None:
    before = changed(lake)
    made = run_json("maintain", "--lake", lake)
    assert {table["table"] for table in made["tables"]} == set(PUBLISHED)
    assert made["total"]["snapshots_expired"] == 0
    assert made["total"]["files_compacted"] == 3  # of the change log, one a run
    assert row_counts(lake) == PUBLISHED
    assert published(lake) == usable(3)
    assert changed(lake) == before
    assert published(lake, "--at", SECOND) == usable(2)


def test_it_is_served(lake: Path) -> None:
    output("report", "--lake", lake, "--output", lake.parent / "report.html")
    assert "Brewery 64" in (lake.parent / "report.html").read_text("utf-8")
