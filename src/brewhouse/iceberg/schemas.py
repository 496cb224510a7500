"""What a TableSpec is in Iceberg: schema, partition and sort order, and how a table becomes as its spec says."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pyiceberg.partitioning import PARTITION_FIELD_ID_START, PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.sorting import NullOrder, SortField, SortOrder
from pyiceberg.table.update import (
    AddPartitionSpecUpdate,
    AddSchemaUpdate,
    AddSortOrderUpdate,
    SetCurrentSchemaUpdate,
    SetDefaultSortOrderUpdate,
    SetDefaultSpecUpdate,
    SetPropertiesUpdate,
    TableUpdate,
)
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import (
    BooleanType,
    DateType,
    DoubleType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)

from brewhouse.iceberg.table_spec import Column, TableSpec

if TYPE_CHECKING:
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata

_TYPES: dict[str, IcebergType] = {
    "string": StringType(),
    "double": DoubleType(),
    "long": LongType(),
    "int": IntegerType(),
    "boolean": BooleanType(),
    "timestamptz": TimestamptzType(),
    "date": DateType(),
}


def spec_of(name: str, table: Table, snapshot_id: int | None = None) -> TableSpec:
    """Describe a table as it is stored; with a snapshot's id, by the columns the table had then.

    Iceberg does not tell by what a snapshot was partitioned and sorted: it is what the table is by now, as far as it
    had the columns.
    """
    snapshot = None if snapshot_id is None else table.metadata.snapshot_by_id(snapshot_id)
    schemas = {schema.schema_id: schema for schema in table.metadata.schemas}
    schema = table.schema() if snapshot is None or snapshot.schema_id is None else schemas[snapshot.schema_id]
    types = {type(kind): word for word, kind in _TYPES.items()}
    names = {field.field_id: field.name for field in schema.fields}
    return TableSpec(
        name=name,
        description=table.properties.get("comment", ""),
        columns=tuple(Column(f.name, types[type(f.field_type)], f.doc or "", f.field_id) for f in schema.fields),
        partition=tuple(names[f.source_id] for f in table.spec().fields if f.source_id in names),
        sort=tuple(names[f.source_id] for f in table.sort_order().fields if f.source_id in names),
    )


def field_ids(metadata: TableMetadata, spec: TableSpec) -> dict[str, int]:
    """Keep the id of a column that is there and can be read as its type now; give a new one to any other."""
    there = {field.name: field for field in metadata.schema().fields}
    new = itertools.count(metadata.last_column_id + 1)
    return {
        column.name: there[column.name].field_id
        if column.name in there and _reads(there[column.name].field_type, _TYPES[column.type])
        else next(new)
        for column in spec.columns
    }


def _reads(stored: IcebergType, wanted: IcebergType) -> bool:
    return stored == wanted or (isinstance(stored, IntegerType) and isinstance(wanted, LongType))


def first_field_ids(spec: TableSpec) -> dict[str, int]:
    """Number the columns of a table that is about to be created."""
    return {column.name: number for number, column in enumerate(spec.columns, start=1)}


def first_partition(spec: TableSpec, ids: Mapping[str, int]) -> PartitionSpec:
    """Make the partition spec of a table that is about to be created, given each column's field id."""
    return PartitionSpec(*_partition_fields(spec, ids, {}, PARTITION_FIELD_ID_START))


def first_sort_order(spec: TableSpec, ids: Mapping[str, int]) -> SortOrder:
    """Make the sort order of a table that is about to be created, given each column's field id."""
    return SortOrder(*_sort_fields(spec, ids))


def schema_of(spec: TableSpec, ids: Mapping[str, int], schema_id: int = 0) -> Schema:
    """Make the schema of a table, given each column's field id."""
    fields = (NestedField(ids[c.name], c.name, _TYPES[c.type], required=False, doc=c.description) for c in spec.columns)
    return Schema(*fields, schema_id=schema_id)


def _partition_fields(
    spec: TableSpec, ids: Mapping[str, int], known: Mapping[int, int], first: int
) -> tuple[PartitionField, ...]:
    new = itertools.count(first)
    return tuple(
        PartitionField(ids[name], known[ids[name]] if ids[name] in known else next(new), IdentityTransform(), name)
        for name in spec.partition
    )


def _sort_fields(spec: TableSpec, ids: Mapping[str, int]) -> tuple[SortField, ...]:
    return tuple(SortField(ids[name], IdentityTransform(), null_order=NullOrder.NULLS_FIRST) for name in spec.sort)


def evolution(metadata: TableMetadata, spec: TableSpec) -> tuple[TableUpdate, ...]:
    """List what must change for a table to be as its model says now; nothing, mostly."""
    updates: list[TableUpdate] = []
    ids = field_ids(metadata, spec)
    schema = schema_of(spec, ids, schema_id=max(schema.schema_id for schema in metadata.schemas) + 1)
    if schema.fields != metadata.schema().fields:
        updates += [
            AddSchemaUpdate(schema=schema),
            SetCurrentSchemaUpdate.model_validate({"schema-id": schema.schema_id}),
        ]
    known = {field.source_id: field.field_id for old in metadata.partition_specs for field in old.fields}
    partition = _partition_fields(spec, ids, known, (metadata.last_partition_id or PARTITION_FIELD_ID_START - 1) + 1)
    if partition != metadata.spec().fields:
        spec_id = max(old.spec_id for old in metadata.partition_specs) + 1
        updates += [
            AddPartitionSpecUpdate(spec=PartitionSpec(*partition, spec_id=spec_id)),
            SetDefaultSpecUpdate.model_validate({"spec-id": spec_id}),
        ]
    sort = _sort_fields(spec, ids)
    if list(sort) != metadata.sort_order().fields:
        order_id = max(old.order_id for old in metadata.sort_orders) + 1 if sort else 0
        if order_id not in {old.order_id for old in metadata.sort_orders}:
            updates.append(AddSortOrderUpdate.model_validate({"sort-order": SortOrder(*sort, order_id=order_id)}))
        updates.append(SetDefaultSortOrderUpdate.model_validate({"sort-order-id": order_id}))
    if metadata.properties.get("comment", "") != spec.description:
        updates.append(SetPropertiesUpdate(updates={"comment": spec.description}))
    return tuple(updates)
