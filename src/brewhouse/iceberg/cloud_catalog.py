"""Catalogs that others use too: the Glue Data Catalog, and Iceberg REST catalogs.

Both commit one table at a time. What all tables need can be prepared beforehand, so that the commits follow each other
as closely as the catalog allows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.serializers import ToOutputFile
from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRefType
from pyiceberg.table.update import (
    AssertRefSnapshotId,
    AssertTableUUID,
    RemoveSnapshotRefUpdate,
    RemoveSnapshotsUpdate,
    SetSnapshotRefUpdate,
)
from pyiceberg.utils.config import Config

from brewhouse.errors import UsageError
from brewhouse.lake.s3 import client

if TYPE_CHECKING:
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.update import TableRequirement, TableUpdate

    from brewhouse.lake.lake import Shared

NAME = "brewhouse"
_IO = {"py-io-impl": "brewhouse.iceberg.file_io.ObjectIO"}


@dataclass(frozen=True)
class TableChange:
    """What becomes of a table in a commit.

    Attributes:
        base: The table as the catalog has it.
        metadata: What it becomes.
        location: Where that is to be written, when the catalog does not do it itself.
        requirements: What must be true of the table for the updates to be made.
        updates: How the base becomes that.
    """

    base: Table
    metadata: TableMetadata
    location: str
    requirements: tuple[TableRequirement, ...]
    updates: tuple[TableUpdate, ...]


class CloudCatalog(Protocol):
    """A shared catalog; tables have its own names, the database and the table."""

    catalog: Catalog

    def databases(self) -> dict[str, str]:
        """List the databases, each with the location it was made with, empty if none."""

    def prepare(self, change: TableChange) -> Callable[[], object]:
        """Do all of a table's commit but the last step, and give that.

        Raises:
            CommitFailedException: The table was changed meanwhile, here or in the last step.
        """

    def restore(self, table: Table, before: Table) -> None:
        """Make a table again what it was before its last commit."""


class Glue:
    """The Glue Data Catalog of the account and region."""

    def __init__(self) -> None:
        from pyiceberg.catalog.glue import GlueCatalog

        self._client = client("glue")
        self._glue = GlueCatalog(NAME, client=self._client, **_IO)
        self.catalog: Catalog = self._glue

    def databases(self) -> dict[str, str]:
        """See `Remote.databases`."""
        pages = self._client.get_paginator("get_databases").paginate()
        return {found["Name"]: found.get("LocationUri", "") for page in pages for found in page["DatabaseList"]}

    def prepare(self, change: TableChange) -> Callable[[], object]:
        """See `Remote.prepare`."""
        swap = self._swap(change.base, change.location, change.metadata)
        output = change.base.io.new_output(change.location)
        ToOutputFile.table_metadata(change.metadata, output, overwrite=True)  # its name has a new UUID
        return swap

    def restore(self, table: Table, before: Table) -> None:
        """See `Remote.restore`; the very metadata of before is pointed at."""
        self._swap(table, before.metadata_location, before.metadata)()

    def _swap(self, base: Table, location: str, metadata: TableMetadata) -> Callable[[], None]:
        """Make the last step: the pointer to the metadata, unless the table has another version by then."""
        from pyiceberg.catalog.glue import _construct_table_input

        database, name = self._glue.identifier_to_database_and_table(base.name())
        now = self._glue._get_glue_table(database, name)
        if now["Parameters"]["metadata_location"] != base.metadata_location:
            raise CommitFailedException(f"Table has been updated by another process: {database}.{name}")
        given = _construct_table_input(name, location, metadata.properties, metadata, now, base.metadata_location)
        return partial(self._glue._update_glue_table, database, name, given, now["VersionId"])


class Rest:
    """An Iceberg REST catalog.

    PyIceberg's own configuration of a catalog named `brewhouse` adds to its address what it needs, such as
    `PYICEBERG_CATALOG__BREWHOUSE__TOKEN`.
    """

    def __init__(self, uri: str) -> None:
        configured = Config().get_catalog_config(NAME) or {}
        self.catalog = load_catalog(NAME, **{**configured, "type": "rest", "uri": uri, **_IO})

    def databases(self) -> dict[str, str]:
        """See `Remote.databases`."""
        names = self.catalog.list_namespaces()
        return {name[0]: self.catalog.load_namespace_properties(name).get("location", "") for name in names}

    def prepare(self, change: TableChange) -> Callable[[], object]:
        """See `Remote.prepare`; the catalog writes the metadata itself."""
        return partial(self.catalog.commit_table, change.base, change.requirements, change.updates)

    def restore(self, table: Table, before: Table) -> None:
        """See `Remote.restore`."""
        now, then = table.metadata.current_snapshot_id, before.metadata.current_snapshot_id
        back: TableUpdate = RemoveSnapshotRefUpdate.model_validate({"ref-name": MAIN_BRANCH})
        if then is not None:
            back = SetSnapshotRefUpdate.model_validate(
                {"ref-name": MAIN_BRANCH, "type": SnapshotRefType.BRANCH, "snapshot-id": then}
            )
        known = {snapshot.snapshot_id for snapshot in before.metadata.snapshots}
        gone = [snapshot.snapshot_id for snapshot in table.metadata.snapshots if snapshot.snapshot_id not in known]
        self.catalog.commit_table(
            table,
            (
                AssertTableUUID(uuid=table.metadata.table_uuid),
                AssertRefSnapshotId.model_validate({"ref": MAIN_BRANCH, "snapshot-id": now}),
            ),
            (back, *([RemoveSnapshotsUpdate.model_validate({"snapshot-ids": gone})] if gone else [])),
        )


def open_remote(shared: Shared) -> CloudCatalog:
    """Open the catalog that the settings name.

    Raises:
        UsageError: A REST catalog without its address.
    """
    if shared.catalog == "glue":
        return Glue()
    if not shared.catalog_uri:
        raise UsageError("A REST catalog needs its address.", hint="Set BREWHOUSE_CATALOG_URI.")
    return Rest(shared.catalog_uri)
