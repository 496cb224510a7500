"""Lineage goes to an OpenLineage server as its client sends it, and a server that is down fails no run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.errors import BrewhouseError, install_command
from brewhouse.events.event import read_events
from brewhouse.events.run_log import read_log
from brewhouse.events.run_reports import run_reports
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate
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


def test_a_failed_run_is_sent_with_its_error(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", receiver.url)
    with pytest.raises(BrewhouseError):
        run(Lake(tmp_path / "lake"), "http://127.0.0.1:1/v1")
    events = sent(receiver)
    assert [event["eventType"] for event in events] == ["START", "START", "FAIL", "FAIL"]
    assert "ClientConnectorError" in events[-1]["run"]["facets"]["errorMessage"]["message"]


@pytest.mark.parametrize("is_installed", [True, False])
def test_an_unreachable_server_or_a_missing_client_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_installed: bool
) -> None:
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "http")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__URL", "http://127.0.0.1:1")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__RETRY__TOTAL", "0")  # five retries, with waits, take 9 s
    if not is_installed:
        monkeypatch.setitem(sys.modules, "openlineage.client.client", None)
    lake = Lake(tmp_path / "lake")
    with MockApiServer(generate(300)) as source:
        name = run(lake, source.url)
    assert run_reports(read_events(lake))[-1].state == "SUCCEEDED"
    said = [line.message for line in read_log(lake, name) if line.logger == "brewhouse.pipeline.openlineage"]
    assert len(said) == 1
    assert (install_command("lineage") in said[0]) is not is_installed


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
