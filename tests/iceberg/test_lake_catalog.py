"""The log of a table never claims that a snapshot was current while an expired one was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadata, new_table_metadata
from pyiceberg.table.snapshots import Operation, Snapshot, Summary
from pyiceberg.table.sorting import SortOrder
from pyiceberg.table.update import AddSnapshotUpdate, RemoveSnapshotsUpdate, update_table_metadata
from pyiceberg.types import LongType, NestedField

from brewhouse.iceberg.lake_catalog import without_log_gaps
from brewhouse.iceberg.snapshots import set_current


def metadata_with(log: list[int]) -> TableMetadata:
    """A table whose current snapshots were these, one a second."""
    schema = Schema(NestedField(1, "n", LongType(), required=False))
    metadata = new_table_metadata(schema, PartitionSpec(), SortOrder(order_id=0), "file:///t", {"format-version": "2"})
    for second, number in enumerate(log, start=1):
        if metadata.snapshot_by_id(number) is None:
            snapshot = Snapshot.model_validate(
                {
                    "snapshot-id": number,
                    "sequence-number": metadata.next_sequence_number(),
                    "timestamp-ms": second * 1000,
                    "manifest-list": "",
                    "summary": Summary(Operation.APPEND),
                }
            )
            metadata = update_table_metadata(metadata, (AddSnapshotUpdate(snapshot=snapshot),))
        metadata = update_table_metadata(metadata, (set_current(number),))
    return metadata


@given(log=st.lists(st.integers(1, 5), min_size=1, max_size=8), expired=st.sets(st.integers(1, 5)))
def test_the_log_begins_after_the_last_expired_entry(log: list[int], expired: set[int]) -> None:
    before = metadata_with(log)
    entries = [entry.snapshot_id for entry in before.snapshot_log]
    removed = sorted((expired & set(entries)) - {entries[-1]})
    if not removed:
        return
    updates = (RemoveSnapshotsUpdate.model_validate({"snapshot-ids": removed}),)
    after = without_log_gaps(before, update_table_metadata(before, updates), updates)
    kept = [entry.snapshot_id for entry in after.snapshot_log]
    assert kept == entries[len(entries) - len(kept) :], "the log is a suffix of what it was"
    assert not set(kept) & set(removed)
    assert len(kept) == len(entries) or entries[len(entries) - len(kept) - 1] in removed, "and as long as possible"
    assert after.current_snapshot_id == entries[-1]


def test_a_commit_that_also_expires_snapshots_is_logged() -> None:
    before = metadata_with([1, 2, 3])
    (new,) = [s for s in metadata_with([1, 2, 3, 4]).snapshots if s.snapshot_id == 4]
    removal = RemoveSnapshotsUpdate.model_validate({"snapshot-ids": [2]})
    updates = (AddSnapshotUpdate(snapshot=new), set_current(4), removal)
    after = without_log_gaps(before, update_table_metadata(before, updates), updates)
    assert [entry.snapshot_id for entry in after.snapshot_log] == [3, 4]


@pytest.mark.parametrize("log", [[1], [1, 2], [1, 2, 1]])
def test_other_updates_leave_the_log_alone(log: list[int]) -> None:
    before = metadata_with(log)
    updates = (set_current(1),)
    after = update_table_metadata(before, updates)
    assert without_log_gaps(before, after, updates) is after
