"""The page about quality: checks over time, and what is doubtful."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from brewhouse.console.app import create_app
from brewhouse.lake.lake import Lake
from brewhouse.settings import Settings


def test_the_checks_of_both_runs_stand_side_by_side(client: TestClient) -> None:
    checks = client.get("/api/v1/quality/checks").json()
    assert len(checks["runs"]) == 2
    assert {len(check["found"]) for check in checks["checks"]} == {2}
    unique = next(c for c in checks["checks"] if (c["table"], c["name"]) == ("silver.breweries", "(id) is unique"))
    assert (unique["severity"], unique["found"]) == ("error", [0, 0])
    assert "(id) is unique" in client.get("/quality").text


@pytest.mark.parametrize("kind", ["rejected", "places", "suspects"])
def test_what_is_doubtful_is_listed_with_its_number(client: TestClient, kind: str) -> None:
    found = client.get(f"/api/v1/quality/{kind}").json()
    assert sum(group["count"] for group in found["groups"]) >= found["total"] >= len(found["rows"])
    assert client.get(f"/quality/{kind}?page=9").status_code == 200


def test_an_empty_lake_has_a_page_too(tmp_path: Path) -> None:
    with TestClient(create_app(Lake(tmp_path / "lake"), Settings()), base_url="http://127.0.0.1") as fresh:
        assert "No checks were made yet" in fresh.get("/quality").text
        assert "Nothing is published yet" in fresh.get("/quality/rejected").text
        assert "No events" in fresh.get("/events").text
