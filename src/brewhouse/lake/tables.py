"""The published tables: Apache Iceberg, committed all together or not at all.

An engine writes Parquet files below `data_folder`; nobody sees them before `publish` commits them.
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pyiceberg.io.pyarrow as iceberg_parquet
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestEntry,
    ManifestEntryStatus,
    write_manifest,
    write_manifest_list,
)
from pyiceberg.partitioning import PARTITION_FIELD_ID_START, PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRefType
from pyiceberg.table.snapshots import Operation, Snapshot, SnapshotSummaryCollector, Summary, update_snapshot_summaries
from pyiceberg.table.sorting import NullOrder, SortField, SortOrder
from pyiceberg.table.update import (
    AddPartitionSpecUpdate,
    AddSchemaUpdate,
    AddSnapshotUpdate,
    AddSortOrderUpdate,
    AssertRefSnapshotId,
    AssertTableUUID,
    SetCurrentSchemaUpdate,
    SetDefaultSortOrderUpdate,
    SetDefaultSpecUpdate,
    SetPropertiesUpdate,
    SetSnapshotRefUpdate,
    TableUpdate,
    update_table_metadata,
)
from pyiceberg.transforms import IdentityTransform
from pyiceberg.typedef import Record
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
    from pyiceberg.io.fileformat import DataFileStatistics
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
_PROPERTIES = {"format-version": "2", "write.metadata.delete-after-commit.enabled": "false"}  # history is for good
_NO_FILE_URI = "#?"  # PyIceberg does not decode URIs, so these cannot be escaped


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
        if bad := [character for character in _NO_FILE_URI if character in str(lake.root)]:
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
        return _field_ids(self._load(spec.name).metadata, spec)

    def publish(self, publications: Sequence[Publication], properties: Mapping[str, str]) -> None:
        """Replace the content of tables, all in one transaction: a reader sees them all before it or all after it.

        Args:
            publications: The tables and their files.
            properties: Kept with each table's new snapshot.

        Raises:
            BrewhouseError: Another process has the catalog, or changed a table meanwhile.
            ValueError: A file does not have the table's columns, or has rows of several partitions.
        """
        try:
            with self._catalog.atomically():
                tables = [self._load_or_create(publication.spec) for publication in publications]
                moment_ms = max([int(time.time() * 1000), *(table.metadata.last_updated_ms for table in tables)])
                for table, publication in zip(tables, publications, strict=True):
                    self._replace(table, publication, properties, moment_ms)
        except CommitFailedException as error:
            raise BrewhouseError(f"Nothing was published: {error}.", hint="Run again.") from error

    @contextmanager
    def reading(self) -> Iterator[None]:
        """See all tables as they were at one moment for as long as the block runs."""
        with self._catalog.reading():
            yield

    def current(self, name: str) -> TableSnapshot | None:
        """Tell the snapshot of a table that readers see."""
        return next((snapshot for snapshot in self.history(name) if snapshot.current), None)

    def files(self, name: str, snapshot_id: int | None = None) -> list[str]:
        """List the data files of a table, now or in one of its snapshots, as absolute paths.

        Raises:
            UsageError: The table has no such snapshot.
        """
        table = self._load(name)
        if snapshot_id is not None:
            _require_snapshot(name, table, snapshot_id)
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
        _require_snapshot(name, table, snapshot_id)
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

    def _replace(self, table: Table, publication: Publication, properties: Mapping[str, str], moment_ms: int) -> None:
        """Commit one snapshot in which the table has the published files and no other."""
        evolution = _evolution(table.metadata, publication.spec)
        metadata = update_table_metadata(table.metadata, evolution)
        after = _described_files(metadata, publication.files)
        snapshot = _write_snapshot(table, metadata, after, properties, moment_ms)
        updates = (
            *evolution,
            AddSnapshotUpdate(snapshot=snapshot),
            SetSnapshotRefUpdate.model_validate(
                {"ref-name": MAIN_BRANCH, "type": SnapshotRefType.BRANCH, "snapshot-id": snapshot.snapshot_id}
            ),
        )
        requirements = (
            AssertTableUUID(uuid=metadata.table_uuid),
            AssertRefSnapshotId.model_validate({"ref": MAIN_BRANCH, "snapshot-id": snapshot.parent_snapshot_id}),
        )
        self._catalog.commit_table(table, requirements, updates)

    def _load_or_create(self, spec: TableSpec) -> Table:
        try:
            return self._catalog.load_table(spec.name)
        except NoSuchTableError:
            self._catalog.create_namespace_if_not_exists(spec.name.split(".")[0])
            ids = {column.name: number for number, column in enumerate(spec.columns, start=1)}
            return self._catalog.create_table(
                spec.name,
                _schema(spec, ids),
                location=_uri(self._lake.warehouse.joinpath(*spec.name.split("."))),
                partition_spec=PartitionSpec(*_partition_fields(spec, ids, {}, PARTITION_FIELD_ID_START)),
                sort_order=SortOrder(*_sort_fields(spec, ids)),
                properties={**_PROPERTIES, "comment": spec.description},
            )


def _field_ids(metadata: TableMetadata, spec: TableSpec) -> dict[str, int]:
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


def _schema(spec: TableSpec, ids: Mapping[str, int], schema_id: int = 0) -> Schema:
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


def _evolution(metadata: TableMetadata, spec: TableSpec) -> tuple[TableUpdate, ...]:
    """List what must change for a table to be as its model says now; nothing, mostly."""
    updates: list[TableUpdate] = []
    ids = _field_ids(metadata, spec)
    schema = _schema(spec, ids, schema_id=max(schema.schema_id for schema in metadata.schemas) + 1)
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


def _write_snapshot(
    table: Table, metadata: TableMetadata, after: Sequence[DataFile], properties: Mapping[str, str], moment_ms: int
) -> Snapshot:
    """Write the manifests of a snapshot that takes away every file there is and adds others."""
    parent = table.current_snapshot()
    snapshot_id = metadata.new_snapshot_id()
    name, numbers, places = uuid.uuid4(), itertools.count(), table.location_provider()
    summary = SnapshotSummaryCollector()
    manifests = []

    def write(spec: PartitionSpec, status: ManifestEntryStatus, entries: Sequence[ManifestEntry]) -> None:
        output = table.io.new_output(places.new_metadata_location(f"{name}-m{next(numbers)}.avro"))
        with write_manifest(2, spec, metadata.schema(), output, snapshot_id, "deflate") as writer:
            for entry in entries:
                writer.add(entry) if status is ManifestEntryStatus.ADDED else writer.delete(entry)
        manifests.append(writer.to_manifest_file())

    columns = {field.field_id for field in metadata.schema().fields}
    for manifest in parent.manifests(table.io) if parent else []:
        spec = metadata.specs()[manifest.partition_spec_id]
        entries = manifest.fetch_manifest_entry(table.io, discard_deleted=True)
        for entry in entries:
            summary.metrics.remove_file(entry.data_file)
        if entries and columns.issuperset(field.source_id for field in spec.fields):  # else its partition has no type
            write(spec, ManifestEntryStatus.DELETED, entries)
    for file in after:
        summary.metrics.add_file(file)
    if after:
        write(
            metadata.spec(),
            ManifestEntryStatus.ADDED,
            [ManifestEntry.from_args(status=ManifestEntryStatus.ADDED, data_file=file) for file in after],
        )
    listed = places.new_metadata_location(f"snap-{snapshot_id}-0-{name}.avro")
    parent_id, sequence = parent.snapshot_id if parent else None, metadata.next_sequence_number()
    with write_manifest_list(2, table.io.new_output(listed), snapshot_id, parent_id, sequence, "deflate") as writer:
        writer.add_manifests(manifests)
    counts = Summary(Operation.OVERWRITE, **summary.build(), **properties)
    return Snapshot.model_validate(
        {
            "snapshot-id": snapshot_id,
            "parent-snapshot-id": parent_id,
            "sequence-number": sequence,
            "timestamp-ms": moment_ms,
            "manifest-list": listed,
            "schema-id": metadata.current_schema_id,
            "summary": update_snapshot_summaries(counts, parent.summary if parent else None),
        }
    )


def _described_files(metadata: TableMetadata, files: Sequence[str]) -> list[DataFile]:
    """Read the footers of Parquet files into what Iceberg keeps of a file.

    As `pyiceberg.io.pyarrow.parquet_file_to_data_file` does, but what is the same for all files only once.
    """
    schema = metadata.schema()
    plan = iceberg_parquet.compute_statistics_plan(schema, metadata.properties)
    ids = iceberg_parquet.parquet_path_to_id_mapping(schema)
    described, seen = [], None
    for file in files:
        footer = pq.read_metadata(file)
        arrow = footer.schema.to_arrow_schema()
        if seen is None or not arrow.equals(seen, check_metadata=True):
            iceberg_parquet._check_pyarrow_schema_compatible(schema, arrow, format_version=2)
            seen = arrow
        statistics = iceberg_parquet.data_file_statistics_from_parquet_metadata(footer, plan, ids)
        described.append(
            DataFile.from_args(
                content=DataFileContent.DATA,
                file_path=_uri(file),
                file_format=FileFormat.PARQUET,
                partition=Record(
                    *(_partition_value(file, field, statistics, schema) for field in metadata.spec().fields)
                ),
                file_size_in_bytes=Path(file).stat().st_size,
                sort_order_id=None,
                spec_id=metadata.default_spec_id,
                equality_ids=None,
                key_metadata=None,
                **statistics.to_serialized_dict(),
            )
        )
    return described


def _partition_value(file: str, field: PartitionField, statistics: DataFileStatistics, schema: Schema) -> Any:  # noqa: ANN401
    """Tell the one value all rows of a file have in a column, by the footer when it says so."""
    nulls = statistics.null_value_counts.get(field.source_id)
    if nulls == statistics.record_count:
        return None
    aggregate = statistics.column_aggregates.get(field.source_id)
    least, most = (aggregate.current_min, aggregate.current_max) if aggregate else (None, None)
    if nulls == 0 and least is not None and least == most:  # of long text, the footer has a shortened value or none
        return statistics.partition(PartitionSpec(field), schema)[0]
    values = pq.read_table(file, columns=[field.name]).column(0).unique().to_pylist()
    if len(values) != 1:
        raise ValueError(f"{file} has rows of {len(values)} partitions by {field.name}.")
    return values[0]


def _data_files(table: Table, snapshot: Snapshot | None) -> list[DataFile]:
    if snapshot is None:
        return []
    return [
        entry.data_file
        for manifest in snapshot.manifests(table.io)
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True)
    ]


def _require_snapshot(name: str, table: Table, snapshot_id: int) -> None:
    known = [snapshot.snapshot_id for snapshot in table.metadata.snapshots]
    if snapshot_id not in known:
        raise UsageError(
            f"Table {name} has no snapshot {snapshot_id}; it has {', '.join(map(str, known)) or 'none'}.",
            hint=f"`brewhouse history {name}` lists them.",
        )


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
