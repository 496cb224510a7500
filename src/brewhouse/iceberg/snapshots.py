"""Snapshots of an Iceberg table: reading and writing their manifests, and making one current."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    ManifestEntry,
    ManifestFile,
    write_manifest,
    write_manifest_list,
)
from pyiceberg.manifest import ManifestEntryStatus as Status
from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRefType
from pyiceberg.table.snapshots import (
    TOTAL_DATA_FILES,
    TOTAL_RECORDS,
    Operation,
    Snapshot,
    SnapshotSummaryCollector,
    Summary,
    update_snapshot_summaries,
)
from pyiceberg.table.update import AssertRefSnapshotId, AssertTableUUID, SetSnapshotRefUpdate

from brewhouse.errors import BrewhouseError
from brewhouse.iceberg.file_io import path_in
from brewhouse.lake.damage import MISSING, WRONG_CHECKSUM, DamagedFileError
from brewhouse.lake.lake import has_checksum

if TYPE_CHECKING:
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.update import TableRequirement

VERSION_HINT = "version-hint.text"
"""Names a table's current metadata for readers of its folder; only tables of a local lake have one."""
MANY_MANIFESTS = 10


@dataclass(frozen=True)
class SnapshotChange:
    """How a new snapshot differs from the current one.

    Attributes:
        kept: URIs of the current files that stay; all others are removed.
        rewrites: Whether the rows stay the same and only the files change; manifests are merged then, or if many.
    """

    added: Sequence[DataFile]
    kept: frozenset[str] = frozenset()
    rewrites: bool = False


def set_current(snapshot_id: int) -> SetSnapshotRefUpdate:
    """Return the update that makes a snapshot the current one."""
    return SetSnapshotRefUpdate.model_validate(
        {"ref-name": MAIN_BRANCH, "type": SnapshotRefType.BRANCH, "snapshot-id": snapshot_id}
    )


def require_current(table: Table, snapshot_id: int | None) -> tuple[TableRequirement, ...]:
    """Return the requirements that the table still exists and a snapshot is the current one."""
    return (
        AssertTableUUID(uuid=table.metadata.table_uuid),
        AssertRefSnapshotId.model_validate({"ref": MAIN_BRANCH, "snapshot-id": snapshot_id}),
    )


def data_files(table: Table, snapshot: Snapshot | None) -> list[DataFile]:
    """List the data files of a snapshot; None has none."""
    return [entry.data_file for manifest in manifests_of(table, snapshot) for entry in live_entries(table, manifest)]


def totals(table: Table, snapshot: Snapshot | None) -> dict[str, str]:
    """Return the totals of rows and data files of a snapshot, counted in its manifests if its summary lacks them.

    They are optional in Iceberg, and a commit without them also makes the next ones lack them.
    """
    facts = snapshot.summary.additional_properties if snapshot and snapshot.summary else {}
    if TOTAL_RECORDS in facts:
        return {name: facts[name] for name in (TOTAL_RECORDS, TOTAL_DATA_FILES) if name in facts}
    files = data_files(table, snapshot)
    rows = [file.record_count for file in files if file.content is DataFileContent.DATA]
    deleted = sum(file.record_count for file in files if file.content is DataFileContent.POSITION_DELETES)
    return {TOTAL_RECORDS: str(sum(rows) - deleted), TOTAL_DATA_FILES: str(len(rows))}


def require_files(table: Table, snapshot: Snapshot | None, *, with_data: bool = True) -> None:
    """Check that the manifests of a snapshot of a local table, and its data files, are as they were written.

    Raises:
        BrewhouseError: A file is missing or damaged.
    """
    files = data_files(table, snapshot)
    for file in files if with_data else ():
        path = path_in(table, file.file_path)
        size = path.stat().st_size if path.exists() else 0
        if size != file.file_size_in_bytes:
            reason = f"it has {size} of {file.file_size_in_bytes} bytes" if path.exists() else MISSING
            raise DamagedFileError(path, reason)
        if not has_checksum(path):
            raise DamagedFileError(path, WRONG_CHECKSUM)


def manifests_of(table: Table, snapshot: Snapshot | None) -> list[ManifestFile]:
    """List the manifests of a snapshot; None has none.

    Raises:
        BrewhouseError: The list cannot be read.
    """
    if snapshot is None:
        return []
    with _names_file(table, snapshot.manifest_list):
        return snapshot.manifests(table.io)


def live_entries(table: Table, manifest: ManifestFile) -> list[ManifestEntry]:
    """List the entries of a manifest without the deleted ones.

    Raises:
        BrewhouseError: The manifest cannot be read.
    """
    if not manifest.has_added_files() and not manifest.has_existing_files():
        return []
    with _names_file(table, manifest.manifest_path):
        return manifest.fetch_manifest_entry(table.io, discard_deleted=True)


@contextmanager
def _names_file(table: Table, uri: str) -> Iterator[None]:
    """Turn what PyIceberg raises for a damaged Avro file, which may be any error, into one that names the file."""
    try:
        yield
    except (BrewhouseError, OSError):
        raise
    except Exception as error:
        raise DamagedFileError(path_in(table, uri), f"it is not an Avro file ({type(error).__name__})") from error


def referenced(table: Table, without: Collection[int] = ()) -> Iterator[str]:
    """List the URIs of all files that a table refers to, leaving out the snapshots with these ids."""
    metadata = table.metadata
    yield table.metadata_location
    yield f"{table.metadata_location.rpartition('/')[0]}/{VERSION_HINT}"
    yield from (entry.metadata_file for entry in metadata.metadata_log)
    yield from (file.statistics_path for file in (*metadata.statistics, *metadata.partition_statistics))
    yield from files_of(table, [each for each in metadata.snapshots if each.snapshot_id not in without])


