"""The strict mock API implements the contract of the Open Brewery DB API, rule by rule."""

from __future__ import annotations

import json
import socket
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.mock_api.php_json import dumps
from tests.mock_api.server import MockApiServer

from brewhouse.api.contract import FIELDS
from brewhouse.errors import UsageError
from brewhouse.mock_api.dataset import generate

if TYPE_CHECKING:
    from collections.abc import Iterator

Record = dict[str, Any]
ROWS = 450
JSON = {"Accept": "application/json"}
EVERY_PATH = ["", "/meta", "/no-such-id", "/random", "/search?query=ale", "/autocomplete?query=ale"]


def brewery(brewery_id: str, **fields: object) -> Record:
    return {**dict.fromkeys(FIELDS), "id": brewery_id, "name": brewery_id.upper(), **fields}


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return list(generate(ROWS))


@pytest.fixture(scope="module")
def mock_api(records: list[Record]) -> Iterator[MockApiServer]:
    with MockApiServer(records) as server:
        yield server


@pytest.fixture(scope="module")
def http(mock_api: MockApiServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=mock_api.url, headers=JSON) as client:
        yield client


def ask(server: MockApiServer, path: str = "", **params: str | int) -> httpx.Response:
    return httpx.get(f"{server.url}/breweries{path}", params=params or None, headers=JSON)


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [record["id"] for record in answer.json()]


def listed(http: httpx.Client, **params: str | int) -> list[Record]:
    answer = http.get("/breweries", params={"sort": "id", "per_page": 200, **params})
    assert answer.status_code == 200, answer.text
    found: list[Record] = answer.json()
    return found


# The list: pages


def test_the_list_is_an_array_without_envelope_total_or_link(http: httpx.Client) -> None:
    answer = http.get("/breweries")
    assert isinstance(answer.json(), list)
    assert answer.headers["Content-Type"] == "application/json"
    assert "Link" not in answer.headers


def test_a_page_has_50_breweries_by_default(http: httpx.Client) -> None:
    assert len(http.get("/breweries").json()) == 50


