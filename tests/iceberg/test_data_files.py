"""Data files as Iceberg describes them: locations, bounds, partitions, and which values they cannot contain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.conversions import from_bytes
from pyiceberg.types import DoubleType, StringType
from tests.iceberg.parquet import publish, spec_of, write_file, write_rows

from brewhouse.iceberg.data_files import path_of, uri_of
from brewhouse.iceberg.lake_catalog import NAME
from brewhouse.iceberg.tables import Publication, Tables
from brewhouse.lake.lake import Lake

PATHS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1), min_size=1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@given(parts=PATHS)
def test_a_path_survives_as_a_uri(parts: list[str]) -> None:
    for path in (f"/{'/'.join(parts)}", f"s3://bucket/{'/'.join(parts)}"):
        assert path_of(uri_of(path)) == path
        assert "://" in uri_of(path)


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
