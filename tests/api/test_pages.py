"""Windows over the order of ids: every position is covered once, and poisoned rows are found."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.mock_api.server import MockApiServer

from brewhouse.api.client import Client, PageResult, SourceUnavailable
from brewhouse.api.pages import Pager, PageRange
from brewhouse.mock_api.dataset import generate
from brewhouse.settings import Settings

ROWS = 450


@given(page=st.integers(1, 10_000), size=st.integers(2, 200))
def test_the_parts_of_a_window_cover_each_of_its_rows_once(page: int, size: int) -> None:
    whole = PageRange(page, size)
    rows = [row for part in whole.halves() for row in range(part.start, part.start + part.size)]
    assert rows == list(range(whole.start, whole.start + size))


@given(page=st.integers(1, 100), size=st.integers(1, 200), data=st.data())
def test_every_row_can_be_come_down_to(page: int, size: int, data: st.DataObject) -> None:
    part = PageRange(page, size)
    row = data.draw(st.integers(part.start, part.start + size - 1))
    while part.size > 1:
        (part,) = (inner for inner in part.halves() if inner.start <= row < inner.start + inner.size)
    assert part == PageRange(row + 1, 1)


def take(stand_in: MockApiServer, page: int, **changes: float) -> PageResult:
    quick = {"retry_initial_wait_s": 0, "retry_wait_max_s": 0, "max_attempts": 2}
    settings = msgspec.convert({"source_url": stand_in.url, **quick, **changes}, Settings)

    async def ask() -> PageResult:
        async with Client(settings) as client:
            return await Pager(client, settings).take(page, 200, pages=3)

    return asyncio.run(ask())


@pytest.mark.parametrize("rows", [[201], [400], [250], [201, 202, 400], [200, 300, 401]])
def test_poisoned_rows_are_the_only_ones_missing(rows: list[int]) -> None:
    ids = sorted(str(record["id"]) for record in generate(ROWS))
    with MockApiServer(generate(ROWS), faults=[f"poison={'+'.join(map(str, rows))}"]) as stand_in:
        window = take(stand_in, 2)
    assert list(window.records.columns["id"]) == [ids[n - 1] for n in range(201, 401) if n not in rows]
    assert window.missing_rows == [n - 201 for n in rows if 201 <= n <= 400]
    assert window.status == 500


def test_a_page_that_fails_only_as_a_whole_lacks_nothing() -> None:
    with MockApiServer(generate(ROWS), faults=["status=500,page=2,times=2"]) as stand_in:
        window = take(stand_in, 2)
    assert (len(window.lines), window.missing_rows) == (200, [])


def test_poisoned_rows_in_every_other_page_do_not_hide_that_the_source_works() -> None:
    with MockApiServer(generate(ROWS), faults=["poison=1+210"]) as stand_in:
        assert take(stand_in, 2).missing_rows == [9]


def test_a_source_that_gives_nothing_else_is_unavailable_and_not_searched() -> None:
    with MockApiServer(generate(ROWS), faults=["status=500"]) as stand_in:
        with pytest.raises(SourceUnavailable, match="Page 2"):
            take(stand_in, 2)
        assert len(stand_in.requests) == 2 + 2 * 4


def test_more_poisoned_rows_than_allowed_are_a_broken_source() -> None:
    with (
        MockApiServer(generate(ROWS), faults=["poison=201+202+203+204"]) as stand_in,
        pytest.raises(SourceUnavailable, match="More than 3 rows"),
    ):
        take(stand_in, 2, missing_row_probe_limit=3)


@pytest.mark.parametrize("fault", ["body=not_json", "body=non_object", "body=empty", "slow_s=2"])
def test_a_page_that_is_only_wrong_or_late_as_a_whole_is_taken_in_parts(fault: str) -> None:
    with MockApiServer(generate(ROWS), faults=[f"{fault},page=2"]) as stand_in:
        window = take(stand_in, 2, timeout_s=0.5)
    assert (len(window.lines), window.missing_rows, window.status) == (200, [], 500)


@pytest.mark.parametrize("fault", ["reset", "truncated"])
def test_a_lost_connection_is_no_poison(fault: str) -> None:
    with MockApiServer(generate(ROWS), faults=[f"{fault},page=2"]) as stand_in:
        with pytest.raises(SourceUnavailable):
            take(stand_in, 2)
        assert len(stand_in.requests) == 2
