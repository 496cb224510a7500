"""Statistics of data files, in Parquet footers and in Iceberg: bounds only where they are certain, partitions."""

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
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.conversions import from_bytes
from pyiceberg.types import DoubleType, StringType
from tests.iceberg.parquet import Row, publish, spec_of, write_file, write_rows

from brewhouse.iceberg.data_files import ColumnStatistics, read_footers
from brewhouse.iceberg.lake_catalog import NAME
from brewhouse.iceberg.table_spec import DUCKDB_TYPES, Publication
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake

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


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


# Parquet footers


def column(file: str, name: str = "c") -> ColumnStatistics:
    footer = read_footers([file])[file]
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
    footer = read_footers([file])[file]
    assert (footer.rows, footer.offsets_bytes, footer.size_bytes) == (0, [], Path(file).stat().st_size)
    found = column(file)
    assert (found.type, found.values, found.nulls, found.lower, found.upper) == (kind, 0, 0, None, None)


def test_bounds_and_sizes_combine_all_row_groups(tmp_path: Path) -> None:
    file = write(tmp_path, "int", [*range(3000, 0, -1), None], ", ROW_GROUP_SIZE 1000")
    footer = read_footers([file])[file]
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


def test_the_footers_of_several_files_are_read_at_once(tmp_path: Path) -> None:
    names = ["b b.parquet", "a'.parquet", "ü.parquet"]
    files = [
        write_file(str(tmp_path / name), {"c": "INTEGER", "d": "VARCHAR"}, [(number, "x")] * number, {"c": 1, "d": 2})
        for number, name in enumerate(names)
    ]
    footers = read_footers(files)
    assert {file: (footer.file, footer.rows) for file, footer in footers.items()} == {
        file: (file, number) for number, file in enumerate(files)
    }
    assert [[c.name for c in footer.columns] for footer in footers.values()] == [["c", "d"]] * 3
    assert read_footers([]) == {}


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


# Iceberg data files


def stored_file(lake: Lake) -> dict[str, Any]:
    """What PyIceberg reads of the one data file of `silver.t`."""
    catalog = SqlCatalog(NAME, uri=f"sqlite:///{lake.catalog_file}")
    (file,) = catalog.load_table("silver.t").inspect.files().to_pylist()
    catalog.close()
    return dict(file)


def bounds(lake: Lake, field_id: int = 1) -> tuple[str | None, ...]:
    file = stored_file(lake)
    lower, upper = dict(file["lower_bounds"]).get(field_id), dict(file["upper_bounds"]).get(field_id)
    return tuple(None if bound is None else from_bytes(StringType(), bound) for bound in (lower, upper))


@pytest.mark.parametrize(
    ("text", "lower", "upper"),
    [
        ("short", "short", "short"),
        ("x" * 16, "x" * 16, "x" * 16),
        ("x" * 17, "x" * 16, "x" * 15 + "y"),
        ("é" * 20, "é" * 16, "é" * 15 + "ê"),
        ("a" + "\U0010ffff" * 20, "a" + "\U0010ffff" * 15, "b" + "\U0010ffff" * 15),
        ("\U0010ffff" * 20, "\U0010ffff" * 16, None),
        ("\ud7ff" * 20, "\ud7ff" * 16, None),
        ("", "", ""),
    ],
    ids=range(8),
)
def test_bounds_of_text_are_truncated_to_16_characters_and_still_enclose_it(
    lake: Lake, text: str, lower: str, upper: str | None
) -> None:
    publish(Tables(lake), spec_of(c="string"), (text,))
    assert bounds(lake) == (lower, upper)
    assert lower <= text
    assert upper is None or upper >= text


