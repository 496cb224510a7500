"""The server of `brewhouse demo`: the contract of the API, compared with the strict mock API request by request."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.cli.conftest import shell
from tests.mock_api.server import MockApiServer

from brewhouse.api.contract import FIELDS
from brewhouse.errors import BrewhouseError
from brewhouse.mock_api import demo_server
from brewhouse.mock_api.dataset import generate
from brewhouse.mock_api.demo_server import DemoApiServer

ROWS = 450
JSON = {"Accept": "application/json"}
RATE_LIMIT_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining")


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    return list(generate(ROWS, unusable=3))


@pytest.fixture(scope="module")
def demo(records: list[dict[str, Any]]) -> Iterator[httpx.Client]:
    with DemoApiServer(records, throttle=False) as server, httpx.Client(base_url=server.url, headers=JSON) as client:
        yield client


@pytest.fixture(scope="module")
def strict(records: list[dict[str, Any]]) -> Iterator[httpx.Client]:
    with MockApiServer(records) as server, httpx.Client(base_url=server.url, headers=JSON) as client:
        yield client


def allowed(response: httpx.Response) -> set[str]:
    return {method.strip() for method in response.headers.get("Allow", "").split(",")}


# The same requests to both servers


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/breweries?sort=id:asc"),
        ("GET", "/breweries?sort=id&page=2&per_page=200"),
        ("GET", "/breweries?sort=id:asc&page=3&per_page=200"),
        ("GET", "/breweries?sort=id:asc&page=4&per_page=200"),
        ("GET", "/breweries?sort=id:asc&page=1000000000000000"),
        ("GET", "/breweries?sort=id:asc&per_page=10&per_page=3"),
        ("GET", "/breweries?sort=id:asc&per_page=%207%20&colour=amber"),
        ("GET", "/breweries/meta"),
        ("GET", "/breweries/meta?page=3&per_page=20"),
        ("GET", "/breweries/no-such-id"),
        ("GET", "/breweries/no%20such%2Fid"),
        ("GET", "/breweries/"),
        ("GET", "/breweries/meta/x"),
        ("GET", "/"),
        ("GET", "/beers"),
        ("HEAD", "/breweries?sort=id"),
        ("POST", "/breweries"),
        ("DELETE", "/breweries/meta"),
        ("PUT", "/breweries/no-such-id"),
        ("POST", "/beers"),
        *[
            ("GET", f"/breweries{path}?{query}")
            for path in ("", "/meta")
            for query in (
                "per_page=201",
                "per_page=0",
                "per_page=-3",
                "per_page=",
                "per_page=many",
                "per_page=1.5",
                "per_page=٣",
                "page=0",
                "page=",
                "page=x",
                "page=12345678901234567890",
                "page=x&per_page=201",
            )
        ],
    ],
)
def test_both_servers_answer_a_request_alike(demo: httpx.Client, strict: httpx.Client, method: str, path: str) -> None:
    here, there = (client.request(method, path) for client in (demo, strict))
    assert here.status_code == there.status_code
    assert here.headers["Content-Type"] == there.headers["Content-Type"]
    assert here.headers["Cache-Control"] == there.headers["Cache-Control"]
    assert allowed(here) == allowed(there)
    assert (here.json() == there.json()) if method != "HEAD" else (here.content == there.content == b"")


def test_both_servers_have_the_same_routes_below_the_version(demo: httpx.Client, strict: httpx.Client) -> None:
    for path in ("/v1", "/v2/breweries", "//v1/breweries"):
        answers = [
            httpx.get(str(client.base_url).removesuffix("/v1/") + path, headers=JSON) for client in (demo, strict)
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].json() == answers[1].json()


def test_both_servers_return_every_brewery_by_its_id(
    demo: httpx.Client, strict: httpx.Client, records: list[dict[str, Any]]
) -> None:
    for record in records[::50]:
        answers = [client.get(f"/breweries/{record['id']}") for client in (demo, strict)]
        assert [answer.json() for answer in answers] == [record, record]
        assert tuple(answers[0].json()) == FIELDS


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(page=st.integers(-1, 60), per_page=st.integers(-1, 210))
def test_both_servers_cut_the_same_pages(demo: httpx.Client, strict: httpx.Client, page: int, per_page: int) -> None:
    path = f"/breweries?sort=id:asc&page={page}&per_page={per_page}"
    here, there = (client.get(path) for client in (demo, strict))
    assert (here.status_code, here.json()) == (there.status_code, there.json())


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "id": st.text("aAbBé10-", min_size=1, max_size=4),
                "brewery_type": st.sampled_from([None, "micro", "closed"]),
                "country": st.none() | st.text(max_size=3),
                "state_province": st.sampled_from([None, "", "Bayern"]),
                "latitude": st.none() | st.floats(-90, 90) | st.decimals(-90, 90, places=3),
            }
        ),
        max_size=6,
        unique_by=lambda record: record["id"],
    )
)
def test_both_servers_order_and_count_any_breweries_alike(breweries: list[dict[str, Any]]) -> None:
    with DemoApiServer(breweries, throttle=False) as demo, MockApiServer(breweries) as strict:
        for path in ("/breweries?sort=id:asc", "/breweries/meta"):
            here, there = (httpx.get(server.url + path, headers=JSON) for server in (demo, strict))
            assert here.json() == there.json()


def test_a_decimal_coordinate_keeps_its_digits_on_both_servers() -> None:
    record = {"id": "a", "longitude": Decimal("11.50"), "latitude": Decimal(36)}
    with DemoApiServer([record]) as demo, MockApiServer([record]) as strict:
        for server in (demo, strict):
            assert b'"longitude":11.50,"latitude":36}' in httpx.get(f"{server.url}/breweries").content


# What only the strict server supports


@pytest.mark.parametrize("path", ["", "/meta"])
@pytest.mark.parametrize(
    ("query", "parameter"),
    [("by_type=micro", "by_type"), ("by_country=Austria", "by_country"), ("exclude_types=closed", "exclude_types")],
)
def test_a_filter_is_rejected_rather_than_ignored(demo: httpx.Client, path: str, query: str, parameter: str) -> None:
    answer = demo.get(f"/breweries{path}?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"] == {parameter: [f"The mock API does not support the parameter {parameter}."]}


@pytest.mark.parametrize("sort", ["name", "id:desc", "id,name", ""])
def test_another_order_is_rejected_rather_than_ignored(demo: httpx.Client, sort: str) -> None:
    answer = demo.get("/breweries", params={"sort": sort})
    assert answer.status_code == 422
    assert answer.json() == {
        "message": "The mock API sorts by id:asc only.",
        "errors": {"sort": ["The mock API sorts by id:asc only."]},
    }


def test_several_invalid_parameters_are_summarised(demo: httpx.Client) -> None:
    answer = demo.get("/breweries?per_page=0&page=0&sort=name").json()
    assert answer["message"] == "The per page field must be at least 1. (and 2 more errors)"
    assert list(answer["errors"]) == ["per_page", "page", "sort"]


def test_breweries_without_an_id_come_last() -> None:
    records: list[dict[str, object]] = [{"id": None, "name": "no id"}, {"id": "a"}, {"name": "neither"}]
    with DemoApiServer(records) as server:
        assert len(server) == 3
        assert [record.get("id") for record in httpx.get(f"{server.url}/breweries").json()] == ["a", None, None]
        assert httpx.get(f"{server.url}/breweries/meta").json()["total"] == 3


def test_a_server_without_breweries_serves_empty_pages() -> None:
    with DemoApiServer([]) as server:
        assert httpx.get(f"{server.url}/breweries").json() == []
        meta = httpx.get(f"{server.url}/breweries/meta").json()
    assert meta == {"total": 0, "by_state": {}, "by_country": {}, "by_type": {}, "page": 1, "per_page": 50}


# Rate limit


def test_both_servers_limit_requests_alike() -> None:
    paths = ["/breweries", "/breweries/meta", "/breweries/x", "/beers", "/breweries?page=0"] * 30
    seen = []
    for server in (DemoApiServer(generate(2)), MockApiServer(generate(2), throttle=True)):
        with server, httpx.Client(base_url=server.url, headers=JSON) as client:
            answers = [client.get(path) for path in paths]
        seen.append([(one.status_code, *(one.headers[name] for name in RATE_LIMIT_HEADERS)) for one in answers])
    assert seen[0] == seen[1]
    assert [status for status, *_ in seen[0]].count(429) == len(paths) - 120


def test_a_rejected_request_carries_the_time_to_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_server, "LIMIT_PER_MINUTE", 1)
    with DemoApiServer(generate(1)) as server:
        assert httpx.get(f"{server.url}/breweries").status_code == 200
        answer = httpx.get(f"{server.url}/breweries")
    assert (answer.status_code, answer.json()) == (429, {"message": "Too Many Attempts."})
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert int(answer.headers["X-RateLimit-Reset"]) > 1_700_000_000


def test_the_next_window_admits_requests_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_800_000_000.0]
    monkeypatch.setattr(demo_server, "LIMIT_PER_MINUTE", 1)
    monkeypatch.setattr("brewhouse.mock_api.demo_server.time.time", lambda: now[0])
    statuses = []
    with DemoApiServer(generate(1)) as server:
        for seconds in (0, 59, 1, 0):
            now[0] += seconds
            statuses.append(httpx.get(f"{server.url}/breweries").status_code)
    assert statuses == [200, 429, 200, 429]


def test_without_a_throttle_there_are_no_rate_limit_headers(demo: httpx.Client) -> None:
    assert not {"X-RateLimit-Limit", "X-RateLimit-Remaining"} & set(demo.get("/breweries").headers)


def test_concurrent_requests_are_each_answered_and_counted_once() -> None:
    with DemoApiServer(generate(ROWS)) as server:

        def fetch(page: int) -> tuple[list[str], int]:
            answer = httpx.get(f"{server.url}/breweries", params={"page": page, "per_page": 10})
            return [record["id"] for record in answer.json()], int(answer.headers["X-RateLimit-Remaining"])

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(fetch, range(1, 46)))
    ids = [one for page, _ in answers for one in page]
    assert ids == sorted(record["id"] for record in generate(ROWS))
    assert sorted((left for _, left in answers), reverse=True) == list(range(119, 74, -1))


# The process


def test_a_port_in_use_is_an_error_with_a_hint() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            BrewhouseError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use"
        ) as caught:
            DemoApiServer([], port=port).start()
    assert caught.value.hint == "Choose another port with --port; 0 selects a free one."


def test_a_stopped_server_closes_its_port() -> None:
    with DemoApiServer(generate(1)) as server, httpx.Client() as client:
        assert client.get(f"{server.url}/breweries").status_code == 200
        server.stop()
        with pytest.raises(httpx.TransportError):
            client.get(f"{server.url}/breweries")
        with socket.create_server(("127.0.0.1", int(server.url.split(":")[2].removesuffix("/v1")))):
            pass


def test_a_server_may_be_stopped_before_its_first_request() -> None:
    threads = threading.active_count()
    with DemoApiServer(generate(1)):
        pass
    assert threading.active_count() == threads


def test_the_workflow_extracts_every_brewery_from_it(tmp_path: Path) -> None:
    with DemoApiServer(generate(ROWS)) as server:
        done = shell("extract", "--lake", tmp_path / "lake", "--source-url", server.url, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["jobs"][0]["counts"]["records"] == ROWS
    assert {drift["name"] for drift in report["drift"]} == {"coordinates_as_text"}
