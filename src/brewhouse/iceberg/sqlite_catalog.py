"""The local Iceberg catalog: a SQLite file, by the standard library.

Same database schema as PyIceberg's SQL catalog, which opens the same file. Its own class for two reasons: SQLAlchemy
takes longer to import than a run takes to publish, and SQLite can commit several tables at once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyiceberg.catalog import MetastoreCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionSpec
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER, SortOrder
from pyiceberg.table.update import RemoveSnapshotsUpdate
from pyiceberg.typedef import EMPTY_DICT, Identifier, Properties

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.schema import Schema
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.update import TableRequirement, TableUpdate

NAME = "brewhouse"
_BUSY_TIMEOUT_S = 30.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS iceberg_tables (
    catalog_name VARCHAR(255) NOT NULL,
    table_namespace VARCHAR(255) NOT NULL,
    table_name VARCHAR(255) NOT NULL,
    metadata_location VARCHAR(1000),
    previous_metadata_location VARCHAR(1000),
    iceberg_type VARCHAR(5),
    PRIMARY KEY (catalog_name, table_namespace, table_name)
);
CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
    catalog_name VARCHAR(255) NOT NULL,
    namespace VARCHAR(255) NOT NULL,
    property_key VARCHAR(255) NOT NULL,
    property_value VARCHAR(1000) NOT NULL,
    PRIMARY KEY (catalog_name, namespace, property_key)
);
"""
_ONE = "catalog_name = ? AND table_namespace = ? AND table_name = ?"


