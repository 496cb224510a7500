"""The published tables: Apache Iceberg, committed all together or not at all.

An engine writes Parquet files below `data_folder`; nobody sees them before `publish` commits them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyiceberg.io.pyarrow as iceberg_parquet
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.sorting import NullOrder, SortField, SortOrder
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

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.lake.catalog import SQLiteCatalog
from brewhouse.lake.lake import Lake
from brewhouse.lake.spec import Column, TableSpec

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table, Transaction
    from pyiceberg.table.snapshots import Snapshot

_TYPES: dict[str, IcebergType] = {
    "string": StringType(),
    "double": DoubleType(),
    "long": LongType(),
    "int": IntegerType(),
    "boolean": BooleanType(),
    "timestamptz": TimestamptzType(),
    "date": DateType(),
}
_FIRST_PARTITION_FIELD_ID = 1000
_NO_LOCATION = "#?"  # they end a URI's path, and PyIceberg does not decode escapes


@dataclass(frozen=True)
class Publication:
    """A table and the files that become its whole content.

    Attributes:
        spec: The table; it is created, or its columns changed, as this says.
        files: Absolute paths of Parquet files below the table's data folder, each with rows of one partition only.
    """

    spec: TableSpec
    files: tuple[str, ...]


@dataclass(frozen=True)
class TableSnapshot:
    """A table as one commit left it.

    Attributes:
        table: Zone and table.
        snapshot_id: Iceberg's id.
        committed_at: When, UTC.
        operation: Iceberg's word for what the commit did.
        rows: Number of rows.
        files: Number of data files.
        properties: What the job that committed said of itself.
        current: Whether readers see this one now.
    """

    table: str
    snapshot_id: int
    committed_at: datetime
    operation: str
    rows: int
    files: int
    properties: dict[str, str]
    current: bool


class Tables:
    """The tables of a lake.

    Args:
        lake: Where they are.

    Raises:
        UsageError: The lake's path cannot be that of Iceberg tables.
    """

    def __init__(self, lake: Lake) -> None:
        if bad := sorted(set(_NO_LOCATION) & set(str(lake.root))):
            raise UsageError(
                f"A lake cannot be at {lake.root}: Iceberg's locations cannot hold {' or '.join(bad)}.",
                hint="Choose a folder without it.",
            )
        self._lake = lake
        self._catalog = SQLiteCatalog(lake.catalog_file, _uri(lake.warehouse))

    def names(self) -> list[str]:
        """List the tables by zone and name."""
        zones = self._catalog.list_namespaces()
        return sorted(".".join(table) for zone in zones for table in self._catalog.list_tables(zone))

    def data_folder(self, name: str) -> Path:
        """Name, and make, the folder an engine writes a table's files into."""
        folder = self._lake.warehouse.joinpath(*name.split("."), "data")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def field_ids(self, spec: TableSpec) -> dict[str, int]:
        """Say which Iceberg field id the files of a table must carry for each column."""
        if spec.name not in self.names():
            return {column.name: number for number, column in enumerate(spec.columns, start=1)}
        metadata = self._load(spec.name).metadata
        ids = {field.name: field.field_id for field in metadata.schema().fields}
        new = [column.name for column in spec.columns if column.name not in ids]
        ids.update({name: metadata.last_column_id + number for number, name in enumerate(new, start=1)})
        return {column.name: ids[column.name] for column in spec.columns}

    def publish(self, publications: Sequence[Publication], properties: Mapping[str, str]) -> None:
        """Replace the content of tables, all in one transaction: a reader sees them all before it or all after it.

        Args:
            publications: The tables and their files.
            properties: Kept with each table's new snapshot.

        Raises:
            BrewhouseError: Another process has the catalog, or changed a table meanwhile.
        """
        try:
            with self._catalog.atomically():
                for publication in publications:
                    self._publish(publication, dict(properties))
        except CommitFailedException as error:
            raise BrewhouseError(f"Nothing was published: {error}.", hint="Run again.") from error

    def current(self, name: str) -> TableSnapshot | None:
        """Tell the snapshot of a table that readers see."""
        return next((snapshot for snapshot in self.history(name) if snapshot.current), None)

    def files(self, name: str, snapshot_id: int | None = None) -> list[str]:
        """List the data files of a table, now or in one of its snapshots, as absolute paths."""
        table = self._load(name)
        snapshot = table.current_snapshot() if snapshot_id is None else table.snapshot_by_id(snapshot_id)
        return sorted(_path(file.file_path) for file in _data_files(table, snapshot))

    def history(self, name: str) -> list[TableSnapshot]:
        """List the snapshots of a table, oldest first."""
        table = self._load(name)
        current = table.metadata.current_snapshot_id
        return [_describe(name, s, current=s.snapshot_id == current) for s in table.metadata.snapshots]

    def snapshot_at(self, name: str, at: datetime) -> TableSnapshot | None:
        """Tell the snapshot a reader saw at a time, None before the first."""
        seen = [entry for entry in self._load(name).history() if _time(entry.timestamp_ms) <= at]
        wanted = seen[-1].snapshot_id if seen else None
        return next((snapshot for snapshot in self.history(name) if snapshot.snapshot_id == wanted), None)

    def rollback(self, name: str, snapshot_id: int) -> None:
        """Make a table show one of its earlier snapshots again; the later ones are kept.

        Raises:
            UsageError: The table has no such snapshot.
        """
        table = self._load(name)
        known = [snapshot.snapshot_id for snapshot in table.metadata.snapshots]
        if snapshot_id not in known:
            raise UsageError(
                f"Table {name} has no snapshot {snapshot_id}; it has {', '.join(map(str, known))}.",
                hint=f"`brewhouse history {name}` lists them.",
            )
        table.manage_snapshots().set_current_snapshot(snapshot_id=snapshot_id).commit()

    def describe(self, name: str) -> TableSpec:
        """Describe a table as it is stored."""
        table = self._load(name)
        schema = table.schema()
        names = {type(kind): word for word, kind in _TYPES.items()}
        return TableSpec(
            name=name,
            description=table.properties.get("comment", ""),
            columns=tuple(Column(f.name, names[type(f.field_type)], f.doc or "") for f in schema.fields),
            partition=tuple(schema.find_field(f.source_id).name for f in table.spec().fields),
            sort=tuple(schema.find_field(f.source_id).name for f in table.sort_order().fields),
        )

    def _load(self, name: str) -> Table:
        try:
            return self._catalog.load_table(name)
        except NoSuchTableError as error:
            known = ", ".join(self.names()) or "none"
            raise BrewhouseError(
                f"The lake {self._lake.root} has no table {name}; it has: {known}.", hint="`brewhouse run` makes them."
            ) from error

    def _publish(self, publication: Publication, properties: dict[str, str]) -> None:
        table = self._load_or_create(publication.spec)
        before = _data_files(table, table.current_snapshot())
        transaction = table.transaction()
        _set_columns(transaction, publication.spec)
        metadata = transaction.table_metadata
        after = [
            iceberg_parquet.parquet_file_to_data_file(table.io, metadata, _uri(file)) for file in publication.files
        ]
        with transaction.update_snapshot(snapshot_properties=properties).overwrite() as overwrite:
            for file in before:
                overwrite.delete_data_file(file)
            for file in after:
                overwrite.append_data_file(file)
        transaction.commit_transaction()

    def _load_or_create(self, spec: TableSpec) -> Table:
        try:
            return self._catalog.load_table(spec.name)
        except NoSuchTableError:
            zone = spec.name.split(".")[0]
            if not self._catalog.namespace_exists(zone):
                self._catalog.create_namespace(zone)
            schema = _schema(spec)
            return self._catalog.create_table(
                spec.name,
                schema,
                location=_uri(self._lake.warehouse.joinpath(*spec.name.split("."))),
                partition_spec=_partition(spec, schema),
                sort_order=_sort_order(spec, schema),
                properties={"comment": spec.description, "format-version": "2"},
            )


