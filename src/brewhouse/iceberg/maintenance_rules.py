"""What maintenance of the tables would do, decided by rules alone: nothing here reads or changes a lake."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brewhouse.iceberg.tables import CurrentFile, TableSnapshot

GRACE = timedelta(days=1)  # a writer, and a reader of a snapshot that has just expired, is done by then
MANY_MANIFESTS = 10
_SMALL = 4  # a file is small below this part of the target


@dataclass(frozen=True)
class StoredFile:
    """A file of the lake.

    Attributes:
        path: Relative to the lake's root.
        size_bytes: Its size.
        modified_at: When it was written.
    """

    path: str
    size_bytes: int
    modified_at: datetime


def expired(
    history: Sequence[TableSnapshot], named: Collection[int], now: datetime, *, keep_days: float, keep_last: int
) -> list[int]:
    """Choose the snapshots of a table that can go.

    Args:
        history: All of them, oldest first.
        named: Those a branch or a tag refers to, the current one among them; they stay.
        now: The time it is.
        keep_days: Younger ones stay.
        keep_last: So many of the newest stay, and what was committed since then; a snapshot that only stores the
            rows of the one before it otherwise is not counted.

    Returns:
        Their ids.
    """
    contents = [number for number, snapshot in enumerate(history) if snapshot.operation != "replace"]
    oldest_kept = contents[-keep_last] if len(contents) > keep_last else 0
    return [
        snapshot.snapshot_id
        for snapshot in history[:oldest_kept]
        if snapshot.committed_at < now - timedelta(days=keep_days) and snapshot.snapshot_id not in named
    ]


def compactions(files: Iterable[CurrentFile], target_bytes: int) -> list[tuple[str, ...]]:
    """Choose the files that become one: small ones of one partition, together no larger than the target.

    Args:
        files: A table's current files.
        target_bytes: How large a file should be; one of less than a quarter is small.

    Returns:
        Absolute paths, two or more a group.
    """
    partitions: dict[object, list[CurrentFile]] = {}
    for file in files:
        if file.size_bytes * _SMALL < target_bytes:
            partitions.setdefault(file.partition, []).append(file)
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
    stored: Iterable[StoredFile], referenced: Collection[str], released: Collection[str], now: datetime
) -> tuple[list[StoredFile], list[StoredFile]]:
    """Choose the files that can be deleted among those that no snapshot refers to.

    Args:
        stored: Files of a table's folder.
        referenced: Paths that a snapshot that is kept refers to.
        released: Paths that a snapshot referred to which expired less than a day ago; who reads it may go on.
        now: The time it is.

    Returns:
        Those that can be deleted, and those that must wait.

    Example:
        >>> from datetime import UTC
        >>> now = datetime(2026, 8, 3, tzinfo=UTC)
        >>> files = [StoredFile(name, 1, now - GRACE * 2) for name in ("used", "just expired", "left over")]
        >>> [[file.path for file in part] for part in orphan_files(files, {"used"}, {"just expired"}, now)]
        [['left over'], ['just expired']]
    """
    unreferenced = [file for file in stored if file.path not in referenced]
    old = [file for file in unreferenced if file.modified_at < now - GRACE and file.path not in released]
    return old, [file for file in unreferenced if file not in old]
