"""The published tables: Apache Iceberg, committed all together or not at all.

An engine writes Parquet files below `data_folder`; nobody sees them before `publish` commits them.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRefType
from pyiceberg.table.update import (
    AddSnapshotUpdate,
    AssertRefSnapshotId,
    AssertTableUUID,
    RemovePartitionStatisticsUpdate,
    RemoveSnapshotsUpdate,
    SetSnapshotRefUpdate,
    update_table_metadata,
)

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.iceberg.data_files import described_files, holds, partition_of, path_of, uri_of
from brewhouse.iceberg.parquet_footers import ParquetFooter, read_footers
from brewhouse.iceberg.schemas import (
    evolution,
    field_ids,
    first_field_ids,
    first_partition,
    first_sort_order,
    schema_of,
    spec_of,
)
from brewhouse.iceberg.snapshots import SnapshotChange, data_files, referenced, write_snapshot
from brewhouse.iceberg.sqlite_catalog import SQLiteCatalog
from brewhouse.iceberg.table_spec import TableSpec
from brewhouse.lake.lake import Lake

if TYPE_CHECKING:
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot
    from pyiceberg.table.update import TableUpdate

    from brewhouse.iceberg.multi_table_catalog import MultiTableCatalog

_PROPERTIES = {"format-version": "2", "write.metadata.delete-after-commit.enabled": "false"}  # maintenance does that
_NO_FILE_URI = "#?"  # PyIceberg does not decode URIs, so these cannot be escaped


@dataclass(frozen=True)
class Publication:
    """A table and the files that become its content: those it keeps, and new ones.

    Attributes:
        spec: The table; it is created, or its columns changed, as this says.
        files: Absolute paths of Parquet files below the table's data folder, each with rows of one partition only.
        kept: Files of the current snapshot that stay, as `Tables.files` names them; a column they lack is null there.
    """

    spec: TableSpec
    files: tuple[str, ...]
    kept: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rewrite:
    """The same rows of a table stored in other files.

    Attributes:
        table: Zone and table.
        before: Current files that are replaced, as `Tables.files` names them.
        after: Absolute paths of the files that have their rows.
    """

    table: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True)
class CurrentFile:
    """A data file of the current snapshot.

    Attributes:
        path: Absolute path.
        size_bytes: Its size.
        partition: The same for files of the same partition.
    """

    path: str
    size_bytes: int
    partition: tuple[object, ...]


@dataclass(frozen=True)
class TableSnapshot:
    """A table as one commit left it.

    Attributes:
        table: Zone and table.
        snapshot_id: Iceberg's id.
        committed_at: When, UTC.
        operation: Iceberg's word for what the commit did.
        rows: Number of rows.
        files: Number of data files.
        properties: What the job that committed said of itself.
        current: Whether readers see this one now.
    """

    table: str
    snapshot_id: int
    committed_at: datetime
    operation: str
    rows: int
    files: int
    properties: dict[str, str]
    current: bool


class Tables:
    """The tables of a lake.

    Args:
        lake: Where they are.

    Raises:
        UsageError: The lake's path cannot be that of Iceberg tables.
    """

    def __init__(self, lake: Lake) -> None:
        if bad := [character for character in _NO_FILE_URI if character in str(lake.root)]:
            raise UsageError(
                f"A lake cannot be at {lake.root}: Iceberg's locations cannot hold {' or '.join(bad)}.",
                hint="Choose a folder without it.",
            )
        self._lake = lake
        self._catalog = _open_catalog(lake)

    def names(self) -> list[str]:
        """List the tables by zone and name."""
        zones = self._catalog.list_namespaces()
        return sorted(".".join(table) for zone in zones for table in self._catalog.list_tables(zone))

    def data_folder(self, name: str) -> Path:
        """Name, and make, the folder an engine writes a table's files into."""
        folder = self._lake.warehouse.joinpath(*name.split("."), "data")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def field_ids(self, spec: TableSpec) -> dict[str, int]:
        """Say which Iceberg field id the files of a table must carry for each column."""
        if spec.name not in self.names():
            return first_field_ids(spec)
        return field_ids(self._load(spec.name).metadata, spec)

    def publish(self, publications: Sequence[Publication], properties: Mapping[str, str]) -> None:
        """Give tables a new content, all in one transaction: a reader sees them all before it or all after it.

        Args:
            publications: The tables and their files.
            properties: Kept with each table's new snapshot.

        Raises:
            BrewhouseError: Another process has the catalog, or changed a table meanwhile.
            ValueError: A file does not have the table's columns, or has rows of several partitions; or a kept file is
                none of the table's, or is partitioned by a column that the table no longer has.
        """
        footers = _footers(publication.files for publication in publications)
        with self.atomically():
            tables = [self._load_or_create(publication.spec) for publication in publications]
            moment_ms = _moment_ms(tables)
            for table, publication in zip(tables, publications, strict=True):
                changes = evolution(table.metadata, publication.spec)
                metadata = update_table_metadata(table.metadata, changes)
                kept = frozenset(uri_of(file) for file in publication.kept)
                change = SnapshotChange(described_files(metadata, [footers[file] for file in publication.files]), kept)
                self._commit(table, changes, write_snapshot(table, metadata, change, properties, moment_ms))

    def rewrite(self, rewrites: Sequence[Rewrite]) -> None:
        """Store rows of tables in other files, and their manifests in few, all in one transaction.

        The new snapshots have the properties of those they replace, so that they still say what they were made of.

        Args:
            rewrites: The tables and their files; one without files only has its manifests written anew.

        Raises:
            BrewhouseError: Another process has the catalog, or changed a table meanwhile.
            ValueError: A file to be replaced is none of the table's.
        """
        footers = _footers(rewrite.after for rewrite in rewrites)
        with self.atomically():
            tables = [self._load(rewrite.table) for rewrite in rewrites]
            moment_ms = _moment_ms(tables)
            for table, rewrite in zip(tables, rewrites, strict=True):
                now = {file.file_path for file in data_files(table, table.current_snapshot())}
                gone = {uri_of(file) for file in rewrite.before}
                if not gone <= now:
                    raise ValueError(f"{min(gone - now)} cannot be replaced: it is no current file of {rewrite.table}.")
                described = described_files(table.metadata, [footers[file] for file in rewrite.after])
                change = SnapshotChange(described, frozenset(now - gone), rewrites=True)
                properties = _properties(table.current_snapshot())
                self._commit(table, (), write_snapshot(table, table.metadata, change, properties, moment_ms))

    def expire(self, expired: Mapping[str, Collection[int]]) -> None:
        """Forget snapshots of tables, all in one transaction; the current one, and any that has a name, stays.

        Args:
            expired: Ids by table.

        Raises:
            BrewhouseError: Another process has the catalog, or changed a table meanwhile.
        """
        with self.atomically():
            for name, ids in expired.items():
                table = self._load(name)
                if going := set(ids) - self.named(name):
                    updates: tuple[TableUpdate, ...] = (
                        RemoveSnapshotsUpdate.model_validate({"snapshot-ids": sorted(going)}),
                        *(
                            RemovePartitionStatisticsUpdate.model_validate({"snapshot-id": file.snapshot_id})
                            for file in table.metadata.partition_statistics
                            if file.snapshot_id in going
                        ),
                    )
                    self._catalog.commit_table(table, (AssertTableUUID(uuid=table.metadata.table_uuid),), updates)

    @contextmanager
    def atomically(self) -> Iterator[None]:
        """Publish several times inside, and have others see only what the last one leaves, or nothing after an error.

        Raises:
            BrewhouseError: Another process has the catalog, or changed a table meanwhile.
        """
        try:
            with self._catalog.atomically():
                yield
        except CommitFailedException as error:
            raise BrewhouseError(f"Nothing was published: {error}.", hint="Run again.") from error

    @contextmanager
    def reading(self) -> Iterator[None]:
        """See all tables as they were at one moment for as long as the block runs."""
        with self._catalog.reading():
            yield

    def current(self, name: str) -> TableSnapshot | None:
        """Tell the snapshot of a table that readers see."""
        return next((snapshot for snapshot in self.history(name) if snapshot.current), None)

    def files(self, name: str, snapshot_id: int | None = None) -> list[str]:
        """List the data files of a table, now or in one of its snapshots, as absolute paths.

        Raises:
            UsageError: The table has no such snapshot.
        """
        table = self._load(name)
        if snapshot_id is not None:
            _require_snapshot(name, table, snapshot_id)
        snapshot = table.current_snapshot() if snapshot_id is None else table.snapshot_by_id(snapshot_id)
        return sorted(path_of(file.file_path) for file in data_files(table, snapshot))

    def files_by_value(self, name: str, column: str, value: str | int) -> tuple[list[str], list[str]]:
        """Tell the current files that may hold rows with a value from those that certainly hold none.

        Decided by the least and greatest value that Iceberg keeps of each file, of text shortened to 16 characters;
        a file written before the table had the column may hold it, for all that is known.

        Args:
            name: Zone and table.
            column: One of its columns.
            value: What the rows would have in it.

        Returns:
            Absolute paths of both, each as `files` gives them.
        """
        table = self._load(name)
        may_hold = holds(table, column, value)
        maybe: list[str] = []
        certainly_not: list[str] = []
        for file in data_files(table, table.current_snapshot()):
            (maybe if may_hold(file) else certainly_not).append(path_of(file.file_path))
        return sorted(maybe), sorted(certainly_not)

    def history(self, name: str) -> list[TableSnapshot]:
        """List the snapshots of a table, oldest first."""
        table = self._load(name)
        current = table.metadata.current_snapshot_id
        return [_describe(name, s, current=s.snapshot_id == current) for s in table.metadata.snapshots]

    def snapshot_at(self, name: str, at: datetime) -> TableSnapshot | None:
        """Tell the snapshot a reader saw at a time, None before the first."""
        seen = [entry for entry in self._load(name).history() if _time(entry.timestamp_ms) <= at]
        wanted = seen[-1].snapshot_id if seen else None
        return next((snapshot for snapshot in self.history(name) if snapshot.snapshot_id == wanted), None)

    def named(self, name: str) -> set[int]:
        """List the snapshots of a table that a branch or a tag refers to; the current one is among them."""
        return {reference.snapshot_id for reference in self._load(name).metadata.refs.values()}

    def current_files(self, name: str) -> list[CurrentFile]:
        """List the data files that readers of a table see now, with their sizes and partitions."""
        table = self._load(name)
        return [
            CurrentFile(path_of(file.file_path), file.file_size_in_bytes, partition_of(file))
            for file in data_files(table, table.current_snapshot())
        ]

    def manifests(self, name: str) -> int:
        """Count the manifests of a table's current snapshot."""
        table = self._load(name)
        now = table.current_snapshot()
        return len(now.manifests(table.io)) if now else 0

    def folders(self) -> dict[str, str]:
        """Name each table's folder, relative to the lake's root; without tables that are stored elsewhere."""
        locations = {name: path_of(self._load(name).location()) for name in self.names()}
        inside = {name: path for name, path in locations.items() if path.startswith(f"{self._lake.warehouse}/")}
        return {name: self._relative(path) for name, path in inside.items()}

    def referenced(self, without: Mapping[str, Collection[int]] = MappingProxyType({})) -> set[str]:
        """List every file the tables refer to, from their metadata down to their data, relative to the lake's root.

        Args:
            without: Ids of snapshots, by table, that are left out.
        """
        return {
            self._relative(path_of(uri))
            for name in self.names()
            for uri in referenced(self._load(name), without.get(name, ()))
        }

    def rollback(self, name: str, snapshot_id: int) -> None:
        """Make a table show one of its earlier snapshots again; the later ones are kept.

        Raises:
            UsageError: The table has no such snapshot.
        """
        table = self._load(name)
        _require_snapshot(name, table, snapshot_id)
        table.manage_snapshots().set_current_snapshot(snapshot_id=snapshot_id).commit()

    def describe(self, name: str, snapshot_id: int | None = None) -> TableSpec:
        """Describe a table as it is stored, or with the columns it had in one of its snapshots.

        Raises:
            UsageError: The table has no such snapshot.
        """
        table = self._load(name)
        if snapshot_id is not None:
            _require_snapshot(name, table, snapshot_id)
        return spec_of(name, table, snapshot_id)

    def _relative(self, path: str) -> str:
        return path.removeprefix(f"{self._lake.root}/")

    def _load(self, name: str) -> Table:
        if "." not in name:  # for PyIceberg an error of another kind
            raise self._lacks(name)
        try:
            return self._catalog.load_table(name)
        except NoSuchTableError as error:
            raise self._lacks(name) from error

    def _lacks(self, name: str) -> BrewhouseError:
        known = ", ".join(self.names()) or "none"
        return BrewhouseError(
            f"The lake {self._lake.root} has no table {name}; it has: {known}.", hint="`brewhouse run` makes them."
        )

    def _commit(self, table: Table, changes: tuple[TableUpdate, ...], snapshot: Snapshot) -> None:
        """Make a snapshot the current one, unless another one became it meanwhile."""
        updates = (
            *changes,
            AddSnapshotUpdate(snapshot=snapshot),
            SetSnapshotRefUpdate.model_validate(
                {"ref-name": MAIN_BRANCH, "type": SnapshotRefType.BRANCH, "snapshot-id": snapshot.snapshot_id}
            ),
        )
        requirements = (
            AssertTableUUID(uuid=table.metadata.table_uuid),
            AssertRefSnapshotId.model_validate({"ref": MAIN_BRANCH, "snapshot-id": snapshot.parent_snapshot_id}),
        )
        self._catalog.commit_table(table, requirements, updates)

    def _load_or_create(self, spec: TableSpec) -> Table:
        try:
            return self._catalog.load_table(spec.name)
        except NoSuchTableError:
            self._catalog.create_namespace_if_not_exists(spec.name.split(".")[0])
            ids = first_field_ids(spec)
            return self._catalog.create_table(
                spec.name,
                schema_of(spec, ids),
                location=uri_of(self._lake.warehouse.joinpath(*spec.name.split("."))),
                partition_spec=first_partition(spec, ids),
                sort_order=first_sort_order(spec, ids),
                properties={**_PROPERTIES, "comment": spec.description},
            )


