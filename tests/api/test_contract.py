"""The contract: bodies are parsed in every dialect, verbatim, and anything else is a bad response."""

from __future__ import annotations

import gzip
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
    repeated_fields,
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
    ("line", "names"),
    [
        (b'{"id":"a","name":"b"}', []),
        (b'{"id":"a","name":"b","id":"a"}', ["id"]),
        (b'{"id":"a","\\u0069d":null,"tags":[{"x":1,"x":2}],"ID":1}', ["id"]),
        (b'{"tags":1,"id":1,"tags":2,"id":2,"id":3}', ["tags", "id"]),
    ],
)
def test_repeated_fields_are_listed_once_and_those_inside_a_value_are_not(line: bytes, names: list[str]) -> None:
    assert repeated_fields(line) == names


def nested(levels: int) -> bytes:
    return b'[{"id":"a","x":%b%b},{"id":"b"}]' % (b"[" * (levels - 1), b"]" * (levels - 1))


def test_a_record_is_nested_up_to_a_hundred_levels() -> None:
    lines, records = parse_page(nested(100))
    assert (len(lines), records.columns["id"]) == (2, ("a", "b"))
    with pytest.raises(BadResponseError, match="nested deeper than 100 levels"):
        parse_page(nested(101))


def test_a_field_of_the_contract_is_not_nested_deeper_either() -> None:
    usual = json.dumps(dict.fromkeys(FIELDS, "x")).encode()
    with pytest.raises(BadResponseError, match="nested deeper than 100 levels"):
        parse_page(b"[%b]" % usual.replace(b'"x"', b"[" * 400 + b"]" * 400, 1))


@pytest.mark.parametrize("levels", [900, 10_000, 1_000_000])
def test_any_depth_of_json_is_a_bad_response(levels: int) -> None:
    with pytest.raises(BadResponseError, match=r"nested deeper than 100|recursion|Stack overflow"):
        parse_page(nested(levels))
    with pytest.raises(BadResponseError, match="no valid brewery counts"):
        parse_meta(b'{"total":3,"x":%b%b}' % (b"[" * 1_000_000, b"]" * 1_000_000))


def test_brackets_in_text_are_not_levels() -> None:
    assert len(parse_page(json.dumps([{"id": "a", "name": "[{" * 5_000}]).encode())[0]) == 1


def test_a_record_of_a_megabyte_is_a_bad_response() -> None:
    body = json.dumps([{"id": "a"}, {"id": "b", "name": "x" * 1_000_000}]).encode()
    with pytest.raises(BadResponseError, match="larger than 1000000 bytes"):
        parse_page(body)
    assert parse_page(body.replace(b"x" * 100, b""))[1].columns["id"] == ("a", "b")


@pytest.mark.parametrize(
    "line",
    [
        b'{"id":"a","latitude":NaN}', b'{"id":"a","latitude":-Infinity}', b'{"id":"a","latitude":1e400}',
        b'{"id":"a","latitude":' + b"9" * 5_000 + b"}", b'{"id":"\\ud800"}', b'{"id":"a\\udc00"}',
        b'{"id":"a\t"}', b'{"id":"\xed\xa0\x80"}', b'{"id":"a",}', b"{'id':'a'}", b'{"id":"a"} // id',
    ],
)  # fmt: skip
def test_what_only_some_parsers_read_is_a_bad_response(line: bytes) -> None:
    with pytest.raises(BadResponseError, match="not a JSON array of objects"):
        parse_page(b"[%b]" % line)


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
        b'{"total": 1e30}', b'{"total": 1' + b"0" * 30 + b"}", b'{"total": "' + b"9" * 5000 + b'"}',
        b'{"total": 1, "by_type": {"micro": -1}}', b'{"total": 1, "by_state": {"x": 99999999999999999999}}',
        b"", b"[]", b"{}", b'{"total": null}', b'{"total": -1}', b'{"total": "many"}', b"\xff", b'{"total": 1.5}',
        b'{"total": 1, "by_type": {"micro": "x"}}', b'{"total": 1, "by_type": 3}', b'{"total": 1',
    ],
)  # fmt: skip
def test_a_body_without_valid_counts_is_a_bad_response(body: bytes) -> None:
    with pytest.raises(BadResponseError, match="no valid brewery counts"):
        parse_meta(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"total": 5, "total": 2, "by_type": {}, "by_country": {}, "by_state": {}}',
        b'{"total": 2, "by_type": {"micro": 9, "micr\\u006f": 2}, "by_country": {}, "by_state": {}}',
    ],
    ids=["total", "group"],
)
def test_counts_that_are_repeated_are_drift(body: bytes) -> None:
    meta, deviations = parse_meta(body)
    assert (meta.total, deviations) == (2, ["meta_repeated_field"])


def test_each_group_counts_by_a_field_of_the_contract() -> None:
    assert set(GROUPS) == {name for name in Meta.__struct_fields__ if name != "total"}
    assert set(GROUPS.values()) <= set(FIELDS)


def test_line_breaks_become_spaces_and_nothing_else_changes() -> None:
    assert one_line([b'{\r\n "a":\t"x\\n\xc3\xbc" }', b"{}"]) == [b'{   "a":\t"x\\n\xc3\xbc" }', b"{}"]
    unbroken = [b'{"a": "x\\n"}']
    assert one_line(unbroken) is unbroken


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "an empty body"),
        (b"<html>\n", r"'<html>\n'"),
        (b"\xff", "'\ufffd'"),
        (b"x" * 1000, f"'{'x' * 200}'"),
        (gzip.compress(b"[]", mtime=0), "gzip data, compressed twice or sent without its Content-Encoding"),
    ],
)
def test_an_excerpt_is_short_and_printable(body: bytes, text: str) -> None:
    assert excerpt(body) == text
