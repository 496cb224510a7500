"""The catalog of a lake on S3, as the local one is used: tables are committed as one set, or not at all.

A shared catalog commits one table at a time. A commit of several therefore first writes everything, then announces in
`commit.json` which snapshots come, swaps the pointers one right after the other, and says that it is done. Who reads
by way of this module meanwhile, or after a process died in between, sees all tables as they were before; the next
commit puts back what was left half done. Other readers of the catalog, such as Athena, see each table at once and the
set a moment later.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from typing import TYPE_CHECKING, Any

from pyiceberg.catalog import MetastoreCatalog
from pyiceberg.exceptions import CommitFailedException, NamespaceAlreadyExistsError, NoSuchTableError
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionSpec
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER, SortOrder
from pyiceberg.table.update import RemoveSnapshotsUpdate, update_table_metadata
from pyiceberg.typedef import EMPTY_DICT, Identifier, Properties

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.iceberg.cloud_catalog import NAME, TableChange, open_remote
from brewhouse.iceberg.sqlite_catalog import without_gaps
from brewhouse.iceberg.write_intent import Commit, Pending, last_commit, write_intent

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.schema import Schema
    from pyiceberg.table.update import TableRequirement, TableUpdate

    from brewhouse.lake.lake import Lake

_AT_ONCE = 8
_TRIES = 20
_PAUSE_S = 0.25


class MultiTableCatalog(MetastoreCatalog):
    """The tables of a lake in a shared catalog, seen as they were together when they were first asked for.

    Args:
        lake: A lake on S3; its zones are databases of the catalog, as `brewhouse_silver`.

    Raises:
        UsageError: There are no credentials, or the catalog is not described.
    """

    def __init__(self, lake: Lake) -> None:
        super().__init__(NAME, **{"py-io-impl": "brewhouse.iceberg.file_io.ObjectIO"})
        self._lake = lake
        self._remote = open_remote(lake.shared)
        self._databases = f"{lake.shared.catalog_database_prefix}_"
        self._seen: dict[str, Table] | None = None
        self._changes: dict[str, TableChange] | None = None

    @contextmanager
    def atomically(self) -> Iterator[None]:
        """Commit all tables changed inside as one set, or none of them when an error leaves the block; may be nested.

        Raises:
            CommitFailedException: Somebody else changed one of the tables.
        """
        if self._changes is not None:
            yield
            return
        version = self._put_back()
        self._changes = {}
        try:
            yield
            self._commit(list(self._changes.values()), version)
        except BaseException:
            self._seen = None
            raise
        finally:
            self._changes = None

    @contextmanager
    def reading(self) -> Iterator[None]:
        """See the tables as they were at one moment, which this catalog always does."""
        yield

    def close(self) -> None:
        """Let go of the catalog."""
        self._remote.catalog.close()

    def create_table(
        self,
        identifier: str | Identifier,
        schema: Schema | pa.Schema,
        location: str | None = None,
        partition_spec: PartitionSpec = UNPARTITIONED_PARTITION_SPEC,
        sort_order: SortOrder = UNSORTED_SORT_ORDER,
        properties: Properties = EMPTY_DICT,
    ) -> Table:
        """Create a table at once; readers do not see it before it has a snapshot."""
        name = ".".join(self.identifier_to_tuple(identifier))
        made = self._remote.catalog.create_table(
            self._named(name), schema, location, partition_spec, sort_order, properties
        )
        self._tables()[name] = made
        return self.load_table(name)

    def load_table(self, identifier: str | Identifier) -> Table:
        """Load a table, with what is changed inside `atomically`.

        Raises:
            NoSuchTableError: The catalog has no such table.
        """
        name = ".".join(self.identifier_to_tuple(identifier))
        if self._changes is not None and name in self._changes:
            change = self._changes[name]
            return self._table(name, change.base, change.metadata)
        if name not in self._tables():
            raise NoSuchTableError(f"Table does not exist: {name}")
        found = self._tables()[name]
        return self._table(name, found, found.metadata)

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """Commit changes of a table; inside `atomically`, at its end.

        Raises:
            CommitFailedException: The table was changed by somebody else meanwhile.
        """
        with self.atomically():
            name = ".".join(table.name())
            assert self._changes is not None
            change = self._changed(name, self._changes.get(name), requirements, updates)
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
        """Create the database of a zone.

        Raises:
            NamespaceAlreadyExistsError: The catalog has it already.
        """
        zone = self.namespace_to_string(namespace)
        location = {"location": f"{self._lake.warehouse}/{zone}"}
        self._remote.catalog.create_namespace(f"{self._databases}{zone}", {**location, **properties})

    def create_namespace_if_not_exists(self, namespace: str | Identifier, properties: Properties = EMPTY_DICT) -> None:
        """Create the database of a zone, unless it is there."""
        try:
            self.create_namespace(namespace, properties)
        except NamespaceAlreadyExistsError:
            return

    def _changed(
        self,
        name: str,
        earlier: TableChange | None,
        requirements: tuple[TableRequirement, ...],
        updates: tuple[TableUpdate, ...],
    ) -> TableChange:
        """Add updates to what is changed already; what they require is required of the table as it is by then."""
        current = self.load_table(name)
        if earlier is None:
            staged = self._update_and_stage_table(current, current.name(), requirements, updates)
            metadata, location = staged.metadata, staged.metadata_location
            change = TableChange(self._tables()[name], metadata, location, requirements, updates)
        else:
            for requirement in requirements:
                requirement.validate(current.metadata)
            metadata = update_table_metadata(current.metadata, updates)
            change = TableChange(
                earlier.base, metadata, earlier.location, earlier.requirements, (*earlier.updates, *updates)
            )
        if any(isinstance(update, RemoveSnapshotsUpdate) for update in updates):
            metadata = without_gaps(current.metadata, metadata)
        return TableChange(change.base, metadata, change.location, change.requirements, change.updates)

    def _commit(self, changes: list[TableChange], version: str | None) -> None:
        """Write all that can be written, then swap the pointers, announced when there are several."""
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with ThreadPoolExecutor(_AT_ONCE) as threads:
            swaps = list(threads.map(self._remote.prepare, changes))
        several = {
            ".".join(change.base.name()): Pending(change.base.metadata_location, after)
            for change in changes
            if (after := change.metadata.current_snapshot_id) not in (None, change.base.metadata.current_snapshot_id)
        }
        if len(several) > 1:
            try:
                version = write_intent(self._lake, several, version)
            except (PreconditionError, AlreadyExistsError) as error:
                raise CommitFailedException("Another process committed tables meanwhile") from error
        for swap in swaps:
            swap()
        if len(several) > 1:
            write_intent(self._lake, {}, version)
        self._seen = None

    def _put_back(self) -> str | None:
        """Undo what a process that died left half done; gives the version of the announcement."""
        commit, version = last_commit(self._lake)
        if not commit.tables:
            return version
        tables = [table for name in commit.tables if (table := self._load(tuple(name.split("."))))]
        if not _is_whole(commit, tables):
            for table in tables:
                if (before := _shown(table, commit)) is not table:
                    self._remote.restore(table, before)
        self._seen = None
        return write_intent(self._lake, {}, version)

    def _tables(self) -> dict[str, Table]:
        if self._seen is None:
            self._seen = self._together()
        return self._seen

    def _together(self) -> dict[str, Table]:
        """Load all tables as they were at one moment: between two looks at the announcement that are the same."""
        for _ in range(_TRIES):
            commit, version = last_commit(self._lake)
            with ThreadPoolExecutor(_AT_ONCE) as threads:
                found = [loaded for loaded in threads.map(self._load, self._names()) if loaded is not None]
                undone = Commit() if _is_whole(commit, found) else commit
                shown = list(threads.map(_shown, found, repeat(undone)))
            seen = dict(zip(map(self._name_of, found), shown, strict=True))
            if last_commit(self._lake)[1] == version:
                return seen
            time.sleep(_PAUSE_S)
        raise BrewhouseError(f"The tables of {self._lake.root} change all the while.", hint="Try again in a minute.")

    def _names(self) -> list[Identifier]:
        databases = {n: at for n, at in self._remote.databases().items() if n.startswith(self._databases)}
        for database, location in databases.items():
            if location and not f"{location.rstrip('/')}/".startswith(f"{self._lake.warehouse}/"):
                raise UsageError(
                    f"The database {database} belongs to {location}, not to the lake {self._lake.root}.",
                    hint="Give this lake another BREWHOUSE_CATALOG_DATABASE_PREFIX.",
                )
        return [table for database in databases for table in self._remote.catalog.list_tables(database)]

    def _load(self, name: Identifier) -> Table | None:
        try:
            return self._remote.catalog.load_table(name)
        except NoSuchTableError:  # dropped since it was listed
            return None

    def _named(self, name: str) -> Identifier:
        zone, table = name.split(".")
        return f"{self._databases}{zone}", table

    def _name_of(self, table: Table) -> str:
        return ".".join(table.name()).removeprefix(self._databases)

    def _table(self, name: str, found: Table, metadata: Any) -> Table:  # noqa: ANN401 - of any format version
        return Table(self.identifier_to_tuple(name), metadata, found.metadata_location, found.io, self)

    def _unsupported(self, *_: Any, **__: Any) -> Any:  # noqa: ANN401 - stands in for methods of many shapes
        raise NotImplementedError("A lake does not need this; use the catalog itself with PyIceberg.")

    load_namespace_properties = drop_table = _unsupported
    register_table = rename_table = drop_namespace = update_namespace_properties = _unsupported
    list_views = view_exists = drop_view = load_view = register_view = rename_view = replace_view = _unsupported


def _is_whole(commit: Commit, tables: Iterable[Table]) -> bool:
    """Say whether all tables of a commit have what it announced, though it did not come to say that it is done."""
    now = {".".join(table.name()): table.metadata.current_snapshot_id for table in tables}
    return all(now.get(name) == pending.after for name, pending in commit.tables.items())


def _shown(table: Table, commit: Commit) -> Table:
    """Give a table as readers see it: as before, while a commit of several is not done."""
    pending = commit.tables.get(".".join(table.name()))
    undone = pending is not None and table.metadata.current_snapshot_id == pending.after
    return _at(table, pending.before) if pending and undone else table


def _at(table: Table, location: str) -> Table:
    metadata = FromInputFile.table_metadata(table.io.new_input(location))
    return Table(table.name(), metadata, location, table.io, table.catalog)