def test_counts_and_sizes_are_those_of_the_file(lake: Lake) -> None:
    tables = Tables(lake)
    publish(tables, spec_of(c="string", n="double"), ("a", 1.5), (None, 2.5), (None, None))
    file = stored_file(lake)
    assert (file["record_count"], dict(file["value_counts"]), dict(file["null_value_counts"])) == (
        3,
        {1: 3, 2: 3},
        {1: 2, 2: 1},
    )
    assert file["file_size_in_bytes"] == Path(tables.files("silver.t")[0]).stat().st_size
    lower, upper = (from_bytes(DoubleType(), dict(file[f"{side}_bounds"])[2]) for side in ("lower", "upper"))
    assert (float(lower), float(upper)) == (1.5, 2.5)
    assert file["split_offsets"] == [4]


@pytest.mark.parametrize(
    ("columns", "ids", "message"),
    [
        ({"c": "VARCHAR"}, {"c": 2}, "no column c of type string with id 1"),
        ({"d": "VARCHAR"}, {"d": 1}, "no column c of type string with id 1"),
        ({"c": "BIGINT"}, {"c": 1}, "no column c of type string with id 1"),
        ({"c": "VARCHAR"}, {}, "no column c of type string with id 1"),
        ({"c": "VARCHAR", "x": "VARCHAR"}, {"c": 1, "x": 9}, "columns that the table does not have"),
    ],
)
def test_a_file_with_other_columns_than_the_table_is_rejected(
    lake: Lake, columns: dict[str, str], ids: dict[str, int], message: str
) -> None:
    tables = Tables(lake)
    row = tuple("1" for _ in columns)
    file = str(tables.data_folder("silver.t") / "f.parquet")
    if ids:
        write_file(file, columns, [row], ids)
    else:
        pq.write_table(pa.table({"c": ["1"]}), file)
    with pytest.raises(ValueError, match=message):
        tables.publish([Publication(spec_of(c="string"), (file,))], {})
    assert tables.names() == []


@pytest.mark.parametrize(("kind", "stored"), [("long", "INTEGER"), ("double", "FLOAT")])
def test_a_narrower_type_is_read_as_the_wider_one(lake: Lake, kind: str, stored: str) -> None:
    tables = Tables(lake)
    file = write_file(str(tables.data_folder("silver.t") / "f.parquet"), {"c": stored}, [(1,), (2,)], {"c": 1})
    if kind == "double":
        with pytest.raises(ValueError, match="no column c of type double"):  # DuckDB calls the type FLOAT
            tables.publish([Publication(spec_of(c=kind), (file,))], {})
        return
    tables.publish([Publication(spec_of(c=kind), (file,))], {})
    assert tables.files_by_value("silver.t", "c", 3) == ([], [file])
    assert tables.files_by_value("silver.t", "c", 2) == ([file], [])


@pytest.mark.parametrize(
    ("value", "is_possible"), [("a", False), ("b", True), ("m", True), ("z", True), ("zz", False), ("", False)]
)
def test_a_file_is_excluded_by_its_bounds(lake: Lake, value: str, *, is_possible: bool) -> None:
    tables = Tables(lake)
    publish(tables, spec_of(c="string"), ("b",), ("z",), (None,))
    may_contain, _ = tables.files_by_value("silver.t", "c", value)
    assert bool(may_contain) == is_possible


def test_a_file_of_nulls_contains_no_value_and_one_without_the_column_may(lake: Lake) -> None:
    tables = Tables(lake)
    publish(tables, spec_of(c="string"), ("old",))
    (old,) = tables.files("silver.t")
    wider = spec_of(c="string", d="string")
    nulls = write_rows(tables, wider, [(None, None)])
    tables.publish([Publication(wider, (nulls,), (old,))], {})
    assert tables.files_by_value("silver.t", "c", "x") == ([], sorted([old, nulls]))
    assert tables.files_by_value("silver.t", "d", "x") == ([old], [nulls])


@pytest.mark.parametrize("text", ["x" * 300, "é" * 5_000, "", "\n"])
def test_the_partition_of_a_file_is_its_value_however_long(lake: Lake, text: str) -> None:
    publish(Tables(lake), spec_of(partition=("c",), c="string", n="int"), (text, 1), (text, 2))
    assert stored_file(lake)["partition"] == {"c": text}
