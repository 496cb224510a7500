"""Errors of the console: a readable page, or one JSON shape, with the fitting status and never a traceback."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from tests.console.conftest import served
from tests.events.any_events import AnyEventLog

from brewhouse.console.app import create_app
from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.events.envelope import RUN
from brewhouse.lake.lake import Lake
from brewhouse.settings import Settings

ERRORS: dict[str, Exception] = {
    "usage": UsageError("The value `<b>x</b>` is invalid.", hint="Use `y`."),
    "lake": BrewhouseError("The lake is in use.", hint="Wait."),
    "http": HTTPException(418, "Short & stout", headers={"X-Pot": "tea"}),
    "disk": OSError(28, "No space left on device"),
    "unexpected": ZeroDivisionError("secret detail"),
}


@pytest.fixture
def failing(console_lake: Lake, console_settings: Settings) -> TestClient:
    """A console with routes that fail."""
    app: FastAPI = create_app(console_lake, console_settings)

    @app.get("/fails/{name}")
    @app.get("/api/v1/fails/{name}")
    def fail(name: str) -> None:
        raise ERRORS[name]

    return TestClient(app, base_url="http://127.0.0.1")


@pytest.mark.parametrize(
    ("name", "status", "error", "hint"),
    [
        ("usage", 400, "The value `<b>x</b>` is invalid.", "Use `y`."),
        ("lake", 503, "The lake is in use.", "Wait."),
        ("http", 418, "Short & stout", ""),
        ("unexpected", 500, "Internal error.", "The console's log has the details."),
    ],
)
def test_an_exception_becomes_a_page_or_json(
    failing: TestClient, name: str, status: int, error: str, hint: str
) -> None:
    data = failing.get(f"/api/v1/fails/{name}")
    assert (data.status_code, data.json()) == (status, {"error": error, "hint": hint})
    assert data.headers["content-type"] == "application/json"
    page = failing.get(f"/fails/{name}")
    assert page.status_code == status
    assert f"<h1>Error {status}</h1>" in page.text
    assert 'role="alert"' in page.text
    assert "<b>x</b>" not in page.text


def test_text_in_backticks_is_shown_as_code(failing: TestClient) -> None:
    page = failing.get("/fails/usage").text
    assert "The value <code>&lt;b&gt;x&lt;/b&gt;</code> is invalid." in page
    assert "Use <code>y</code>." in page


def test_an_error_within_a_response_ends_it(console_lake: Lake, console_settings: Settings) -> None:
    app = create_app(console_lake, console_settings)

    @app.get("/fails")
    def fail() -> StreamingResponse:
        def rows() -> Iterator[str]:
            yield "first row" * 1000
            raise ZeroDivisionError("secret detail")

        return StreamingResponse(rows(), media_type="text/plain")

    with served(app) as url, pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{url}/fails")


def test_headers_of_an_http_error_are_kept(failing: TestClient) -> None:
    assert failing.get("/fails/http").headers["x-pot"] == failing.get("/api/v1/fails/http").headers["x-pot"] == "tea"


def test_an_unexpected_error_is_logged_and_not_shown(failing: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    page, data = failing.get("/fails/unexpected"), failing.get("/api/v1/fails/unexpected")
    assert "secret detail" not in page.text + data.text
    assert "content-security-policy" in page.headers
    assert "secret detail" in caplog.text
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == [
        "GET /fails/unexpected failed",
        "GET /api/v1/fails/unexpected failed",
    ]


def test_a_full_disk_is_explained_and_not_logged_as_unexpected(
    failing: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = failing.get("/api/v1/fails/disk")
    assert answer.status_code == 503
    assert "No space left on device" in answer.json()["error"]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_denied_request_to_s3_is_explained(failing: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = (
        "Error performing GET https://s3.eu-west-1.amazonaws.com/b/x in 2ms - Server returned non-2xx status code: "
    )
    answer += "403 Forbidden: <Code>AccessDenied</Code>"
    monkeypatch.setitem(ERRORS, "s3", OSError(answer))
    denied = failing.get("/api/v1/fails/s3")
    assert denied.status_code == 503
    assert "s3:GetObject on arn:aws:s3:::b/x" in denied.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nowhere", 404),
        ("GET", "/api/v1/tables/silver.nothing", 404),
        ("GET", "/api/v1/overview?at=never", 404),
        ("GET", "/api/v1/overview?at=1999-01-01", 404),
        ("GET", "/api/v1/runs/nothing", 404),
        ("GET", "/api/v1/runs/nothing/log", 404),
        ("POST", "/api/v1/runs/nothing/retry", 404),
        ("POST", "/api/v1/runs/nothing/stop", 404),
        ("POST", "/api/v1/runs/last/retry", 400),
        ("DELETE", "/api/v1/runs", 405),
        ("GET", "/api/v1/overview?country=" + "x" * 500, 422),
        ("GET", "/api/v1/runs?state=SLEEPING", 422),
        ("GET", "/api/v1/runs?page=0", 422),
        ("GET", "/api/v1/schedule?count=101", 422),
        ("PUT", "/api/v1/schedule", 422),
        ("GET", "/api/v1/events?level=LOUD", 422),
        ("GET", "/api/v1/events?since=yesterday", 422),
        ("GET", "/api/v1/events?page=many", 422),
    ],
)
def test_every_error_of_the_api_has_one_shape(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "hint"}
    assert answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/events?page=0", "page: Input should be greater than or equal to 1"),
        ("/runs?state=SLEEPING", "state: Input should be"),
        ("/events?level=LOUD&page=0", "; page: "),
    ],
)
def test_an_invalid_request_names_each_invalid_value(client: TestClient, path: str, reason: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 422
    assert "Invalid request: " in answer.text
    assert reason in answer.text


def test_a_body_that_is_not_json_is_an_invalid_request(client: TestClient) -> None:
    answer = client.put("/api/v1/schedule", content=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("Invalid request: ")


def test_a_missing_page_leads_to_the_navigation(client: TestClient) -> None:
    answer = client.get("/nowhere")
    assert answer.status_code == 404
    assert "Page not found." in answer.text
    assert 'href="/runs"' in answer.text


def test_the_api_is_described_and_has_no_other_documentation(client: TestClient) -> None:
    description = client.get("/api/v1/openapi.json").json()
    assert all(path.startswith("/api/v1/") for path in description["paths"])
    error = {"$ref": "#/components/schemas/ErrorBody"}
    for operations in description["paths"].values():
        for operation in operations.values():
            for status in ("4XX", "5XX"):
                assert operation["responses"][status]["content"]["application/json"]["schema"] == error
            assert operation["description"] or operation["summary"]
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404


def test_large_pages_are_compressed(client: TestClient) -> None:
    assert client.get("/tables/silver.breweries").headers["content-encoding"] == "gzip"
    assert "content-encoding" not in client.get("/tables", headers={"Accept-Encoding": "identity"}).headers


def test_events_of_past_days_are_archived_again_and_again_while_the_console_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brewhouse.console.app._ARCHIVE_EVERY_S", 0.02)
    lake = Lake(tmp_path)
    AnyEventLog(lake, "R1").write(RUN, {"message": "starts"})
    [today] = lake.events.iterdir()
    past = today.with_name("date=2020-01-02")
    today.rename(past)
    with TestClient(create_app(lake, Settings()), base_url="http://127.0.0.1") as client:
        for number in range(3):  # the first round finds the events that were there before
            deadline = time.monotonic() + 60
            while [file.name[:7] for file in past.iterdir()] != ["events."]:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert client.get("/api/v1/events").json()["total"] == 1 + number
            AnyEventLog(lake, "R1").write(RUN, {"message": f"late {number}"})
            for file in today.iterdir():
                file.rename(past / file.name)


def test_a_console_opens_on_a_lake_that_does_not_exist_yet(tmp_path_factory: pytest.TempPathFactory) -> None:
    lake = Lake(tmp_path_factory.mktemp("none") / "lake")
    with TestClient(create_app(lake, Settings()), base_url="http://127.0.0.1") as client:
        assert [client.get(path).status_code for path in ("/runs", "/quality", "/events", "/explore")] == [200] * 4
        overview = client.get("/")
        assert overview.status_code == 200
        assert "after the first run" in overview.text
        assert '<form method="post" action="/runs"><button class="primary">Run now' in overview.text
        assert client.get("/api/v1/overview").status_code == 503
        assert client.get("/api/v1/runs").json() == {"runs": [], "total": 0, "page": 1, "pages": 1}
        assert client.get("/api/v1/events").json() == {"events": [], "total": 0, "page": 1, "pages": 1}
    assert not lake.root.exists(), "reading creates nothing"