class SQLiteCatalog(MetastoreCatalog):
    """An Iceberg catalog in one SQLite file, for one thread; another thread or process opens its own.

    Args:
        file: The database; made if absent.
        warehouse: URI of the folder below which tables are stored.
    """

    def __init__(self, file: Path, warehouse: str) -> None:
        super().__init__(NAME, warehouse=warehouse, **{"py-io-impl": "brewhouse.iceberg.file_io.ObjectIO"})
        file.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(file, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
        self._connection.executescript(_SCHEMA)
        self._metadata: dict[tuple[str, str, str], tuple[str, TableMetadata]] = {}

    @contextmanager
    def atomically(self) -> Iterator[None]:
        """Commit all tables changed inside at once, or none of them when an error leaves the block; may be nested.

        Raises:
            CommitFailedException: Somebody else was writing to the catalog all the while this waited.
        """
        if self._connection.in_transaction:
            yield
            return
        with self._transaction("BEGIN IMMEDIATE"):
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """See the tables loaded inside as they were at one moment, whoever commits meanwhile."""
        with self._transaction("BEGIN"):
            yield

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        try:
            self._connection.execute(begin)
        except sqlite3.OperationalError as error:
            raise CommitFailedException(f"The catalog cannot be written to: {error}") from error
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def create_table(
        self,
        identifier: str | Identifier,
        schema: Schema | pa.Schema,
        location: str | None = None,
        partition_spec: PartitionSpec = UNPARTITIONED_PARTITION_SPEC,
        sort_order: SortOrder = UNSORTED_SORT_ORDER,
        properties: Properties = EMPTY_DICT,
    ) -> Table:
        """Create a table without a snapshot; see `pyiceberg.catalog.Catalog.create_table`."""
        staged = self._create_staged_table(identifier, schema, location, partition_spec, sort_order, properties)
        self._write_metadata(staged.metadata, staged.io, staged.metadata_location)
        self._insert(self._key(identifier), staged.metadata_location)
        return self.load_table(identifier)

    def load_table(self, identifier: str | Identifier) -> Table:
        """Load a table as it is now.

        Raises:
            NoSuchTableError: The catalog has no such table.
        """
        key = self._key(identifier)
        row = self._connection.execute(f"SELECT metadata_location FROM iceberg_tables WHERE {_ONE}", key).fetchone()
        if row is None:
            raise NoSuchTableError(f"Table does not exist: {identifier}")
        io = self._load_file_io(location=row[0])
        location, metadata = self._metadata.get(key, ("", None))
        if metadata is None or location != row[0]:  # a metadata file never changes: a new state is a new file
            metadata = FromInputFile.table_metadata(io.new_input(row[0]))
            self._metadata[key] = (row[0], metadata)
        return Table(self.identifier_to_tuple(identifier), metadata, row[0], io, self)

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """Commit changes of a table; see `pyiceberg.catalog.Catalog.commit_table`.

        Raises:
            CommitFailedException: The table was changed by somebody else meanwhile.
        """
        identifier = table.name()
        try:
            current: Table | None = self.load_table(identifier)
        except NoSuchTableError:
            current = None
        staged = self._update_and_stage_table(current, identifier, requirements, updates)
        if any(isinstance(update, RemoveSnapshotsUpdate) for update in updates) and current is not None:
            staged.metadata = without_gaps(current.metadata, staged.metadata)
        if current is not None and staged.metadata == current.metadata:
            return CommitTableResponse(metadata=current.metadata, metadata_location=current.metadata_location)  # type: ignore[call-arg]
        self._write_metadata(staged.metadata, staged.io, staged.metadata_location)
        if current is None:
            self._insert(self._key(identifier), staged.metadata_location)
        else:
            self._swap(self._key(identifier), current.metadata_location, staged.metadata_location)
        self._metadata[self._key(identifier)] = (staged.metadata_location, staged.metadata)
        return CommitTableResponse(metadata=staged.metadata, metadata_location=staged.metadata_location)  # type: ignore[call-arg]

    def list_tables(self, namespace: str | Identifier) -> list[Identifier]:
        """List the tables of a namespace."""
        rows = self._connection.execute(
            "SELECT table_namespace, table_name FROM iceberg_tables WHERE catalog_name = ? AND table_namespace = ?",
            (NAME, self.namespace_to_string(namespace)),
        )
        return [(*row[0].split("."), row[1]) for row in rows]

    def list_namespaces(self, namespace: str | Identifier = ()) -> list[Identifier]:
        """List the namespaces; they do not nest here."""
        del namespace
        rows = self._connection.execute(
            "SELECT namespace FROM iceberg_namespace_properties WHERE catalog_name = ? "
            "UNION SELECT table_namespace FROM iceberg_tables WHERE catalog_name = ? ORDER BY 1",
            (NAME, NAME),
        )
        return [tuple(row[0].split(".")) for row in rows]

    def create_namespace(self, namespace: str | Identifier, properties: Properties = EMPTY_DICT) -> None:
        """Create a namespace.

        Raises:
            NamespaceAlreadyExistsError: The catalog has it already.
        """
        name = self.namespace_to_string(namespace)
        rows = [(NAME, name, *pair) for pair in {"exists": "true", **properties}.items()]
        try:
            self._connection.executemany("INSERT INTO iceberg_namespace_properties VALUES (?, ?, ?, ?)", rows)
        except sqlite3.IntegrityError as error:
            raise NamespaceAlreadyExistsError(f"Namespace already exists: {name}") from error

    def load_namespace_properties(self, namespace: str | Identifier) -> Properties:
        """Read a namespace's properties.

        Raises:
            NoSuchNamespaceError: The catalog has no such namespace.
        """
        name = self.namespace_to_string(namespace)
        rows = self._connection.execute(
            "SELECT property_key, property_value FROM iceberg_namespace_properties "
            "WHERE catalog_name = ? AND namespace = ?",
            (NAME, name),
        ).fetchall()
        if not rows:
            raise NoSuchNamespaceError(f"Namespace does not exist: {name}")
        return dict(rows)

    def drop_table(self, identifier: str | Identifier) -> None:
        """Forget a table; its files stay.

        Raises:
            NoSuchTableError: The catalog has no such table.
        """
        cursor = self._connection.execute(f"DELETE FROM iceberg_tables WHERE {_ONE}", self._key(identifier))
        if cursor.rowcount == 0:
            raise NoSuchTableError(f"Table does not exist: {identifier}")

    def _key(self, identifier: str | Identifier) -> tuple[str, str, str]:
        namespace = self.namespace_to_string(self.namespace_from(identifier))
        return NAME, namespace, self.table_name_from(identifier)

    def _insert(self, key: tuple[str, str, str], location: str) -> None:
        try:
            self._connection.execute("INSERT INTO iceberg_tables VALUES (?, ?, ?, ?, NULL, 'TABLE')", (*key, location))
        except sqlite3.IntegrityError as error:
            raise TableAlreadyExistsError(f"Table {key[1]}.{key[2]} already exists") from error

    def _swap(self, key: tuple[str, str, str], before: str, after: str) -> None:
        cursor = self._connection.execute(
            "UPDATE iceberg_tables SET metadata_location = ?, previous_metadata_location = ? "
            f"WHERE {_ONE} AND metadata_location = ?",
            (after, before, *key, before),
        )
        if cursor.rowcount == 0:
            raise CommitFailedException(f"Table has been updated by another process: {key[1]}.{key[2]}")

    def _unsupported(self, *_: Any, **__: Any) -> Any:  # noqa: ANN401 - stands in for methods of many shapes
        raise NotImplementedError("The local catalog does not need this; open catalog.db with PyIceberg's SQL catalog.")

    register_table = rename_table = drop_namespace = update_namespace_properties = _unsupported
    list_views = view_exists = drop_view = load_view = register_view = rename_view = replace_view = _unsupported


def without_gaps(before: TableMetadata, after: TableMetadata) -> TableMetadata:
    """Let a table's log begin after the last entry whose snapshot expired, as Iceberg's specification says.

    PyIceberg takes out just those entries, so that what was current in a gap would seem to be what came before it.
    See `snapshot-log` in https://iceberg.apache.org/spec/#table-metadata-fields.
    """
    known = {snapshot.snapshot_id for snapshot in after.snapshots}
    log = list(before.snapshot_log)
    gone = [number for number, entry in enumerate(log) if entry.snapshot_id not in known]
    return after.model_copy(update={"snapshot_log": log[gone[-1] + 1 :] if gone else log})
