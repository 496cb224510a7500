"""The contract: bodies are parsed in every dialect, verbatim, and anything else is a bad response."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.api.contract import (
    FIELDS,
    GROUPS,
    excerpt,
    one_line,
    parse_lines,
    parse_meta,
    parse_page,
    parse_record,
)
from brewhouse.api.source_errors import BadResponseError
from brewhouse.source import Meta

VALUES = st.one_of(st.none(), st.text(max_size=5), st.booleans(), st.integers(-(2**60), 2**60), st.just([1]))
CURRENT = st.fixed_dictionaries(dict.fromkeys(FIELDS, VALUES))
ANY = st.dictionaries(st.sampled_from([*FIELDS, "obdb_id", "rating", "créé"]), VALUES)


@given(st.lists(CURRENT, max_size=3) | st.lists(CURRENT | ANY, max_size=4))
def test_records_of_any_dialect_are_decoded_as_json(written: list[dict[str, Any]]) -> None:
    lines, records = parse_page(json.dumps(written).encode())
    assert [json.loads(line) for line in lines] == written
    assert [records[index] for index in range(len(records))] == written
    assert [parse_record(line) for line in lines] == written
    assert parse_lines(lines) == records


def test_the_last_of_duplicate_fields_counts() -> None:
    current = json.dumps(dict.fromkeys(FIELDS, "x"))[:-1]
    for text in (current + ', "city": "York"}', '{"city": "x", "city": "York"}'):
        assert parse_page(f"[{text}]".encode())[1].columns["city"] == ("York",)


@pytest.mark.parametrize(
    "line",
    [
        b'{"id" :\t"a"}',
        b'{"longitude":12.34567890123456789}',
        b'{"latitude":123456789012345678901234567890}',
        '{"name":"M\u00fcnchen \U0001f37a \\ud83c\\udf7b \\/"}'.encode(),
        b'{"id":"\\u0000"}',
    ],
)
def test_the_bytes_of_a_record_are_kept_verbatim(line: bytes) -> None:
    assert parse_page(b"[ %b ,\n%b ]" % (line, line))[0] == [line, line]


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[1]", b"[{]", b"[[]]", b"null", b'[{"a":"\xff"}]', b"<html>", b"[{}] []", b"\xef\xbb\xbf[]", b"[{}"],
)
def test_a_page_that_is_not_an_array_of_objects_is_a_bad_response(body: bytes) -> None:
    with pytest.raises(BadResponseError, match="not a JSON array of objects"):
        parse_page(body)


@pytest.mark.parametrize(
    ("body", "meta", "deviations"),
    [
        ({"total": 2, "by_type": {"micro": 2}, "by_country": {}, "by_state": {}}, (2, {"micro": 2}, {}, {}), []),
        ({"total": 0, "by_type": [], "by_country": [], "by_state": []}, (0, {}, {}, {}), []),
        ({"total": 2}, (2, None, None, None), ["meta_without_groups"]),
        ({"total": 2, "by_type": None, "by_country": {}, "by_state": {}}, (2, None, {}, {}), ["meta_without_groups"]),
        (
            {"total": "2", "page": "1", "per_page": "50"},
            (2, None, None, None),
            ["meta_numbers_as_text", "meta_without_groups"],
        ),
        ({"total": 1, "by_type": {"bar": "1"}, "by_country": {}, "by_state": {}}, (1, {"bar": 1}, {}, {}), []),
    ],
    ids=["current", "empty maps of PHP", "clone", "null group", "previous", "groups as text"],
)
def test_the_counts_of_each_dialect_are_parsed_and_deviations_named(
    body: object, meta: tuple[Any, ...], deviations: list[str]
) -> None:
    total, by_type, by_country, by_state = meta
    expected = Meta(total=total, by_type=by_type, by_country=by_country, by_state=by_state)
    assert parse_meta(json.dumps(body).encode()) == (expected, deviations)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{}", b'{"total": null}', b'{"total": -1}', b'{"total": "many"}', b"\xff", b'{"total": 1.5}',
        b'{"total": 1, "by_type": {"micro": "x"}}', b'{"total": 1, "by_type": 3}', b'{"total": 1',
    ],
)  # fmt: skip
def test_a_body_without_valid_counts_is_a_bad_response(body: bytes) -> None:
    with pytest.raises(BadResponseError, match="no valid brewery counts"):
        parse_meta(body)


def test_each_group_counts_by_a_field_of_the_contract() -> None:
    assert set(GROUPS) == {name for name in Meta.__struct_fields__ if name != "total"}
    assert set(GROUPS.values()) <= set(FIELDS)


def test_line_breaks_become_spaces_and_nothing_else_changes() -> None:
    assert one_line([b'{\r\n "a":\t"x\\n\xc3\xbc" }', b"{}"]) == [b'{   "a":\t"x\\n\xc3\xbc" }', b"{}"]
    unbroken = [b'{"a": "x\\n"}']
    assert one_line(unbroken) is unbroken


@pytest.mark.parametrize(
    ("body", "text"),
    [(b"", "an empty body"), (b"<html>\n", r"'<html>\n'"), (b"\xff", "'\ufffd'"), (b"x" * 1000, f"'{'x' * 200}'")],
)
def test_an_excerpt_is_short_and_printable(body: bytes, text: str) -> None:
    assert excerpt(body) == text
