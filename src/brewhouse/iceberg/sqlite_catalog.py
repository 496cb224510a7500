"""The catalog of a local lake: a SQLite file, accessed with the standard library.

It has the database schema of PyIceberg's SQL catalog, which opens the same file. A class of our own for two reasons:
importing SQLAlchemy takes longer than a run takes to publish, and SQLite can commit several tables in one transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyiceberg import exceptions
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.locations import load_location_provider
from pyiceberg.typedef import EMPTY_DICT, Identifier, Properties

from brewhouse.iceberg.lake_catalog import FILE_IO, NAME, LakeCatalog

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.update import TableRequirement, TableUpdate

_BUSY_TIMEOUT_S = 30.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS iceberg_tables (
    catalog_name VARCHAR(255) NOT NULL, table_namespace VARCHAR(255) NOT NULL, table_name VARCHAR(255) NOT NULL,
    metadata_location VARCHAR(1000), previous_metadata_location VARCHAR(1000), iceberg_type VARCHAR(5),
    PRIMARY KEY (catalog_name, table_namespace, table_name)
);
CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
    catalog_name VARCHAR(255) NOT NULL, namespace VARCHAR(255) NOT NULL,
    property_key VARCHAR(255) NOT NULL, property_value VARCHAR(1000) NOT NULL,
    PRIMARY KEY (catalog_name, namespace, property_key)
);
"""
_KEY = "catalog_name = ? AND table_namespace = ? AND table_name = ?"


