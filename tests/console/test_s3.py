"""The console of a lake on S3 shows the same as for a local lake."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from brewhouse.console.app import create_app
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate
from brewhouse.mock_api.server import MockApiServer
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.settings import load


@pytest.fixture
def client_on_s3(shared_lake: Lake) -> Iterator[tuple[TestClient, str]]:
    with MockApiServer(generate(60, unusable=1)) as source:
        settings = load({"source_url": source.url, "lake": str(shared_lake.root)}, environ={})
        run = run_workflow(shared_lake, settings)
    with TestClient(create_app(shared_lake, settings), base_url="http://127.0.0.1") as client:
        yield client, run


def test_every_page_shows_a_lake_on_s3(client_on_s3: tuple[TestClient, str]) -> None:
    client, run = client_on_s3
    texts = {
        "/": "59",
        "/explore": "silver.breweries",
        "/tables": "gold.breweries_by_location",
        "/tables/silver.breweries": "s3://",
        "/runs": run,
        f"/runs/{run}": "transform starts",
        "/quality": "every record can be used",
        "/quality/rejected": "it has no name",
        "/events": run,
        f"/?at={run}": "59",
    }
    for path, text in texts.items():
        answer = client.get(path)
        assert answer.status_code == 200, (path, answer.text[-2000:])
        assert text in answer.text, path


def test_a_query_reads_a_lake_on_s3(client_on_s3: tuple[TestClient, str]) -> None:
    client, _ = client_on_s3
    started = client.post("/api/v1/queries", json={"sql": "SELECT count(*) FROM silver.breweries"}).json()
    deadline = time.monotonic() + 60
    while (report := client.get(f"/api/v1/queries/{started['id']}").json())["state"] in {"waiting", "running"}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert report["state"] == "done", report
    assert client.get(f"/api/v1/queries/{started['id']}/rows").json()["rows"] == [[59]]