def test_pages_in_the_order_of_ids_give_every_brewery_once(http: httpx.Client, records: list[Record]) -> None:
    pages = [listed(http, page=page) for page in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [200, 200, 50, 0]
    assert [record for page in pages for record in page] == sorted(records, key=lambda record: record["id"])


def test_a_page_far_past_the_end_is_empty(http: httpx.Client) -> None:
    assert http.get("/breweries", params={"page": 10**15}).json() == []


def test_a_brewery_has_the_fields_in_the_order_of_the_contract(http: httpx.Client) -> None:
    assert all(tuple(record) == FIELDS for record in listed(http))


@pytest.mark.parametrize(
    ("params", "field", "message"),
    [
        ({"per_page": "201"}, "per_page", "The per page field must not be greater than 200."),
        ({"per_page": "0"}, "per_page", "The per page field must be at least 1."),
        ({"per_page": "many"}, "per_page", "The per page field must be an integer."),
        ({"per_page": ""}, "per_page", "The per page field is required."),
        ({"page": "0"}, "page", "The page field must be at least 1."),
        ({"page": "1.5"}, "page", "The page field must be an integer."),
        ({"by_city": "ab"}, "by_city", "The by city field must be at least 3 characters."),
        ({"by_name": "a" * 256}, "by_name", "The by name field must not be greater than 255 characters."),
        ({"by_postal": "12"}, "by_postal", "The by postal field must be at least 3 characters."),
        ({"by_state": "NY"}, "by_state", "The by state field must be at least 3 characters."),
        ({"by_country": "US"}, "by_country", "The by country field must be at least 3 characters."),
        ({"by_type": "micro,mikro"}, "by_type", "The by_type contains invalid brewery type: mikro"),
        ({"exclude_types": "x"}, "exclude_types", "The exclude_types contains invalid brewery type: x"),
        ({"sort": "id:up"}, "sort", "The sort direction must be asc or desc."),
        ({"by_dist": "91,0"}, "by_dist", "The latitude in by dist must be a number between -90 and 90."),
        ({"by_dist": "1"}, "by_dist", "The by dist must be a valid coordinate pair (latitude,longitude)."),
        ({"by_dist": "1,1", "by_dist_unit": "ly"}, "by_dist_unit", "The selected by dist unit is invalid."),
        (
            {"by_dist": "1,1", "by_dist_radius": "0"},
            "by_dist_radius",
            "The by dist radius field must be greater than 0.",
        ),
    ],
)
@pytest.mark.parametrize("path", ["", "/meta"])
def test_a_bad_parameter_is_a_422(
    http: httpx.Client, path: str, params: dict[str, str], field: str, message: str
) -> None:
    answer = http.get(f"/breweries{path}", params=params)
    assert answer.status_code == 422
    assert answer.json() == {"message": message, "errors": {field: [message]}}


def test_several_bad_parameters_are_summed_up(http: httpx.Client) -> None:
    answer = http.get("/breweries", params={"sort": "height", "page": "x", "per_page": "201"})
    assert answer.json()["message"] == "The per page field must not be greater than 200. (and 2 more errors)"
    assert list(answer.json()["errors"]) == ["per_page", "page", "sort"]


def test_an_unknown_parameter_is_ignored(http: httpx.Client) -> None:
    assert listed(http, colour="amber") == listed(http)


def test_of_a_parameter_given_twice_the_last_counts(http: httpx.Client) -> None:
    assert len(http.get("/breweries?per_page=10&per_page=3").json()) == 3


# The list: order


def test_without_sort_the_order_changes_and_pages_overlap(http: httpx.Client) -> None:
    assert ids(http.get("/breweries?per_page=200")) != ids(http.get("/breweries?per_page=200"))
    received = [one for page in (1, 2, 3) for one in ids(http.get(f"/breweries?per_page=200&page={page}"))]
    assert len(received) == ROWS
    assert len(set(received)) < ROWS


def test_a_request_without_sort_repeats_no_brewery_itself(http: httpx.Client) -> None:
    received = ids(http.get("/breweries?per_page=200"))
    assert len(set(received)) == 200


def test_equal_values_come_in_another_order_at_each_request(http: httpx.Client) -> None:
    answers = [listed(http, sort="country") for _ in range(2)]
    countries = [[record["country"] for record in answer] for answer in answers]
    assert countries[0] == countries[1] == sorted(countries[0])
    assert answers[0] != answers[1]


def test_a_sort_by_several_fields_is_total_when_the_last_is_the_id(http: httpx.Client, records: list[Record]) -> None:
    received = [one for page in (1, 2, 3) for one in listed(http, sort="brewery_type:desc,id", page=page)]
    by_id = sorted(records, key=lambda record: record["id"])
    assert received == sorted(by_id, key=lambda record: record["brewery_type"], reverse=True)


def test_type_is_another_name_of_brewery_type(http: httpx.Client) -> None:
    assert listed(http, sort="type,id") == listed(http, sort="brewery_type:asc,id:asc")


def test_ids_can_be_sorted_descending(http: httpx.Client, records: list[Record]) -> None:
    received = [record["id"] for record in listed(http, sort="id:desc")]
    assert received == sorted((str(record["id"]) for record in records), reverse=True)[:200]


def test_ids_are_ordered_as_plain_text() -> None:
    with MockApiServer([brewery(one) for one in ("b", "B", "é", "10", "9")]) as server:
        assert ids(ask(server, sort="id:asc")) == ["10", "9", "B", "b", "é"]


def test_nulls_come_last_and_first_in_descending_order() -> None:
    cities = {"1": None, "2": "Bend", "3": "", "4": "Astoria"}
    with MockApiServer([brewery(one, city=city) for one, city in cities.items()]) as server:
        assert ids(ask(server, sort="city:asc")) == ["3", "4", "2", "1"]
        assert ids(ask(server, sort="city:desc")) == ["1", "2", "4", "3"]


# The list: filters


def test_by_type_takes_exact_types(http: httpx.Client) -> None:
    assert {record["brewery_type"] for record in listed(http, by_type="closed, planning")} == {
        "closed",
        "planning",
    }


def test_exclude_types_leaves_types_out(http: httpx.Client) -> None:
    types = {record["brewery_type"] for record in listed(http, exclude_types="micro,brewpub")}
    assert types
    assert not types & {"micro", "brewpub"}


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("land", ["1", "2", "3"]),
        ("LAND", ["1", "2", "3"]),
        ("_land", ["1", "2", "3"]),
        ("s%land", ["2", "3"]),
        ("of_man", ["4"]),
        ("isle of", ["4"]),
        ("\\_land", []),
    ],
)
def test_by_country_is_a_like_pattern_anywhere_whatever_the_case(pattern: str, found: list[str]) -> None:
    countries = {"1": "England", "2": "Scotland", "3": "Isla de land", "4": "Isle of Man", "5": None}
    with MockApiServer([brewery(one, country=country) for one, country in countries.items()]) as server:
        assert ids(ask(server, sort="id", by_country=pattern)) == found