class SQLiteCatalog(LakeCatalog):
    """An Iceberg catalog in one SQLite file, for one thread; other threads and processes open their own."""

    def __init__(self, file: Path, warehouse: str) -> None:
        super().__init__(NAME, warehouse=warehouse, **FILE_IO)
        file.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(file, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
        self._connection.executescript(_SCHEMA)
        self._cached: dict[tuple[str, str, str], tuple[str, TableMetadata]] = {}

    def atomically(self) -> AbstractContextManager[None]:
        """See `LakeCatalog.atomically`."""
        return self._transaction("BEGIN IMMEDIATE")

    def reading(self) -> AbstractContextManager[None]:
        """See `LakeCatalog.reading`."""
        return self._transaction("BEGIN")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        is_nested = self._connection.in_transaction
        if is_nested:
            yield
            return
        try:
            self._connection.execute(begin)
        except sqlite3.OperationalError as error:
            raise exceptions.CommitFailedException(f"The catalog cannot be locked: {error}") from error
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def create_table(self, identifier: Any, schema: Any, *args: Any, **options: Any) -> Table:  # noqa: ANN401 - as PyIceberg's
        """Create a table without a snapshot."""
        # Private in PyIceberg: its catalogs build and write a table's first metadata with these two, and so do we, so
        # that ids are assigned and the location is resolved as in any other catalog.
        staged = self._create_staged_table(identifier, schema, *args, **options)
        self._write_metadata(staged.metadata, staged.io, staged.metadata_location)
        row = (*self._key(identifier), staged.metadata_location)
        try:
            self._connection.execute("INSERT INTO iceberg_tables VALUES (?, ?, ?, ?, NULL, 'TABLE')", row)
        except sqlite3.IntegrityError as error:
            raise exceptions.TableAlreadyExistsError(f"Table {row[1]}.{row[2]} already exists") from error
        return self.load_table(identifier)

    def load_table(self, identifier: str | Identifier) -> Table:
        """Load a table in its current state."""
        key = self._key(identifier)
        row = self._connection.execute(f"SELECT metadata_location FROM iceberg_tables WHERE {_KEY}", key).fetchone()
        if row is None:
            raise exceptions.NoSuchTableError(f"Table does not exist: {identifier}")
        # Private: PyIceberg's catalogs create each table's FileIO with it.
        io = self._load_file_io(self._moved(row[0], f"/{key[1]}/{key[2]}/metadata/"), row[0])
        location, metadata = self._cached.get(key, ("", None))
        if metadata is None or location != row[0]:  # metadata files are immutable: a new state is a new file
            metadata = FromInputFile.table_metadata(io.new_input(row[0]))
            self._cached[key] = (row[0], metadata)
        return Table(self.identifier_to_tuple(identifier), metadata, row[0], io, self)

    def relocate(self, table: Table, metadata: TableMetadata) -> None:
        """Replace the metadata of a table by the same with other locations."""
        # Private: as in `create_table`.
        version = self._parse_metadata_version(table.metadata_location) + 1
        folder = load_location_provider(metadata.location, metadata.properties)
        location = folder.new_table_metadata_file_location(version)
        self._write_metadata(metadata, table.io, location)
        self._connection.execute(
            f"UPDATE iceberg_tables SET metadata_location = ?, previous_metadata_location = NULL WHERE {_KEY}",
            (location, *self._key(table.name())),
        )

    def forget(self, name: str) -> None:
        """Remove a table without its files."""
        self._connection.execute(f"DELETE FROM iceberg_tables WHERE {_KEY}", self._key(name))

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """Commit changes of a table."""
        key, current = self._key(table.name()), self.load_table(table.name())
        if moved_from := current.io.properties.get("moved_from"):
            raise exceptions.CommitFailedException(f"Table is recorded at {moved_from}, and must be relocated first")
        staged = self._stage(current, requirements, updates)
        metadata, location = staged.metadata, current.metadata_location
        if metadata != current.metadata:
            location = staged.metadata_location
            self._write_metadata(metadata, staged.io, location)  # private: as in `create_table`
            cursor = self._connection.execute(
                "UPDATE iceberg_tables SET metadata_location = ?, previous_metadata_location = ? "
                f"WHERE {_KEY} AND metadata_location = ?",
                (location, current.metadata_location, *key, current.metadata_location),
            )
            if cursor.rowcount == 0:
                raise exceptions.CommitFailedException(f"Table has been updated by another process: {key[1]}.{key[2]}")
            self._cached[key] = (location, metadata)
        return CommitTableResponse(metadata=metadata, metadata_location=location)  # type: ignore[call-arg]

    def list_tables(self, namespace: str | Identifier) -> list[Identifier]:
        """List the tables of a namespace."""
        rows = self._connection.execute(
            "SELECT table_namespace, table_name FROM iceberg_tables WHERE catalog_name = ? AND table_namespace = ?",
            (NAME, self.namespace_to_string(namespace)),
        )
        return [(*row[0].split("."), row[1]) for row in rows]

    def list_namespaces(self, namespace: str | Identifier = ()) -> list[Identifier]:
        """List the namespaces, which are not nested."""
        del namespace
        rows = self._connection.execute(
            "SELECT namespace FROM iceberg_namespace_properties WHERE catalog_name = ? "
            "UNION SELECT table_namespace FROM iceberg_tables WHERE catalog_name = ? ORDER BY 1",
            (NAME, NAME),
        )
        return [tuple(row[0].split(".")) for row in rows]

    def create_namespace(self, namespace: str | Identifier, properties: Properties = EMPTY_DICT) -> None:
        """Create a namespace."""
        name = self.namespace_to_string(namespace)
        rows = [(NAME, name, *pair) for pair in {"exists": "true", **properties}.items()]
        try:
            self._connection.executemany("INSERT INTO iceberg_namespace_properties VALUES (?, ?, ?, ?)", rows)
        except sqlite3.IntegrityError as error:
            raise exceptions.NamespaceAlreadyExistsError(f"Namespace already exists: {name}") from error

    def _moved(self, location: str, folder: str) -> Properties:
        """Return the properties of `ObjectIO` for a table with this metadata, written by this lake or elsewhere."""
        recorded, own = location.rpartition(folder)[0], self.properties["warehouse"]
        is_moved = recorded.endswith("/warehouse") and recorded != own
        return {"moved_from": recorded, "moved_to": own} if is_moved else {}

    def _key(self, identifier: str | Identifier) -> tuple[str, str, str]:
        return NAME, self.namespace_to_string(self.namespace_from(identifier)), self.table_name_from(identifier)
