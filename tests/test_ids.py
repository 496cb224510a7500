"""Ids sort by the time they were made."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from brewhouse.ids import CHECKSUM_CHARACTERS, id_at, new_id


def test_an_id_is_26_characters_of_crockfords_base_32() -> None:
    assert re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", new_id())


def test_ids_are_distinct_and_sort_in_the_order_they_were_made() -> None:
    ids = [new_id() for _ in range(5000)]
    assert ids == sorted(set(ids))


def test_the_id_of_a_moment_and_a_content_is_always_the_same_and_tells_each_from_others() -> None:
    moment = datetime(2023, 3, 24, 1, 2, 3, tzinfo=UTC)
    assert id_at(moment, b"a") == id_at(moment.astimezone(timezone(timedelta(hours=5))), b"a")
    assert id_at(moment, b"a") != id_at(moment, b"b")
    assert id_at(moment, b"a")[-CHECKSUM_CHARACTERS:] == id_at(moment + timedelta(1), b"a")[-CHECKSUM_CHARACTERS:]


def test_ids_of_moments_sort_by_these_and_before_those_made_now() -> None:
    moments = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=number**4) for number in range(1000)]
    ids = [id_at(moment, str(moment).encode()) for moment in moments]
    assert ids == sorted(set(ids))
    assert max(ids) < new_id()
