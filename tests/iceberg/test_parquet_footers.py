"""Statistics from Parquet footers: a bound is reported only where it is certain."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.iceberg.parquet import Row, write_file

from brewhouse.iceberg.parquet_footers import ColumnStatistics, distinct_values, read_footers
from brewhouse.iceberg.table_spec import DUCKDB_TYPES

MOMENT = datetime(2026, 8, 2, 12, 30, 15, 250_000, tzinfo=UTC)
ORDERED: dict[str, list[Any]] = {
    "string": ["", "Bräu", "b", "🍺"],
    "double": [-1.5, 0.0, 1e300],
    "long": [-(2**63), 0, 2**63 - 1],
    "int": [-5, 10, 9_000],
    "boolean": [False, True],
    "timestamptz": [datetime(1969, 12, 31, tzinfo=UTC), MOMENT],
    "date": [date(1969, 12, 31), date(2026, 8, 2)],
}


def column(file: str, name: str = "c") -> ColumnStatistics:
    (footer,) = read_footers([file])
    return next(column for column in footer.columns if column.name == name)


def write(folder: Path, kind: str, values: Sequence[Any], options: str = "") -> str:
    rows: list[Row] = [(value,) for value in values]
    return write_file(str(folder / "f.parquet"), {"c": DUCKDB_TYPES[kind]}, rows, {"c": 7}, options)


@pytest.mark.parametrize("kind", DUCKDB_TYPES)
def test_each_type_has_its_bounds_and_counts(tmp_path: Path, kind: str) -> None:
    values = [*reversed(ORDERED[kind]), None]
    found = column(write(tmp_path, kind, values))
    assert (found.name, found.field_id, found.type) == ("c", 7, kind)
    assert (found.values, found.nulls) == (len(values), 1)
    assert (found.lower, found.upper, found.is_exact) == (ORDERED[kind][0], ORDERED[kind][-1], True)
    assert found.size_bytes > 0


@pytest.mark.parametrize("kind", DUCKDB_TYPES)
def test_a_column_of_nulls_has_no_bounds(tmp_path: Path, kind: str) -> None:
    found = column(write(tmp_path, kind, [None, None]))
    assert (found.values, found.nulls, found.lower, found.upper, found.is_exact) == (2, 2, None, None, True)


@pytest.mark.parametrize("kind", DUCKDB_TYPES)
def test_a_file_without_rows_has_columns_but_no_values(tmp_path: Path, kind: str) -> None:
    file = write(tmp_path, kind, [])
    (footer,) = read_footers([file])
    assert (footer.rows, footer.offsets_bytes, footer.size_bytes) == (0, [], Path(file).stat().st_size)
    found = column(file)
    assert (found.type, found.values, found.nulls, found.lower, found.upper) == (kind, 0, 0, None, None)


def test_bounds_and_sizes_combine_all_row_groups(tmp_path: Path) -> None:
    file = write(tmp_path, "int", [*range(3000, 0, -1), None], ", ROW_GROUP_SIZE 1000")
    (footer,) = read_footers([file])
    parquet = pq.ParquetFile(file).metadata
    groups = [parquet.row_group(number).column(0) for number in range(parquet.num_row_groups)]
    assert len(groups) > 1
    assert (footer.rows, len(footer.offsets_bytes)) == (3001, len(groups))
    assert footer.offsets_bytes == sorted(footer.offsets_bytes)
    found = column(file)
    assert (found.lower, found.upper, found.nulls) == (1, 3000, 1), "compared as numbers, not as text"
    assert found.size_bytes == sum(group.total_compressed_size for group in groups)


def test_a_row_group_of_nulls_does_not_hide_the_bounds_of_others(tmp_path: Path) -> None:
    table = pa.table({"c": pa.array([None] * 10 + [3, 4])})
    pq.write_table(table, tmp_path / "f.parquet", row_group_size=10)
    found = column(str(tmp_path / "f.parquet"))
    assert (found.lower, found.upper, found.nulls, found.values) == (3, 4, 10, 12)


def test_without_statistics_nothing_is_known(tmp_path: Path) -> None:
    pq.write_table(pa.table({"c": ["a", None]}), tmp_path / "f.parquet", write_statistics=False)
    found = column(str(tmp_path / "f.parquet"))
    assert (found.values, found.nulls, found.lower, found.upper) == (2, None, None, None)
    assert not found.is_exact


@pytest.mark.parametrize("text", ["x" * 5_000, "é" * 3_000])
def test_bounds_of_long_text_are_never_reported_as_exact_unless_they_are(tmp_path: Path, text: str) -> None:
    found = column(write(tmp_path, "string", [text]))
    assert not found.is_exact or found.lower in (text, None)
    assert found.lower is None or found.lower <= text
    assert found.upper is None or found.upper >= text


def test_nan_is_never_a_bound_that_excludes_numbers(tmp_path: Path) -> None:
    found = column(write(tmp_path, "double", [1.0, float("nan"), 2.0]))
    assert found.lower is None or found.lower <= 1.0
    assert found.upper is None or not found.upper < 2.0


def test_files_are_described_in_the_order_they_were_named(tmp_path: Path) -> None:
    names = ["b b.parquet", "a'.parquet", "ü.parquet"]
    files = [
        write_file(str(tmp_path / name), {"c": "INTEGER", "d": "VARCHAR"}, [(number, "x")] * number, {"c": 1, "d": 2})
        for number, name in enumerate(names)
    ]
    footers = read_footers(files)
    assert [(footer.file, footer.rows) for footer in footers] == list(zip(files, range(3), strict=True))
    assert [[c.name for c in footer.columns] for footer in footers] == [["c", "d"]] * 3
    assert read_footers([]) == []


def test_foreign_types_and_missing_field_ids_are_reported(tmp_path: Path) -> None:
    pq.write_table(pa.table({"c": pa.array([1], pa.int16()), "d": [[1, 2]]}), tmp_path / "f.parquet")
    found = column(str(tmp_path / "f.parquet"))
    assert (found.type, found.field_id) == ("SMALLINT", None)


@settings(max_examples=30)
@given(values=st.lists(st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1)), max_size=20))
def test_bounds_of_any_numbers_are_their_minimum_and_maximum(
    tmp_path_factory: pytest.TempPathFactory, values: list[int | None]
) -> None:
    file = write(tmp_path_factory.mktemp("f"), "int", values)
    known = [value for value in values if value is not None]
    found = column(file)
    assert (found.lower, found.upper) == ((min(known), max(known)) if known else (None, None))
    assert (found.values, found.nulls) == (len(values), values.count(None))
    assert set(distinct_values(file, "c")) == set(values)
