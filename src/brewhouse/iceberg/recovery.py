"""Recovery: the tables of a local lake return to their last whole state when files of the last commits were lost.

A commit flushes its files to the disk first. Disks that only claim to flush still lose them when the power fails, and
so did lakes of earlier versions of Brewhouse.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from brewhouse.errors import BrewhouseError
from brewhouse.iceberg.file_io import path_of
from brewhouse.iceberg.snapshots import require_files

if TYPE_CHECKING:
    from brewhouse.iceberg.sqlite_catalog import SQLiteCatalog

_MAX_COMMITS = 3


@dataclass(frozen=True)
class _Version:
    """A state of a table: its metadata, when it was committed, and what is wrong with it or its files, if read."""

    location: str
    committed_ms: float = math.inf
    error: BrewhouseError | None = None


def recover(catalog: SQLiteCatalog) -> str:
    """Return all tables to the newest state in which none lacks a file, inside a transaction; describe it.

    Raises:
        BrewhouseError: The tables were whole at none of the last commits.
    """
    history = {name: _versions(catalog, name) for name in catalog.names()}
    limit = math.inf
    first: BrewhouseError | None = None
    for _ in range(_MAX_COMMITS + 1):
        chosen = {name: next((v for v in vs if v.committed_ms <= limit), None) for name, vs in history.items()}
        chosen = {name: version and _examined(catalog, name, version) for name, version in chosen.items()}
        lost = {name: version for name, version in chosen.items() if version and version.error}
        if not lost:
            break
        first = first or next(iter(lost.values())).error
        times = [v.committed_ms for v in chosen.values() if v and v.committed_ms < math.inf]
        limit = min(_time_before(history[name], version, times) for name, version in lost.items())
    else:
        raise first or AssertionError
    for name, version in chosen.items():
        if version is None:
            catalog.forget(name)
        else:
            catalog.point_to(name, version.location)
    when = datetime.fromtimestamp(limit / 1000, UTC).isoformat(timespec="seconds") if limit > 0 else "before the first"
    return (
        f"The tables show their state of {when} again, since files of a later commit were lost or damaged: "
        f"{first and first.what}"
    )


def _versions(catalog: SQLiteCatalog, name: str) -> list[_Version]:
    """List the states of a table, newest first, as far as the catalog and the logs in its metadata name them."""
    current, previous = catalog.recorded(name)
    newest = _examined(catalog, name, _Version(current))
    is_readable = newest.committed_ms < math.inf
    readable = current if is_readable else previous
    if readable is None:
        return [newest]
    try:
        log = catalog.load_version(name, readable).metadata
    except BrewhouseError:
        return [newest]
    before = [_Version(entry.metadata_file, entry.timestamp_ms) for entry in reversed(log.metadata_log)]
    return [newest, *([] if is_readable else [_Version(readable, log.last_updated_ms)]), *before]


def _examined(catalog: SQLiteCatalog, name: str, version: _Version) -> _Version:
    """Complete a state by its time and by the first of its files that is missing or damaged."""
    try:
        table = catalog.load_version(name, version.location)
        version = replace(version, committed_ms=table.metadata.last_updated_ms)
        require_files(table, table.current_snapshot())
    except BrewhouseError as error:
        return replace(version, error=error)
    return version


def _time_before(versions: list[_Version], lost: _Version, times: list[float]) -> float:
    """Return a time before a state was committed; a table that was created by it does not exist then.

    Raises:
        BrewhouseError: It cannot have been created by the last commit, since its metadata did not become empty.
    """
    if lost.committed_ms < math.inf:
        return lost.committed_ms - 1
    older = [version.committed_ms for version in versions if version.committed_ms < math.inf]
    file = Path(path_of(lost.location))
    if not older and (not file.exists() or file.stat().st_size):
        assert lost.error is not None
        raise lost.error
    return max(older or [max(times, default=0) - 1])
