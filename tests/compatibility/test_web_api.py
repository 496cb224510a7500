"""The console's JSON below `/api/v1`: keys and types of what `brewhouse serve` answers."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.compatibility.conftest import CRON, ONE_LAKE, Seen
from tests.compatibility.outside import address_of, breweries, command, environment, mock_api
from tests.compatibility.shapes import Shape, mismatches

pytestmark = ONE_LAKE

ROW: Shape = {
    "run": "string",
    "workflow": "string",
    "state": "string",
    "started_at": "string",
    "seconds": "number|null",
    "jobs": ["string"],
    "error": "string",
    "trigger": "string",
}
RUNS: Shape = {"runs": [ROW], "total": "integer", "page": "integer", "pages": "integer"}
JOB: Shape = {
    "name": "string",
    "state": "string",
    "message": "string",
    "seconds": "number|null",
    "counts": {"*": "integer"},
    "raw_snapshot": "string",
    "expired_runs": "list",
    "begin": "integer",
    "length": "integer",
    "done": "integer|null",
    "total": "integer|null",
    "doing": "string",
}
CHECK: Shape = {
    "job": "string",
    "table": "string",
    "name": "string",
    "severity": "string",
    "passed": "boolean",
    "found": "integer",
    "example": "string",
}
DRIFT: Shape = {"jobName": "string", "name": "string", "detail": "string", "count": "integer", "example": "string"}
PUBLISHED: Shape = {"table": "string", "snapshot": "integer", "rows": "integer"}
GROUP: Shape = {"key": "string", "name": "string", "breweries": "integer", "country": "string"}
SUMMARY: Shape = {
    "name": "string",
    "description": "string",
    "rows": "integer",
    "files": "integer",
    "size_bytes": "integer",
    "published_at": "string",
}
SCHEDULE: Shape = {"cron": "string", "time_zone": "string", "is_on": "boolean", "next": ["string"]}
QUERY: Shape = {
    "id": "string",
    "sql": "string",
    "parameters": {"*": "string"},
    "at": "string|null",
    "state": "string",
    "asked_at": "string",
    "seconds": "number",
    "rows": "integer",
    "is_cut": "boolean",
    "has_result": "boolean",
    "columns": "list",
    "error": "string|null",
    "hint": "string",
}
PROBLEM: Shape = {"error": "string", "hint": "string"}


def doubtful(row: Shape) -> Shape:
    """Give the shape of a page of doubtful rows."""
    return {
        "groups": [{"name": "string", "count": "integer"}],
        "rows": [row],
        "total": "integer",
        "page": "integer",
        "pages": "integer",
    }


READ: dict[str, Shape] = {
    "/overview": {
        "filters": {"country": "string", "state": "string", "type": "string"},
        "totals": {
            "breweries": "integer",
            "operating": "integer",
            "planned": "integer",
            "closed": "integer",
            "countries": "integer",
            "cities": "integer",
            "with_coordinates": "integer",
        },
        "by_type": [GROUP],
        "by_country": [GROUP],
        "by_state": [GROUP],
        "over_time": [{"day": "string", "breweries": "integer"}],
        "changes": [
            {
                "seen_at": "string",
                "kind": "string",
                "id": "string",
                "name": "string",
                "type": "string",
                "city": "string",
                "country": "string",
                "changed_fields": "string|null",
            }
        ],
    },
    "/overview/spots": [
        {
            "id": "string",
            "name": "string",
            "type": "string",
            "country": "string",
            "state": "string",
            "city": "string",
            "longitude": "number",
            "latitude": "number",
        }
    ],
    "/tables": [SUMMARY],
    "/tables/silver.breweries": {
        "summary": SUMMARY,
        "columns": [{"name": "string", "type": "string", "description": "string"}],
        "partition": ["string"],
        "sort": ["string"],
        "snapshots": [
            {
                "snapshot": "string",
                "committed_at": "string",
                "operation": "string",
                "rows": "integer",
                "files": "integer",
                "run": "string",
                "raw_snapshot": "string",
                "current": "boolean",
            }
        ],
    },
    "/tables/silver.breweries/sample": {"columns": ["string"], "rows": [["string|number|null"]]},
    "/runs": RUNS,
    "/runs?state=FAILED": RUNS,
    "/runs/last/log": [
        {"time": "string", "level": "string", "job": "string", "message": "string", "traceback": "string"}
    ],
    "/schedule": SCHEDULE,
    "/quality/checks": {
        "runs": [{"run": "string", "started_at": "string"}],
        "checks": [
            {
                "table": "string",
                "name": "string",
                "severity": "string",
                "found": ["integer|null"],
                "example": "string",
            }
        ],
    },
    "/quality/rejected": doubtful(
        {
            "reasons": "string",
            "id": "string|null",
            "name": "string|null",
            "country": "string|null",
            "page": "integer",
            "record": "string",
        }
    ),
    "/quality/places": doubtful({"country": "string", "state_province": "string", "breweries": "integer"}),
    "/quality/suspects": doubtful(
        {
            "doubt": "string",
            "id": "string",
            "name": "string",
            "city_name": "string",
            "country_name": "string",
            "detail": "string",
        }
    ),
    "/events": {
        "events": [
            {
                "id": "string",
                "time": "string",
                "level": "string",
                "kind": "string",
                "run": "string",
                "job": "string",
                "message": "string",
                "detail": {"*": "string|number|boolean|null|list|object"},
            }
        ],
        "total": "integer",
        "page": "integer",
        "pages": "integer",
    },
    "/saved-queries": [{"name": "string", "title": "string", "question": "string", "sql": "string"}],
}
ROUTES = {
    ("post", "/format"),
    ("get", "/overview"),
    ("get", "/overview/spots"),
    ("get", "/breweries"),
    ("get", "/breweries/*"),
    ("get", "/changes"),
    ("get", "/queries"),
    ("post", "/queries"),
    ("get", "/queries/*"),
    ("delete", "/queries/*"),
    ("get", "/queries/*/rows"),
    ("get", "/queries/*/result.*"),
    ("get", "/saved-queries"),
    ("get", "/tables"),
    ("get", "/tables/*"),
    ("get", "/tables/*/sample"),
    ("get", "/runs"),
    ("post", "/runs"),
    ("get", "/runs/*"),
    ("get", "/runs/*/log"),
    ("post", "/runs/*/retry"),
    ("post", "/runs/*/stop"),
    ("get", "/schedule"),
    ("put", "/schedule"),
    ("get", "/quality/checks"),
    ("get", "/quality/*"),
    ("get", "/events"),
}

SOURCE = "BREWHOUSE_SOURCE_URL"

Ask = Callable[..., tuple[int, Any]]


@contextmanager
def serving(lake: Path, variables: Mapping[str, str]) -> Iterator[Ask]:
    """Serve a console; gives what asks it: a path, a method and a body give the status and the JSON."""
    with subprocess.Popen(
        command("serve", "--lake", lake, "--port", "0"),
        env=environment(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        base = f"{address_of(process)}/api/v1"

        def ask(path: str, method: str = "GET", body: object = None) -> tuple[int, Any]:
            content = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(base + path, content, {"Content-Type": "application/json"}, method=method)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return answer.status, json.load(answer)
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, json.load(error)

        try:
            yield ask
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)


@pytest.fixture(scope="module")
def ask(seen: Seen) -> Iterator[Ask]:
    """Ask the console of the lake that has seen everything; nothing that is asked changes it."""
    with serving(seen.lake, CRON) as asking:
        yield asking


def ended(ask: Ask, query: str) -> dict[str, Any]:
    """Wait for the end of a query."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        _, report = ask(f"/queries/{query}")
        if report["state"] not in {"waiting", "running"}:
            return dict(report)
    raise AssertionError("the query did not end")


