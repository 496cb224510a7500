"""Snapshots of an Iceberg table: their manifests read and written."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyiceberg.manifest import (
    DataFile,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestWriter,
    write_manifest,
    write_manifest_list,
)
from pyiceberg.table.snapshots import Operation, Snapshot, SnapshotSummaryCollector, Summary, update_snapshot_summaries

if TYPE_CHECKING:
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata


@dataclass(frozen=True)
class SnapshotChange:
    """What a new snapshot has that the current one has not, and the other way round.

    Attributes:
        added: Files that come.
        kept: URIs of the current files that stay; every other one goes.
        rewrites: Whether the rows stay the same, only stored otherwise; then all manifests become few, too.
    """

    added: Sequence[DataFile]
    kept: frozenset[str] = frozenset()
    rewrites: bool = False


def data_files(table: Table, snapshot: Snapshot | None) -> list[DataFile]:
    """List the data files of a snapshot; None has none."""
    if snapshot is None:
        return []
    return [entry.data_file for manifest in snapshot.manifests(table.io) for entry in live_entries(table, manifest)]


def live_entries(table: Table, manifest: ManifestFile) -> list[ManifestEntry]:
    """List the files a manifest holds, without those it says are gone."""
    if not manifest.has_added_files() and not manifest.has_existing_files():
        return []
    return manifest.fetch_manifest_entry(table.io, discard_deleted=True)


def referenced(table: Table, without: Collection[int] = ()) -> Iterator[str]:
    """List the URIs of every file that a table refers to.

    Args:
        table: The table.
        without: Ids of snapshots that are left out.
    """
    metadata = table.metadata
    yield table.metadata_location
    yield from (entry.metadata_file for entry in metadata.metadata_log)
    yield from (file.statistics_path for file in (*metadata.statistics, *metadata.partition_statistics))
    read: set[str] = set()
    for snapshot in metadata.snapshots:
        if snapshot.snapshot_id in without:
            continue
        yield snapshot.manifest_list
        for manifest in snapshot.manifests(table.io):
            yield manifest.manifest_path
            if manifest.manifest_path not in read:
                read.add(manifest.manifest_path)
                yield from (entry.data_file.file_path for entry in live_entries(table, manifest))


def write_snapshot(
    table: Table, metadata: TableMetadata, change: SnapshotChange, properties: Mapping[str, str], moment_ms: int
) -> Snapshot:
    """Write the manifests of a snapshot; it is part of the table once it is committed.

    A manifest whose files all stay is carried over as it is.

    Args:
        table: As it is now.
        metadata: The same with the schema, partition and sort order of the new snapshot.
        change: What becomes of the files.
        properties: Kept with the snapshot.
        moment_ms: Its time, in milliseconds since 1970.

    Raises:
        ValueError: A kept file is none of the current snapshot's, or is partitioned by a column that is no more.
    """
    parent = table.current_snapshot()
    snapshot_id, sequence = metadata.new_snapshot_id(), metadata.next_sequence_number()
    carried, anew = _sorted_out(table, metadata, parent, change)
    if change.added:
        come = [ManifestEntry.from_args(status=ManifestEntryStatus.ADDED, data_file=file) for file in change.added]
        anew.append((metadata.spec(), come))

    name, places = uuid.uuid4(), table.location_provider()
    for number, (spec, entries) in enumerate(anew):
        if _has_its_columns(metadata, spec):  # else its files are gone, which then need not be told
            output = table.io.new_output(places.new_metadata_location(f"{name}-m{number}.avro"))
            with write_manifest(2, spec, metadata.schema(), output, snapshot_id, "deflate") as writer:
                for entry in entries:
                    _write_entry(writer, entry)
            carried.append(writer.to_manifest_file())
    listed = places.new_metadata_location(f"snap-{snapshot_id}-0-{name}.avro")
    parent_id = parent.snapshot_id if parent else None
    with write_manifest_list(2, table.io.new_output(listed), snapshot_id, parent_id, sequence, "deflate") as lister:
        lister.add_manifests(carried)
    return Snapshot.model_validate(
        {
            "snapshot-id": snapshot_id,
            "parent-snapshot-id": parent_id,
            "sequence-number": sequence,
            "timestamp-ms": moment_ms,
            "manifest-list": listed,
            "schema-id": metadata.current_schema_id,
            "summary": _summary(parent, [entry for _, entries in anew for entry in entries], change, properties),
        }
    )


def _sorted_out(
    table: Table, metadata: TableMetadata, parent: Snapshot | None, change: SnapshotChange
) -> tuple[list[ManifestFile], list[tuple[PartitionSpec, list[ManifestEntry]]]]:
    """Tell the manifests that can be carried over from the entries, by partition spec, that must be written anew."""
    carried: list[ManifestFile] = []
    anew: dict[int, list[ManifestEntry]] = {}
    missing = set(change.kept)
    for manifest in parent.manifests(table.io) if parent else []:
        entries = live_entries(table, manifest)
        files = {entry.data_file.file_path for entry in entries}
        missing -= files
        if files & change.kept and not _has_its_columns(metadata, metadata.specs()[manifest.partition_spec_id]):
            raise ValueError(
                f"Files of {table.name()} are partitioned by a column it no longer has; keep none of them."
            )
        if entries and files <= change.kept and not change.rewrites:
            carried.append(manifest)
            continue
        for entry in entries:
            stays = entry.data_file.file_path in change.kept
            entry.status = ManifestEntryStatus.EXISTING if stays else ManifestEntryStatus.DELETED
        anew.setdefault(manifest.partition_spec_id, []).extend(entries)
    if missing:
        raise ValueError(f"{min(missing)} cannot be kept: it is no file of the current snapshot of {table.name()}.")
    return carried, [(metadata.specs()[spec_id], entries) for spec_id, entries in anew.items() if entries]


def _has_its_columns(metadata: TableMetadata, spec: PartitionSpec) -> bool:
    """Say whether the table still has the columns by which some of its files are partitioned."""
    return {field.source_id for field in spec.fields} <= {field.field_id for field in metadata.schema().fields}


def _write_entry(writer: ManifestWriter, entry: ManifestEntry) -> None:
    if entry.status is ManifestEntryStatus.ADDED:
        writer.add(entry)
    elif entry.status is ManifestEntryStatus.EXISTING:
        writer.existing(entry)
    else:
        writer.delete(entry)


def _summary(
    parent: Snapshot | None, entries: Sequence[ManifestEntry], change: SnapshotChange, properties: Mapping[str, str]
) -> Summary:
    collector = SnapshotSummaryCollector()
    operation = Operation.APPEND
    for entry in entries:
        if entry.status is ManifestEntryStatus.ADDED:
            collector.metrics.add_file(entry.data_file)
        elif entry.status is ManifestEntryStatus.DELETED:
            collector.metrics.remove_file(entry.data_file)
            operation = Operation.OVERWRITE
    counts = Summary(operation, **collector.build(), **properties)
    summary = update_snapshot_summaries(counts, parent.summary if parent else None)
    if change.rewrites:  # of which PyIceberg refuses to make the totals
        return Summary(Operation.REPLACE, **summary.additional_properties)
    return summary
