"""Every version of the dataset's CSV is read by the names of its columns, and nothing in it gets lost."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brewhouse.api.contract import parse_record
from brewhouse.backfill.csv_versions import COLUMNS, VersionRejectedError, groups_of, line_of, read_version

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
TODAY = HEADERS["2023-03"].split(",")
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
    """A row of these values, whatever the header calls them."""
    values = VALUES | cells
    return [values.get(name, values.get(FORMER.get(name, ""), "")) for name in header]


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_each_of_the_six_headers_gives_todays_fields_in_order(header: str) -> None:
    names = header.split(",")
    version = read_version(written(names, row(names)))
    (record,) = version.records
    assert version.header == tuple(names)
    assert tuple(record)[: len(COLUMNS)] == COLUMNS
    assert {name: value for name, value in record.items() if value is not None} == VALUES


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_columns_are_told_apart_by_name_and_not_by_place(header: str) -> None:
    names = header.split(",")
    turned = names[::-1]
    assert read_version(written(turned, row(turned))).records == read_version(written(names, row(names))).records


@pytest.mark.parametrize(
    ("cells", "state"),
    [
        ({"state": "Ohio", "county_province": ""}, "Ohio"),
        ({"state": "", "county_province": "Kent"}, "Kent"),
        ({"state": "Georgia", "county_province": "Fulton"}, "Georgia"),
        ({"state": " ", "county_province": ""}, None),
    ],
)
def test_the_state_is_the_county_where_there_is_no_state(cells: dict[str, str], state: str | None) -> None:
    names = HEADERS["2021-10"].split(",")
    (record,) = read_version(written(names, row(names, **cells))).records
    assert record["state_province"] == state
    assert record["county_province"] == (cells["county_province"] or None)


def test_an_unknown_column_is_kept_as_an_extra_field() -> None:
    names = [*TODAY, "rating"]
    (record,) = read_version(written(names, row(names, rating="5"))).records
    assert record["rating"] == "5"
    assert line_of(record).endswith(b',"rating":"5"}')


def test_a_file_with_the_deprecated_twins_keeps_them() -> None:
    names = [*TODAY, "state", "street"]
    (record,) = read_version(written(names, row(names))).records
    assert (record["state"], record["street"]) == ("Yorkshire", "1 Main St")
    assert record["address_1"] == "1 Main St"


@pytest.mark.parametrize("blank", ["", " ", "\t", "\u00a0"])
def test_blank_cells_are_null(blank: str) -> None:
    (record,) = read_version(written(TODAY, row(TODAY, city=blank))).records
    assert record["city"] is None


@pytest.mark.parametrize("cell", ['the "Red" Lion', "a,b", "two\nlines", "two\r\nlines", " blanks "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_quotes_commas_and_line_breaks_stay_in_their_cell(cell: str, end: str) -> None:
    version = read_version(written(TODAY, row(TODAY, name=cell), row(TODAY), end=end))
    assert [record["name"] for record in version.records] == [cell, "Ales"]
    assert b"\n" not in line_of(version.records[0])


def test_a_byte_order_mark_is_no_part_of_the_first_column() -> None:
    assert read_version(b"\xef\xbb\xbf" + written(TODAY, row(TODAY))).header[0] == "id"


def test_bad_bytes_are_replaced_and_counted_without_those_replaced_long_ago() -> None:
    content = written(TODAY, row(TODAY, city="K?rnten", name="K\ufffdrnten")).replace(b"K?rnten", b"K\xe4rnten")
    version = read_version(content)
    assert version.bad_bytes == 1
    assert version.records[0]["city"] == version.records[0]["name"] == "K\ufffdrnten"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it lacks id"),
        (b"\x89PNG\r\n\x1a\n\0\0", "its header is none of the dataset's"),
        (b"<html></html>", "its header is none of the dataset's"),
        (written(["name", *TODAY[2:]], ["Ales"]), "it lacks id"),
        (written([n for n in TODAY if n not in ("city", "country")]), "it lacks city, country"),
        (written([*TODAY, "phone"]), "columns of the same name: 'phone'"),
        (written(TODAY), "no rows"),
        (written(TODAY, row(TODAY), ["just one"], row(TODAY)), "1 of its 3 rows do not have 14 cells"),
        (written(TODAY, row(TODAY), [*row(TODAY), "more"]), "1 of its 2 rows do not have 14 cells"),
        (written(TODAY) + b'"never closed', "it is no CSV: unexpected end of data"),
        (written(TODAY, row(TODAY, name="x" * 2_000_000)), "it is no CSV: field larger"),
        (written(TODAY, row(TODAY, id=""), row(TODAY), row(TODAY, id=" ")), "2 of its 3 records have no id"),
    ],
)
def test_what_cannot_be_used_is_held_back_with_the_reason(content: bytes, reason: str) -> None:
    with pytest.raises(VersionRejectedError) as held:
        read_version(content)
    assert reason in str(held.value)


def test_the_line_of_the_first_odd_row_is_told() -> None:
    with pytest.raises(VersionRejectedError, match="ends in line 4"):
        read_version(written(TODAY, row(TODAY, name="two\nlines"), ["odd"]))


def test_lines_with_nothing_on_them_are_no_rows() -> None:
    assert len(read_version(written(TODAY, row(TODAY)) + b"\r\n\r\n").records) == 1


@pytest.mark.parametrize("number", ["0", "-0", "1.50", "-122.0000", "1e5", "1E-3", "123456789012345678901234567890"])
def test_coordinates_keep_their_digits_as_numbers(number: str) -> None:
    line = line_of({"id": "a", "longitude": number, "latitude": None})
    assert line == f'{{"id":"a","longitude":{number},"latitude":null}}'.encode()
    assert isinstance(parse_record(line)["longitude"], int | float)


@pytest.mark.parametrize("text", ["+1", "01", ".5", "5.", "1,5", " 1", "1e999", "NaN", "Infinity", "\u0661", "north"])
def test_coordinates_that_are_no_json_numbers_stay_text(text: str) -> None:
    assert parse_record(line_of({"longitude": text}))["longitude"] == text


def test_groups_count_what_records_say_and_leave_out_nulls() -> None:
    records = read_version(written(TODAY, row(TODAY), row(TODAY, country=""), row(TODAY, country="Wales"))).records
    assert groups_of(records)["by_country"] == {"England": 1, "Wales": 1}
    assert groups_of(records)["by_type"] == {"micro": 3}


_CELLS = st.text(st.characters(codec="utf-8"), max_size=5) | st.sampled_from(["", " ", "1.50", 'a"b', "\r\n", "\r"])


@settings(max_examples=60, deadline=None)
@given(header=st.sampled_from(sorted(HEADERS.values())), data=st.data(), end=st.sampled_from(["\n", "\r\n"]))
def test_every_row_becomes_exactly_one_line_with_the_same_values(header: str, data: st.DataObject, end: str) -> None:
    names = header.split(",")
    cells = data.draw(st.lists(_CELLS, min_size=3, max_size=9))
    rows = [[cells[(3 * number + 7 * column) % len(cells)] for column in range(len(names))] for number in range(3)]
    for number, one in enumerate(rows):
        one[names.index("obdb_id" if "obdb_id" in names else "id")] += f"#{number}"
    version = read_version(written(names, *rows, end=end))
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