@pytest.mark.parametrize(
    ("parameter", "field"),
    [("by_city", "city"), ("by_name", "name"), ("by_postal", "postal_code"), ("by_state", "state_province")],
)
def test_other_fields_are_filtered_by_a_part_of_them(parameter: str, field: str) -> None:
    with MockApiServer([brewery("1", **{field: "97201-AB/ü"}), brewery("2")]) as server:
        assert ids(ask(server, **{parameter: "01-ab/Ü"})) == ["1"]


def test_by_ids_takes_several(http: httpx.Client, records: list[Record]) -> None:
    wanted = sorted(str(record["id"]) for record in records[:2])
    assert [record["id"] for record in listed(http, by_ids=f"{wanted[0]}, {wanted[1]},other")] == wanted


def test_by_dist_gives_the_nearest_first_and_those_without_coordinates_last() -> None:
    places = {"none": (None, None), "far": ("13.4", "52.5"), "near": (11.6, 48.1)}
    rows = [brewery(one, longitude=east, latitude=north) for one, (east, north) in places.items()]
    with MockApiServer(rows) as server:
        assert ids(ask(server, by_dist="48,11")) == ["near", "far", "none"]
        assert ids(ask(server, by_dist="48,11", by_dist_radius=46, by_dist_unit="km")) == ["near"]
        assert ids(ask(server, by_dist="48,11", by_dist_radius=46)) == ["near"]
        assert ids(ask(server, by_dist="48,11", by_dist_radius=44, by_dist_unit="km")) == []


# JSON


def test_json_is_written_as_php_does() -> None:
    with MockApiServer([{"id": "a", "name": 'Bräu/🍺 "x"', "longitude": 36, "latitude": 11.327765}]) as server:
        assert ask(server).content == (
            b'[{"id":"a","name":"Br\\u00e4u\\/\\ud83c\\udf7a \\"x\\"","longitude":36,"latitude":11.327765}]'
        )


def test_raw_records_are_served_verbatim_in_the_order_of_their_ids() -> None:
    raw = [b'{ "id" : "b", "x": 1.50 }', b'{"id":"\\u0061" ,\t"name":"\xc3\xbc\\/"}', b'{"broken": ']
    with MockApiServer(raw_records=raw) as server:
        assert ask(server, sort="id").content == b"[" + raw[1] + b"," + raw[0] + b"," + raw[2] + b"]"
        assert ask(server, "/b").content == raw[0]
        assert ask(server, "/meta").json()["total"] == 3


def test_raw_records_are_filtered_and_grouped() -> None:
    raw = [b'{"id":"a","country":"Belg\\u0069um"}', b'{"id":"b","country":null}']
    with MockApiServer(raw_records=raw) as server:
        assert ask(server, by_country="belgi").content == b"[" + raw[0] + b"]"
        assert ask(server, "/meta").json()["by_country"] == {"Belgium": 1}


# /meta


def test_meta_counts_everything_by_state_country_and_type(http: httpx.Client, records: list[Record]) -> None:
    meta = http.get("/breweries/meta").json()
    assert list(meta) == ["total", "by_state", "by_country", "by_type", "page", "per_page"]
    assert (meta["total"], meta["page"], meta["per_page"]) == (ROWS, 1, 50)
    for group, field in (("by_state", "state"), ("by_country", "country"), ("by_type", "brewery_type")):
        values = [record[field] for record in records if record[field] is not None]
        assert meta[group] == {value: values.count(value) for value in values}


def test_meta_leaves_nulls_out_of_its_groups(http: httpx.Client) -> None:
    assert sum(http.get("/breweries/meta").json()["by_state"].values()) < ROWS


def test_meta_keys_states_by_name_across_countries() -> None:
    with MockApiServer([brewery("1", country="US", state_province="X"), brewery("2", state_province="X")]) as server:
        assert ask(server, "/meta").json()["by_state"] == {"X": 2}


def test_meta_takes_the_filters_and_says_which_page_was_asked(http: httpx.Client) -> None:
    meta = http.get("/breweries/meta?by_country=Germany&by_type=micro&page=3&per_page=20").json()
    found = listed(http, by_country="Germany", by_type="micro")
    assert meta["total"] == len(found) == sum(meta["by_country"].values())
    assert meta["by_type"] == {"micro": len(found)}
    assert (meta["page"], meta["per_page"]) == (3, 20)


