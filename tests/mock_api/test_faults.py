"""Descriptions of faults, and their effect on a client of the mock API."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.mock_api.faults import Fault, parse_fault
from tests.mock_api.server import MockApiServer

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.mock_api.dataset import generate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SORTED = {"sort": "id:asc"}
ROWS = 100


class Client:
    """A mock API of a hundred breweries with faults, and requests to it."""

    def __init__(self, server: MockApiServer) -> None:
        self.server = server
        self.http = httpx.Client(base_url=server.url, headers={"Accept": "application/json"})

    def get(self, path: str = "", **params: object) -> httpx.Response:
        texts = {key: str(value) for key, value in params.items()}
        return self.http.get(f"/breweries{path}", params={**SORTED, **texts})

    def page(self, page: int = 1, per_page: int = 10) -> list[dict[str, Any]]:
        answer = self.get(page=page, per_page=per_page)
        assert answer.status_code == 200
        records: list[dict[str, Any]] = answer.json()
        return records

    def ids(self, page: int = 1, per_page: int = 10) -> list[str]:
        return [record["id"] for record in self.page(page, per_page)]

    def statuses(self, *pages: int) -> list[int]:
        return [self.get(page=page, per_page=10).status_code for page in pages]

    def meta(self) -> dict[str, Any]:
        meta: dict[str, Any] = self.http.get("/breweries/meta").json()
        return meta


@pytest.fixture
def client() -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(*faults: Fault | str) -> Client:
        server = MockApiServer(generate(ROWS), faults=faults)
        server.start()
        made.append(Client(server))
        return made[-1]

    yield make
    for one in made:
        one.http.close()
        one.server.stop()


# Descriptions


def test_a_fault_is_read_from_text() -> None:
    assert parse_fault("status=503,page=3,times=2") == Fault(status=503, page=((3, 3),), times=2)


def test_blanks_do_not_matter() -> None:
    assert parse_fault(" status = 503 , page = 3 ") == parse_fault("status=503,page=3")


def test_several_pages_and_ranges_stand_with_a_plus_between() -> None:
    assert parse_fault("reset,page=3+7-9").page == ((3, 3), (7, 9))


def test_rows_to_poison_are_positions_or_ids() -> None:
    assert parse_fault("poison=7+5128df48-79fc-4f0f-8b52-d06be54d0cec").poison == (
        7,
        "5128df48-79fc-4f0f-8b52-d06be54d0cec",
    )


def test_a_fault_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        parse_fault("reset").times = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("stutus=503", "unknown key 'stutus'"),
        ("", "unknown key ''"),
        ("status=often", "invalid value of 'status': 'often'"),
        ("status=503,page=three", "value of 'page'"),
        ("slow_s=-1", "value of 'slow_s'"),
        ("body=xml", "value of 'body'"),
        ("reset=maybe", "value of 'reset'"),
        ("meta_total=few", "value of 'meta_total'"),
        ("meta_group=by_city", "value of 'meta_group'"),
        ("page=3", "has no effect"),
        ("reset,status=500", "cannot combine status and reset"),
        ("status=500,body=empty", "cannot combine status and body"),
        ("html,truncated", "cannot combine html and truncated"),
        ("slow_s=1,add=3", "can only be combined with an answer"),
        ("reset,every=0", "start at 1"),
        ("reset,times=0", "start at 1"),
    ],
)
def test_an_invalid_fault_is_rejected_with_its_cause(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_fault(spec)


def test_a_row_to_poison_must_exist() -> None:
    with pytest.raises(UsageError, match="Row 101 cannot be poisoned: rows are 1 to 100"):
        MockApiServer(generate(ROWS), faults=["poison=101"])


# Where and how often they apply


def test_a_fault_applies_to_its_page_the_given_number_of_times(client: Callable[..., Client]) -> None:
    assert client("status=503,page=3,times=2").statuses(1, 3, 3, 3) == [200, 503, 503, 200]


def test_a_fault_applies_every_time_without_times(client: Callable[..., Client]) -> None:
    assert client("status=503,page=2-3").statuses(1, 2, 3, 4, 2) == [200, 503, 503, 200, 503]


def test_a_fault_applies_to_every_nth_request(client: Callable[..., Client]) -> None:
    assert client("status=500,every=3").statuses(1, 2, 3, 4, 5, 6) == [200, 200, 500, 200, 200, 500]


def test_a_fault_skips_the_first_requests(client: Callable[..., Client]) -> None:
    assert client("status=500,after=2,times=1").statuses(1, 1, 1, 1) == [200, 200, 500, 200]


def test_a_fault_applies_to_the_list_by_default(client: Callable[..., Client]) -> None:
    assert client("status=500").get("/meta").status_code == 200


@pytest.mark.parametrize(
    ("endpoint", "path"),
    [
        ("meta", "/meta"),
        ("random", "/random"),
        ("search", "/search?query=brew"),
        ("autocomplete", "/autocomplete?query=brew"),
        ("one", "/no-such-id"),
        ("any", "/meta"),
    ],
)
def test_a_fault_applies_to_its_endpoint(client: Callable[..., Client], endpoint: str, path: str) -> None:
    one = client(f"status=503,endpoint={endpoint},times=1")
    assert one.http.get(f"/breweries{path}").status_code == 503
    assert one.http.get(f"/breweries{path}").status_code != 503


def test_of_several_faults_the_first_that_fits_answers(client: Callable[..., Client]) -> None:
    assert client("status=503,page=2,times=1", "status=500,times=2").statuses(2, 2, 1, 1) == [
        503,
        500,
        500,
        200,
    ]


def test_faults_can_be_changed_while_it_serves(client: Callable[..., Client]) -> None:
    one = client("status=500")
    one.server.inject("status=503")
    assert one.statuses(1) == [503]
    one.server.inject()
    assert one.statuses(1) == [200]


# Effects on a response


@pytest.mark.parametrize("status", [404, 500, 503])
def test_a_status_comes_with_the_json_of_an_error(client: Callable[..., Client], status: int) -> None:
    answer = client(f"status={status}").get()
    assert answer.status_code == status
    assert list(answer.json()) == ["message"]


def test_a_status_is_an_html_page_for_a_client_that_did_not_ask_for_json(
    client: Callable[..., Client],
) -> None:
    answer = httpx.get(f"{client('status=500').server.url}/breweries")
    assert answer.status_code == 500
    assert answer.text.startswith("<!DOCTYPE html>")


def test_a_429_has_a_retry_after(client: Callable[..., Client]) -> None:
    assert client("status=429").get().headers["Retry-After"] == "1"
    answer = client("status=429,retry_after_s=7").get()
    assert answer.headers["Retry-After"] == "7"
    assert answer.headers["X-RateLimit-Reset"].isdecimal()


def test_a_503_has_a_retry_after_only_if_configured(client: Callable[..., Client]) -> None:
    assert "Retry-After" not in client("status=503").get().headers
    assert client("status=503,retry_after_s=2").get().headers["Retry-After"] == "2"


@pytest.mark.parametrize(("spec", "status"), [("html", 502), ("html,status=200", 200)])
def test_an_html_page_comes_though_json_was_asked_for(client: Callable[..., Client], spec: str, status: int) -> None:
    answer = client(spec).get()
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("text/html")


def test_a_connection_is_reset(client: Callable[..., Client]) -> None:
    one = client("reset,times=1")
    with pytest.raises(httpx.ReadError):
        one.get()
    assert one.get().status_code == 200
    assert [served.status for served in one.server.requests] == [0, 200]


def test_a_body_is_cut_off_before_its_announced_end(client: Callable[..., Client]) -> None:
    one = client("truncated,times=1")
    with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete message body|peer closed"):
        one.get()
    assert one.get().status_code == 200


def test_a_slow_answer_comes_late_but_whole(client: Callable[..., Client]) -> None:
    one = client("slow_s=0.5,times=2")
    with pytest.raises(httpx.ReadTimeout):
        one.http.get("/breweries", timeout=0.05)
    assert len(one.page()) == 10


def test_a_slow_answer_does_not_hold_up_other_clients(client: Callable[..., Client]) -> None:
    one = client("slow_s=30,page=1")
    with pytest.raises(httpx.ReadTimeout):
        one.http.get("/breweries", timeout=0.05)
    assert len(one.page(2)) == 10


def test_slowness_combines_with_another_fault(client: Callable[..., Client]) -> None:
    one = client("slow_s=0.5,status=503,times=2")
    with pytest.raises(httpx.ReadTimeout):
        one.http.get("/breweries", timeout=0.05)
    assert one.statuses(1, 1) == [503, 200]


def test_a_body_that_is_not_json(client: Callable[..., Client]) -> None:
    answer = client("body=not_json").get()
    assert answer.status_code == 200
    with pytest.raises(ValueError, match="Unterminated"):
        answer.json()


@pytest.mark.parametrize(
    ("body", "kind"),
    [("object", b"{"), ("non_object", b"[42]"), ("empty", b"")],
    ids=["object", "42", "empty"],
)
def test_a_body_of_another_shape(client: Callable[..., Client], body: str, kind: bytes) -> None:
    answer = client(f"body={body}").get()
    assert answer.status_code == 200
    assert answer.content[:4].startswith(kind)
    assert bool(answer.content) == bool(kind)


# Effects on the data


def test_every_page_that_holds_a_poisoned_row_is_a_500(client: Callable[..., Client]) -> None:
    one = client("poison=15")
    assert one.statuses(1, 2, 3) == [200, 500, 200]
    assert one.get(page=1, per_page=15).status_code == 500
    assert [one.get(page=page, per_page=1).status_code for page in (14, 15, 16)] == [200, 500, 200]


def test_a_poisoned_row_still_counts_in_meta(client: Callable[..., Client]) -> None:
    meta = client("poison=15").meta()
    assert meta["total"] == sum(meta["by_type"].values()) == ROWS


def test_poison_stays_with_its_row_when_rows_shift(client: Callable[..., Client]) -> None:
    one = client("poison=10")
    one.server.add([{"id": "0"}])
    assert one.statuses(1, 2) == [200, 500]


def test_a_row_can_be_poisoned_by_its_id_and_fails_on_its_own_too(client: Callable[..., Client]) -> None:
    one = client()
    poisoned = one.ids()[3]
    one.server.inject(f"poison={poisoned}")
    assert one.statuses(1, 2) == [500, 200]
    assert one.get(f"/{poisoned}").status_code == 500


def test_rows_added_while_paging_repeat_rows_and_hide_others(client: Callable[..., Client]) -> None:
    one = client("add=5,after=2")
    received = [brewery_id for page in range(1, 11) for brewery_id in one.ids(page)]
    assert len(received) == 100
    assert len(set(received)) == 95
    assert one.meta()["total"] == 105


def test_rows_added_come_before_all_others(client: Callable[..., Client]) -> None:
    one = client("add=5,after=1")
    assert not any(brewery_id.startswith("00000000-0000") for brewery_id in one.ids())
    assert [brewery_id.startswith("00000000-0000") for brewery_id in one.ids()] == [True] * 5 + [False] * 5


def test_rows_removed_while_paging_leave_rows_out(client: Callable[..., Client]) -> None:
    before = client().ids(1, 100)
    one = client("remove=5,after=2")
    received = [brewery_id for page in range(1, 11) for brewery_id in one.ids(page)]
    assert received == before[:20] + before[25:]
    assert one.meta()["total"] == 95


def test_rows_changed_while_paging_change_the_groups_and_not_the_total(client: Callable[..., Client]) -> None:
    one = client("change=5,after=1")
    meta, page = one.meta(), one.page()
    after = one.meta()
    assert after["total"] == meta["total"]
    assert after["by_type"] != meta["by_type"]
    changed = [old != new for old, new in zip(page, one.page(), strict=True)]
    assert changed == [True] * 5 + [False] * 5


def test_swapped_rows_have_the_last_ids_and_renamed_ones_keep_theirs_and_no_count_changes(
    client: Callable[..., Client],
) -> None:
    one = client("swap=2+15,after=1", "rename=5,after=1")
    meta, before = one.meta(), one.page(per_page=100)
    after = one.page(per_page=100)
    assert one.meta() == meta
    assert [row["id"] for row in after[:98]] == [row["id"] for row in before[:1] + before[2:14] + before[15:]]
    assert [row["name"] for row in after[98:]] == [before[1]["name"], before[14]["name"]]
    assert [row["id"][:8] for row in after[98:]] == ["ffffffff"] * 2
    assert after[4] == {**before[5], "name": f"{before[5]['name']} II"}


def test_rows_shift_the_given_number_of_times(client: Callable[..., Client]) -> None:
    one = client("add=2,after=1,every=2,times=2")
    totals = []
    for _ in range(6):
        one.page()
        totals.append(one.meta()["total"])
    assert totals == [100, 102, 102, 104, 104, 104]


def test_meta_is_stale_for_the_next_requests_after_a_change(client: Callable[..., Client]) -> None:
    one = client("stale_meta=2")
    assert one.meta()["total"] == 100
    one.server.add([{"id": "0", "brewery_type": "micro"}])
    assert [one.meta()["total"] for _ in range(3)] == [100, 100, 101]
    assert len(one.page(1, 200)) == 101


def test_meta_is_stale_forever_without_a_number(client: Callable[..., Client]) -> None:
    one = client("stale_meta")
    one.server.remove(one.ids())
    assert [one.meta()["total"] for _ in range(3)] == [100, 100, 100]


def test_a_partial_dataset_is_consistent_until_it_is_filled(client: Callable[..., Client]) -> None:
    one = client("partial=40")
    assert one.meta()["total"] == len(one.page(1, 200)) == 40
    assert set(one.ids(1, 200)) == {record["id"] for record in list(generate(ROWS))[:40]}
    one.server.fill()
    assert one.meta()["total"] == len(one.page(1, 200)) == 100


def test_a_part_is_served_until_a_number_of_lists_was_answered(client: Callable[..., Client]) -> None:
    one = client("partial=40,after=2")
    assert [len(one.page(1, 200)) for _ in range(3)] == [40, 40, 100]


def test_per_page_is_cut_silently(client: Callable[..., Client]) -> None:
    one = client("clamp=20")
    assert [len(one.page(1, rows)) for rows in (10, 20, 21, 500)] == [10, 20, 20, 20]
    assert one.ids(2, 100) == client().ids(2, 20)


def test_per_page_is_cut_on_the_given_page_and_number_of_times(client: Callable[..., Client]) -> None:
    one = client("clamp=20,page=2,times=1")
    assert [len(one.page(page, 30)) for page in (1, 2, 2)] == [30, 20, 30]


@pytest.mark.parametrize(("spec", "total"), [("+3", 103), ("-3", 97), ("7", 7)])
def test_the_total_of_meta_is_wrong(client: Callable[..., Client], spec: str, total: int) -> None:
    meta = client(f"meta_total={spec},times=1").meta()
    assert meta["total"] == total
    assert sum(meta["by_type"].values()) == 100


def test_wrong_meta_is_limited_to_the_given_number_of_times(client: Callable[..., Client]) -> None:
    one = client("meta_total=+3,after=1,times=1")
    assert [one.meta()["total"] for _ in range(3)] == [100, 103, 100]


@pytest.mark.parametrize("group", ["by_state", "by_country", "by_type"])
def test_a_group_of_meta_is_wrong(client: Callable[..., Client], group: str) -> None:
    right, wrong = client().meta(), client(f"meta_group={group}").meta()
    assert sum(wrong[group].values()) == sum(right[group].values()) + 1
    assert {key for key in right if right[key] != wrong[key]} == {group}


def test_one_value_of_a_group_is_wrong(client: Callable[..., Client]) -> None:
    right, wrong = client().meta(), client("meta_group=by_type:micro:-3").meta()
    assert wrong["by_type"] == {**right["by_type"], "micro": right["by_type"]["micro"] - 3}


def test_a_group_has_a_value_that_no_row_has(client: Callable[..., Client]) -> None:
    assert client("meta_group=by_country:Atlantis:4").meta()["by_country"]["Atlantis"] == 4


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BrewhouseError, match=rf"cannot listen on 127\.0\.0\.1:{port}"):
            MockApiServer(port=port).start()
