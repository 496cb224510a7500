"""The silver models: rows in, rows out, on the real engine."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.iceberg.schemas import field_ids
from brewhouse.models.project import models_of

Transform = Callable[..., DuckDBEngine]
ID = "5128df48-79fc-4f0f-8b52-d06be54d0cec"
OTHER = "9c5a66c8-cc13-416f-a5d9-0a769c87d318"
TEXTS = ("name", "address_1", "address_2", "address_3", "city", "state_province", "postal_code", "country", "phone")


def brewery(**fields: object) -> dict[str, Any]:
    return {"id": ID, "name": "Old Oak", **fields}


def only(engine: DuckDBEngine, table: str = "silver.breweries") -> dict[str, Any]:
    rows = engine.rows(f"SELECT * FROM {table}")
    assert len(rows) == 1
    return rows[0]


def sizes(engine: DuckDBEngine) -> tuple[int, int, int]:
    """Count breweries, rejected records and exact duplicates."""
    tables = ("silver.breweries", "silver.rejected_breweries", "staging.records WHERE is_exact_duplicate")
    breweries, rejected, duplicates = (engine.rows(f"SELECT count(*) AS n FROM {t}")[0]["n"] for t in tables)
    return breweries, rejected, duplicates


@pytest.fixture(scope="module")
def spaced(transform: Transform) -> dict[str, dict[str, Any]]:
    """The row of a brewery with much whitespace in a column, by the column."""
    ids = {column: f"00000000-0000-4000-8000-{number:012}" for number, column in enumerate(TEXTS)}
    records = [brewery(id=ids[column], **{column: " \t Old \u00a0\n  Oak\u3000 Inn \u00a0"}) for column in TEXTS]
    rows = {row["id"]: row for row in transform(records).rows("SELECT * FROM silver.breweries")}
    return {column: rows[ids[column]] for column in TEXTS}


@pytest.mark.parametrize("column", TEXTS)
def test_every_text_is_trimmed_and_its_inner_whitespace_collapsed(
    spaced: dict[str, dict[str, Any]], column: str
) -> None:
    assert spaced[column][column] == "Old Oak Inn"


@pytest.mark.parametrize("blank", [" ", "\\u0020"])
def test_an_extra_space_is_removed_escaped_or_not(transform: Transform, blank: str) -> None:
    texts = (f"{blank}Old Oak", f"Old Oak{blank}", f"Old {blank}Oak", f"Old{blank}{blank}Oak")
    lines = [f'{{"id":"{OTHER[:-1]}{number}","name":"A","city":"{text}"}}' for number, text in enumerate(texts)]
    lines += [
        f'{{"id":"{OTHER[:-1]}{9 - n}","city":{gap}"{blank}Old Oak","name":"A"}}' for n, gap in enumerate(("\t", " \t"))
    ]
    rows = transform(lines).rows("SELECT city FROM silver.breweries")
    assert [row["city"] for row in rows] == ["Old Oak"] * len(lines)


@pytest.mark.parametrize("are_escaped", [True, False])
def test_other_whitespace_becomes_a_space_escaped_or_not(transform: Transform, are_escaped: bool) -> None:
    blanks = [chr(code) for code in range(0x10000) if chr(code).isspace()]
    records = [brewery(id=f"00000000-0000-0000-0000-{ord(blank):012}", city=f"Old{blank}Oak") for blank in blanks]
    lines = [json.dumps(record, ensure_ascii=are_escaped, separators=(",", ":")) for record in records]
    upper = [re.sub(r"\\u....", lambda found: found[0][:2] + found[0][2:].upper(), line) for line in lines]
    for written in (lines, upper):
        rows = transform(written).rows("SELECT city FROM silver.breweries")
        assert [row["city"] for row in rows] == ["Old Oak"] * len(blanks)


COLUMNS = (*TEXTS[1:], "brewery_type", "website_url")
EMPTY = ("", "  ", "\u00a0", None)


@pytest.fixture(scope="module")
def blanked(transform: Transform) -> dict[tuple[str, str | None], dict[str, Any]]:
    """The row of each column with each blank, of one brewery each."""
    cells = list(product(COLUMNS, EMPTY))
    ids = [f"00000000-0000-4000-8000-{number:012}" for number in range(len(cells))]
    records = [brewery(id=key, **{column: blank}) for key, (column, blank) in zip(ids, cells, strict=True)]
    rows = transform(records).rows("SELECT * FROM silver.breweries ORDER BY id")
    assert [row["id"] for row in rows] == ids
    return dict(zip(cells, rows, strict=True))


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("blank", EMPTY)
def test_an_empty_text_is_null(
    blanked: dict[tuple[str, str | None], dict[str, Any]], column: str, blank: str | None
) -> None:
    assert blanked[column, blank][column] is None


def test_type_and_id_are_lower_case(transform: Transform) -> None:
    row = only(transform([brewery(id=f" {ID.upper()} ", brewery_type=" Micro ")]))
    assert (row["id"], row["brewery_type"]) == (ID, "micro")


def test_a_row_names_its_snapshot(transform: Transform) -> None:
    row = only(transform([brewery()]))
    assert (row["snapshot_run"], row["snapshot_time"]) == ("RUN1", datetime(2026, 8, 2, 12, tzinfo=UTC))


COORDINATES: list[tuple[object, object, tuple[float | None, float | None, str | None]]] = [
    (-97.5, 35.25, (-97.5, 35.25, None)),
    ("-97.5", " 35.25 ", (-97.5, 35.25, None)),
    ("1e1", "+.5", (10.0, 0.5, None)),
    (-97.46818222123456, 35.2, (-97.46818222123456, 35.2, None)),
    (180, -90, (180.0, -90.0, None)),
    (0, 51.5, (0.0, 51.5, None)),
    (None, "", (None, None, None)),
    (180.01, 10, (None, None, "out of range")),
    (10, "-90.5", (None, None, "out of range")),
    (0, "0.0", (None, None, "zero")),
    ("north", 10, (None, None, "not a number")),
    ("NaN", 10, (None, None, "not a number")),
    ("Infinity", 10, (None, None, "not a number")),
    ("1,5", 10, (None, None, "not a number")),
    (10, None, (None, None, "only one")),
    (" ", 10, (None, None, "only one")),
]


@pytest.fixture(scope="module")
def located(transform: Transform) -> list[dict[str, Any]]:
    """The row of each pair of coordinates."""
    records = [
        brewery(id=f"00000000-0000-4000-8000-{number:012}", longitude=longitude, latitude=latitude)
        for number, (longitude, latitude, _) in enumerate(COORDINATES)
    ]
    return transform(records).rows("SELECT * FROM silver.breweries ORDER BY id")


@pytest.mark.parametrize("number", range(len(COORDINATES)))
def test_coordinates_are_numbers_or_null_with_the_reason(located: list[dict[str, Any]], number: int) -> None:
    row = located[number]
    assert (row["longitude"], row["latitude"], row["coordinates_issue"]) == COORDINATES[number][2]


@pytest.mark.parametrize(("new", "old"), [("state_province", "state"), ("address_1", "street")])
def test_a_deprecated_duplicate_is_used_only_if_the_new_field_is_absent(
    transform: Transform, new: str, old: str
) -> None:
    assert only(transform([brewery(**{old: " a  b "})]))[new] == "a b"
    assert only(transform([brewery(**{new: " ", old: "old"})]))[new] == "old"
    assert only(transform([brewery(**{new: "new", old: "old"})]))[new] == "new"


@pytest.mark.parametrize(
    ("fields", "reasons"),
    [
        ({"id": None}, "id is missing"),
        ({"id": " "}, "id is missing"),
        ({"id": "old-oak"}, "id is not a UUID"),
        ({"id": ID + "0"}, "id is not a UUID"),
        ({"name": None}, "name is missing"),
        ({"name": "\u00a0 "}, "name is missing"),
        ({"id": None, "name": None}, "id is missing; name is missing"),
        ({"id": "x", "name": ""}, "id is not a UUID; name is missing"),
    ],
)
def test_an_invalid_record_is_rejected_with_all_reasons(
    transform: Transform, fields: dict[str, Any], reasons: str
) -> None:
    engine = transform([brewery(**fields)])
    assert only(engine, "silver.rejected_breweries")["reasons"] == reasons
    assert sizes(engine) == (0, 1, 0)


def test_of_records_with_one_id_and_different_content_the_first_is_the_brewery(transform: Transform) -> None:
    engine = transform([brewery(name="First")], [brewery(id=ID.upper(), name="Second")])
    assert only(engine)["name"] == "First"
    rejected = only(engine, "silver.rejected_breweries")
    assert rejected["name"] == "Second"
    assert rejected["page"] == 2
    assert rejected["reasons"] == "id is also in another record with different content"


def test_a_record_without_a_name_does_not_replace_one_with_the_same_id(transform: Transform) -> None:
    engine = transform([brewery(name=None)], [brewery(name="Named")])
    assert only(engine)["name"] == "Named"
    rejected = only(engine, "silver.rejected_breweries")["reasons"]
    assert rejected == "name is missing; id is also in another record with different content"


def test_an_exact_duplicate_is_neither_brewery_nor_rejected(transform: Transform) -> None:
    assert sizes(transform([brewery(), brewery()], [brewery(), brewery(id=OTHER)])) == (2, 0, 2)
    assert sizes(transform([brewery(name=None), brewery(name=None)])) == (0, 1, 1)


def test_a_rejected_record_is_kept_byte_for_byte_and_its_fields_as_received(transform: Transform) -> None:
    line = (
        '{"id" :null,  "name":"  A\\u00e9\\ud83c\\udf7a \U0001f37a ","longitude":-97.46818222123456789012,'
        '"brewery_type":"MICRO","state":" TX ","new":{"a":[1, 2]}}'
    )
    row = only(transform([line]), "silver.rejected_breweries")
    assert row["record"] == line
    assert row["name"] == "  A\u00e9\U0001f37a \U0001f37a "
    assert (row["brewery_type"], row["state"], row["state_province"]) == ("MICRO", " TX ", None)
    assert float(row["longitude"]) == -97.46818222123457


def test_numbers_of_a_rejected_record_keep_every_digit(transform: Transform) -> None:
    line = '{"name": "\\"longitude\\": 1", "longitude" : -8.12345678901234567890, "latitude":1.50E+1}'
    row = only(transform([line]), "silver.rejected_breweries")
    assert (row["longitude"], row["latitude"]) == ("-8.12345678901234567890", "1.50E+1")


@pytest.mark.parametrize("longitude", ["north", " 1,5", "-97.46818222123456789012"])
def test_a_rejected_record_is_written_with_any_coordinates(
    transform: Transform, tmp_path: Path, longitude: str
) -> None:
    engine = transform([brewery(name=None, longitude=longitude)])
    (model,) = (model for model in models_of("silver") if model.name == "silver.rejected_breweries")
    spec = model.spec(engine.compute(model))
    engine.write(spec, field_ids(spec), tmp_path)
    assert only(engine, model.name)["longitude"] == longitude


def test_an_empty_snapshot_gives_empty_tables(transform: Transform) -> None:
    assert sizes(transform()) == (0, 0, 0)


BLANKS = " \t\n\r\f\u00a0\u2003\u2028\u3000"
text = st.none() | st.text(
    alphabet=st.sampled_from(BLANKS + "aB\u00e9\u0130'\"\\\U0001f37a") | st.characters(codec="utf-8")
)


@settings(max_examples=12, deadline=None)
@given(values=st.lists(text, min_size=30, max_size=60))
def test_cleaning_is_idempotent_and_leaves_no_extra_whitespace(transform: Transform, values: list[str | None]) -> None:
    def cleaned(texts: list[str | None]) -> list[str | None]:
        records = [brewery(id=f"00000000-0000-0000-0000-{number:012}", city=city) for number, city in enumerate(texts)]
        return [row["city"] for row in transform(records).rows("SELECT city FROM silver.breweries ORDER BY id")]

    once = cleaned(values)
    assert cleaned(once) == once
    assert not [city for city in once if city is not None and re.search(r"^\s|\s$|\s\s|[^\S ]|^$", city)]


ids = st.sampled_from([None, "", " ", "x", ID, ID.upper(), OTHER, f" {OTHER}"]) | st.uuids().map(str)
names = st.sampled_from([None, "", "\u00a0", "Old Oak", "\U0001f37a"]) | st.text(st.characters(codec="utf-8"))
records = st.fixed_dictionaries({}, optional={"id": ids, "name": names, "country": text, "city": text})


@settings(max_examples=30, deadline=None)
@given(pages=st.lists(st.lists(records, max_size=16), max_size=3))
def test_every_record_is_a_brewery_rejected_or_an_exact_duplicate(
    transform: Transform, pages: list[list[dict[str, Any]]]
) -> None:
    engine = transform(*pages)
    breweries, rejected, duplicates = sizes(engine)
    lines = [str(sorted(record.items())) for page in pages for record in page]
    assert breweries + rejected + duplicates == len(lines)
    usable = {r["id"].strip().lower() for page in pages for r in page if _is_usable(r)}
    assert breweries == len(usable)


def _is_usable(record: dict[str, Any]) -> bool:
    identity, name = record.get("id") or "", record.get("name") or ""
    return bool(re.fullmatch(r"[0-9a-f-]{36}", identity.strip().lower()) and name.strip())
