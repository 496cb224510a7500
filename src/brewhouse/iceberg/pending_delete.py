"""Files that a snapshot let go when it expired, written down before it did: who reads it has a day to finish.

One create-only file an expiry, `maintenance/<run id>.json` in the lake; it is of no use after that day.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import msgspec

from brewhouse.iceberg.maintenance_rules import GRACE, StoredFile
from brewhouse.lake.lake import Lake

_FOLDER = "maintenance"


class PendingDelete(msgspec.Struct, frozen=True):
    """What one expiry let go.

    Attributes:
        released_at: When, UTC.
        files: Paths relative to the lake's root.
    """

    released_at: datetime
    files: list[str]


def release(lake: Lake, run: str, files: Collection[str], now: datetime) -> None:
    """Write down that files are about to be let go; to be called before their snapshots expire.

    Args:
        lake: The lake.
        run: Id of the run that does it.
        files: Paths relative to the lake's root; for none, nothing is written.
        now: The time it is.
    """
    if files:
        content = msgspec.json.encode(PendingDelete(now, sorted(files)))
        lake.store.put(f"{_FOLDER}/{run}.json", content, mode="create")


def released(lake: Lake, now: datetime) -> set[str]:
    """List the files that were let go less than a day ago."""
    return {file for entry in _records(lake).values() if not _is_over(entry, now) for file in entry.files}


def forget(lake: Lake, now: datetime) -> None:
    """Delete the records of more than a day ago."""
    for path, entry in _records(lake).items():
        if _is_over(entry, now):
            lake.store.delete(path)


def stored_files(lake: Lake, folder: str) -> list[StoredFile]:
    """List the files below a folder of the lake, by its path relative to the root."""
    return [
        StoredFile(entry["path"], entry["size"], entry["last_modified"])
        for entries in lake.store.list(folder)
        for entry in entries
    ]


def _records(lake: Lake) -> dict[str, PendingDelete]:
    return {
        file.path: msgspec.json.decode(bytes(lake.store.get(file.path).bytes()), type=PendingDelete)
        for file in stored_files(lake, _FOLDER)
    }


def _is_over(entry: PendingDelete, now: datetime) -> bool:
    return entry.released_at < now - GRACE
