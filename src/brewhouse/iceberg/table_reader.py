"""The published tables for readers: their snapshots, files and columns."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING

from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table.refs import SnapshotRefType
from pyiceberg.table.snapshots import TOTAL_DATA_FILES, TOTAL_RECORDS

from brewhouse.errors import BrewhouseError, NotFoundError, UsageError, suggestion
from brewhouse.iceberg.data_files import may_contain
from brewhouse.iceberg.file_io import path_in, uri_of
from brewhouse.iceberg.schemas import field_ids, spec_of
from brewhouse.iceberg.snapshots import data_files, files_of, manifests_of, referenced, require_files, totals
from brewhouse.iceberg.sqlite_catalog import SQLiteCatalog
from brewhouse.iceberg.table_spec import TableSpec
from brewhouse.ids import time_of
from brewhouse.lake.lake import Lake

if TYPE_CHECKING:
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot

    from brewhouse.iceberg.lake_catalog import LakeCatalog

_RUN = "brewhouse.run"
_RAW_SNAPSHOT = "brewhouse.raw-snapshot"


@dataclass(frozen=True)
class CurrentFile:
    """A data file of the current snapshot; files of one partition have equal `partition`."""

    path: str
    size_bytes: int
    partition: tuple[object, ...]


@dataclass(frozen=True)
class TableSnapshot:
    """A snapshot of a table.

    Attributes:
        operation: Iceberg's name of what the commit did.
        rolled_back: Whether the current snapshot was not made from it.
        branch: The branch that it belongs to, if it was only committed to one other than `main`.
    """

    table: str
    snapshot_id: int
    committed_at: datetime
    operation: str
    rows: int
    files: int
    properties: dict[str, str]
    current: bool
    rolled_back: bool = False
    branch: str = ""

    @property
    def run(self) -> str:
        """Id of the run that published it."""
        return self.properties.get(_RUN, "")

    @property
    def raw_snapshot(self) -> str:
        """Run id of the raw snapshot that it was made of."""
        return self.properties.get(_RAW_SNAPSHOT, "")

    @property
    def data_time(self) -> datetime:
        """When the source returned the data; long before the commit after a backfill or a rebuild."""
        text = self.properties.get("brewhouse.snapshot-time")
        return datetime.fromisoformat(text) if text else time_of(self.raw_snapshot) or self.committed_at

    @property
    def day(self) -> date:
        """The UTC day of its data."""
        return self.data_time.astimezone(UTC).date()


class TableReader:
    """Reads the tables of a lake."""

    def __init__(self, lake: Lake, *, replaces: bool = False) -> None:
        self._lake = lake
        self._files: dict[int, list[str]] = {}  # by snapshot, which never changes
        self._catalog: LakeCatalog
        if lake.is_local:
            self._catalog = SQLiteCatalog(lake.catalog_file, uri_of(lake.warehouse), replaces=replaces)
        else:
            from brewhouse.iceberg.multi_table_catalog import MultiTableCatalog

            self._catalog = MultiTableCatalog(lake)

    def recover(self, *, by_metadata: bool = False) -> str | None:
        """Return the tables to their last whole state if files of the current one were lost; describe what was done.

        Args:
            by_metadata: Whether to look only for lost metadata, which takes no time.

        Raises:
            BrewhouseError: They were whole at none of the last commits.
        """
        catalog = self._catalog
        if not isinstance(catalog, SQLiteCatalog):
            return None
        if not (catalog.has_lost_files() if by_metadata else any(map(self.damage, self.names()))):
            if not by_metadata:
                catalog.refresh_hints()
            return None
        from brewhouse.iceberg.recovery import recover

        with catalog.atomically():
            message = recover(catalog)
        print(f"brewhouse: {message}", file=sys.stderr)
        return message

    def damage(self, name: str, *, with_data: bool = True) -> BrewhouseError | None:
        """Return the error of the first file of a table's current snapshot that is missing or damaged."""
        try:
            table = self._load(name)
            require_files(table, table.current_snapshot(), with_data=with_data)
        except BrewhouseError as error:
            return error
        return None

    def audit(self, name: str) -> Iterator[BrewhouseError]:
        """Generate the error of each missing or damaged file of a table; see `audit_table`."""
        from brewhouse.iceberg.table_audit import audit_table

        try:
            yield from audit_table(self._load(name))
        except BrewhouseError as error:
            yield error

    def names(self) -> list[str]:
        """List the tables by zone and name."""
        zones = self._catalog.list_namespaces()
        return sorted(".".join(table) for zone in zones for table in self._catalog.list_tables(zone))

    def reading(self) -> AbstractContextManager[None]:
        """Read all tables as of one moment for the duration of the block."""
        return self._catalog.reading()

    def field_ids(self, spec: TableSpec) -> dict[str, int]:
        """Return the Iceberg field id that new files of a table must have for each column."""
        return field_ids(spec, self._load(spec.name).metadata if spec.name in self.names() else None)

    def describe(self, name: str, snapshot_id: int | None = None) -> TableSpec:
        """Describe a stored table, or with the columns it had in one of its snapshots.

        Raises:
            UsageError: The table has no such snapshot.
        """
        return spec_of(name, self._load(name, snapshot_id), snapshot_id)

    def history(self, name: str) -> list[TableSnapshot]:
        """List the snapshots of a table, oldest first."""
        table = self._load(name)
        snapshots, line = table.metadata.snapshots, _line(table.metadata, table.metadata.current_snapshot_id)
        branches = _branches(table.metadata, line)
        ids = [snapshot.snapshot_id for snapshot in snapshots]
        if line[-1] in ids:  # expiry removes the parent of the oldest one left; older ones that are left led to it
            line += [older for older in ids[: ids.index(line[-1])] if older not in branches]
        return [_describe(table, name, snapshot, line, branches) for snapshot in snapshots]

    def current(self, name: str) -> TableSnapshot | None:
        """Return the snapshot of a table that readers see."""
        table = self._load(name)
        snapshot = table.current_snapshot()
        return _describe(table, name, snapshot, [snapshot.snapshot_id], {}) if snapshot else None

    def runs(self) -> set[str]:
        """List the runs and raw snapshots of which a table has a state."""
        snapshots = [snapshot for name in self.names() for snapshot in self._load(name).metadata.snapshots]
        properties = [snapshot_properties(snapshot) for snapshot in snapshots]
        return {each[key] for each in properties for key in (_RUN, _RAW_SNAPSHOT) if each.get(key)}

    def snapshot_at(self, name: str, at: datetime) -> TableSnapshot | None:
        """Return the snapshot that readers saw at a time, None before the first or if it has expired.

        The table's log begins after the last snapshot that expired. Before, a snapshot was current until the next one
        that is left, unless others in between have expired: these were of the next one's day, whose last one stays.
        """
        metadata = self._load(name).metadata
        history = [snapshot for snapshot in self.history(name) if not snapshot.branch]
        seen = [entry.snapshot_id for entry in metadata.snapshot_log if _time(entry.timestamp_ms) <= at]
        if seen:
            return next(snapshot for snapshot in history if snapshot.snapshot_id == seen[-1])
        sequence = {snapshot.snapshot_id: snapshot.sequence_number or 0 for snapshot in metadata.snapshots}
        numbers = [sequence[snapshot.snapshot_id] for snapshot in history]
        day, tagged = at.astimezone(UTC).date(), self.protected(name)
        for (one, number), (following, next_number) in pairwise(zip(history, numbers, strict=True)):
            if one.committed_at <= at < following.committed_at:
                is_last_of_day = day < following.day and one.snapshot_id not in tagged
                return one if next_number == number + 1 or is_last_of_day else None
        return None

    def as_of(self, key: str) -> dict[str, TableSnapshot]:
        """Return the state of the tables as of a run, a raw snapshot (by its run id) or a table snapshot, by table.

        It is the last snapshot made of the same raw snapshot, preferably one that was not rolled back. Tables without
        one are left out; all are if the key is unknown.
        """
        every = [snapshot for name in self.names() for snapshot in self.history(name)]
        wanted = [s for s in every if key in (str(s.snapshot_id), s.run, s.raw_snapshot)]
        if not wanted:
            return {}
        raw = max(reversed(wanted), key=lambda s: (not s.rolled_back, s.committed_at)).raw_snapshot
        same = sorted((s for s in every if s.raw_snapshot == raw), key=lambda s: not s.rolled_back)
        return {snapshot.table: snapshot for snapshot in same}

    def data_at(self, at: datetime) -> dict[str, TableSnapshot]:
        """Return the state of the tables with the newest data of a time or before, by table.

        It is what readers saw at that time, unless newer data of that time was committed later, as by a backfill.
        """
        states = {}
        for name in self.names():
            seen = self.snapshot_at(name, at)
            backfilled = [s for s in self.history(name) if not s.rolled_back and s.data_time <= at < s.committed_at]
            if options := [*filter(None, [seen]), *backfilled]:
                states[name] = max(reversed(options), key=lambda s: s.raw_snapshot)
        return states

    def protected(self, name: str) -> set[int]:
        """List the snapshots of a table that a branch or tag refers to, the current one among them."""
        return {reference.snapshot_id for reference in self._load(name).metadata.refs.values()}

    def files(self, name: str, snapshot_id: int | None = None, *, verified: bool = False) -> list[str]:
        """List the data files of a table, now or in one of its snapshots, as absolute paths.

        Args:
            verified: Whether those of a local lake are compared with their checksums first.

        Raises:
            UsageError: The table has no such snapshot.
            BrewhouseError: A file is missing or damaged.
        """
        table = self._load(name, snapshot_id)
        snapshot = table.current_snapshot() if snapshot_id is None else table.snapshot_by_id(snapshot_id)
        if verified and self._lake.is_local:
            require_files(table, snapshot)
        key = snapshot.snapshot_id if snapshot else 0
        if key not in self._files:
            self._files[key] = sorted(str(path_in(table, file.file_path)) for file in data_files(table, snapshot))
        return self._files[key]

    def files_by_value(self, name: str, column: str, value: str | int) -> tuple[list[str], list[str]]:
        """Separate the current files that may contain a value in a column from those that certainly do not.

        The bounds that Iceberg keeps of each file decide, those of strings truncated to 16 characters. A file written
        before the table had the column may contain the value.
        """
        table = self._load(name)
        is_possible = may_contain(table, column, value)
        found: dict[bool, list[str]] = {True: [], False: []}
        for file in data_files(table, table.current_snapshot()):
            found[is_possible(file)].append(str(path_in(table, file.file_path)))
        return sorted(found[True]), sorted(found[False])

    def current_files(self, name: str) -> list[CurrentFile]:
        """List the data files of the current snapshot of a table with their sizes and partitions."""
        table = self._load(name)
        return [
            CurrentFile(str(path_in(table, file.file_path)), file.file_size_in_bytes, (file.spec_id, file.partition))
            for file in data_files(table, table.current_snapshot())
        ]

    def manifests(self, name: str) -> int:
        """Count the manifests of a table's current snapshot."""
        table = self._load(name)
        return len(manifests_of(table, table.current_snapshot()))

    def folders(self) -> dict[str, str]:
        """Return each table's folder, relative to the lake's root, without tables stored elsewhere."""
        tables = {name: self._load(name) for name in self.names()}
        locations = {name: str(path_in(table, table.location())) for name, table in tables.items()}
        inside = {name: path for name, path in locations.items() if path.startswith(f"{self._lake.warehouse}/")}
        return {name: self._relative(path) for name, path in inside.items()}

    def referenced(self, without: Mapping[str, Collection[int]] = MappingProxyType({})) -> set[str]:
        """List all files, relative to the root, that the tables refer to without these snapshots, given by table."""
        return {
            self._relative(str(path_in(table, uri)))
            for name in self.names()
            for table in [self._load(name)]
            for uri in referenced(table, without.get(name, ()))
        }

    def files_of(self, snapshots: Mapping[str, Collection[int]]) -> set[str]:
        """List all files, relative to the root, that these snapshots refer to, given by table."""
        tables = {name: self._load(name) for name, ids in snapshots.items() if ids}
        return {
            self._relative(str(path_in(table, uri)))
            for name, table in tables.items()
            for uri in files_of(table, [s for s in table.metadata.snapshots if s.snapshot_id in snapshots[name]])
        }

    def _relative(self, path: str) -> str:
        return path.removeprefix(f"{self._lake.root}/")

    def _load(self, name: str, snapshot_id: int | None = None) -> Table:
        """Load a table that exists and has this snapshot."""
        try:
            table = self._catalog.load_table(name) if "." in name else None  # PyIceberg raises another error for it
        except NoSuchTableError:
            table = None
        if table is None:
            known = self.names()
            what = f"The lake {self._lake.root} has no table {name}; it has: {', '.join(known) or 'none'}."
            raise NotFoundError(what, hint=suggestion(name, known, "`brewhouse run` creates missing ones."))
        ids = [snapshot.snapshot_id for snapshot in table.metadata.snapshots]
        if snapshot_id is not None and snapshot_id not in ids:
            what = f"Table {name} has no snapshot {snapshot_id}; it has {', '.join(map(str, ids)) or 'none'}."
            raise UsageError(what, hint=f"`brewhouse history {name}` lists them.")
        return table


