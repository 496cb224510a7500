"""Snapshots of an Iceberg table: their manifests read and written."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pyiceberg.manifest import DataFile, ManifestEntry, ManifestEntryStatus, write_manifest, write_manifest_list
from pyiceberg.table.snapshots import Operation, Snapshot, SnapshotSummaryCollector, Summary, update_snapshot_summaries

if TYPE_CHECKING:
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata


def data_files(table: Table, snapshot: Snapshot | None) -> list[DataFile]:
    """List the data files of a snapshot; None has none."""
    if snapshot is None:
        return []
    return [
        entry.data_file
        for manifest in snapshot.manifests(table.io)
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True)
    ]


def write_snapshot(
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