def test_meta_of_nothing_has_empty_groups() -> None:
    with MockApiServer() as server:
        assert b'"total":0,"by_state":{},"by_country":{},"by_type":{}' in ask(server, "/meta").content


# Other endpoints


def test_one_brewery_is_an_object(http: httpx.Client, records: list[Record]) -> None:
    assert http.get(f"/breweries/{records[7]['id']}").json() == records[7]


def test_an_unknown_brewery_is_a_404(http: httpx.Client) -> None:
    answer = http.get("/breweries/no-such-id")
    assert answer.status_code == 404
    assert answer.json() == {"message": "No query results for model [App\\Models\\Brewery] no-such-id"}


def test_random_gives_one_or_as_many_as_asked(http: httpx.Client) -> None:
    assert len(http.get("/breweries/random").json()) == 1
    assert len({record["id"] for record in http.get("/breweries/random?size=50").json()}) == 50
    assert ids(http.get("/breweries/random")) != ids(http.get("/breweries/random"))


@pytest.mark.parametrize("size", ["0", "51", "x"])
def test_random_gives_at_most_50(http: httpx.Client, size: str) -> None:
    assert http.get(f"/breweries/random?size={size}").status_code == 422


def test_search_finds_every_word_and_has_pages(http: httpx.Client) -> None:
    found = http.get("/breweries/search", params={"query": "bayern brew", "per_page": 200}).json()
    assert found
    assert {record["state"] for record in found} == {"Bayern"}
    second = http.get("/breweries/search", params={"query": "bayern brew", "per_page": 1, "page": 2}).json()
    assert second == found[1:2]


def test_autocomplete_gives_ids_and_names(http: httpx.Client) -> None:
    found = http.get("/breweries/autocomplete?query=brew").json()
    assert len(found) == 15
    assert all(list(one) == ["id", "name"] and "brew" in one["name"].lower() for one in found)


@pytest.mark.parametrize("path", ["search", "autocomplete", "search?query="])
def test_a_search_for_nothing_is_a_422(http: httpx.Client, path: str) -> None:
    answer = http.get(f"/breweries/{path}")
    assert answer.status_code == 422
    assert answer.json()["errors"] == {"query": ["The query field is required."]}


@pytest.mark.parametrize("path", ["/v1", "/v2/breweries", "/v1/breweries/", "/v1/breweries/meta/x"])
def test_an_unknown_path_is_a_404(mock_api: MockApiServer, path: str) -> None:
    assert httpx.get(mock_api.url.removesuffix("/v1") + path, headers=JSON).status_code == 404


def test_another_method_is_a_405(http: httpx.Client) -> None:
    answer = http.post("/breweries", json={"name": "x"})
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, HEAD"


def test_a_head_request_has_the_headers_and_no_body(http: httpx.Client) -> None:
    answer = http.head("/breweries")
    assert int(answer.headers["Content-Length"]) > 1000
    assert answer.content == b""
    assert len(listed(http, per_page=3)) == 3


# Without Accept: application/json


def test_a_bad_parameter_is_a_redirect_to_a_page_with_an_object(mock_api: MockApiServer) -> None:
    answer = httpx.get(f"{mock_api.url}/breweries?per_page=201")
    assert (answer.status_code, answer.headers["Location"]) == (302, mock_api.url.removesuffix("v1"))
    followed = httpx.get(f"{mock_api.url}/breweries?per_page=201", follow_redirects=True)
    assert followed.status_code == 200
    assert isinstance(followed.json(), dict)


def test_another_error_is_an_html_page(mock_api: MockApiServer) -> None:
    answer = httpx.get(f"{mock_api.url}/breweries/no-such-id")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")


def test_a_good_request_is_json_all_the_same(mock_api: MockApiServer) -> None:
    assert len(httpx.get(f"{mock_api.url}/breweries").json()) == 50


# Headers and the throttle


@pytest.mark.parametrize("path", ["", "/meta"])
def test_list_and_meta_may_be_kept_for_five_minutes_and_have_no_etag(http: httpx.Client, path: str) -> None:
    headers = http.get(f"/breweries{path}").headers
    assert headers["Cache-Control"] == "public, max-age=300"
    assert "ETag" not in headers


def test_without_a_throttle_there_are_no_headers_about_it(http: httpx.Client) -> None:
    assert "X-RateLimit-Limit" not in http.get("/breweries").headers