def wait_for_first_job(ask: Ask, run: str) -> None:
    """Wait until a run is at its first job; stopped before, it may not say how it ended."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        _, view = ask(f"/runs/{run}")
        if any(job["state"] == "RUNNING" for job in view["jobs"]):
            return
    raise AssertionError("the run did not begin")


def wait_for_runs(lake: Path) -> None:
    """Wait until no run holds the lake's lock."""
    with (lake / "run.lock").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)


def test_the_description_has_these_routes(ask: Ask) -> None:
    _, description = ask("/openapi.json")
    assert {
        (method, "*".join(part.rsplit("}", 1)[-1] for part in path.removeprefix("/api/v1").split("{")))
        for path, methods in description["paths"].items()
        for method in methods
    } == ROUTES


@pytest.mark.parametrize("path", READ)
def test_what_is_read(ask: Ask, path: str) -> None:
    status, answer = ask(path)
    assert status == 200
    assert mismatches(answer, READ[path]) == []


@pytest.mark.parametrize(
    ("step", "state", "lists", "can_retry"),
    [
        ("run", "SUCCEEDED", {"checks", "drift", "published"}, False),
        ("checks failed", "FAILED", {"checks"}, True),
        ("failed", "FAILED", set(), True),
        ("stopped", "STOPPED", set(), True),
        ("rebuild", "SUCCEEDED", {"checks", "published"}, False),
    ],
)
def test_a_run(ask: Ask, seen: Seen, step: str, state: str, lists: set[str], can_retry: bool) -> None:
    _, answer = ask(f"/runs/{seen.run_of(step)}")
    shape: dict[str, Shape] = {"row": ROW, "jobs": [JOB], "can_retry": "boolean", "retried_jobs": "list"}
    for name, one in {"checks": CHECK, "drift": DRIFT, "published": PUBLISHED}.items():
        shape[name] = [one] if name in lists else []
    assert mismatches(answer, shape) == []
    assert (answer["row"]["state"], answer["can_retry"]) == (state, can_retry)


