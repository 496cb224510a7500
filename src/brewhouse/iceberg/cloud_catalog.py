"""Catalogs that other engines share: the Glue Data Catalog and Iceberg REST catalogs.

Both commit one table at a time. A commit is prepared for all tables first, so that the final requests follow each other
as closely as the catalog allows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pyiceberg.catalog import load_catalog
from pyiceberg.catalog.glue import GlueCatalog, _construct_table_input
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.serializers import ToOutputFile
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.update import RemoveSnapshotRefUpdate, RemoveSnapshotsUpdate
from pyiceberg.utils.config import Config

from brewhouse.errors import UsageError
from brewhouse.iceberg.lake_catalog import FILE_IO, NAME
from brewhouse.iceberg.snapshots import require_current, set_current
from brewhouse.lake.s3 import client

if TYPE_CHECKING:
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.update import TableRequirement, TableUpdate

    from brewhouse.lake.lake import Shared


@dataclass(frozen=True)
class TableChange:
    """A change of one table, from its base in the catalog to new metadata and its location."""

    base: Table
    metadata: TableMetadata
    location: str
    requirements: tuple[TableRequirement, ...]
    updates: tuple[TableUpdate, ...]


class _Glue:
    """The Glue Data Catalog of the account and region; table names are those of the catalog, database and table."""

    def __init__(self) -> None:
        self._client = client("glue")
        self.catalog = GlueCatalog(NAME, client=self._client, **FILE_IO)

    def databases(self) -> dict[str, str]:
        """List the databases with their locations, empty if unknown."""
        pages = self._client.get_paginator("get_databases").paginate()
        return {found["Name"]: found.get("LocationUri", "") for page in pages for found in page["DatabaseList"]}

    def prepare(self, change: TableChange) -> Callable[[], object]:
        """Do everything but the last step of a table's commit, and return that step.

        Raises:
            CommitFailedException: The table was changed meanwhile; also raised by the last step.
        """
        swap = self._swap(change.base, change.location, change.metadata)
        output = change.base.io.new_output(change.location)
        ToOutputFile.table_metadata(change.metadata, output, overwrite=True)  # the name contains a new UUID
        return swap

    def restore(self, table: Table, before: Table) -> None:
        """Undo the last commit of a table; an unchanged one gets a new version, so that prepared steps fail.

        Raises:
            CommitFailedException: The table was changed meanwhile.
        """
        self._swap(table, before.metadata_location, before.metadata)()

    def _swap(self, base: Table, location: str, metadata: TableMetadata) -> Callable[[], None]:
        """Prepare the update of the metadata pointer; it fails if the table has another version by then."""
        # Private in PyIceberg, whose public `commit_table` also writes the metadata and validates before each swap,
        # and cannot point back at existing metadata.
        database, name = self.catalog.identifier_to_database_and_table(base.name())
        now = self.catalog._get_glue_table(database, name)  # private: gives the version that the update requires
        if now["Parameters"]["metadata_location"] != base.metadata_location:
            raise CommitFailedException(f"Table has been updated by another process: {database}.{name}")
        entry = _construct_table_input(name, location, metadata.properties, metadata, now, base.metadata_location)

        def swap() -> None:
            try:
                self.catalog._update_glue_table(database, name, entry, now["VersionId"])  # private: as above
            except Exception:  # an attempt may have succeeded although its response was lost
                stored = self.catalog._get_glue_table(database, name)
                is_moved = stored["VersionId"] != now["VersionId"]
                if not is_moved or stored["Parameters"]["metadata_location"] != location:
                    raise

        return swap


class _Rest:
    """An Iceberg REST catalog, used as `_Glue` is.

    PyIceberg's own configuration of a catalog named `brewhouse` adds what the address does not say, such as
    `PYICEBERG_CATALOG__BREWHOUSE__TOKEN`.
    """

    def __init__(self, uri: str) -> None:
        configured = Config().get_catalog_config(NAME) or {}
        self.catalog = load_catalog(NAME, **{**configured, "type": "rest", "uri": uri, **FILE_IO})

    def databases(self) -> dict[str, str]:
        names = self.catalog.list_namespaces()
        return {name[0]: self.catalog.load_namespace_properties(name).get("location", "") for name in names}

    def prepare(self, change: TableChange) -> Callable[[], object]:
        ids = {snapshot.snapshot_id for snapshot in change.metadata.snapshots}
        after = (change.metadata.current_snapshot_id, ids)
        return partial(self._commit, change.base, change.requirements, change.updates, after)

    def restore(self, table: Table, before: Table) -> None:
        if before is table:  # the protocol has no version that other commits could require
            return
        previous = before.metadata.current_snapshot_id
        no_current = RemoveSnapshotRefUpdate.model_validate({"ref-name": MAIN_BRANCH})
        updates: list[TableUpdate] = [no_current if previous is None else set_current(previous)]
        ids, old_ids = ({s.snapshot_id for s in state.metadata.snapshots} for state in (table, before))
        if ids - old_ids:
            updates.append(RemoveSnapshotsUpdate.model_validate({"snapshot-ids": sorted(ids - old_ids)}))
        is_current = require_current(table, table.metadata.current_snapshot_id)
        self._commit(table, is_current, tuple(updates), (previous, ids & old_ids))

    def _commit(
        self,
        table: Table,
        requirements: tuple[TableRequirement, ...],
        updates: tuple[TableUpdate, ...],
        after: tuple[int | None, set[int]],
    ) -> None:
        """Commit updates, after which a table has a current snapshot and a set of snapshots."""
        try:
            self.catalog.commit_table(table, requirements, updates)
        except Exception:  # it may have succeeded although its response was lost
            stored = self.catalog.load_table(table.name()).metadata
            if (stored.current_snapshot_id, {snapshot.snapshot_id for snapshot in stored.snapshots}) != after:
                raise


def open_cloud_catalog(shared: Shared) -> _Glue | _Rest:
    """Open the catalog that the settings name.

    Raises:
        UsageError: The address of the REST catalog is not set.
    """
    if shared.catalog == "glue":
        return _Glue()
    if not shared.catalog_uri:
        raise UsageError("The REST catalog has no address.", hint="Set BREWHOUSE_CATALOG_URI.")
    return _Rest(shared.catalog_uri.reveal())