def test_every_answer_counts_against_the_limit_and_says_so() -> None:
    with MockApiServer(throttle=True) as server:
        headers = [ask(server, path).headers for path in [*EVERY_PATH, "?per_page=201"]]
    assert {one["X-RateLimit-Limit"] for one in headers} == {"120"}
    assert [int(one["X-RateLimit-Remaining"]) for one in headers] == [119, 118, 117, 116, 115, 114, 113]


def test_over_the_limit_every_endpoint_is_a_429_with_the_time_to_wait() -> None:
    with MockApiServer(throttle=True, limit_per_minute=1) as server:
        assert ask(server).status_code == 200
        answers = [ask(server, path) for path in EVERY_PATH]
    assert {answer.status_code for answer in answers} == {429}
    assert answers[0].json() == {"message": "Too Many Attempts."}
    assert answers[0].headers["X-RateLimit-Remaining"] == "0"
    assert 0 < int(answers[0].headers["Retry-After"]) <= 60
    assert int(answers[0].headers["X-RateLimit-Reset"]) > 1_700_000_000


def test_the_limit_resets_after_the_window() -> None:
    with MockApiServer(throttle=True, limit_per_minute=1, window_s=0.5) as server:
        statuses = [ask(server).status_code for _ in range(2)]
        threading.Event().wait(0.55)
        statuses += [ask(server).status_code for _ in range(2)]
    assert statuses == [200, 429] * 2


# Dialects


def test_the_previous_release_sends_coordinates_as_text() -> None:
    rows = [brewery("a", longitude=36, latitude=11.5), brewery("b")]
    with MockApiServer(rows, dialect="previous") as server:
        found = [(one["longitude"], one["latitude"]) for one in ask(server, sort="id").json()]
    assert found == [("36", "11.5"), (None, None)]


def test_the_previous_release_has_text_and_no_groups_in_meta() -> None:
    with MockApiServer(generate(3), dialect="previous") as server:
        assert ask(server, "/meta").json() == {"total": "3", "page": "1", "per_page": "50"}


def test_the_previous_release_cuts_per_page_silently() -> None:
    with MockApiServer(generate(250), dialect="previous") as server:
        assert len(ask(server, per_page=500).json()) == 200


def test_the_previous_release_refuses_a_bad_type_with_400() -> None:
    with MockApiServer(dialect="previous") as server:
        answer = ask(server, by_type="mikro")
    assert answer.status_code == 400
    assert answer.json() == {"by_type": ["The by_type contains invalid brewery type: mikro"]}


def test_the_previous_release_has_etags_and_answers_304() -> None:
    with MockApiServer(generate(3), dialect="previous") as server:
        url = f"{server.url}/breweries?sort=id"
        tag = httpx.get(url).headers["ETag"]
        same = httpx.get(url, headers={"If-None-Match": tag})
        assert (same.status_code, same.content) == (304, b"")
        server.add([brewery("0")])
        assert httpx.get(url, headers={"If-None-Match": tag}).status_code == 200


def test_the_previous_release_has_no_throttle() -> None:
    with pytest.raises(UsageError, match="has no throttle"):
        MockApiServer(dialect="previous", throttle=True)


def test_a_clone_leaves_out_state_and_street_and_counts_the_total_alone() -> None:
    with MockApiServer(generate(3), dialect="clone") as server:
        assert {tuple(record) for record in ask(server).json()} == {FIELDS[:-2]}
        assert ask(server, "/meta").json() == {"total": 3}
        assert ask(server, per_page=201).status_code == 422


def test_an_unknown_dialect_is_rejected() -> None:
    with pytest.raises(UsageError, match=r"Unknown dialect 'old'.*current, previous, clone"):
        MockApiServer(dialect="old")


# Changing what is served


def test_breweries_are_added_changed_and_removed_while_it_serves() -> None:
    with MockApiServer([brewery("b", brewery_type="micro"), brewery("d")]) as server:
        server.add([brewery("c"), brewery("a")])
        assert ids(ask(server, sort="id")) == ["a", "b", "c", "d"]
        server.remove(["c", "no-such-id"])
        server.change("b", brewery_type="closed", state_province="Wien")
        found = ask(server, sort="id").json()
        assert [one["id"] for one in found] == ["a", "b", "d"]
        assert found[1] == brewery("b", brewery_type="closed", state_province="Wien", state="Wien")
        assert ask(server, "/meta").json()["by_type"] == {"closed": 1}
        assert ids(ask(server, by_name="bbb")) == []
        assert len(server) == 3


