"""Every DuckDB type has one meaning in CSV, JSON and Parquet, whichever way a result is exported."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from math import inf, isnan
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.query.export import FORMATS, export, sort_key, storable, unique_names

HUGE = 2**127 - 1


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def exported(connection: duckdb.DuckDBPyConnection, sql: str, folder: Path) -> dict[str, Path]:
    """Export a result in every format as the command line does, and verify that the console exports the same bytes."""
    result = connection.sql(sql)
    stored = storable(result)
    reader = stored.to_arrow_reader()
    with pq.ParquetWriter(folder / "stored.parquet", reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
    kinds = [duckdb.sqltype(str(kind)) for kind in result.types]
    for step in FORMATS:
        export(stored, result.columns, result.types, step, folder / step)
        again = connection.read_parquet(str(folder / "stored.parquet"))
        export(again, result.columns, kinds, step, folder / f"console.{step}")
        if step != "parquet":
            assert (folder / f"console.{step}").read_bytes() == (folder / step).read_bytes()
    assert str(rows_of(folder / "console.parquet")) == str(rows_of(folder / "parquet"))
    assert pq.read_schema(folder / "console.parquet").names == pq.read_schema(folder / "parquet").names
    return {step: folder / step for step in FORMATS}


def rows_of(file: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return rows


def strict_json(file: Path) -> Any:  # noqa: ANN401 - any JSON
    def reject(constant: str) -> None:
        raise ValueError(constant)

    return json.loads(file.read_text("utf-8"), parse_constant=reject, parse_float=Decimal)


@pytest.mark.parametrize(
    ("sql", "in_csv", "in_json", "in_parquet"),
    [
        ("true", "true", True, True),
        ("NULL", "", None, None),
        ("12.50::DECIMAL(4, 2)", "12.50", Decimal("12.5"), Decimal("12.50")),
        ("sum(1)", "1", 1, Decimal(1)),
        ("0.1::FLOAT", "0.1", Decimal("0.1"), pytest.approx(0.1)),
        ("'-inf'::DOUBLE", "", None, -inf),
        (f"{2**128 - 1}::UHUGEINT", str(2**128 - 1), 2**128 - 1, str(2**128 - 1)),
        ("10::BIGNUM", "10", 10, "10"),
        ("'\\x00ab'::BLOB", "006162", "006162", b"\0ab"),
        ("'101'::BIT", "101", "101", "101"),
        ("INTERVAL 1 DAY", "1 day", "1 day", "1 day"),
        ("'00000000-0000-0000-0000-00000000000a'::UUID", *["00000000-0000-0000-0000-00000000000a"] * 3),
        ("'x'::ENUM('x', 'y')", "x", "x", "x"),
        ("DATE '2026-08-02'", "2026-08-02", "2026-08-02", date(2026, 8, 2)),
        ("'infinity'::DATE", "", None, None),
        ("'-infinity'::TIMESTAMPTZ", "", None, None),
        ("TIMESTAMP '2026-08-02 01:00:00'", *["2026-08-02T01:00:00"] * 2, datetime(2026, 8, 2, 1)),  # noqa: DTZ001
        ("TIMESTAMPTZ '2026-08-02 01:00:00+01'", *["2026-08-02T00:00:00Z"] * 2, datetime(2026, 8, 2, tzinfo=UTC)),
        ("TIME '01:02:03.5'", "01:02:03.5", "01:02:03.5", datetime(2026, 1, 1, 1, 2, 3, 500000).time()),  # noqa: DTZ001
        ("'12:00:00+02'::TIMETZ", "12:00:00+02", "12:00:00+02", "12:00:00+02"),
        ("'01:02:03.123456789'::TIME_NS", *["01:02:03.123456789"] * 3),
        ("[1, NULL]", "[1,null]", [1, None], [1, None]),
        ("[1, 2]::INTEGER[2]", "[1,2]", [1, 2], [1, 2]),
        ("[[1::HUGEINT]]", "[[1]]", [[1]], [[Decimal(1)]]),
        ("{'a b': 'x'::BLOB}", '{"a b":"78"}', {"a b": "78"}, {"a b": b"x"}),
        ("[{'d': 'infinity'::DATE}]", '[{"d":null}]', [{"d": None}], [{"d": None}]),
        ("NULL::STRUCT(d DATE)", "", None, None),
        ("MAP {DATE '2026-08-02': 1 / 0}", '{"2026-08-02":null}', {"2026-08-02": None}, [(date(2026, 8, 2), inf)]),
        ("MAP {'a': INTERVAL 1 DAY}", '{"a":"1 day"}', {"a": "1 day"}, [("a", "1 day")]),
        ("MAP {}", "{}", {}, []),
        ("union_value(k := [0 / 0])", "[null]", [None], "[null]"),
        ("row(1, 'x'::BLOB)", '[1,"78"]', [1, "78"], '[1,"78"]'),
        ('\'{"a": [1, "NaN"]}\'::JSON', '{"a": [1, "NaN"]}', {"a": [1, "NaN"]}, '{"a": [1, "NaN"]}'),
        ("'[NaN]'::JSON", '"[NaN]"', "[NaN]", '"[NaN]"'),
        ("{'a': 1}::VARIANT", '{"a":1}', {"a": 1}, '{"a":1}'),
        ("'a' || chr(13) || 'b'", "a\rb", "a\rb", "a\rb"),
        ("'Bräu, \"🍺\"'", 'Bräu, "🍺"', 'Bräu, "🍺"', 'Bräu, "🍺"'),
    ],
)
def test_a_value_is_exported_by_its_type(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, sql: str, in_csv: str, in_json: object, in_parquet: object
) -> None:
    files = exported(connection, f"SELECT {sql} AS v, 7 AS n", tmp_path)
    with files["csv"].open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["v", "n"], [in_csv, "7"]]
    assert strict_json(files["json"]) == [{"v": in_json, "n": 7}]
    assert rows_of(files["parquet"]) == [{"v": in_parquet, "n": 7}]


def test_nanoseconds_are_kept(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    files = exported(connection, "SELECT '2026-08-02 01:00:00.123456789'::TIMESTAMP_NS AS v", tmp_path)
    assert files["csv"].read_text() == "v\n2026-08-02T01:00:00.123456789\n"
    assert str(pq.read_schema(files["parquet"]).field("v").type) == "timestamp[ns]"


def test_nan_is_null_in_text_and_kept_in_parquet(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    files = exported(connection, "SELECT 0 / 0 AS v, 1 AS n", tmp_path)
    assert (files["csv"].read_text(), strict_json(files["json"])) == ("v,n\n,1\n", [{"v": None, "n": 1}])
    assert isnan(rows_of(files["parquet"])[0]["v"])


def test_a_number_that_parquet_cannot_hold_is_an_error_there_only(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    result = connection.sql(f"SELECT {HUGE}::HUGEINT AS v")
    export(storable(result), result.columns, result.types, "json", tmp_path / "r.json")
    assert strict_json(tmp_path / "r.json") == [{"v": HUGE}]
    with pytest.raises(duckdb.ConversionException, match=str(HUGE)):
        export(storable(result), result.columns, result.types, "parquet", tmp_path / "r.parquet")


def test_repeated_names_are_numbered_in_every_format(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    files = exported(connection, 'SELECT count(*), count(*), 1 AS "a""b", 2 AS "A""b"', tmp_path)
    names = ["count_star()", "count_star()_2", 'a"b', 'A"b_2']
    with files["csv"].open(newline="") as file:
        assert next(csv.reader(file)) == names
    assert list(strict_json(files["json"])[0]) == names
    assert pq.read_table(files["parquet"]).column_names == names


def test_a_result_without_rows_has_its_columns(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    files = exported(connection, "SELECT 1 AS a, [1::HUGEINT] AS b WHERE false", tmp_path)
    assert (files["csv"].read_text(), strict_json(files["json"])) == ("a,b\n", [])
    assert pq.read_schema(files["parquet"]).names == ["a", "b"]


def test_a_single_null_is_a_row_of_the_csv(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    files = exported(connection, "SELECT NULL AS a FROM range(2)", tmp_path)
    assert files["csv"].read_text() == 'a\n""\n""\n'


def test_no_other_file_is_left(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    result = connection.sql(
        "SELECT CAST(CASE WHEN i = 499999 THEN 'x' ELSE '1' END AS INT) AS n FROM range(500000) t(i)"
    )
    for step in FORMATS:
        with pytest.raises(duckdb.Error, match="Could not convert string 'x'"):
            export(storable(result), result.columns, result.types, step, tmp_path / "r")
    assert {file.name for file in tmp_path.iterdir()} <= {"r"}


def test_numbers_of_128_bits_are_sorted_as_numbers(connection: duckdb.DuckDBPyConnection) -> None:
    result = connection.sql("SELECT (10 - range)::HUGEINT AS n FROM range(3)")
    rows = storable(result).order(sort_key(1, result.types[0])).fetchall()
    assert rows == [("8",), ("9",), ("10",)]


@given(st.lists(st.text('aAb_2."', max_size=4), max_size=8))
def test_names_become_unique_and_keep_their_start(names: list[str]) -> None:
    unique = unique_names(names)
    assert len(unique) == len(names) == len({name.lower() for name in unique})
    assert all(new.startswith(old) for old, new in zip(names, unique, strict=True))
    assert unique_names(unique) == unique
