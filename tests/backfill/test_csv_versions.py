"""CSV versions: every header of the dataset is parsed by the names of its columns, and no value is lost."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brewhouse.api.contract import parse_record
from brewhouse.backfill.csv_versions import (
    COLUMNS,
    VersionRejectedError,
    count_groups,
    is_slug,
    is_uuid,
    line_of,
    parse_version,
)

_OLD = "name,brewery_type,street"
_REST = "postal_code,website_url,phone"
HEADERS = {
    "2020-03": f"id,{_OLD},city,state,{_REST},created_at,updated_at,country,longitude,latitude,tags",
    "2020-10-12": f"id,{_OLD},city,state,{_REST},created_at,updated_at,country,longitude,latitude,tags,notes",
    "2020-10-24": f"id,{_OLD},address_2,address_3,city,state,county_province,{_REST},created_at,updated_at,country,"
    "longitude,latitude,tags",
    "2021-04": f"obdb_id,{_OLD},address_2,address_3,city,state,county_province,{_REST},created_at,updated_at,country,"
    "longitude,latitude,tags",
    "2021-10": f"obdb_id,{_OLD},address_2,address_3,city,state,county_province,{_REST},country,longitude,latitude,tags",
    "2023-03": "id,name,brewery_type,address_1,address_2,address_3,city,state_province,postal_code,country,phone,"
    "website_url,longitude,latitude",
}
CURRENT = HEADERS["2023-03"].split(",")
VALUES = {
    "id": "ales-york",
    "name": "Ales",
    "brewery_type": "micro",
    "address_1": "1 Main St",
    "city": "York",
    "state_province": "Yorkshire",
    "postal_code": "00123",
    "country": "England",
    "longitude": "-1.0800",
    "latitude": "53",
    "phone": "0123",
    "website_url": "http://ales.example",
}
FORMER = {"obdb_id": "id", "street": "address_1", "state": "state_province"}


def written(header: Sequence[str], *rows: Sequence[str], end: str = "\r\n") -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    return text.getvalue().encode()


def row(header: Sequence[str], **cells: str) -> list[str]:
    """A row of these values, under the names of the header."""
    values = VALUES | cells
    return [values.get(name, values.get(FORMER.get(name, ""), "")) for name in header]


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_each_of_the_six_headers_yields_the_current_fields_in_order(header: str) -> None:
    names = header.split(",")
    version = parse_version(written(names, row(names)))
    (record,) = version.records
    assert tuple(record)[: len(COLUMNS)] == COLUMNS
    assert {name: value for name, value in record.items() if value is not None} == VALUES


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_columns_are_identified_by_name_and_not_by_position(header: str) -> None:
    names = header.split(",")
    turned = names[::-1]
    assert parse_version(written(turned, row(turned))).records == parse_version(written(names, row(names))).records


@pytest.mark.parametrize(
    ("cells", "state"),
    [
        ({"state": "Ohio", "county_province": ""}, "Ohio"),
        ({"state": "", "county_province": "Kent"}, "Kent"),
        ({"state": "Georgia", "county_province": "Fulton"}, "Georgia"),
        ({"state": " ", "county_province": ""}, None),
    ],
)
def test_the_county_is_the_state_when_the_state_is_blank(cells: dict[str, str], state: str | None) -> None:
    names = HEADERS["2021-10"].split(",")
    (record,) = parse_version(written(names, row(names, **cells))).records
    assert record["state_province"] == state
    assert record["county_province"] == (cells["county_province"] or None)


def test_an_unknown_column_is_kept_as_an_extra_field() -> None:
    names = [*CURRENT, "rating"]
    (record,) = parse_version(written(names, row(names, rating="5"))).records
    assert record["rating"] == "5"
    assert line_of(record).endswith(b',"rating":"5"}')


def test_a_file_with_the_deprecated_duplicates_keeps_them() -> None:
    names = [*CURRENT, "state", "street"]
    (record,) = parse_version(written(names, row(names))).records
    assert (record["state"], record["street"]) == ("Yorkshire", "1 Main St")
    assert record["address_1"] == "1 Main St"


@pytest.mark.parametrize("blank", ["", " ", "\t", "\u00a0"])
def test_blank_cells_are_null(blank: str) -> None:
    (record,) = parse_version(written(CURRENT, row(CURRENT, city=blank))).records
    assert record["city"] is None


@pytest.mark.parametrize("cell", ['the "Red" Lion', "a,b", "two\nlines", "two\r\nlines", " blanks "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_quotes_commas_and_line_breaks_stay_in_their_cell(cell: str, end: str) -> None:
    version = parse_version(written(CURRENT, row(CURRENT, name=cell), row(CURRENT), end=end))
    assert [record["name"] for record in version.records] == [cell, "Ales"]
    assert b"\n" not in line_of(version.records[0])


def test_a_byte_order_mark_is_not_part_of_the_first_column() -> None:
    assert parse_version(b"\xef\xbb\xbf" + written(CURRENT, row(CURRENT))).records[0]["id"] == VALUES["id"]


def test_invalid_bytes_are_replaced_and_counted_without_those_replaced_before() -> None:
    content = written(CURRENT, row(CURRENT, city="K?rnten", name="K\ufffdrnten")).replace(b"K?rnten", b"K\xe4rnten")
    version = parse_version(content)
    assert version.bad_bytes == 1
    assert version.records[0]["city"] == version.records[0]["name"] == "K\ufffdrnten"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it lacks id"),
        (b"\x89PNG\r\n\x1a\n\0\0", "it contains NUL bytes"),
        (written(CURRENT, row(CURRENT, name="a\0b")), "it contains NUL bytes"),
        (written(CURRENT, row(CURRENT)).replace(b",", b";"), "its cells are separated by ';' instead of commas"),
        (written(CURRENT, row(CURRENT)).replace(b",", b"\t"), "its cells are separated by '\\t' instead of commas"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n", "it is a Git LFS pointer"),
        (written(CURRENT, row(CURRENT)) + written(CURRENT, row(CURRENT)), "line 3 repeats the header"),
        (
            written(CURRENT, row(CURRENT)) + b"\xef\xbb\xbf" + written(CURRENT[::-1], row(CURRENT[::-1])),
            "line 3 repeats the header",
        ),
        (
            written(CURRENT, row(CURRENT, name="a\n" + ",".join(row(CURRENT)))),
            "a cell that ends in line 3 contains another row: a quote is missing",
        ),
        (b"<html></html>", "its header is not one of the dataset's"),
        (written(["name", *CURRENT[2:]], ["Ales"]), "it lacks id"),
        (written([n for n in CURRENT if n not in ("city", "country")]), "it lacks city, country"),
        (written([*CURRENT, "phone"]), "duplicate columns: 'phone'"),
        (written(CURRENT), "no rows"),
        (
            written(CURRENT, row(CURRENT), ["just one"], row(CURRENT)),
            "1 of its 3 rows do not have the 14 cells of the header",
        ),
        (
            written(CURRENT, row(CURRENT), [*row(CURRENT), "more"]),
            "1 of its 2 rows do not have the 14 cells of the header",
        ),
        (written(CURRENT) + b'"never closed', "it is not valid CSV: unexpected end of data"),
        (written(CURRENT, row(CURRENT, name="x" * 2_000_000)), "it is not valid CSV: field larger"),
        (written(CURRENT, row(CURRENT, id=""), row(CURRENT), row(CURRENT, id=" ")), "2 of its 3 records have no id"),
    ],
)
def test_an_invalid_file_is_rejected_with_the_reason(content: bytes, reason: str) -> None:
    with pytest.raises(VersionRejectedError) as caught:
        parse_version(content)
    assert reason in str(caught.value)


def test_the_line_of_the_first_irregular_row_is_named() -> None:
    with pytest.raises(VersionRejectedError, match="ends in line 4"):
        parse_version(written(CURRENT, row(CURRENT, name="two\nlines"), ["odd"]))


def test_empty_lines_are_skipped() -> None:
    assert len(parse_version(written(CURRENT, row(CURRENT)) + b"\r\n\r\n").records) == 1


@pytest.mark.parametrize("number", ["0", "-0", "1.50", "-122.0000", "1e5", "1E-3", "123456789012345678901234567890"])
def test_coordinates_keep_their_digits_as_numbers(number: str) -> None:
    line = line_of({"id": "a", "longitude": number, "latitude": None})
    assert line == f'{{"id":"a","longitude":{number},"latitude":null}}'.encode()
    assert isinstance(parse_record(line)["longitude"], int | float)


@pytest.mark.parametrize("text", ["+1", "01", ".5", "5.", "1,5", " 1", "1e999", "NaN", "Infinity", "\u0661", "north"])
def test_coordinates_that_are_not_json_numbers_stay_text(text: str) -> None:
    assert parse_record(line_of({"longitude": text}))["longitude"] == text


def test_groups_count_the_records_of_each_value_without_nulls() -> None:
    records = parse_version(
        written(CURRENT, row(CURRENT), row(CURRENT, country=""), row(CURRENT, country="Wales"))
    ).records
    assert count_groups(records)["by_country"] == {"England": 1, "Wales": 1}
    assert count_groups(records)["by_type"] == {"micro": 3}


_CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5) | st.sampled_from(
    ["", " ", "1.50", 'a"b', "\r\n", "\r"]
)


@settings(max_examples=60, deadline=None)
@given(header=st.sampled_from(sorted(HEADERS.values())), data=st.data(), end=st.sampled_from(["\n", "\r\n"]))
def test_every_row_becomes_exactly_one_line_with_the_same_values(header: str, data: st.DataObject, end: str) -> None:
    names = header.split(",")
    cells = data.draw(st.lists(_CELLS, min_size=3, max_size=9))
    rows = [[cells[(3 * number + 7 * column) % len(cells)] for column in range(len(names))] for number in range(3)]
    for number, one in enumerate(rows):
        one[names.index("obdb_id" if "obdb_id" in names else "id")] += f"#{number}"
    version = parse_version(written(names, *rows, end=end))
    lines = b"".join(line_of(record) + b"\n" for record in version.records).split(b"\n")[:-1]
    assert len(lines) == len(rows)
    for line, one in zip(lines, rows, strict=True):
        record = parse_record(line)
        row_cells = dict(zip(names, one, strict=True))
        for name, cell in row_cells.items():
            value = record[FORMER.get(name, name)]
            if name == "state" and not cell.strip() and row_cells.get("county_province", "").strip():
                assert value == row_cells["county_province"]
            elif isinstance(value, int | float):
                assert value == float(cell)
            else:
                assert value == (cell if cell.strip() else None)


@pytest.mark.parametrize(
    ("record", "line"),
    [
        ({"id": "a", "longitude": "11.50", "latitude": "north"}, b'{"id":"a","longitude":11.50,"latitude":"north"}'),
        ({"id": "a", "postal_code": "00123"}, b'{"id":"a","postal_code":"00123"}'),
        ({"id": "a", "name": 'the "Red"\nLion'}, b'{"id":"a","name":"the \\"Red\\"\\nLion"}'),
        ({"id": "a", "longitude": None}, b'{"id":"a","longitude":null}'),
    ],
)
def test_only_coordinates_become_numbers(record: dict[str, str | None], line: bytes) -> None:
    assert line_of(record) == line


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("cd613e30-d8f1-4adf-81b7-584a2265b1f5", True),
        (" CD613E30-D8F1-4ADF-81B7-584A2265B1F5 ", True),
        ("cd613e30d8f14adf81b7584a2265b1f5", True),
        ("{CD613E30-D8F1-4ADF-81B7-584A2265B1F5}", True),
        ("cd613e30-d8f1-4adf-81b7-584a2265b1f5-york", False),
        ("ales-york", False),
        ("", False),
    ],
)
def test_an_id_is_a_uuid_or_a_slug(key: str, expected: bool) -> None:
    assert is_uuid(key) is expected


def test_slugs_are_counted() -> None:
    keys = ["ales-york", "cd613e30-d8f1-4adf-81b7-584a2265b1f5", "ales-hull", "not a slug"]
    assert parse_version(written(CURRENT, *(row(CURRENT, id=key) for key in keys))).slugs == 2


@pytest.mark.parametrize("spelling", ["{%s}", " %s", "urn:uuid:%s"])
@pytest.mark.parametrize("change", [str, str.upper, lambda text: text.replace("-", "")])
def test_a_uuid_has_one_spelling(spelling: str, change: Callable[[str], str]) -> None:
    key = "cd613e30-d8f1-4adf-81b7-584a2265b1f5"
    (record,) = parse_version(written(CURRENT, row(CURRENT, id=spelling % change(key)))).records
    assert record["id"] == key


def test_among_uuids_other_ids_are_neither_slugs_nor_changed() -> None:
    keys = [f"cd613e30-d8f1-4adf-81b7-{number:012}" for number in range(3)] + ["total", "Ales"]
    version = parse_version(written(CURRENT, *(row(CURRENT, id=key) for key in keys)))
    assert version.slugs == 0
    assert [record["id"] for record in version.records] == keys


@pytest.mark.parametrize("key", ["Ales Brewing", "b\ufffdr", "{x}", "http://x", "a,b", "x\ty"])
def test_an_id_with_blanks_or_punctuation_is_not_a_slug(key: str) -> None:
    assert not is_slug(key)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_a_file_in_another_unicode_encoding_is_rejected(encoding: str) -> None:
    with pytest.raises(VersionRejectedError):
        parse_version(written(CURRENT, row(CURRENT)).decode().encode(encoding))


def test_a_file_in_latin_1_keeps_its_rows_and_counts_the_lost_letters() -> None:
    content = written(CURRENT, row(CURRENT, name="Bräu", city="Köln")).decode().encode("latin-1")
    version = parse_version(content)
    assert version.bad_bytes == 2
    assert (version.records[0]["name"], version.records[0]["city"]) == ("Br\ufffdu", "K\ufffdln")


@pytest.mark.parametrize("header", [" id ", "id\t", "\u00a0id"])
def test_whitespace_around_a_column_name_is_ignored(header: str) -> None:
    names = [header, *CURRENT[1:]]
    assert parse_version(written(names, row(CURRENT))).records[0]["id"] == VALUES["id"]


def test_column_names_are_case_sensitive() -> None:
    with pytest.raises(VersionRejectedError, match="it lacks id"):
        parse_version(written(["ID", *CURRENT[1:]], row(CURRENT)))


def test_a_former_name_next_to_the_current_one_is_an_extra_field() -> None:
    names = [*CURRENT, "obdb_id"]
    (record,) = parse_version(written(names, [*row(CURRENT, id="new"), "old"])).records
    assert (record["id"], record["obdb_id"]) == ("new", "old")


def test_rows_keep_the_order_of_the_file() -> None:
    keys = ["c", "a", "b", "a"]
    version = parse_version(written(CURRENT, *(row(CURRENT, id=key) for key in keys)))
    assert [record["id"] for record in version.records] == keys


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_ending_separates_rows(end: str) -> None:
    assert len(parse_version(written(CURRENT, row(CURRENT), row(CURRENT), end=end)).records) == 2


def test_a_quote_inside_an_unquoted_cell_is_kept() -> None:
    content = ",".join(CURRENT) + "\n" + ",".join(row(CURRENT, name='the 7" bar')) + "\n"
    assert parse_version(content.encode()).records[0]["name"] == 'the 7" bar'


def test_text_after_a_closing_quote_is_invalid() -> None:
    content = ",".join(CURRENT) + '\n"a"b' + "," * 13 + "\n"
    with pytest.raises(VersionRejectedError, match=r"not valid CSV: .* in line 2"):
        parse_version(content.encode())