def _line(metadata: TableMetadata, snapshot_id: int | None) -> list[int | None]:
    """List a snapshot and those it was made from, newest first."""
    parents = {snapshot.snapshot_id: snapshot.parent_snapshot_id for snapshot in metadata.snapshots}
    line = [snapshot_id]
    while (parent := parents.get(line[-1] or 0)) is not None:
        line.append(parent)
    return line


def _branches(metadata: TableMetadata, line: Sequence[int | None]) -> dict[int | None, str]:
    """Return the branch of each snapshot that readers never saw; the table's log begins after the last that expired."""
    log = metadata.snapshot_log
    first_ms = log[0].timestamp_ms if log else 0
    seen = {*line, *(entry.snapshot_id for entry in log)}
    for snapshot in metadata.snapshots:
        if snapshot.timestamp_ms < first_ms and _RUN in snapshot_properties(snapshot):
            seen.add(snapshot.snapshot_id)
    branches = {n: r.snapshot_id for n, r in metadata.refs.items() if r.snapshot_ref_type is SnapshotRefType.BRANCH}
    return {each: name for name, head in branches.items() for each in _line(metadata, head) if each not in seen}


def _describe(
    table: Table, name: str, snapshot: Snapshot, line: Sequence[int | None], branches: Mapping[int | None, str]
) -> TableSnapshot:
    """Describe a snapshot of a table; `line` lists the current one and those it was made from."""
    facts = totals(table, snapshot)
    return TableSnapshot(
        table=name,
        snapshot_id=snapshot.snapshot_id,
        committed_at=_time(snapshot.timestamp_ms),
        operation=snapshot.summary.operation.value if snapshot.summary else "",
        rows=int(facts[TOTAL_RECORDS]),
        files=int(facts.get(TOTAL_DATA_FILES, 0)),
        properties=snapshot_properties(snapshot),
        current=snapshot.snapshot_id == line[0],
        rolled_back=snapshot.snapshot_id not in line,
        branch=branches.get(snapshot.snapshot_id, ""),
    )


def snapshot_properties(snapshot: Snapshot | None) -> dict[str, str]:
    """Return the properties that were passed when a snapshot was published."""
    facts = snapshot.summary.additional_properties if snapshot and snapshot.summary else {}
    return {key: value for key, value in facts.items() if key.startswith("brewhouse.")}


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