def test_filters_and_times_are_said_in_the_address(ask: Ask, seen: Seen) -> None:
    _, few = ask("/overview?country=BE&type=micro")
    assert few["filters"] == {"country": "BE", "state": "", "type": "micro"}
    assert few["totals"]["breweries"] == 5
    _, before = ask(f"/overview?at={seen.run_of('run')}")
    assert before["totals"]["breweries"] == 59
    _, of_drift = ask("/events?kind=drift&level=WARN")
    assert {event["kind"] for event in of_drift["events"]} == {"Brewhouse Schema Drift"}


@pytest.mark.parametrize(
    ("status", "path", "method", "body"),
    [
        (404, "/runs/NONE", "GET", None),
        (404, "/tables/gold.none", "GET", None),
        (404, "/overview?at=2000-01-01", "GET", None),
        (404, "/none", "GET", None),
        (404, "/queries/NONE", "GET", None),
        (400, "/runs/last/retry", "POST", None),
        (400, "/runs/last/stop", "POST", None),
        (405, "/tables", "POST", None),
        (422, "/events?level=NONE", "GET", None),
        (422, "/queries", "POST", {"text": "SELECT 1"}),
    ],
)
def test_a_problem(ask: Ask, status: int, path: str, method: str, body: object) -> None:
    answered, answer = ask(path, method, body)
    assert (answered, mismatches(answer, PROBLEM)) == (status, [])


def test_a_query_its_rows_and_its_file(ask: Ask) -> None:
    status, begun = ask("/queries", "POST", {"sql": "SELECT 1 AS a, 'x' AS b, TIMESTAMPTZ '2026-08-02 12:00Z' AS c"})
    assert (status, mismatches(begun, QUERY)) == (201, [])
    done = ended(ask, begun["id"])
    assert mismatches(done, {**QUERY, "columns": [{"name": "string", "type": "string"}]}) == []  # type: ignore[dict-item]
    assert (done["state"], done["rows"], done["has_result"], done["error"]) == ("done", 1, True, None)
    columns = [
        {"name": "a", "type": "INTEGER"},
        {"name": "b", "type": "VARCHAR"},
        {"name": "c", "type": "TIMESTAMP WITH TIME ZONE"},
    ]
    _, rows = ask(f"/queries/{begun['id']}/rows")
    assert (rows["columns"], rows["page"], rows["pages"], set(rows)) == (
        columns,
        1,
        1,
        {"columns", "rows", "page", "pages"},
    )
    assert rows["rows"][0][:2] == [1, "x"]
    _, file = ask(f"/queries/{begun['id']}/result.json")
    assert [(row["a"], row["b"]) for row in file] == [(1, "x")]
    _, known = ask("/queries")
    assert mismatches(known, [QUERY]) == []
    status, stopped = ask(f"/queries/{begun['id']}", "DELETE")
    assert (status, stopped) == (200, done)


def test_a_query_that_fails(ask: Ask) -> None:
    _, begun = ask("/queries", "POST", {"sql": "SELECT nothing FROM silver.breweries"})
    failed = ended(ask, begun["id"])
    assert mismatches(failed, {**QUERY, "error": "string", "columns": []}) == []  # type: ignore[dict-item]
    assert failed["state"] == "failed"


def test_runs_are_started_stopped_and_retried_and_the_schedule_is_switched(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    with mock_api(breweries(1), "slow_s=600,page=1") as url, serving(lake, {**CRON, SOURCE: url}) as ask:
        status, switched = ask("/schedule", "PUT", {"is_on": False})
        assert (status, mismatches(switched, {**SCHEDULE, "next": []})) == (200, [])  # type: ignore[dict-item]
        _, switched = ask("/schedule", "PUT", {"is_on": True})
        assert mismatches(switched, SCHEDULE) == []
        assert [switched["is_on"], len(switched["next"])] == [True, 5]

        status, first = ask("/runs", "POST")
        assert (status, mismatches(first, {"run": "string"})) == (202, [])
        status, answer = ask("/runs", "POST")
        assert (status, mismatches(answer, PROBLEM)) == (409, [])
        wait_for_first_job(ask, first["run"])
        assert ask(f"/runs/{first['run']}/stop", "POST") == (202, first)
        wait_for_runs(lake)
        _, known = ask("/runs")
        assert [(row["run"], row["state"]) for row in known["runs"]] == [(first["run"], "STOPPED")]

        status, second = ask(f"/runs/{first['run']}/retry", "POST")
        assert (status, mismatches(second, {"run": "string"})) == (202, [])
        wait_for_first_job(ask, second["run"])
        _, going = ask("/runs/last")
        assert (going["row"]["run"], going["row"]["state"]) == (second["run"], "RUNNING")
        assert ask(f"/runs/{second['run']}/stop", "POST") == (202, second)
        wait_for_runs(lake)
        _, known = ask("/runs?state=STOPPED")
        assert [row["run"] for row in known["runs"]] == [second["run"], first["run"]]
