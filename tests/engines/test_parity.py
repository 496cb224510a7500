"""Every built-in model returns the same rows on both engines, in values and types."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.engines.pages import write_page
from tests.mock_api.csv_records import read_csv
from tests.mock_api.php_json import dumps
from tests.real_data import DATA

from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.engines.engine import Engine, Row
from brewhouse.engines.spark import SparkEngine
from brewhouse.models.project import models_of
from brewhouse.pipeline.input_tables import attach_places

Pages = Sequence[Sequence[Mapping[str, Any] | str]]
Differing = Callable[..., dict[str, list[Any]]]
PER_PAGE = 200


def encode(record: Mapping[str, Any]) -> str:
    """Encode a record as the API does, or one with lone surrogates, which PHP refuses, as Python does."""
    try:
        return dumps(record).decode()
    except UnicodeEncodeError:
        return json.dumps(record)


def tables(engine: Engine, before: Sequence[str], now: Sequence[str]) -> dict[str, list[Row]]:
    """Run all models on the pages of two snapshots; return the rows of every table."""
    silver = models_of("silver")
    breweries = next(model for model in silver if model.name == "silver.breweries")
    for files, run, models in (
        (before, "RUN0", [replace(breweries, name="previous.breweries")]),
        (now, "RUN1", [*silver, *models_of("gold")]),
    ):
        engine.attach_raw_snapshot(files, run, "2026-08-02T23:30:00.123456+00:00")
        for model in models_of("staging"):
            engine.compute(model)
        attach_places(engine)
        engine.attach_rows("previous.snapshot", {"run": "string"}, [("RUN0",)])
        for model in models:
            engine.compute(model)
    names = {model.name for model in models_of("staging", "silver", "gold")} - {"staging.repeated_ids"}  # own hashes
    return {name: engine.rows(f"SELECT * FROM {name}") for name in names}


def described(row: Row) -> str:
    """Distinguish values that are equal in Python but not in SQL: 1 and 1.0, 0.0 and -0.0."""
    return repr({name: _comparable(value) for name, value in row.items()})


def _comparable(value: object) -> object:
    """Give what has the same text for the same instant in each time zone object."""
    if isinstance(value, dict):
        return {name: _comparable(inner) for name, inner in value.items()}
    return (type(value), value.isoformat()) if isinstance(value, datetime) else value


@pytest.fixture(scope="module")
def differing(engine: DuckDBEngine, spark: SparkEngine, tmp_path_factory: pytest.TempPathFactory) -> Differing:
    """Run all models on two snapshots with DuckDB and with Spark; return the rows that only one of them has."""
    folder = tmp_path_factory.mktemp("parity [0]")

    def files(name: str, pages: Pages) -> list[str]:
        (folder / name).mkdir(exist_ok=True)
        return [
            write_page(
                folder / name,
                number,
                "".join(f"{record if isinstance(record, str) else encode(record)}\n" for record in records),
            )
            for number, records in enumerate(pages, 1)
        ]

    def compare(before: Pages, now: Pages, on: SparkEngine = spark) -> dict[str, list[Any]]:
        given_files = files("before", before), files("now", now)
        one, other = tables(engine, *given_files), tables(on, *given_files)
        assert sum(map(len, one.values())) > 0 or not any(map(len, now))
        found: dict[str, list[Any]] = {}
        for name, rows in one.items():
            here, there = (sorted(map(described, part)) for part in (rows, other[name]))
            if here != there:
                found[name] = [*sorted(set(here) ^ set(there))[:4], len(here), len(there)]
        return found

    return compare


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


AWKWARD_FIELDS: list[dict[str, Any]] = [
    *({field: " \t Old \u00a0\n  Oak\u3000 Inn \u00a0"} for field in ("city", "country", "phone", "brewery_type")),
    *({field: blank} for field in ("city", "country", "phone") for blank in ("", "  ", "\u00a0", "\x1c\x85", None)),
    *(
        {"longitude": longitude, "latitude": latitude, "country": "France"}
        for longitude, latitude in [
            (-97.5, 35.25), ("-97.5", " 35.25 "), ("1e1", "+.5"), (-97.46818222123456, 35.2), (180, -90), (0, 51.5),
            (None, ""), (180.01, 10), (10, "-90.5"), (0, "0.0"), ("-0", "-0.0"), ("north", 10), ("NaN", 10),
            (5e-5, 1e-9),
            ("Infinity", 10), ("1,5", 10), (10, None), (" ", 10), ("1e400", 1), ("1e-400", 1), (1e-7, 48),
            ("5.", ".5e1"),
            (True, [1]), ({"a": 1.50}, 3), (12345678901234567890123, 1), ("0x10", "1d"), ("1f", "1_0"),
        ]
    ),
    {"state": " a  b "}, {"state_province": " ", "state": "old"},
    {"street": "s"}, {"address_1": "new", "street": "old"},
    {"brewery_type": "MİCRO ΑΣ"}, {"brewery_type": "closed"}, {"brewery_type": "planning"},
    {"name": "Straße İ ΣΑΣ", "city": "Wien", "country": "Austria", "address_1": "ΟΔΟΣ 1"},
    {"name": "STRASSE i̇ σας", "city": "Wien", "country": "Austria", "address_1": "οδος 1"},
    {"name": "straße i̇ σας", "city": "Wien", "country": "Austria", "address_1": "οδος 1"},
    {"name": "\U0001f37a", "city": "\ud83c\udf7a", "state_province": "Flanders", "country": "Belgium"},
    {"name": 12, "phone": 1.50, "postal_code": 1e5, "website_url": True,
     "address_2": [1, 2.50, {"a": None}], "address_3": {}},
    {"country": "England", "state_province": "West  Sussex", "city": "it's \\ \" 'quoted'"},
    {"name": ""}, {"name": "\u00a0 "}, {"id": "old-oak"}, {"id": None}, {"id": " "}, {"id": uuid(1).upper()},
    {"id": "x", "name": ""}, {"id": 7}, {"id": f"\u00a0{uuid(999)}\u3000"},
]  # fmt: skip
AWKWARD_LINES = [
    '{"id" :null,  "name":"  A\\u00e9\\ud83c\\udf7a \U0001f37a ","longitude":-97.46818222123456789012,"new":{"a":[1]}}',
    '{"name": "\\"longitude\\": 1", "longitude" : -8.12345678901234567890, "latitude":1.50E+1}',
    f'{{"id":"{uuid(2000)}","name":"twice","name":"second"}}',
    f'{{"id":"{uuid(2001)}","name":"a\\u0000b\\u001f\\/\\b","phone":-0,"postal_code":-0.0,"city":1e400,"state":0.1e-9}}',
    "{}",
    "{}",
]


def awkward() -> tuple[Pages, Pages]:
    """Give pages of two snapshots with all awkward fields and lines."""
    records: list[dict[str, Any]] = [
        {"id": uuid(number), "name": f"Oak {number}", **fields} for number, fields in enumerate(AWKWARD_FIELDS)
    ]
    repeated = [records[0], records[3], {**records[5], "name": "another"}, {**records[5], "name": None}]
    changed = [{**record, "city": "Elsewhere", "brewery_type": "closed"} for record in records[::3]]
    return [changed, records[1::3]], [[*records, *AWKWARD_LINES], [], repeated]


def test_ids_that_share_only_a_hash_are_not_repeated(engine: DuckDBEngine, tmp_path: Path) -> None:
    ids = [uuid(1), uuid(2), uuid(3), uuid(3), uuid(4), uuid(4), None]
    text = "".join(f"{encode({'id': id_, 'name': str(n % 5)})}\n" for n, id_ in enumerate(ids))
    engine.attach_raw_snapshot([write_page(tmp_path, 1, text)], "RUN", "2026-08-02T23:30:00+00:00")
    staging = models_of("staging")
    read = []
    for every_hash in ("", " UNION SELECT xxhash64(id) FROM staging.cleaned_records"):
        for model in staging:
            is_changed = every_hash and model.name == "staging.repeated_ids"
            engine.compute(replace(model, sql=f"{model.sql}{every_hash}") if is_changed else model)
        columns = "id, name, reasons, record, is_exact_duplicate"
        read.append(engine.rows(f"SELECT {columns} FROM staging.records ORDER BY id, name, is_exact_duplicate"))
    assert len(engine.rows("SELECT id_hash FROM staging.repeated_ids")) == 5
    assert read[0] == read[1]
    assert len(read[0]) == len(ids)


def test_no_rows_have_the_same_result(differing: Differing) -> None:
    assert differing([], []) == {}


BLANKS = " \t\n\r\f\x0b\x1c\x85\u00a0\u2003\u2028\u3000"
LETTERS = st.characters(codec="utf-8", exclude_categories=["Cn"]) | st.sampled_from(
    BLANKS + "aBé\u0130ΣßA'\"\\\U0001f37a"
)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.floats(-180, 180)
values = (
    st.none()
    | st.text(LETTERS, max_size=12)
    | numbers
    | st.booleans()
    | numbers.map(str)
    | st.lists(numbers, max_size=2)
)
ids = (
    st.integers(3000, 3060).map(uuid)
    | st.integers(3000, 3020).map(uuid).map(str.upper)
    | st.sampled_from([None, "", "x", 7])
)
names = st.sampled_from(["Old Oak", "old oak", "", None, "\u00a0"]) | st.text(LETTERS, max_size=12)
countries = st.sampled_from(["France", "United States", "Belgium", "BELGIUM ", "Åland", None]) | values
records = st.fixed_dictionaries(
    {"id": ids, "name": names},
    optional={
        "brewery_type": st.sampled_from(["micro", "Closed", "planning", None]) | values,
        "address_1": values, "street": values,
        "city": st.sampled_from(["Gent", "gent", "GENT"]) | values, "state_province": values, "state": values,
        "postal_code": values, "country": countries, "longitude": values, "latitude": values, "phone": values,
        "website_url": values, "address_2": values, "address_3": values,
    },
)  # fmt: skip
pages = st.lists(st.lists(records, min_size=20, max_size=60), min_size=1, max_size=2)


@settings(
    max_examples=2,  # the first is the smallest
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # an example takes seconds, and differing rows are shown
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(before=pages, now=pages)
def test_any_rows_and_awkward_ones_have_the_same_result(differing: Differing, before: Pages, now: Pages) -> None:
    awkward_before, awkward_now = awkward()
    assert differing([*before, *awkward_before], [*now, before[0][::2], *awkward_now]) == {}


digits = st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,20})?([eE][-+]?[0-9]{1,3})?", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cn"]) | st.sampled_from("\0\x01\x1f\x7f\u2028{}[]:,"))
strings = texts.flatmap(lambda text: st.sampled_from([json.dumps(text), json.dumps(text, ensure_ascii=False)]))
spaces = st.sampled_from(["", "", " ", "\t "])


def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Encode lists and objects, with whitespace between tokens and keys that may repeat."""
    pairs = st.tuples(spaces, strings, spaces, inner).map(lambda pair: f"{pair[0]}{pair[1]}{pair[2]}:{pair[3]}")
    lists = st.lists(st.tuples(spaces, inner).map("".join), max_size=3).map(lambda items: f"[{','.join(items)} ]")
    return lists | st.lists(pairs, max_size=3).map(lambda items: f"{{{','.join(items)} }}")


