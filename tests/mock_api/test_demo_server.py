"""The server of `brewhouse demo`: pages and counts, compared with the strict mock API request by request."""

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
from brewhouse.mock_api.dataset import generate
from brewhouse.mock_api.demo_server import DemoApiServer

ROWS = 450
JSON = {"Accept": "application/json"}


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    return list(generate(ROWS, unusable=3))


@pytest.fixture(scope="module")
def demo(records: list[dict[str, Any]]) -> Iterator[httpx.Client]:
    with DemoApiServer(records) as server, httpx.Client(base_url=server.url, headers=JSON) as client:
        yield client


@pytest.fixture(scope="module")
def strict(records: list[dict[str, Any]]) -> Iterator[httpx.Client]:
    with MockApiServer(records) as server, httpx.Client(base_url=server.url, headers=JSON) as client:
        yield client


# The same requests to both servers


@pytest.mark.parametrize(
    "path",
    [
        "/breweries?sort=id:asc",
        "/breweries?sort=id&page=2&per_page=200",
        "/breweries?sort=id:asc&page=3&per_page=200",
        "/breweries?sort=id:asc&page=4&per_page=200",
        "/breweries?sort=id:asc&page=1000000000000000",
    ],
)
def test_both_servers_return_the_same_page(demo: httpx.Client, strict: httpx.Client, path: str) -> None:
    here, there = (client.get(path) for client in (demo, strict))
    assert (here.status_code, here.json()) == (there.status_code, there.json())
    assert here.headers["Content-Type"].split(";")[0] == there.headers["Content-Type"].split(";")[0]
    assert all(tuple(record) == FIELDS for record in here.json())


@pytest.mark.parametrize("path", ["/breweries/", "/breweries/meta/x", "/", "/beers"])
def test_neither_server_has_other_routes(demo: httpx.Client, strict: httpx.Client, path: str) -> None:
    assert [client.get(path).status_code for client in (demo, strict)] == [404, 404]


@pytest.mark.parametrize("path", ["", "/meta"])
@pytest.mark.parametrize(
    "query", ["per_page=201", "per_page=0", "per_page=-3", "per_page=", "per_page=1.5", "page=0", "page=", "page=x"]
)
def test_both_servers_reject_an_invalid_number(demo: httpx.Client, strict: httpx.Client, path: str, query: str) -> None:
    answers = [client.get(f"/breweries{path}?{query}") for client in (demo, strict)]
    assert [answer.status_code for answer in answers] == [422, 422]
    assert query.partition("=")[0] in answers[0].json()["message"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(page=st.integers(-1, 60), per_page=st.integers(-1, 210))
def test_both_servers_cut_the_same_pages(demo: httpx.Client, strict: httpx.Client, page: int, per_page: int) -> None:
    path = f"/breweries?sort=id:asc&page={page}&per_page={per_page}"
    here, there = (client.get(path) for client in (demo, strict))
    assert here.status_code == there.status_code
    assert here.status_code == 422 or here.json() == there.json()


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
    with DemoApiServer(breweries) as demo, MockApiServer(breweries) as strict:
        for path in ("/breweries?sort=id:asc", "/breweries/meta"):
            here, there = (httpx.get(server.url + path, headers=JSON).json() for server in (demo, strict))
            assert here == ({name: there[name] for name in here} if path.endswith("meta") else there)


def test_a_decimal_coordinate_keeps_its_digits_on_both_servers() -> None:
    record = {"id": "a", "longitude": Decimal("11.50"), "latitude": Decimal(36)}
    with DemoApiServer([record]) as demo, MockApiServer([record]) as strict:
        for server in (demo, strict):
            assert b'"longitude":11.50,"latitude":36}' in httpx.get(f"{server.url}/breweries").content


# What only the strict server supports


@pytest.mark.parametrize("path", ["", "/meta"])
@pytest.mark.parametrize("query", ["by_type=micro", "exclude_types=closed", "sort=name", "sort=id:desc", "sort="])
def test_a_filter_or_another_order_is_rejected_rather_than_ignored(demo: httpx.Client, path: str, query: str) -> None:
    answer = demo.get(f"/breweries{path}?{query}")
    assert answer.status_code == 422
    assert answer.json()["message"].startswith("The mock API does not support this: ")
    assert query.partition("=")[0] in answer.json()["message"]


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
    assert meta == {"total": 0, "by_state": {}, "by_country": {}, "by_type": {}}


# Without a rate limit


def test_no_number_of_requests_is_limited(demo: httpx.Client) -> None:
    answers = [demo.get("/breweries?per_page=1") for _ in range(130)]
    assert {answer.status_code for answer in answers} == {200}
    assert "X-RateLimit-Remaining" not in answers[-1].headers


def test_concurrent_requests_are_each_answered_once() -> None:
    with DemoApiServer(generate(ROWS)) as server:

        def fetch(page: int) -> list[str]:
            answer = httpx.get(f"{server.url}/breweries", params={"page": page, "per_page": 10})
            return [record["id"] for record in answer.json()]

        with ThreadPoolExecutor(8) as pool:
            pages = list(pool.map(fetch, range(1, 46)))
    assert [one for page in pages for one in page] == sorted(record["id"] for record in generate(ROWS))


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
