"""Mapping between a TableSpec and Iceberg's schema, partition spec and sort order, and their evolution."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pyiceberg.partitioning import PARTITION_FIELD_ID_START, PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import update
from pyiceberg.table.sorting import NullOrder, SortField, SortOrder
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import NestedField

from brewhouse.iceberg.table_spec import Column, TableSpec

if TYPE_CHECKING:
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata


def spec_of(name: str, table: Table, snapshot_id: int | None = None) -> TableSpec:
    """Describe a stored table, or with a snapshot's id the columns it had in that snapshot.

    Iceberg does not record the partitioning and sort order of a snapshot: they are the current ones, without columns
    that the snapshot lacks.
    """
    snapshot = None if snapshot_id is None else table.metadata.snapshot_by_id(snapshot_id)
    schemas = {schema.schema_id: schema for schema in table.metadata.schemas}
    schema = table.schema() if snapshot is None or snapshot.schema_id is None else schemas[snapshot.schema_id]
    names = {field.field_id: field.name for field in schema.fields}
    return TableSpec(
        name=name,
        description=table.properties.get("comment", ""),
        columns=tuple(Column(f.name, str(f.field_type), f.doc or "", f.field_id) for f in schema.fields),
        partition=tuple(names[f.source_id] for f in table.spec().fields if f.source_id in names),
        sort=tuple(names[f.source_id] for f in table.sort_order().fields if f.source_id in names),
    )


def field_ids(spec: TableSpec, metadata: TableMetadata | None = None) -> dict[str, int]:
    """Assign field ids: an existing column keeps its id if it can be read as its new type, any other gets a new one."""
    if metadata is None:
        return {column.name: number for number, column in enumerate(spec.columns, start=1)}
    stored = {(field.name, str(field.field_type)): field.field_id for field in metadata.schema().fields}
    promoted = {(name, "long"): field_id for (name, kind), field_id in stored.items() if kind == "int"}
    known, new = stored | promoted, itertools.count(metadata.last_column_id + 1)
    return {c.name: known[c.name, c.type] if (c.name, c.type) in known else next(new) for c in spec.columns}


def sort_order_of(spec: TableSpec, ids: Mapping[str, int], order_id: int = 1) -> SortOrder:
    """Return the sort order of a table; its id is 0 if it is unsorted."""
    fields = (SortField(ids[name], IdentityTransform(), null_order=NullOrder.NULLS_FIRST) for name in spec.sort)
    return SortOrder(*fields, order_id=order_id if spec.sort else 0)


def schema_of(spec: TableSpec, ids: Mapping[str, int], schema_id: int = 0) -> Schema:
    """Return the schema of a table."""
    fields = (NestedField(ids[c.name], c.name, c.type, required=False, doc=c.description) for c in spec.columns)
    return Schema(*fields, schema_id=schema_id)


def partition_fields(
    spec: TableSpec, ids: Mapping[str, int], metadata: TableMetadata | None = None
) -> tuple[PartitionField, ...]:
    """Return the partition fields of a table; each column keeps the partition field id it once had."""
    known = {f.source_id: f.field_id for old in metadata.partition_specs for f in old.fields} if metadata else {}
    new = itertools.count(((metadata and metadata.last_partition_id) or PARTITION_FIELD_ID_START - 1) + 1)
    return tuple(
        PartitionField(ids[name], known[ids[name]] if ids[name] in known else next(new), IdentityTransform(), name)
        for name in spec.partition
    )


def properties_of(spec: TableSpec) -> dict[str, str]:
    """Return the properties of a table: its description, and how many earlier metadata files each commit keeps."""
    return {
        "comment": spec.description,
        "write.metadata.delete-after-commit.enabled": "true",
        "write.metadata.previous-versions-max": "5",
    }


def evolution(metadata: TableMetadata, spec: TableSpec) -> tuple[update.TableUpdate, ...]:
    """List the updates that bring a table to its spec; usually none."""
    updates: list[update.TableUpdate] = []
    ids = field_ids(spec, metadata)
    schema = schema_of(spec, ids, schema_id=max(schema.schema_id for schema in metadata.schemas) + 1)
    if schema.fields != metadata.schema().fields:
        updates += [
            update.AddSchemaUpdate(schema=schema),
            update.SetCurrentSchemaUpdate.model_validate({"schema-id": schema.schema_id}),
        ]
    partition = partition_fields(spec, ids, metadata)
    if partition != metadata.spec().fields:
        spec_id = max(old.spec_id for old in metadata.partition_specs) + 1
        updates += [
            update.AddPartitionSpecUpdate(spec=PartitionSpec(*partition, spec_id=spec_id)),
            update.SetDefaultSpecUpdate.model_validate({"spec-id": spec_id}),
        ]
    order_ids = {old.order_id for old in metadata.sort_orders}
    order = sort_order_of(spec, ids, max(order_ids) + 1)
    if order.fields != metadata.sort_order().fields:
        if order.order_id not in order_ids:
            updates.append(update.AddSortOrderUpdate.model_validate({"sort-order": order}))
        updates.append(update.SetDefaultSortOrderUpdate.model_validate({"sort-order-id": order.order_id}))
    if changed := dict(properties_of(spec).items() - metadata.properties.items()):
        updates.append(update.SetPropertiesUpdate(updates=changed))
    return tuple(updates)
