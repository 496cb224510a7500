"""Pages: every row is covered once, and exactly the rows that the source cannot return are reported missing."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.mock_api.server import MockApiServer

from brewhouse.api.client import Client, PageResult
from brewhouse.api.pages import Pager, PageRange
from brewhouse.api.source_errors import PermanentSourceError, SourceUnavailable
from brewhouse.mock_api.dataset import generate
from brewhouse.settings import SecretUrl, Settings

ROWS = 450
IDS = sorted(str(record["id"]) for record in generate(ROWS))


def settings_for(api: MockApiServer, **changes: float) -> Settings:
    quick = {"retry_initial_wait_s": 0, "retry_wait_max_s": 0, "max_attempts": 2}
    return msgspec.convert({"source_url": SecretUrl(api.url), **quick, **changes}, Settings)


def fetch(api: MockApiServer, *numbers: int, size: int = 200, pages: int = 3, **changes: float) -> list[PageResult]:
    """Fetch pages one after the other with one pager."""

    async def run(chosen: Settings) -> list[PageResult]:
        async with Client(chosen) as client:
            pager = Pager(client, chosen)
            return [await pager.fetch(number, size, pages=pages) for number in numbers]

    return asyncio.run(run(settings_for(api, **changes)))


def fetch_first(api: MockApiServer, total: int, **changes: float) -> tuple[PageResult, int]:
    async def run(chosen: Settings) -> tuple[PageResult, int]:
        async with Client(chosen) as client:
            return await Pager(client, chosen).fetch_first(total)

    return asyncio.run(run(settings_for(api, **changes)))


def poison(*rows: int) -> list[str]:
    return [f"poison={'+'.join(map(str, rows))}"] if rows else []


@given(page=st.integers(1, 10_000), size=st.integers(2, 200))
def test_the_parts_of_a_range_cover_each_of_its_rows_once(page: int, size: int) -> None:
    whole = PageRange(page, size)
    rows = [row for part in whole.split() for row in range(part.start, part.start + part.size)]
    assert rows == list(range(whole.start, whole.start + size))


@given(page=st.integers(1, 100), size=st.integers(1, 200), data=st.data())
def test_repeated_splitting_reaches_every_single_row(page: int, size: int, data: st.DataObject) -> None:
    part = PageRange(page, size)
    row = data.draw(st.integers(part.start, part.start + size - 1))
    while part.size > 1:
        (part,) = (inner for inner in part.split() if inner.start <= row < inner.start + inner.size)
    assert part == PageRange(row + 1, 1)


@pytest.mark.parametrize("rows", [[201], [400], [250], [201, 202, 400], [200, 300, 401]])
def test_poisoned_rows_are_the_only_ones_missing(rows: list[int]) -> None:
    with MockApiServer(generate(ROWS), faults=poison(*rows)) as api:
        (page,) = fetch(api, 2)
    assert list(page.records.columns["id"]) == [IDS[n - 1] for n in range(201, 401) if n not in rows]
    assert page.missing_rows == [n - 201 for n in rows if 201 <= n <= 400]
    assert page.status == 500


@settings(max_examples=25)
@given(size=st.integers(1, 60), data=st.data())
def test_exactly_the_poisoned_rows_of_a_page_of_any_size_are_missing(size: int, data: st.DataObject) -> None:
    rows = data.draw(st.sets(st.integers(1, size), max_size=5))
    with MockApiServer(generate(2 * size), faults=poison(*rows)) as api:
        (page,) = fetch(api, 1, size=size, pages=2, max_attempts=1)
    ids = sorted(str(record["id"]) for record in generate(2 * size))[:size]
    assert page.missing_rows == sorted(row - 1 for row in rows)
    assert list(page.records.columns["id"]) == [key for n, key in enumerate(ids, 1) if n not in rows]
    assert page.status == (500 if rows else 200)


def test_every_row_of_the_only_page_may_be_missing() -> None:
    with MockApiServer(generate(3), faults=poison(1, 2, 3)) as api:
        (page,) = fetch(api, 1, size=3, pages=1)
    assert (page.lines, page.missing_rows, len(page.records)) == ([], [0, 1, 2], 0)


def test_a_page_that_fails_only_as_a_whole_lacks_nothing() -> None:
    with MockApiServer(generate(ROWS), faults=["status=500,page=2,times=2"]) as api:
        (page,) = fetch(api, 2)
    assert (len(page.lines), page.missing_rows) == (200, [])


@pytest.mark.parametrize("fault", ["body=not_json", "body=non_object", "body=empty", "slow_s=2"])
def test_a_page_with_a_bad_or_late_response_is_fetched_in_parts(fault: str) -> None:
    with MockApiServer(generate(ROWS), faults=[f"{fault},page=2"]) as api:
        (page,) = fetch(api, 2, timeout_s=0.5)
    assert (len(page.lines), page.missing_rows, page.status) == (200, [], 500)


def test_the_status_of_a_page_in_parts_is_that_of_the_server_error() -> None:
    with MockApiServer(generate(ROWS), faults=["status=503,page=2,times=2"]) as api:
        assert fetch(api, 2)[0].status == 503


@pytest.mark.parametrize(("fault", "requests"), [("reset", 2), ("truncated", 2), ("status=404", 1), ("status=302", 1)])
def test_a_lost_connection_or_permanent_error_is_not_probed_for_rows(fault: str, requests: int) -> None:
    with MockApiServer(generate(ROWS), faults=[f"{fault},page=2"]) as api:
        with pytest.raises(PermanentSourceError):
            fetch(api, 2)
        assert len(api.requests) == requests


def test_a_connection_lost_while_probing_ends_the_probe() -> None:
    with MockApiServer(generate(ROWS), faults=["poison=250", "reset,page=9"]) as api:
        with pytest.raises(SourceUnavailable, match=r"per_page=25&page=9&"):
            fetch(api, 2, max_attempts=1)
        assert api.requests[-1].params["page"] == "9"


def test_poisoned_rows_in_every_other_page_do_not_hide_that_the_source_is_up() -> None:
    with MockApiServer(generate(ROWS), faults=poison(1, 210)) as api:
        assert fetch(api, 2)[0].missing_rows == [9]


def test_the_last_successful_page_is_the_first_probe_of_the_source() -> None:
    with MockApiServer(generate(ROWS), faults=poison(210)) as api:
        fetch(api, 3, 2)
        asked = [(served.params["page"], served.params["per_page"]) for served in api.requests]
    assert asked[:4] == [("3", "200"), ("2", "200"), ("2", "200"), ("3", "200")]


def test_a_source_that_is_down_is_unavailable_and_not_probed_for_rows() -> None:
    with MockApiServer(generate(ROWS), faults=["status=500"]) as api:
        with pytest.raises(SourceUnavailable, match="page 2"):
            fetch(api, 2)
        assert len(api.requests) == 2 + 2 * 4


@pytest.mark.parametrize(("fault", "is_up"), [("status=500", True), ("status=500,endpoint=any", False)])
def test_the_counts_show_whether_a_source_with_a_single_page_is_up(fault: str, is_up: bool) -> None:
    with MockApiServer(generate(2), faults=[fault]) as api:
        if is_up:
            assert fetch(api, 1, size=2, pages=1)[0].missing_rows == [0, 1]
        else:
            with pytest.raises(SourceUnavailable, match="page 1"):
                fetch(api, 1, size=2, pages=1)


@pytest.mark.parametrize(
    ("limits", "fails"),
    [
        ({"missing_row_probe_limit": 3}, True),
        ({"missing_row_probe_limit": 4}, False),
        ({"missing_row_probe_limit": 0, "max_missing_rows": 4}, False),
    ],
)
def test_more_missing_rows_than_the_larger_limit_are_a_broken_source(limits: dict[str, Any], fails: bool) -> None:
    with MockApiServer(generate(ROWS), faults=poison(201, 202, 203, 204)) as api:
        if fails:
            with pytest.raises(SourceUnavailable, match=r"more than 3 rows.*page 2.*missing_row_probe_limit"):
                fetch(api, 2, **limits)
        else:
            assert fetch(api, 2, **limits)[0].missing_rows == [0, 1, 2, 3]


def test_the_limit_counts_the_missing_rows_of_all_pages_and_those_of_a_refetched_page_once() -> None:
    with MockApiServer(generate(ROWS), faults=poison(1, 201)) as api:
        assert len(fetch(api, 1, 2, 1, 2, missing_row_probe_limit=2)) == 4
        with pytest.raises(SourceUnavailable, match="more than 1 rows"):
            fetch(api, 1, 2, missing_row_probe_limit=1)


def test_a_row_that_a_refetched_page_returns_does_not_count_as_missing_any_more() -> None:
    async def run(chosen: Settings) -> list[list[int]]:
        async with Client(chosen) as client:
            pager = Pager(client, chosen)
            pages = [await pager.fetch(1, 200, pages=3)]
            api.inject(*poison(201))
            pages += [await pager.fetch(number, 200, pages=3) for number in (1, 2)]
        return [page.missing_rows for page in pages]

    with MockApiServer(generate(ROWS), faults=poison(1)) as api:
        assert asyncio.run(run(settings_for(api, missing_row_probe_limit=1))) == [[0], [], [0]]


@pytest.mark.parametrize(
    ("rows", "faults", "size", "requests"),
    [
        (450, [], 200, 1),
        (450, ["clamp=50"], 50, 2),
        (30, ["clamp=50"], 200, 1),
        (0, [], 200, 1),
        (450, ["poison=3"], 200, None),
    ],
    ids=["full", "capped", "fewer rows than the cap", "empty", "missing row"],
)
def test_the_page_size_is_what_the_source_returns_in_a_full_page(
    rows: int, faults: list[str], size: int, requests: int | None
) -> None:
    with MockApiServer(generate(rows), faults=faults) as api:
        page, found = fetch_first(api, rows)
        assert found == size
        assert len(page.lines) + len(page.missing_rows) == min(size, rows)
        assert requests in (None, len(api.requests))


def test_a_short_first_page_that_is_full_the_second_time_is_not_a_cap() -> None:
    with MockApiServer(generate(ROWS), faults=["partial=120,after=1"]) as api:
        page, size = fetch_first(api, ROWS)
    assert (len(page.lines), size) == (200, 200)