def files_of(table: Table, snapshots: Iterable[Snapshot]) -> Iterator[str]:
    """List the URIs of the files that some snapshots of a table refer to."""
    read: set[str] = set()
    for snapshot in snapshots:
        yield snapshot.manifest_list
        for manifest in manifests_of(table, snapshot):
            yield manifest.manifest_path
            if manifest.manifest_path not in read:
                read.add(manifest.manifest_path)
                yield from (entry.data_file.file_path for entry in live_entries(table, manifest))


def write_snapshot(
    table: Table, metadata: TableMetadata, change: SnapshotChange, properties: Mapping[str, str], timestamp_ms: int
) -> Snapshot:
    """Write the manifests of a new snapshot, which is part of the table once it is committed.

    A manifest whose files are all kept is reused. The metadata already has the schema, partition spec and sort order of
    the new snapshot.

    Raises:
        ValueError: A kept file is not in the current snapshot, or is partitioned by a column that no longer exists.
    """
    parent = table.current_snapshot()
    parent_id = parent.snapshot_id if parent else None
    snapshot_id, sequence = metadata.new_snapshot_id(), metadata.next_sequence_number()
    manifests, rewritten = _reusable_manifests(table, metadata, parent, change)
    if change.added:
        added = [ManifestEntry.from_args(status=Status.ADDED, data_file=file) for file in change.added]
        rewritten.append((metadata.spec(), added))

    name, locations = uuid.uuid4(), table.location_provider()
    for number, (spec, entries) in enumerate(rewritten):
        if _has_columns_of(metadata, spec):  # else all its files are deleted, which need not be recorded
            output = table.io.new_output(locations.new_metadata_location(f"{name}-m{number}.avro"))
            with write_manifest(2, spec, metadata.schema(), output, snapshot_id, "deflate") as writer:
                write = {Status.ADDED: writer.add, Status.EXISTING: writer.existing, Status.DELETED: writer.delete}
                for entry in entries:
                    write[entry.status](entry)
            manifests.append(writer.to_manifest_file())
    output = table.io.new_output(locations.new_metadata_location(f"snap-{snapshot_id}-0-{name}.avro"))
    with write_manifest_list(2, output, snapshot_id, parent_id, sequence, "deflate") as list_writer:
        list_writer.add_manifests(manifests)
    summary = _summary(table, parent, [entry for _, entries in rewritten for entry in entries], change, properties)
    return Snapshot.model_validate(
        {
            "snapshot-id": snapshot_id,
            "parent-snapshot-id": parent_id,
            "sequence-number": sequence,
            "timestamp-ms": timestamp_ms,
            "manifest-list": output.location,
            "schema-id": metadata.current_schema_id,
            "summary": summary,
        }
    )


def _reusable_manifests(
    table: Table, metadata: TableMetadata, parent: Snapshot | None, change: SnapshotChange
) -> tuple[list[ManifestFile], list[tuple[PartitionSpec, list[ManifestEntry]]]]:
    """Separate the manifests that can be reused from the entries, by partition spec, that must be rewritten."""
    reused: list[ManifestFile] = []
    rewritten: dict[int, list[ManifestEntry]] = defaultdict(list)
    missing = set(change.kept)
    specs = metadata.specs()
    manifests = manifests_of(table, parent)
    merges = change.rewrites or len(manifests) >= MANY_MANIFESTS  # each publication reads all of them
    for manifest in manifests:
        entries = live_entries(table, manifest)
        files = {entry.data_file.file_path for entry in entries}
        missing -= files
        if files & change.kept and not _has_columns_of(metadata, specs[manifest.partition_spec_id]):
            raise ValueError(
                f"Files of {table.name()} are partitioned by a column it no longer has: keep none of them."
            )
        if entries and files <= change.kept and not merges:
            reused.append(manifest)
            continue
        for entry in entries:
            is_kept = entry.data_file.file_path in change.kept
            entry.status = Status.EXISTING if is_kept else Status.DELETED
        rewritten[manifest.partition_spec_id] += entries
    if missing:
        raise ValueError(f"{min(missing)} cannot be kept: it is not in the current snapshot of {table.name()}.")
    return reused, [(specs[spec_id], entries) for spec_id, entries in rewritten.items() if entries]


def _has_columns_of(metadata: TableMetadata, spec: PartitionSpec) -> bool:
    """Return whether the table still has the columns of a partition spec."""
    return {field.source_id for field in spec.fields} <= {field.field_id for field in metadata.schema().fields}


def _summary(
    table: Table,
    parent: Snapshot | None,
    entries: Sequence[ManifestEntry],
    change: SnapshotChange,
    properties: Mapping[str, str],
) -> Summary:
    collector = SnapshotSummaryCollector()
    operation = Operation.APPEND
    for entry in entries:
        if entry.status is Status.ADDED:
            collector.metrics.add_file(entry.data_file)
        elif entry.status is Status.DELETED:
            collector.metrics.remove_file(entry.data_file)
            operation = Operation.OVERWRITE
    counts = Summary(operation, **collector.build(), **properties)
    before = {**parent.summary.additional_properties, **totals(table, parent)} if parent and parent.summary else None
    summary = update_snapshot_summaries(counts, before)
    if change.rewrites:  # PyIceberg computes no totals for the operation `replace`
        return Summary(Operation.REPLACE, **summary.additional_properties)
    return summary
