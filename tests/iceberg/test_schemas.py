"""Tables evolve to any specification: columns by field id, partition specs and sort orders by their own ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.table.metadata import TableMetadata, new_table_metadata
from pyiceberg.table.update import update_table_metadata
from tests.iceberg.parquet import publish
from tests.iceberg.parquet import spec_of as table_spec

from brewhouse.iceberg.schemas import evolution, field_ids, partition_fields, schema_of, sort_order_of
from brewhouse.iceberg.table_spec import DUCKDB_TYPES, Column, TableSpec
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake
from brewhouse.query.views import table_sql


@st.composite
def specs(draw: st.DrawFn) -> TableSpec:
    names = draw(st.lists(st.sampled_from("abcde"), min_size=1, max_size=5, unique=True))
    columns = tuple(
        Column(name, draw(st.sampled_from([*DUCKDB_TYPES])), draw(st.sampled_from(["", "x", "y"]))) for name in names
    )
    subset = st.lists(st.sampled_from(names), max_size=2, unique=True).map(tuple)
    return TableSpec("silver.t", draw(st.sampled_from(["", "A row."])), columns, draw(subset), draw(subset))


def new_metadata(spec: TableSpec) -> TableMetadata:
    ids = field_ids(spec)
    return new_table_metadata(
        schema=schema_of(spec, ids),
        partition_spec=PartitionSpec(*partition_fields(spec, ids)),
        sort_order=sort_order_of(spec, ids),
        location="file:///lake/silver/t",
        properties={"comment": spec.description, "format-version": "2"},
    )


def shape(metadata: TableMetadata) -> tuple[object, ...]:
    names = {field.field_id: field.name for field in metadata.schema().fields}
    return (
        [(field.name, str(field.field_type), field.doc or "") for field in metadata.schema().fields],
        [names[field.source_id] for field in metadata.spec().fields],
        [names[field.source_id] for field in metadata.sort_order().fields],
        metadata.properties.get("comment", ""),
    )


def shape_of(spec: TableSpec) -> tuple[object, ...]:
    columns = [(column.name, column.type, column.description) for column in spec.columns]
    return columns, [*spec.partition], [*spec.sort], spec.description


@settings(max_examples=60)
@given(history=st.lists(specs(), min_size=1, max_size=5))
def test_a_table_becomes_any_sequence_of_specifications(history: Sequence[TableSpec]) -> None:
    metadata = new_metadata(history[0])
    assert shape(metadata) == shape_of(history[0])
    columns_by_id: dict[int, tuple[str, str]] = {}
    partition_ids: dict[int, int] = {}
    for spec in history:
        metadata = update_table_metadata(metadata, evolution(metadata, spec))
        assert shape(metadata) == shape_of(spec)
        assert evolution(metadata, spec) == (), "there is nothing left to change"
        assert field_ids(spec, metadata) == {field.name: field.field_id for field in metadata.schema().fields}
        for field in metadata.schema().fields:
            name, kind = columns_by_id.setdefault(field.field_id, (field.name, str(field.field_type)))
            assert name == field.name, "a field id is never reused for another column"
            assert kind == str(field.field_type) or (kind, str(field.field_type)) == ("int", "long")
            columns_by_id[field.field_id] = (name, str(field.field_type))
        for partition_field in metadata.spec().fields:
            assert (
                partition_ids.setdefault(partition_field.source_id, partition_field.field_id)
                == partition_field.field_id
            )
    assert len(set(partition_ids.values())) == len(partition_ids), "each partition column has its own field id"
    assert len({spec.spec_id for spec in metadata.partition_specs}) == len(metadata.partition_specs)
    assert len({order.order_id for order in metadata.sort_orders}) == len(metadata.sort_orders)


@pytest.mark.parametrize("before", DUCKDB_TYPES)
@pytest.mark.parametrize("after", DUCKDB_TYPES)
def test_only_int_is_promoted_to_long(before: str, after: str) -> None:
    ids = field_ids(table_spec(c=after), new_metadata(table_spec(c=before)))
    assert ids == {"c": 1 if before == after or (before, after) == ("int", "long") else 2}


def test_old_files_are_read_with_the_columns_they_had(tmp_path: Path) -> None:
    tables = Tables(Lake(tmp_path))
    versions = [table_spec(a="int", b="string"), table_spec(b="string", c="double"), table_spec(c="double", a="int")]
    rows = [(1, "x"), ("y", 0.5), (1.5, 9)]
    for spec, row in zip(versions, rows, strict=True):
        publish(tables, spec, row)
    for spec, row, snapshot in zip(versions, rows, tables.history("silver.t"), strict=True):
        described = tables.describe("silver.t", snapshot.snapshot_id)
        assert [column.name for column in described.columns] == [column.name for column in spec.columns]
        sql = table_sql(described, tables.files("silver.t", snapshot.snapshot_id))
        assert duckdb.execute(sql).fetchall() == [row]
        newest = duckdb.execute(table_sql(tables.describe("silver.t"), tables.files("silver.t", snapshot.snapshot_id)))
        assert newest.fetchall() == [{1: (None, None), "y": (0.5, None), 1.5: (1.5, 9)}[row[0]]]


def test_a_snapshot_is_described_with_the_current_partitioning_as_far_as_it_has_the_columns(tmp_path: Path) -> None:
    tables = Tables(Lake(tmp_path))
    publish(tables, table_spec(a="int"), (1,))
    publish(tables, table_spec(partition=("b",), sort=("a", "b"), a="int", b="string"), (1, "x"))
    first = tables.history("silver.t")[0].snapshot_id
    assert (tables.describe("silver.t", first).partition, tables.describe("silver.t", first).sort) == ((), ("a",))
    assert tables.describe("silver.t").partition == ("b",)
