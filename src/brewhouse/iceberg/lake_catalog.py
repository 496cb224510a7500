"""What the catalogs of local lakes and of lakes on S3 have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any

from pyiceberg.catalog import MetastoreCatalog
from pyiceberg.table.update import RemoveSnapshotsUpdate

from brewhouse.iceberg.file_io import ObjectIO

if TYPE_CHECKING:
    from pyiceberg.table import StagedTable, Table
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.update import TableRequirement, TableUpdate

NAME = "brewhouse"
FILE_IO = {"py-io-impl": "brewhouse.iceberg.file_io.ObjectIO"}


class LakeCatalog(MetastoreCatalog):
    """An Iceberg catalog that commits several tables in one transaction."""

    @abstractmethod
    def atomically(self) -> AbstractContextManager[None]:
        """Commit all tables changed in the block at once, or none if an error leaves it; blocks may be nested."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[None]:
        """Load all tables as of one moment for the duration of the block."""

    @abstractmethod
    def forget(self, name: str) -> None:
        """Remove a table without its files."""

    def _stage(
        self, current: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> StagedTable:
        # Private in PyIceberg, which has no public function that applies updates without committing them and chooses
        # the location of the next metadata file.
        staged = self._update_and_stage_table(current, current.name(), requirements, updates)
        staged.metadata = without_log_gaps(current.metadata, staged.metadata, updates)
        return staged

    def _unsupported(self, *_: Any, **__: Any) -> Any:  # noqa: ANN401 - replaces methods of many signatures
        raise NotImplementedError("A lake does not need this; open its catalog with PyIceberg itself.")

    load_namespace_properties = drop_table = register_table = rename_table = drop_namespace = _unsupported
    update_namespace_properties = list_views = view_exists = drop_view = load_view = register_view = rename_view = (
        replace_view
    ) = _unsupported


def delete_metadata(files: Iterable[str]) -> None:
    """Delete metadata files after the commit that dropped them; maintenance deletes one that cannot be deleted now.

    A reader that found such a file in the catalog has had as many commits to open it as the table's log has entries.
    """
    for file in files:
        with suppress(Exception):
            ObjectIO().delete(file)


def without_log_gaps(before: TableMetadata, after: TableMetadata, updates: Sequence[TableUpdate]) -> TableMetadata:
    """Truncate a table's log up to the last expired snapshot, as the specification requires.

    PyIceberg removes only the entries of expired snapshots, so that the snapshot before a gap would seem to have been
    current during it. See `snapshot-log` in https://iceberg.apache.org/spec/#table-metadata-fields.
    """
    if not any(isinstance(update, RemoveSnapshotsUpdate) for update in updates):
        return after
    kept = {snapshot.snapshot_id for snapshot in after.snapshots}
    known = {(entry.snapshot_id, entry.timestamp_ms) for entry in before.snapshot_log}
    new = (entry for entry in after.snapshot_log if (entry.snapshot_id, entry.timestamp_ms) not in known)
    log = [*before.snapshot_log, *new]
    expired = [number for number, entry in enumerate(log) if entry.snapshot_id not in kept]
    return after.model_copy(update={"snapshot_log": log[expired[-1] + 1 :] if expired else log})
