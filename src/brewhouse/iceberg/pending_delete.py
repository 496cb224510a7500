"""Files dereferenced by snapshot expiry, pending deletion: readers of the snapshots have a day to finish.

Each expiry creates one file in the lake, `maintenance/<run id>.<id>.json`, before the snapshots expire.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from brewhouse.iceberg.maintenance_rules import GRACE, StoredFile, orphan_files
from brewhouse.ids import new_id
from brewhouse.lake.lake import Lake

if TYPE_CHECKING:
    from brewhouse.iceberg.tables import Tables

PENDING = "maintenance"
_SWEEP_AFTER = 2 * GRACE  # a day after the files can be deleted: so that runs sweep once a day


class PendingDelete(msgspec.Struct, frozen=True, rename={"expired_at": "released_at"}):
    """The files that one expiry dereferences, as paths relative to the lake's root."""

    expired_at: datetime
    files: list[str]


def add_pending(lake: Lake, run: str, files: Collection[str], now: datetime) -> None:
    """Record the files that a run is about to dereference; call it before their snapshots expire."""
    if files:
        content = msgspec.json.encode(PendingDelete(now, sorted(files)))
        lake.store.put(f"{PENDING}/{run}.{new_id()}.json", content, mode="create")


def pending_files(lake: Lake, now: datetime) -> set[str]:
    """List the files that were dereferenced less than a day ago."""
    return {file for record in _records(lake).values() if not _is_over(record, now) for file in record.files}


def drop_expired_records(lake: Lake, now: datetime) -> None:
    """Delete the records that are more than a day old."""
    for path, record in _records(lake).items():
        if _is_over(record, now):
            lake.store.delete(path)


def sweep_if_due(lake: Lake, now: datetime) -> None:
    """Delete the files that no snapshot has referred to for a day, once a day; the caller holds the lake's lock."""
    from brewhouse.iceberg.tables import Tables

    if not any(record.modified_at < now - _SWEEP_AFTER for record in stored_files(lake, PENDING)):
        return
    tables = Tables(lake)
    found = orphans_by_table(lake, tables, tables.referenced(), pending_files(lake, now), now)
    for file in [file for deletable, _ in found.values() for file in deletable]:
        lake.store.delete(file.path)
    drop_expired_records(lake, now)


def orphans_by_table(
    lake: Lake, tables: Tables, referenced: Collection[str], pending: Collection[str], now: datetime
) -> dict[str, tuple[list[StoredFile], list[StoredFile]]]:
    """List by table the files that can be deleted and those that must wait; see `orphan_files`."""
    folders = tables.folders().items()
    return {name: orphan_files(stored_files(lake, folder), referenced, pending, now) for name, folder in folders}


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
        for file in stored_files(lake, PENDING)
    }


def _is_over(record: PendingDelete, now: datetime) -> bool:
    return record.expired_at < now - GRACE
