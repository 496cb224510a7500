"""Rules of table maintenance: what to expire, compact and delete. Nothing here reads or changes a lake."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brewhouse.iceberg.table_reader import CurrentFile, TableSnapshot

GRACE = timedelta(days=1)  # by then a writer, or a reader of a snapshot that just expired, has finished
BYTES_PER_MB = 1024 * 1024
_SMALL = 4  # a file is small below this fraction of the target


@dataclass(frozen=True)
class StoredFile:
    """A file of the lake; its path is relative to the root."""

    path: str
    size_bytes: int
    modified_at: datetime


def expired(
    history: Sequence[TableSnapshot], protected: Collection[int], now: datetime, *, keep_days: float, keep_last: int
) -> list[int]:
    """Choose the snapshots of a table to expire from its history, oldest first; the protected ones stay.

    The newest `keep_last` stay, too, with all that follow the oldest of them; compactions and snapshots that were
    rolled back are not counted. Of the others, the last one of each day stays until it is older than `keep_days`,
    unless it was rolled back. A commit time in the future is wrong: the time of the data replaces it.
    """
    contents = [number for number, s in enumerate(history) if s.operation != "replace" and not s.rolled_back]
    earliest = now - timedelta(days=keep_days)
    oldest_kept = contents[-keep_last] if len(contents) > keep_last else 0
    last_of_day = {snapshot.day: snapshot.snapshot_id for snapshot in history if not snapshot.rolled_back}
    return [
        snapshot.snapshot_id
        for snapshot in history[:oldest_kept]
        if snapshot.snapshot_id not in protected
        and (
            (snapshot.committed_at if snapshot.committed_at <= now else snapshot.data_time) < earliest
            or last_of_day.get(snapshot.day) != snapshot.snapshot_id
        )
    ]


def compactions(files: Iterable[CurrentFile], target_bytes: int) -> list[tuple[str, ...]]:
    """Group small files of one partition to be merged into files no larger than the target.

    Files of less than a quarter of the target are small; a group has at least two.
    """
    partitions: dict[object, list[CurrentFile]] = defaultdict(list)
    for file in files:
        if file.size_bytes * _SMALL < target_bytes:
            partitions[file.partition].append(file)
    groups: list[list[str]] = []
    for small in partitions.values():
        filled = target_bytes
        for file in small:
            if filled + file.size_bytes > target_bytes:
                groups.append([])
                filled = 0
            groups[-1].append(file.path)
            filled += file.size_bytes
    return [tuple(group) for group in groups if len(group) > 1]


def orphan_files(
    stored: Iterable[StoredFile], referenced: Collection[str], pending: Collection[str], now: datetime
) -> tuple[list[StoredFile], list[StoredFile]]:
    """Separate the files that no snapshot refers to into those that can be deleted and those that must wait.

    Args:
        pending: Paths that snapshots referred to which expired less than a day ago; readers may still need them.

    Example:
        >>> from datetime import UTC
        >>> now = datetime(2026, 8, 3, tzinfo=UTC)
        >>> files = [StoredFile(name, 1, now - GRACE * 2) for name in ("used", "just expired", "orphan")]
        >>> [[file.path for file in part] for part in orphan_files(files, {"used"}, {"just expired"}, now)]
        [['orphan'], ['just expired']]
    """
    orphans = [file for file in stored if file.path not in referenced]
    old = [file for file in orphans if file.modified_at < now - GRACE and file.path not in pending]
    return old, [file for file in orphans if file not in old]
