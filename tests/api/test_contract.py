"""Whatever dialect a page is written in, its records are those that are in it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from brewhouse.api.contract import FIELDS, parse_lines, parse_page

VALUES = st.one_of(st.none(), st.text(max_size=5), st.booleans(), st.integers(-(2**60), 2**60), st.just([1]))
TODAY = st.fixed_dictionaries(dict.fromkeys(FIELDS, VALUES))
ANY = st.dictionaries(st.sampled_from([*FIELDS, "obdb_id", "rating", "créé"]), VALUES)


@given(st.lists(TODAY, max_size=3) | st.lists(TODAY | ANY, max_size=4))
def test_records_are_decoded_as_json_is(written: list[dict[str, Any]]) -> None:
    lines, records = parse_page(json.dumps(written).encode())
    assert [json.loads(line) for line in lines] == written
    assert [records[index] for index in range(len(records))] == written
    assert parse_lines(lines) == records


def test_of_a_field_that_is_there_twice_the_last_counts() -> None:
    today = json.dumps(dict.fromkeys(FIELDS, "x"))[:-1]
    for text in (today + ', "city": "York"}', '{"city": "x", "city": "York"}'):
        assert parse_page(f"[{text}]".encode())[1].columns["city"] == ("York",)
