"""ULIDs: unique, and sorted by their creation time."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.ids import CHECKSUM_CHARACTERS, day_of, id_at, later, new_id, time_of

MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


def test_an_id_is_26_characters_of_crockfords_base_32() -> None:
    assert re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", new_id())


def test_ids_are_unique_and_sort_in_the_order_of_their_creation() -> None:
    ids = [new_id() for _ in range(5000)]
    assert ids == sorted(set(ids))


def test_ids_of_concurrent_threads_are_unique_and_sorted_in_each_thread() -> None:
    with ThreadPoolExecutor(8) as pool:
        batches = list(pool.map(lambda _: [new_id() for _ in range(500)], range(8)))
    assert len({key for batch in batches for key in batch}) == 4000
    assert all(batch == sorted(batch) for batch in batches)


def test_the_id_of_a_time_and_a_content_is_always_the_same() -> None:
    moment = datetime(2023, 3, 24, 1, 2, 3, tzinfo=UTC)
    assert id_at(moment, b"a") == id_at(moment.astimezone(timezone(timedelta(hours=5))), b"a")
    assert id_at(moment, b"a") != id_at(moment, b"b")
    assert id_at(moment, b"a")[-CHECKSUM_CHARACTERS:] == id_at(moment + timedelta(1), b"a")[-CHECKSUM_CHARACTERS:]


@given(st.lists(MOMENTS, min_size=2, max_size=2), st.binary(max_size=3), st.binary(max_size=3))
def test_ids_of_different_milliseconds_sort_by_them(moments: list[datetime], one: bytes, other: bytes) -> None:
    earlier, later = sorted(moments)
    if later - earlier >= timedelta(milliseconds=1):
        assert id_at(earlier, one) < id_at(later, other)


def test_ids_of_past_times_sort_before_new_ones() -> None:
    assert id_at(datetime.now(UTC) - timedelta(milliseconds=2), b"") < new_id()


@given(st.lists(st.builds(id_at, MOMENTS, st.binary(max_size=3)), min_size=2, max_size=2))
def test_of_two_ids_the_later_one_sorts_after_the_other(both: list[str]) -> None:
    first, second = both
    assert first < later(second, first) <= max(second, later(first, first))
    assert time_of(later(first, first)) == time_of(first)


@given(MOMENTS, st.binary(max_size=3))
def test_the_day_of_an_id_is_that_of_its_time(moment: datetime, content: bytes) -> None:
    assert day_of(id_at(moment, content)) == str(moment.date())


def test_the_day_of_a_new_id_is_today() -> None:
    before = datetime.now(UTC).date()
    day = day_of(new_id())
    assert day is not None
    assert before <= date.fromisoformat(day) <= datetime.now(UTC).date()


@pytest.mark.parametrize(
    "text",
    ["", "last", "2023-03-24", "0" * 25, "0" * 27, "01gw8emg00prmnfnqmva3g9amh", "01GW8EMG00PRMNFNQMVA3G9AMU"],
)
def test_a_text_that_is_not_an_id_has_no_day(text: str) -> None:
    assert day_of(text) is None


@pytest.mark.parametrize("text", ["7" + "Z" * 25, "Z" * 26, "76EZ91ZPZZ" + "Z" * 16])
def test_an_id_after_the_year_9999_has_no_day(text: str) -> None:
    assert (day_of(text) or "9999-12-31") == "9999-12-31"
