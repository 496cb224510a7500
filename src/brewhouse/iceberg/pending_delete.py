"""Files dereferenced by snapshot expiry, pending deletion: readers of the snapshots have a day to finish.

Each expiry creates one file in the lake, `maintenance/<run id>.<id>.json`, before the snapshots expire.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import msgspec

from brewhouse.iceberg.maintenance_rules import GRACE, StoredFile
from brewhouse.ids import new_id
from brewhouse.lake.lake import Lake

_FOLDER = "maintenance"


class PendingDelete(msgspec.Struct, frozen=True, rename={"expired_at": "released_at"}):
    """The files that one expiry dereferences, as paths relative to the lake's root."""

    expired_at: datetime
    files: list[str]


def add_pending(lake: Lake, run: str, files: Collection[str], now: datetime) -> None:
    """Record the files that a run is about to dereference; call it before their snapshots expire."""
    if files:
        content = msgspec.json.encode(PendingDelete(now, sorted(files)))
        lake.store.put(f"{_FOLDER}/{run}.{new_id()}.json", content, mode="create")


def pending_files(lake: Lake, now: datetime) -> set[str]:
    """List the files that were dereferenced less than a day ago."""
    return {file for record in _records(lake).values() if not _is_over(record, now) for file in record.files}


def drop_expired_records(lake: Lake, now: datetime) -> None:
    """Delete the records that are more than a day old."""
    for path, record in _records(lake).items():
        if _is_over(record, now):
            lake.store.delete(path)


def stored_files(lake: Lake, folder: str) -> list[StoredFile]:
    """List the files below a folder, given relative to the lake's root."""
    return [
        StoredFile(entry["path"], entry["size"], entry["last_modified"])
        for page in lake.store.list(folder)
        for entry in page
    ]


def _records(lake: Lake) -> dict[str, PendingDelete]:
    return {
        file.path: msgspec.json.decode(bytes(lake.store.get(file.path).bytes()), type=PendingDelete)
        for file in stored_files(lake, _FOLDER)
    }


def _is_over(record: PendingDelete, now: datetime) -> bool:
    return record.expired_at < now - GRACE
