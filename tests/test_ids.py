"""Ids sort by the time they were made."""

from __future__ import annotations

import re

from brewhouse.ids import new_id


def test_an_id_is_26_characters_of_crockfords_base_32() -> None:
    assert re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", new_id())


def test_ids_are_distinct_and_sort_in_the_order_they_were_made() -> None:
    ids = [new_id() for _ in range(5000)]
    assert ids == sorted(set(ids))