def _schema(spec: TableSpec) -> Schema:
    return Schema(
        *(
            NestedField(number, column.name, _TYPES[column.type], required=False, doc=column.description)
            for number, column in enumerate(spec.columns, start=1)
        )
    )


def _partition(spec: TableSpec, schema: Schema) -> PartitionSpec:
    return PartitionSpec(
        *(
            PartitionField(
                schema.find_field(name).field_id, _FIRST_PARTITION_FIELD_ID + number, IdentityTransform(), name
            )
            for number, name in enumerate(spec.partition)
        )
    )


def _sort_order(spec: TableSpec, schema: Schema) -> SortOrder:
    return SortOrder(
        *(
            SortField(schema.find_field(name).field_id, IdentityTransform(), null_order=NullOrder.NULLS_FIRST)
            for name in spec.sort
        )
    )


def _set_columns(transaction: Transaction, spec: TableSpec) -> None:
    """Give a table the columns its model has now."""
    there = {field.name for field in transaction.table_metadata.schema().fields}
    wanted = {column.name for column in spec.columns}
    if there == wanted:
        return
    with transaction.update_schema(allow_incompatible_changes=True) as update:
        for name in sorted(there - wanted):
            update.delete_column(name)
        for column in spec.columns:
            if column.name not in there:
                update.add_column(column.name, _TYPES[column.type], doc=column.description)


def _data_files(table: Table, snapshot: Snapshot | None) -> list[DataFile]:
    if snapshot is None:
        return []
    return [
        entry.data_file
        for manifest in snapshot.manifests(table.io)
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True)
    ]


def _describe(name: str, snapshot: Snapshot, *, current: bool) -> TableSnapshot:
    summary = snapshot.summary
    facts = dict(summary.additional_properties) if summary else {}
    return TableSnapshot(
        table=name,
        snapshot_id=snapshot.snapshot_id,
        committed_at=_time(snapshot.timestamp_ms),
        operation=summary.operation.value if summary else "",
        rows=int(facts.get("total-records", 0)),
        files=int(facts.get("total-data-files", 0)),
        properties={key: value for key, value in facts.items() if key.startswith("brewhouse.")},
        current=current,
    )


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _uri(path: str | Path) -> str:
    """Name a local file as Iceberg's writers do: not percent-encoded, for PyIceberg does not decode."""
    return f"file://{path}"


def _path(uri: str) -> str:
    return uri.removeprefix("file://")