def _open_catalog(lake: Lake) -> SQLiteCatalog | MultiTableCatalog:
    if lake.is_local:
        return SQLiteCatalog(lake.catalog_file, uri_of(lake.warehouse))
    from brewhouse.iceberg.multi_table_catalog import MultiTableCatalog

    return MultiTableCatalog(lake)


def _footers(files: Iterable[Sequence[str]]) -> dict[str, ParquetFooter]:
    """Read the footers of the files of several tables, all at once: to open a reader takes longer than to read."""
    return {footer.file: footer for footer in read_footers(list(chain.from_iterable(files)))}


def _require_snapshot(name: str, table: Table, snapshot_id: int) -> None:
    known = [snapshot.snapshot_id for snapshot in table.metadata.snapshots]
    if snapshot_id not in known:
        raise UsageError(
            f"Table {name} has no snapshot {snapshot_id}; it has {', '.join(map(str, known)) or 'none'}.",
            hint=f"`brewhouse history {name}` lists them.",
        )


def _describe(name: str, snapshot: Snapshot, *, current: bool) -> TableSnapshot:
    summary = snapshot.summary
    facts = dict(summary.additional_properties) if summary else {}
    return TableSnapshot(
        table=name,
        snapshot_id=snapshot.snapshot_id,
        committed_at=_time(snapshot.timestamp_ms),
        operation=summary.operation.value if summary else "",
        rows=int(facts.get("total-records", 0)),
        files=int(facts.get("total-data-files", 0)),
        properties=_properties(snapshot),
        current=current,
    )


def _properties(snapshot: Snapshot | None) -> dict[str, str]:
    facts = snapshot.summary.additional_properties if snapshot and snapshot.summary else {}
    return {key: value for key, value in facts.items() if key.startswith("brewhouse.")}


def _moment_ms(tables: Sequence[Table]) -> int:
    """Choose one time for a commit to all these tables, later than what they have."""
    return max([int(time.time() * 1000), *(table.metadata.last_updated_ms for table in tables)])


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