any_value = st.recursive(digits | strings | st.sampled_from(["null", "true", "false"]), nested, max_leaves=5)
keys = st.sampled_from(['"name"', '"n\\u0061me"', '"NAME"', '"city"', '"longitude"', '"phone"', '"other"'])
members = st.tuples(keys, spaces, spaces, any_value).map(lambda parts: f"{parts[0]}{parts[1]}:{parts[2]}{parts[3]}")
json_lines = st.lists(members, max_size=6).map(lambda parts: f"{{{','.join(parts)}}}")


@settings(
    max_examples=5,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
@given(lines=st.lists(json_lines, min_size=10, max_size=30))  # longer ones are mostly drawn in vain: too much data
def test_any_json_object_is_read_alike(
    engine: DuckDBEngine, spark: SparkEngine, tmp_path: Path, lines: list[str]
) -> None:
    page = write_page(tmp_path, 1, "".join(f"{line}\n" for line in lines))
    read = []
    for each in (engine, spark):
        each.attach_raw_snapshot([page], "RUN", "2026-08-02T12:00:00+00:00")
        rows = each.rows("SELECT name, city, longitude, phone, record FROM bronze.breweries")
        read.append(sorted(rows, key=lambda row: str(row["record"])))
    assert read[0] == read[1]
    assert [row["record"] for row in read[0]] == sorted(lines)


def documented() -> list[tuple[str, str]]:
    """List the records of the table in docs/spark.md with their names."""
    text = (Path(__file__).parents[2] / "docs" / "spark.md").read_text("utf-8")
    return re.findall(r"^\| `([\[{].*?)` \| (.+?) \| ", text, re.MULTILINE)


def test_unusual_records_are_read_as_documented(engine: DuckDBEngine, spark: SparkEngine, tmp_path: Path) -> None:
    rows = [*documented(), ("null", "fails"), ("{", "fails")]
    failing = [record for record, name in rows if name == "fails"]
    read = {record: None if name == "null" else name.strip("`") for record, name in rows if name != "fails"}
    assert len(read) > 9
    assert len(failing) > 5
    page = write_page(tmp_path, 1, "".join(f"{record}\n" for record in read))
    for each in (engine, spark):
        each.attach_raw_snapshot([page], "RUN", "2026-08-02T12:00:00+00:00")
        found = each.rows("SELECT record, name FROM bronze.breweries")
        assert {row["record"]: row["name"] for row in found} == read
        for number, record in enumerate(failing, 2):
            each.attach_raw_snapshot([write_page(tmp_path, number, f"{record}\n")], "RUN", "2026-08-02T12:00:00+00:00")
            with pytest.raises(Exception, match=r"(?i)malformed"):
                each.rows("SELECT name FROM bronze.breweries")


def test_the_real_dataset_has_the_same_result(differing: Differing, spark_by_default: SparkEngine) -> None:
    def paged(version: str) -> Pages:
        every = list(read_csv(DATA / f"breweries-{version}.csv"))
        return [every[first : first + PER_PAGE] for first in range(0, len(every), PER_PAGE)]

    assert differing(paged("2025-10-03")[:3], paged("2026-08-02"), spark_by_default) == {}