def test_an_added_brewery_takes_the_place_of_one_with_its_id() -> None:
    with MockApiServer([brewery("a"), brewery("b")]) as server:
        server.add([brewery("a", name="New")])
        assert [one["name"] for one in ask(server, sort="id").json()] == ["New", "B"]


def test_a_brewery_that_is_not_served_cannot_be_changed() -> None:
    with pytest.raises(UsageError, match="no brewery with the id 'x'"):
        MockApiServer().change("x", name="y")


def test_it_can_be_changed_from_many_threads_while_it_serves() -> None:
    with MockApiServer(generate(50)) as server:
        threads = [
            threading.Thread(target=lambda turn=turn: server.add([brewery(f"{turn}-{row}") for row in range(20)]))
            for turn in range(5)
        ]
        for thread in threads:
            thread.start()
        assert all(ask(server).status_code == 200 for _ in range(10))
        for thread in threads:
            thread.join()
        assert ask(server, "/meta").json()["total"] == 150


# The server


def test_it_keeps_a_record_of_requests() -> None:
    with MockApiServer() as server:
        httpx.get(f"{server.url}/breweries", params={"by_city": "Köln"}, headers={"User-Agent": "x/1"})
        ask(server, "/a b")
        first, second = server.requests
    assert (first.method, first.path, first.status) == ("GET", "/v1/breweries", 200)
    assert first.params == {"by_city": "Köln"}
    assert first.query == "by_city=K%C3%B6ln"
    assert first.headers["user-agent"] == "x/1"
    assert (second.path, second.status) == ("/v1/breweries/a b", 404)
    assert second.at_s >= first.at_s > 0


def test_it_keeps_the_latest_requests_until_they_are_cleared() -> None:
    with MockApiServer(requests_kept=2) as server:
        for page in (1, 2, 3):
            ask(server, page=page)
        assert [served.params["page"] for served in server.requests] == ["2", "3"]
        server.forget()
        assert server.requests == []


def exchange(server: MockApiServer, *texts: str) -> bytes:
    """Send texts over one connection and return all that comes until the server closes it."""
    port = int(server.url.split(":")[2].removesuffix("/v1"))
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for text in texts:
            connection.sendall(text.replace("\n", "\r\n").encode())
        received = b""
        while part := connection.recv(65_536):
            received += part
    return received


def test_requests_on_one_connection_are_answered_in_their_order() -> None:
    with MockApiServer([brewery("a")], faults=["slow_s=0.1,times=1"]) as server:
        text = "GET /v1/breweries HTTP/1.1\nHost: x\n\n"
        text += "GET /v1/breweries/a HTTP/1.1\nHost: x\nConnection: close\n\n"
        bodies = [part.partition(b"\r\n\r\n")[2] for part in exchange(server, text).split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b"[" + dumps(brewery("a")) + b"]", dumps(brewery("a"))]


def test_a_request_may_come_in_pieces() -> None:
    with MockApiServer() as server:
        answer = exchange(server, "GET /v1/brew", "eries HTTP/1.1\nHost:", " x\nConnection: close\n", "\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"\r\n\r\n[]")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("GET /v1/breweries HTTP/1.1\n\n", b"400"),
        ("nonsense\n\n", b"400"),
        ("GET / HTTP/1.1\nHost: x\nContent-Length: much\n\n", b"400"),
        ("GET / HTTP/1.1\nHost: x\nX: " + "a" * 70_000, b"431"),
    ],
    ids=["no host", "no request", "bad length", "endless head"],
)
def test_an_invalid_request_is_rejected(text: str, status: bytes) -> None:
    with MockApiServer() as server:
        assert exchange(server, text).split(b" ")[1] == status


def test_it_can_be_stopped_and_started_again_with_all_it_has() -> None:
    server = MockApiServer([brewery("a")])
    server.start()
    url = server.url
    server.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
    with server:
        assert server.url == url
        assert ids(ask(server)) == ["a"]
    server.stop()


def test_it_serves_until_it_is_stopped() -> None:
    server = MockApiServer([brewery("a")])
    server.start()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    assert ids(ask(server)) == ["a"]
    server.stop()
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_it_listens_on_this_machine_only(mock_api: MockApiServer) -> None:
    assert mock_api.url.startswith("http://127.0.0.1:")


def test_what_php_escapes_reads_back_as_it_was() -> None:
    name = '\t"\\/\x7f\x01ü€𝄞\u2028'
    assert json.loads(dumps({"name": name})) == {"name": name}
