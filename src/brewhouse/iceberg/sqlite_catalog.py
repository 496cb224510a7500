"""The catalog of a local lake: a SQLite file, accessed with the standard library.

It has the database schema of PyIceberg's SQL catalog, which opens the same file. A class of our own for two reasons:
importing SQLAlchemy takes longer than a run takes to publish, and SQLite can commit several tables in one transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyiceberg import exceptions
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.locations import load_location_provider
from pyiceberg.typedef import EMPTY_DICT, Identifier, Properties

from brewhouse.errors import BrewhouseError
from brewhouse.iceberg.file_io import ObjectIO, path_of, uri_of
from brewhouse.iceberg.lake_catalog import FILE_IO, NAME, LakeCatalog, delete_metadata
from brewhouse.iceberg.snapshots import VERSION_HINT
from brewhouse.lake.damage import IRREGULAR, DamagedFileError
from brewhouse.lake.lake import is_irregular, sync_files, with_checksum

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.update import TableRequirement, TableUpdate

_BUSY_TIMEOUT_S = 30.0
_DAMAGES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
_SCHEMA = (Path(__file__).parent / "sql" / "catalog.sql").read_text("utf-8")
_KEY = "catalog_name = ? AND table_namespace = ? AND table_name = ?"


@dataclass
class _Change:
    """The uncommitted state of a table; `base` is the location of the metadata that it replaces, None if it is new."""

    base: str | None
    location: str
    metadata: TableMetadata


class SQLiteCatalog(LakeCatalog):
    """An Iceberg catalog in one SQLite file, for one thread; other threads and processes open their own.

    What a transaction changed is written and flushed to the disk right before its commit: a killed one leaves no
    metadata that readers of a folder take for current, and a loss of power leaves no committed table without its files.

    Args:
        replaces: Whether a new catalog may be created although the warehouse has tables, by the first transaction.

    Raises:
        BrewhouseError: The file is damaged, or missing although the warehouse has tables.
    """

    def __init__(self, file: Path, warehouse: str, *, replaces: bool = False) -> None:
        self._written: set[Path] = set()
        super().__init__(NAME, warehouse=warehouse, written=self._written, **FILE_IO)  # type: ignore[arg-type]
        self._file = file
        self._changes: dict[tuple[str, str, str], _Change] = {}
        self._dropped: set[str] = set()
        self._cached: dict[tuple[str, str, str], tuple[str, TableMetadata]] = {}
        is_new = not file.exists() or not file.stat().st_size
        self._is_replaced = is_new and any(Path(path_of(warehouse)).glob("*/*/metadata/*.metadata.json"))
        if self._is_replaced and not replaces:
            raise DamagedFileError(file, "it is missing or empty, although the warehouse has tables")
        file.parent.mkdir(parents=True, exist_ok=True)
        if is_new:
            file.touch()  # with the permissions of the umask, which SQLite narrows
        try:
            self._open()
        except BrewhouseError:
            if not replaces:
                raise
            file.replace(file.with_name(f"{file.name}.damaged"))
            self._is_replaced = True
            self._open()

    def _open(self) -> None:
        if is_irregular(self._file):
            raise DamagedFileError(self._file, IRREGULAR)
        self._connection = sqlite3.connect(self._file, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
        try:
            self._connection.execute("PRAGMA synchronous = EXTRA")  # a commit is on the disk when it returns
            if not self._is_replaced:
                self._connection.executescript(_SCHEMA)
            problem = self._connection.execute("PRAGMA integrity_check").fetchone()[0]
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF not in _DAMAGES:  # such as a full disk or a lock
                raise
            problem = str(error)
        if problem != "ok":
            self._connection.close()
            raise DamagedFileError(self._file, f"SQLite reports: {problem}")

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
            if self._is_replaced:  # in the transaction, so that a killed one leaves an empty file, which is refused
                for statement in _SCHEMA.split(";"):
                    self._connection.execute(statement)
            yield
            self._write_changes()
            self._connection.execute("COMMIT")
            self._is_replaced = False
        except BaseException:
            self._dropped.clear()
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._changes.clear()
            raise
        for change in self._changes.values():
            self._write_hint(change.location)
        self._changes.clear()
        delete_metadata(self._dropped)
        self._dropped.clear()

    def _write_changes(self) -> None:
        """Write the metadata of changed tables, flush it to the disk with all it refers to, and point to it."""
        for key, change in self._changes.items():
            content = change.metadata.model_dump_json().encode()
            change.location = with_checksum(change.location, content)
            with ObjectIO(self.properties).new_output(change.location).create() as file:
                file.write(content)
            self._cached[key] = (change.location, change.metadata)
            if change.base:
                self._dropped |= _unlogged(change)
        sync_files(self._file.parent, self._written)
        self._written.clear()
        for key, change in self._changes.items():
            self._connection.execute(
                "INSERT OR REPLACE INTO iceberg_tables VALUES (?, ?, ?, ?, ?, 'TABLE')",
                (*key, change.location, change.base),
            )

    def _write_hint(self, location: str) -> None:
        file = Path(path_of(location))
        content, hint = file.name.removesuffix(".metadata.json").encode(), file.with_name(VERSION_HINT)
        if not hint.is_file() or hint.read_bytes() != content:
            new = hint.with_suffix(".text.new")
            new.write_bytes(content)
            new.replace(hint)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def create_table(self, identifier: Any, schema: Any, *args: Any, **options: Any) -> Table:  # noqa: ANN401 - as PyIceberg's
        """Create a table without a snapshot."""
        with self.atomically():
            if self._state_of(key := self._key(identifier)) is not None:
                raise exceptions.TableAlreadyExistsError(f"Table {key[1]}.{key[2]} already exists")
            # Private in PyIceberg: its catalogs build a table's first metadata with it, and so do we, so that ids are
            # assigned and the location is resolved as in any other catalog.
            staged = self._create_staged_table(identifier, schema, *args, **options)
            self._changes[key] = _Change(None, staged.metadata_location, staged.metadata)
        return self.load_table(identifier)

    def load_table(self, identifier: str | Identifier) -> Table:
        """Load a table in its current state, with its uncommitted changes inside `atomically`."""
        state = self._state_of(self._key(identifier))
        if state is None:
            raise exceptions.NoSuchTableError(f"Table does not exist: {identifier}")
        location, metadata = state
        return Table(self.identifier_to_tuple(identifier), metadata, location, self._io(location), self)

    def _state_of(self, key: tuple[str, str, str]) -> tuple[str, TableMetadata] | None:
        """Return the location and content of a table's current metadata; None if there is no such table."""
        if change := self._changes.get(key):
            return change.location, change.metadata
        row = self._connection.execute(f"SELECT metadata_location FROM iceberg_tables WHERE {_KEY}", key).fetchone()
        if row is None:
            return None
        if self._cached.get(key, ("",))[0] != row[0]:  # metadata files are immutable: a new state is a new file
            self._cached[key] = (row[0], self._read(row[0]))
        return self._cached[key]

    def names(self) -> list[str]:
        """List the tables by zone and name."""
        rows = self._connection.execute("SELECT table_namespace || '.' || table_name FROM iceberg_tables ORDER BY 1")
        return [name for (name,) in rows]

    def recorded(self, name: str) -> tuple[str, str | None]:
        """Return the locations of a table's current and previous metadata."""
        sql = f"SELECT metadata_location, previous_metadata_location FROM iceberg_tables WHERE {_KEY}"
        location, previous = self._connection.execute(sql, self._key(name)).fetchone()
        return location, previous

    def load_version(self, name: str, location: str) -> Table:
        """Load a table in the state that a metadata file describes.

        Raises:
            BrewhouseError: The file is missing or damaged.
        """
        return Table(self.identifier_to_tuple(name), self._read(location), location, self._io(location), self)

    def point_to(self, name: str, location: str) -> None:
        """Make a table show the state that a metadata file describes."""
        sql = f"UPDATE iceberg_tables SET metadata_location = ? WHERE {_KEY}"
        self._connection.execute(sql, (location, *self._key(name)))
        self._write_hint(location)

    def forget(self, name: str) -> None:
        """Remove a table without its files."""
        self._connection.execute(f"DELETE FROM iceberg_tables WHERE {_KEY}", self._key(name))

    def has_lost_files(self) -> bool:
        """Return whether the metadata of a table of this warehouse is missing or empty."""
        return any(not file.exists() or not file.stat().st_size for file in self._metadata_files())

    def refresh_hints(self) -> None:
        """Let the hints name the current metadata, which a process killed right after its commit left undone."""
        for file in self._metadata_files():
            self._write_hint(uri_of(file))

    def _metadata_files(self) -> list[Path]:
        """List the current metadata files of the tables of this warehouse."""
        locations = (self.recorded(name)[0] for name in self.names())
        return [Path(path_of(uri)) for uri in locations if uri.startswith(f"{self.properties['warehouse']}/")]

    def _read(self, location: str) -> TableMetadata:
        try:
            return FromInputFile.table_metadata(file := self._io(location).new_input(location))
        except (ValueError, exceptions.ValidationError) as error:  # not UTF-8, not JSON or not metadata
            raise DamagedFileError(file.path, "it is not the metadata of a table") from error

    def relocate(self, table: Table, metadata: TableMetadata) -> None:
        """Replace the metadata of a table by the same with other locations, inside `atomically`."""
        # Private in PyIceberg, which has no public function that numbers the files of its metadata.
        version = self._parse_metadata_version(table.metadata_location) + 1
        folder = load_location_provider(metadata.location, metadata.properties)
        location = folder.new_table_metadata_file_location(version)
        self._changes[self._key(table.name())] = _Change(None, location, metadata)

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """Commit changes of a table; inside `atomically`, when its block ends."""
        with self.atomically():
            key, current = self._key(table.name()), self.load_table(table.name())
            if moved_from := current.io.properties.get("moved_from"):
                raise exceptions.CommitFailedException(f"Table is recorded at {moved_from}; it must be relocated first")
            earlier = self._changes.get(key)
            staged = self._stage(current, requirements, updates)
            if staged.metadata == current.metadata:
                change = _Change(None, current.metadata_location, current.metadata)
            elif earlier is None:
                change = _Change(current.metadata_location, staged.metadata_location, staged.metadata)
                self._changes[key] = change
            else:  # the state between is never written, so that the log of the metadata leads past it
                log = {"metadata_log": current.metadata.metadata_log}
                change = _Change(earlier.base, earlier.location, staged.metadata.model_copy(update=log))
                self._changes[key] = change
        return CommitTableResponse(metadata=change.metadata, metadata_location=change.location)  # type: ignore[call-arg]

    def list_tables(self, namespace: str | Identifier) -> list[Identifier]:
        """List the tables of a namespace."""
        rows = self._connection.execute(
            "SELECT table_namespace, table_name FROM iceberg_tables WHERE catalog_name = ? AND table_namespace = ?",
            (NAME, self.namespace_to_string(namespace)),
        )
        found = {key for key in self._changes if key[1] == self.namespace_to_string(namespace)}
        return sorted((*key[1].split("."), key[2]) for key in found | {(NAME, *row) for row in rows})

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

    def _io(self, location: str) -> ObjectIO:
        """Return the FileIO of a table with this metadata, written in this place of the lake or in an earlier one."""
        recorded, own = location.rsplit("/", 4)[0], self.properties["warehouse"]
        is_moved = recorded.endswith("/warehouse") and recorded not in {own, own.replace("///", "/", 1)}  # as of Java
        return ObjectIO(self.properties | ({"moved_from": recorded, "moved_to": own} if is_moved else {}))

    def _key(self, identifier: str | Identifier) -> tuple[str, str, str]:
        return NAME, self.namespace_to_string(self.namespace_from(identifier)), self.table_name_from(identifier)


def _unlogged(change: _Change) -> set[str]:
    """List the metadata files next to a new one that its log does not name: dropped from it, or of a killed commit."""
    folder = change.location.rpartition("/")[0]
    logged = {change.location, *(entry.metadata_file for entry in change.metadata.metadata_log)}
    return {f"{folder}/{file.name}" for file in Path(path_of(folder)).glob("*.metadata.json")} - logged
