"""Generated breweries and those of a CSV file."""

from __future__ import annotations

import csv
import uuid
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from tests.mock_api.csv_records import read_csv
from tests.mock_api.php_json import dumps
from tests.real_data import DATA, DATES

from brewhouse.api.contract import BREWERY_TYPES, FIELDS
from brewhouse.mock_api.dataset import generate

HEADER = (
    "id,name,brewery_type,address_1,address_2,address_3,city,state_province,postal_code,country,"
    "phone,website_url,longitude,latitude"
)
Record = dict[str, object]


def is_uuid(text: object) -> bool:
    try:
        uuid.UUID(str(text))
    except ValueError:
        return False
    return True


@pytest.fixture(scope="module")
def thousand() -> list[Record]:
    return list(generate(1_000))


def test_the_same_seed_gives_the_same_breweries() -> None:
    assert list(generate(300, seed=7)) == list(generate(300, seed=7))


def test_another_seed_gives_other_breweries() -> None:
    ids = [{record["id"] for record in generate(300, seed=seed)} for seed in (1, 2)]
    assert not ids[0] & ids[1]


def test_a_larger_count_only_adds_breweries(thousand: list[Record]) -> None:
    assert list(generate(100)) == thousand[:100]


def test_every_record_has_the_fields_of_the_api_in_its_order(thousand: list[Record]) -> None:
    assert {tuple(record) for record in thousand} == {FIELDS}


def test_no_two_records_have_the_same_id_and_each_is_a_uuid(thousand: list[Record]) -> None:
    ids = {record["id"] for record in thousand}
    assert len(ids) == 1_000
    assert all(map(is_uuid, ids))


def test_the_types_are_the_ones_of_the_api_and_a_tenth_is_no_place_for_a_beer() -> None:
    types = Counter(record["brewery_type"] for record in generate(5_000))
    assert set(types) <= set(BREWERY_TYPES)
    assert len(types) == 14
    assert 0.09 < (types["closed"] + types["planning"]) / 5_000 < 0.13


def test_the_places_are_in_many_countries(thousand: list[Record]) -> None:
    assert len({record["country"] for record in thousand}) > 12


def test_deprecated_fields_repeat_the_ones_that_took_their_place(thousand: list[Record]) -> None:
    assert all(record["state"] == record["state_province"] for record in thousand)
    assert all(record["street"] == record["address_1"] for record in thousand)


def test_a_hundred_records_hold_every_awkward_thing() -> None:
    records = list(generate(100))
    names = [str(record["name"]) for record in records]
    longitudes = [record["longitude"] for record in records]
    assert any(name != name.strip() for name in names)
    assert any("  " in name for name in names)
    assert any("ø" in name for name in names)
    assert any("🍺" in name for name in names)
    assert any(isinstance(longitude, str) for longitude in longitudes)
    assert 250.75 in longitudes
    assert any(record["longitude"] == 0 and record["latitude"] == 0 for record in records)
    assert any(record["website_url"] == "" for record in records)
    assert any(record["state_province"] is None for record in records)
    assert longitudes.count(None) > 10


def test_nothing_is_unusable_unless_asked_for(thousand: list[Record]) -> None:
    assert all(str(record["name"]).strip() and record["country"] for record in thousand)


@pytest.mark.parametrize("unusable", [1, 2, 7, 100])
def test_as_many_records_are_unusable_as_asked_for(unusable: int) -> None:
    records = list(generate(100, unusable=unusable))
    nameless = [record for record in records if not record["name"]]
    strange_ids = [record for record in records if not is_uuid(record["id"])]
    assert len(nameless) + len(strange_ids) == unusable
    assert 0 <= len(nameless) - len(strange_ids) <= 1
    assert len({record["id"] for record in records}) == 100


def csv_file(folder: Path, *lines: str) -> Path:
    path = folder / "breweries.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_row_becomes_what_the_api_answers(tmp_path: Path) -> None:
    path = csv_file(
        tmp_path, HEADER, "a,Bräu,micro,Weg 1,,,Köln,NRW,50667,Germany,,http://a.example,36,51.17625779999999"
    )
    (record,) = read_csv(path)
    assert tuple(record) == FIELDS
    assert dumps(record) == (
        b'{"id":"a","name":"Br\\u00e4u","brewery_type":"micro","address_1":"Weg 1","address_2":null,'
        b'"address_3":null,"city":"K\\u00f6ln","state_province":"NRW","postal_code":"50667",'
        b'"country":"Germany","longitude":36,"latitude":51.17625779999999,"phone":null,'
        b'"website_url":"http:\\/\\/a.example","state":"NRW","street":"Weg 1"}'
    )


@pytest.mark.parametrize(
    ("cell", "json"),
    [("36", b"36"), ("-0", b"-0"), ("11.50", b"11.50"), ("0.000010", b"0.000010"), ("1.0", b"1.0")],
)
def test_a_coordinate_keeps_its_digits(tmp_path: Path, cell: str, json: bytes) -> None:
    (record,) = read_csv(csv_file(tmp_path, HEADER, f"a,A,micro,,,,,,,,,,{cell},"))
    assert b'"longitude":' + json + b"," in dumps(record)


@pytest.mark.parametrize("cell", ["12,5", "north", "+4", "007", "NaN", "1_0"])
def test_a_coordinate_that_is_no_json_number_stays_text(tmp_path: Path, cell: str) -> None:
    (record,) = read_csv(csv_file(tmp_path, HEADER, f'a,A,micro,,,,,,,,,,"{cell}",'))
    assert record["longitude"] == cell


def test_blanks_around_values_are_kept(tmp_path: Path) -> None:
    (record,) = read_csv(csv_file(tmp_path, HEADER, "a,A,micro,,,,,,, United States,,,,"))
    assert record["country"] == " United States"


@pytest.mark.parametrize("version", DATES)
def test_the_public_dataset_is_read_digit_for_digit(version: str) -> None:
    path = DATA / f"breweries-{version}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        cells = list(csv.DictReader(file))
    records = list(read_csv(path))
    assert len(records) == len(cells)
    for record, row in zip(records, cells, strict=True):
        for column, cell in row.items():
            value = record[column]
            assert (dumps(value).decode() if isinstance(value, float | Decimal) else value or "") == cell
