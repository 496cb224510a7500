"""Lineage goes to an OpenLineage server as its client sends it, and a server that is down fails no run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.errors import BrewhouseError, install_command
from brewhouse.events.details import RunStarted
from brewhouse.events.event import EventLog, read_events
from brewhouse.events.run_log import read_log
from brewhouse.events.run_reports import run_reports
from brewhouse.ids import new_id
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline import openlineage
from brewhouse.pipeline.openlineage import LineageSender
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.settings import is_lineage_configured, load

if TYPE_CHECKING:
    from tests.conftest import Receiver


def run(lake: Lake, url: str) -> str:
    return run_workflow(lake, load({"source_url": url, "max_attempts": 1}, environ={}))


def sent(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(body) for path, body in receiver.requests if path == "/api/v1/lineage"]


def test_runs_jobs_and_datasets_arrive_with_schema_rows_and_checks(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", receiver.url)
    lake = Lake(tmp_path / "lake")
    with MockApiServer(generate(300)) as source:
        run(lake, source.url)
        source_url = source.url
    events = sent(receiver)
    jobs = ["breweries.extract", "breweries.transform", "breweries.aggregate"]
    assert [(event["job"]["name"], event["eventType"]) for event in events] == [
        ("breweries", "START"),
        *((job, kind) for job in jobs for kind in ("START", "COMPLETE")),
        ("breweries", "COMPLETE"),
    ]
    whole, extract, transform, aggregate = (events[number] for number in (0, 2, 4, 6))
    assert transform["run"]["facets"]["parent"]["run"]["runId"] == whole["run"]["runId"]
    assert [(d["namespace"], d["name"]) for d in extract["inputs"]] == [(source_url, "breweries")]
    assert [d["name"] for d in extract["outputs"]] == ["bronze.breweries"]
    assert extract["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 300

    assert transform["outputs"] == []  # aggregate publishes the tables of both
    assert "bronze.breweries" in [d["name"] for d in aggregate["inputs"]]
    breweries = next(d for d in aggregate["outputs"] if d["name"] == "silver.breweries")
    assert breweries["outputFacets"]["outputStatistics"]["rowCount"] == 300
    assert {"name": "id", "type": "string"}.items() <= breweries["facets"]["schema"]["fields"][0].items()
    checked = next(d for d in transform["inputs"] if d["name"] == "silver.breweries")
    assertions = checked["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert {"assertion": "(id) is unique", "success": True}.items() <= assertions[0].items()
    assert "gold.breweries_by_location" in [d["name"] for d in aggregate["outputs"]]


def test_a_run_on_s3_is_sent_under_the_address_of_its_lake(
    shared_lake: Lake, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", receiver.url)
    with pytest.raises(BrewhouseError):
        run(shared_lake, "http://127.0.0.1:1/v1")
    assert {event["job"]["namespace"] for event in sent(receiver)} == {str(shared_lake.root)}


def test_a_failed_run_is_sent_with_its_error(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", receiver.url)
    with pytest.raises(BrewhouseError):
        run(Lake(tmp_path / "lake"), "http://127.0.0.1:1/v1")
    events = sent(receiver)
    assert [event["eventType"] for event in events] == ["START", "START", "FAIL", "FAIL"]
    assert "ClientConnectorError" in events[-1]["run"]["facets"]["errorMessage"]["message"]


def warnings_of(lake: Lake, run: str) -> list[str]:
    return [line.message for line in read_log(lake, run) if line.logger == "brewhouse.pipeline.openlineage"]


@pytest.mark.parametrize("is_installed", [True, False])
def test_an_unreachable_server_or_a_missing_client_is_logged_and_printed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_installed: bool
) -> None:
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "http")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__URL", "http://127.0.0.1:1")
    if not is_installed:
        monkeypatch.setitem(sys.modules, "openlineage.client.client", None)
    lake = Lake(tmp_path / "lake")
    with MockApiServer(generate(300)) as source:
        name = run(lake, source.url)
    assert run_reports(read_events(lake))[-1].state == "SUCCEEDED"
    said = warnings_of(lake, name)
    assert len(said) == 1
    assert (install_command("lineage") in said[0]) is not is_installed
    assert capsys.readouterr().err == f"brewhouse: {said[0]}\n"


@pytest.mark.parametrize(("retries", "attempts"), [(None, 3), ("1", 2)])
def test_a_failing_server_gets_three_attempts_or_as_many_as_are_configured(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, retries: str | None, attempts: int
) -> None:
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "http")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__URL", receiver.url)
    if retries:
        monkeypatch.setenv("OPENLINEAGE__TRANSPORT__RETRY__TOTAL", retries)
    receiver.status = 503
    lake = Lake(tmp_path / "lake")
    send_one_event(lake)
    assert len(receiver.requests) == attempts


def send_one_event(lake: Lake) -> LineageSender:
    sender = LineageSender(lake, "http://127.0.0.1:1/v1", "breweries")
    EventLog(lake, new_id(), [sender.listen]).emit(RunStarted(workflow="breweries", jobs=("extract",)))
    sender.close()
    return sender


def test_a_run_does_not_wait_for_a_server_that_does_not_respond(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "http")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__URL", receiver.url)
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TIMEOUT", "60")
    monkeypatch.setattr(openlineage, "_WAIT_S", 0.1)
    receiver.answers.clear()
    sender = send_one_event(Lake(tmp_path / "lake"))
    assert sender._thread.is_alive()  # the only request has not timed out
    receiver.answers.set()
    sender._thread.join()
    assert len(receiver.requests) == 1
    assert "did not respond in time" in capsys.readouterr().err


def test_a_run_waits_no_longer_than_ten_seconds_for_a_slow_server() -> None:
    assert openlineage._WAIT_S * openlineage._MAX_WAITS < 10


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, False),
        ({"OPENLINEAGE_URL": "http://x"}, True),
        ({"OPENLINEAGE_CONFIG": "/etc/openlineage.yml"}, True),
        ({"OPENLINEAGE__TRANSPORT__TYPE": "console"}, True),
        ({"OPENLINEAGE_URL": "http://x", "OPENLINEAGE_DISABLED": "true"}, False),
    ],
)
def test_lineage_is_off_unless_configured(
    environ: dict[str, str], expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert is_lineage_configured(environ) is expected
    (tmp_path / "openlineage.yml").write_text("transport: {type: console}")
    assert is_lineage_configured(environ) is ("OPENLINEAGE_DISABLED" not in environ)
