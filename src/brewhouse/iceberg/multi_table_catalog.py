"""The catalog of a lake on S3: a cloud catalog that commits several tables at once.

A cloud catalog commits one table at a time. A commit of several tables therefore first writes everything, then its
intent to `commit.json`, swaps the metadata pointers one right after the other, and clears the intent. While it names a
table with the snapshot that the catalog shows, readers of this module see all tables as before, also if the process is
killed in between; the next commit undoes what is incomplete. Other readers, such as Athena, see one change at a time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from itertools import repeat
from typing import TYPE_CHECKING, Any

import msgspec
from obstore.exceptions import AlreadyExistsError, PreconditionError
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.update import update_table_metadata
from pyiceberg.typedef import EMPTY_DICT, Identifier, Properties

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.iceberg import lake_catalog
from brewhouse.iceberg.cloud_catalog import TableChange, open_cloud_catalog
from brewhouse.iceberg.lake_catalog import LakeCatalog
from brewhouse.ids import new_id
from brewhouse.lake.run_lock import require_lock

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.update import TableRequirement, TableUpdate

    from brewhouse.lake.lake import Lake

_INTENT = "commit.json"
_PARALLEL_REQUESTS = 8
_ATTEMPTS = 20
_PAUSE_S = 0.25


class PendingTable(msgspec.Struct, frozen=True):
    """A table that a commit changes: location of its metadata before, id of its snapshot after."""

    before: str
    after: int


class CommitIntent(msgspec.Struct, frozen=True):
    """The tables that the last commit still has to change, by name; none if it is complete."""

    id: str = ""
    tables: dict[str, PendingTable] = {}


def read_intent(lake: Lake) -> tuple[CommitIntent, str | None]:
    """Read the intent of the last commit and the version of its object, None before the first commit.

    Raises:
        BrewhouseError: The object is corrupt.
    """
    try:
        found = lake.store.get(_INTENT)
    except FileNotFoundError:
        return CommitIntent(), None
    try:
        return msgspec.json.decode(bytes(found.bytes()), type=CommitIntent), found.meta["e_tag"]
    except ValueError as error:
        raise BrewhouseError(
            f"{lake.root}/{_INTENT} is corrupt: {error}. It names the tables of a commit that may be incomplete.",
            hint="Restore an earlier version of the object. If there is none, delete it and run `brewhouse rebuild`: "
            "until then the tables may be of different runs.",
        ) from error


def write_intent(lake: Lake, tables: Mapping[str, PendingTable], version: str | None) -> str | None:
    """Write which tables a commit is about to change, none once it is complete; returns the new version.

    Raises:
        CommitFailedException: Another process committed meanwhile.
    """
    mode: Any = "create" if version is None else {"e_tag": version}
    content = msgspec.json.encode(CommitIntent(new_id(), dict(tables)))
    try:
        return lake.store.put(_INTENT, content, mode=mode)["e_tag"]
    except (AlreadyExistsError, PreconditionError) as error:
        raise CommitFailedException("Another process committed tables meanwhile") from error


class MultiTableCatalog(LakeCatalog):
    """The tables of a lake in a cloud catalog, all as of the moment they were first loaded.

    The zones of the lake are databases of the catalog, such as `brewhouse_silver`.

    Raises:
        UsageError: AWS credentials or the address of the REST catalog are missing.
    """

    def __init__(self, lake: Lake) -> None:
        super().__init__(lake_catalog.NAME, **lake_catalog.FILE_IO)
        self._lake = lake
        self._cloud = open_cloud_catalog(lake.shared)
        self._prefix = f"{lake.shared.catalog_database_prefix}_"
        self._loaded: dict[str, Table] | None = None
        self._changes: dict[str, TableChange] | None = None

    @contextmanager
    def atomically(self) -> Iterator[None]:
        """See `LakeCatalog.atomically`."""
        if self._changes is not None:
            yield
            return
        version = self._undo_incomplete()
        self._changes = {}
        try:
            yield
            self._commit(list(self._changes.values()), version)
        except BaseException:
            self._loaded = None
            raise
        finally:
            self._changes = None

    def reading(self) -> AbstractContextManager[None]:
        """See `LakeCatalog.reading`; this catalog always does so."""
        return nullcontext()

    def create_table(self, identifier: Any, schema: Any, *args: Any, **options: Any) -> Table:  # noqa: ANN401 - as PyIceberg's
        """Create a table immediately; readers do not see it until it has a snapshot."""
        zone, name = self.identifier_to_tuple(identifier)
        stored = (f"{self._prefix}{zone}", name)
        try:
            table = self._cloud.catalog.create_table(stored, schema, *args, **options)
        except Exception:
            if (found := self._load(stored)) is None or found.current_snapshot():
                raise
            table = found  # only the response was lost
        self._tables()[f"{zone}.{name}"] = table
        return self.load_table(identifier)

    def load_table(self, identifier: str | Identifier) -> Table:
        """Load a table, with its uncommitted changes inside `atomically`."""
        name = ".".join(self.identifier_to_tuple(identifier))
        change = (self._changes or {}).get(name)
        table = change.base if change else self._tables().get(name)
        if table is None:
            raise NoSuchTableError(f"Table does not exist: {name}")
        metadata: TableMetadata = change.metadata if change else table.metadata
        return Table(self.identifier_to_tuple(name), metadata, table.metadata_location, table.io, self)

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """Check requirements and commit changes of a table; inside `atomically`, commit when its block ends."""
        with self.atomically():
            name = ".".join(table.name())
            assert self._changes is not None
            current, earlier = self.load_table(name), self._changes.get(name)
            if earlier is None:
                staged = self._stage(current, requirements, updates)
                base, location = self._tables()[name], staged.metadata_location
                change = TableChange(base, staged.metadata, location, requirements, updates)
            else:
                for requirement in requirements:
                    requirement.validate(current.metadata)
                metadata = update_table_metadata(current.metadata, updates)
                metadata = lake_catalog.without_log_gaps(current.metadata, metadata, updates)
                change = replace(earlier, metadata=metadata, updates=(*earlier.updates, *updates))
            self._changes[name] = change
        return CommitTableResponse(metadata=change.metadata, metadata_location=change.location)  # type: ignore[call-arg]

    def list_tables(self, namespace: str | Identifier) -> list[Identifier]:
        """List the tables of a zone that have a snapshot."""
        zone = self.namespace_to_string(namespace)
        known = [name for name in self._tables() if name.split(".")[0] == zone]
        return [tuple(name.split(".")) for name in known if self.load_table(name).current_snapshot()]

    def list_namespaces(self, namespace: str | Identifier = ()) -> list[Identifier]:
        """List the zones that have tables."""
        del namespace
        return [(zone,) for zone in sorted({name.split(".")[0] for name in self._tables()})]

    def create_namespace(self, namespace: str | Identifier, properties: Properties = EMPTY_DICT) -> None:
        """Create the database of a zone."""
        zone = self.namespace_to_string(namespace)
        location = {"location": f"{self._lake.warehouse}/{zone}"}
        self._cloud.catalog.create_namespace(f"{self._prefix}{zone}", {**location, **properties})

    def forget(self, name: str) -> None:
        """Remove a table without its files."""
        self._cloud.catalog.drop_table(f"{self._prefix}{name}")
        self._loaded = None

    def _commit(self, changes: list[TableChange], version: str | None) -> None:
        """Write everything that can be written, then swap the pointers, with a write intent if there are several."""
        with ThreadPoolExecutor(_PARALLEL_REQUESTS) as threads:
            swaps = list(threads.map(self._cloud.prepare, changes))
        pending = {
            ".".join(change.base.name()): PendingTable(change.base.metadata_location, after)
            for change in changes
            if (after := change.metadata.current_snapshot_id) not in (None, change.base.metadata.current_snapshot_id)
        }
        needs_intent = len(pending) > 1
        if needs_intent:
            version = write_intent(self._lake, pending, version)
        try:
            for swap in swaps:
                require_lock(self._lake)
                swap()
            if needs_intent:
                write_intent(self._lake, {}, version)
        except Exception as error:
            if not (needs_intent and self._withdraw(CommitIntent(tables=pending), version, error)):
                raise
        for change in changes:
            logs = (change.base.metadata.metadata_log, change.metadata.metadata_log)
            logged, still_logged = ({entry.metadata_file for entry in log} for log in logs)
            lake_catalog.delete_metadata(logged - still_logged)
        self._loaded = None

    def _withdraw(self, intent: CommitIntent, version: str | None, error: Exception) -> bool:
        """Undo what is left of a failed commit; returns whether another process found it complete.

        While its intent is the current one, readers see none of it, and the next commit undoes it at the latest. After
        another process undid it, this one may have changed a table.
        """
        stored, stored_version = read_intent(self._lake)
        if stored_version == version:
            if isinstance(error, CommitFailedException):
                self._undo_incomplete()
            return False
        tables = self._load_pending(intent)
        if _is_complete(intent, tables):
            return not stored.tables
        for table in tables:
            if _is_changed(table, intent):
                self._cloud.restore(table, _before(table, intent))
        return False

    def _undo_incomplete(self) -> str | None:
        """Undo what a killed process left incomplete; returns the version of the intent.

        The process may only have slept, and continue at any moment. So the intent gets a new version first, which
        prevents its end, and then each table, which prevents its swap: both require the version they know.
        """
        intent, version = read_intent(self._lake)
        if not intent.tables:
            return version
        version = write_intent(self._lake, intent.tables, version)
        self._loaded = None
        for _ in range(_ATTEMPTS):
            tables = self._load_pending(intent)
            if _is_complete(intent, tables):
                break
            try:
                for table in tables:
                    self._cloud.restore(table, _before(table, intent) if _is_changed(table, intent) else table)
                break
            except CommitFailedException:  # it did continue, and changed a table that was just loaded
                continue
        return write_intent(self._lake, {}, version)

    def _load_pending(self, intent: CommitIntent) -> list[Table]:
        return [table for name in intent.tables if (table := self._load(tuple(name.split("."))))]

    def _tables(self) -> dict[str, Table]:
        if self._loaded is None:
            self._loaded = self._load_all()
        return self._loaded

    def _load_all(self) -> dict[str, Table]:
        """Load all tables as of one moment: between two reads of the intent that return the same version."""
        for _ in range(_ATTEMPTS):
            intent, version = read_intent(self._lake)
            with ThreadPoolExecutor(_PARALLEL_REQUESTS) as threads:
                found = [table for table in threads.map(self._load, self._names()) if table is not None]
                pending = CommitIntent() if _is_complete(intent, found) else intent
                visible = list(threads.map(_before, found, repeat(pending)))
            if read_intent(self._lake)[1] == version:
                names = (".".join(table.name()).removeprefix(self._prefix) for table in found)
                return dict(zip(names, visible, strict=True))
            time.sleep(_PAUSE_S)
        what = (
            f"The tables of {self._lake.root} could not be read in one state: they changed {_ATTEMPTS} times meanwhile."
        )
        raise BrewhouseError(what, hint="Run again in a minute.")

    def _names(self) -> list[Identifier]:
        databases = {name: at for name, at in self._cloud.databases().items() if name.startswith(self._prefix)}
        for database, location in databases.items():
            if location and not f"{location.rstrip('/')}/".startswith(f"{self._lake.warehouse}/"):
                what = f"The database {database} belongs to {location}, not to the lake {self._lake.root}."
                raise UsageError(what, hint="Choose another BREWHOUSE_CATALOG_DATABASE_PREFIX for this lake.")
        return [table for database in databases for table in self._cloud.catalog.list_tables(database)]

    def _load(self, name: Identifier) -> Table | None:
        try:
            return self._cloud.catalog.load_table(name)
        except NoSuchTableError:  # dropped since it was listed
            return None


def _is_complete(intent: CommitIntent, tables: Iterable[Table]) -> bool:
    """Return whether all tables of an intent have their new snapshots; only clearing the intent is left then."""
    current = {".".join(table.name()): table.metadata.current_snapshot_id for table in tables}
    return all(current.get(name) == pending.after for name, pending in intent.tables.items())


def _is_changed(table: Table, intent: CommitIntent) -> bool:
    """Return whether a table has the new snapshot of an intent."""
    return table.metadata.current_snapshot_id == intent.tables[".".join(table.name())].after


def _before(table: Table, intent: CommitIntent) -> Table:
    """Return a table as before the commit while its intent is pending, which is what readers see."""
    pending = intent.tables.get(".".join(table.name()))
    if pending is None or table.metadata_location == pending.before:
        return table
    metadata = FromInputFile.table_metadata(table.io.new_input(pending.before))
    return Table(table.name(), metadata, pending.before, table.io, table.catalog)
