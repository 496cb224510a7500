"""The tables of a lake: Apache Iceberg, several committed in one transaction.

An engine writes Parquet files below `data_folder`; readers do not see them until `publish` commits them.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.table import update

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.iceberg import schemas
from brewhouse.iceberg.data_files import read_footers, to_data_files
from brewhouse.iceberg.file_io import uri_of
from brewhouse.iceberg.snapshots import SnapshotChange, data_files, require_current, set_current, write_snapshot
from brewhouse.iceberg.sqlite_catalog import SQLiteCatalog
from brewhouse.iceberg.table_reader import TableReader, snapshot_properties
from brewhouse.iceberg.table_spec import Publication, TableSpec
from brewhouse.lake.lake import path_at, sync_files

if TYPE_CHECKING:
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot


@dataclass(frozen=True)
class Rewrite:
    """Files of a table to be replaced by others with the same rows, as absolute paths."""

    table: str
    before: tuple[str, ...]
    after: tuple[str, ...]


class Tables(TableReader):
    """Reads and writes the tables of a lake."""

    def data_folder(self, name: str) -> Path:
        """Return the folder for a table's Parquet files; it is created if absent."""
        folder = self._lake.warehouse.joinpath(*name.split("."), "data")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def publish(
        self,
        publications: Sequence[Publication],
        properties: Mapping[str, str],
        expired: Mapping[str, Collection[int]] = MappingProxyType({}),
    ) -> None:
        """Publish new content of tables in one transaction and with one commit time, so that no reader sees a mixture.

        Args:
            properties: Kept in each table's new snapshot.
            expired: Snapshots to expire, by table.

        Raises:
            BrewhouseError: Another process has locked the catalog, or changed a table meanwhile.
            ValueError: A file has other columns than the table, or rows of several partitions; or a kept file is not
                the table's, or is partitioned by a column that the table no longer has.
        """
        written = [file for publication in publications for file in publication.files]
        footers = read_footers(written)
        sync_files(self._lake.root, map(path_at, written))
        with self.atomically():
            tables = [self._load_or_create(publication.spec) for publication in publications]
            timestamp_ms = _timestamp_ms(tables)
            for table, publication in zip(tables, publications, strict=True):
                updates = schemas.evolution(table.metadata, publication.spec)
                metadata = update.update_table_metadata(table.metadata, updates) if updates else table.metadata
                added = to_data_files(metadata, [footers[file] for file in publication.files])
                change = SnapshotChange(added, frozenset(map(uri_of, publication.kept)))
                merged = {**properties, **publication.properties}
                removal = _removal(table.metadata, expired.get(publication.spec.name, ()))
                snapshot = write_snapshot(table, metadata, change, merged, timestamp_ms)
                self._files[snapshot.snapshot_id] = sorted((*publication.kept, *publication.files))
                self._commit(table, updates, snapshot, removal)

    def rewrite(self, rewrites: Sequence[Rewrite]) -> None:
        """Replace files by others with the same rows, and merge manifests, in one transaction.

        A rewrite without files only merges manifests. The new snapshots keep the properties of those they replace.

        Raises:
            BrewhouseError: As for `publish`.
            ValueError: A file to be replaced is not a current file of the table.
        """
        written = [file for rewrite in rewrites for file in rewrite.after]
        footers = read_footers(written)
        sync_files(self._lake.root, map(path_at, written))
        with self.atomically():
            tables = [self._load(rewrite.table) for rewrite in rewrites]
            timestamp_ms = _timestamp_ms(tables)
            for table, rewrite in zip(tables, rewrites, strict=True):
                current = {file.file_path for file in data_files(table, table.current_snapshot())}
                replaced = set(map(uri_of, rewrite.before))
                if not replaced <= current:
                    raise ValueError(f"{min(replaced - current)} is not a current file of {rewrite.table}.")
                added = to_data_files(table.metadata, [footers[file] for file in rewrite.after])
                change = SnapshotChange(added, frozenset(current - replaced), rewrites=True)
                properties = snapshot_properties(table.current_snapshot())
                self._commit(table, (), write_snapshot(table, table.metadata, change, properties, timestamp_ms))

    def expire(self, expired: Mapping[str, Collection[int]]) -> None:
        """Expire snapshots, given by table, in one transaction; those that a branch or tag refers to stay."""
        with self.atomically():
            for name, ids in expired.items():
                table = self._load(name)
                if updates := _removal(table.metadata, ids):
                    exists = update.AssertTableUUID(uuid=table.metadata.table_uuid)
                    self._catalog.commit_table(table, (exists,), updates)

    def rollback(self, name: str, snapshot_id: int) -> None:
        """Make an earlier snapshot of a table current again; later ones are kept.

        Raises:
            UsageError: The table has no such snapshot.
        """
        self._load(name, snapshot_id).manage_snapshots().set_current_snapshot(snapshot_id=snapshot_id).commit()

    def drop(self, name: str) -> None:
        """Remove a table from the catalog; its files stay.

        Raises:
            NotFoundError: There is no such table.
        """
        self._load(name)
        self._catalog.forget(name)

    def relocate(self, *, forget_incomplete: bool = False) -> list[str]:
        """Let the tables of a lake that was moved or copied refer to its present place; see `relocate_tables`."""
        if not isinstance(self._catalog, SQLiteCatalog):
            raise UsageError(
                f"The lake {self._lake.root} cannot be relocated: its catalog is shared with other lakes.",
                hint="Choose another BREWHOUSE_CATALOG_DATABASE_PREFIX, then run `brewhouse rebuild`.",
            )
        from brewhouse.iceberg.relocation import relocate_tables

        with self.atomically():
            return relocate_tables(self._catalog, forget_incomplete=forget_incomplete)

    def forget_damaged(self) -> list[BrewhouseError]:
        """Remove the tables from the catalog of a local lake whose metadata is damaged; return the reasons."""
        if not isinstance(self._catalog, SQLiteCatalog):
            return []
        found = {name: error for name in self.names() if (error := self.damage(name, with_data=False))}
        for name in found:
            self._catalog.forget(name)
        return list(found.values())

    @contextmanager
    def atomically(self) -> Iterator[None]:
        """Commit everything published in the block in one transaction, or nothing if an error leaves it.

        Raises:
            BrewhouseError: Another process has locked the catalog, or changed a table meanwhile.
        """
        try:
            with self._catalog.atomically():
                yield
        except CommitFailedException as error:
            raise BrewhouseError(f"Nothing was published: {error}.", hint="Run again.") from error

    def _commit(
        self,
        table: Table,
        before: tuple[update.TableUpdate, ...],
        snapshot: Snapshot,
        after: tuple[update.TableUpdate, ...] = (),
    ) -> None:
        """Make a new snapshot current, between other updates, unless another one became current meanwhile."""
        updates = (*before, update.AddSnapshotUpdate(snapshot=snapshot), set_current(snapshot.snapshot_id), *after)
        self._catalog.commit_table(table, require_current(table, snapshot.parent_snapshot_id), updates)

    def _load_or_create(self, spec: TableSpec) -> Table:
        try:
            return self._catalog.load_table(spec.name)
        except NoSuchTableError:
            self._catalog.create_namespace_if_not_exists(spec.name.split(".")[0])
            ids = schemas.field_ids(spec)
            return self._catalog.create_table(
                spec.name,
                schemas.schema_of(spec, ids),
                location=uri_of(self._lake.warehouse.joinpath(*spec.name.split("."))),
                partition_spec=PartitionSpec(*schemas.partition_fields(spec, ids)),
                sort_order=schemas.sort_order_of(spec, ids),
                properties={"format-version": "2", **schemas.properties_of(spec)},
            )


def _removal(metadata: TableMetadata, expired: Collection[int]) -> tuple[update.TableUpdate, ...]:
    """List the updates that remove snapshots of a table to which no branch or tag refers."""
    removed = set(expired) - {reference.snapshot_id for reference in metadata.refs.values()}
    if not removed:
        return ()
    statistics = removed & {file.snapshot_id for file in metadata.partition_statistics}
    return (
        *(update.RemovePartitionStatisticsUpdate.model_validate({"snapshot-id": number}) for number in statistics),
        update.RemoveSnapshotsUpdate.model_validate({"snapshot-ids": sorted(removed)}),
    )


def _timestamp_ms(tables: Sequence[Table]) -> int:
    """Choose one time for a commit of several tables, after any earlier one even if the clock was set back.

    PyIceberg would choose another one for a table that was changed in the same millisecond.
    """
    logged = (entry.timestamp_ms for table in tables for entry in table.metadata.snapshot_log)
    return max([int(time.time() * 1000), *(table.metadata.last_updated_ms + 1 for table in tables), *logged])
