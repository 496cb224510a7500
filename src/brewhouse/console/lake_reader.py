"""Read-only DuckDB connections for the pages, one for each published state of the lake.

Opening the views and reading a table for the first time dominate the response time of a page, so connections and
results are cached until the lake publishes again: a local lake then writes to its catalog, which `stat` detects.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, TypeVar

from brewhouse.lake.duckdb_access import identifier
from brewhouse.lake.lake import Lake
from brewhouse.query.connection import connect, find_damage

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")

_MAX_STATES = 8
_SHARED_TTL_S = 15.0  # refresh interval of a lake on S3


class LakeState:
    """One published state of the lake; `tables` has the descriptions of its readable tables and views by name."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._lock = threading.RLock()
        self._cache: dict[Hashable, object] = {}
        [(self._database,)] = connection.execute("SELECT current_database()").fetchall()
        self.tables: dict[str, str] = dict(
            connection.execute(
                "SELECT schema_name || '.' || view_name, coalesce(comment, '') FROM duckdb_views() "
                "WHERE database_name = ? AND NOT internal ORDER BY 1",
                [self._database],
            ).fetchall()
        )

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Open a read-only cursor for one thread."""
        cursor = self._connection.cursor()
        cursor.execute(f"USE {identifier(self._database)}")
        return cursor

    def cached(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Compute a value of this state once; exceptions are not cached.

        Raises:
            BrewhouseError: A file of the tables is damaged.
        """
        import duckdb

        with self._lock:
            if key not in self._cache:
                try:
                    self._cache[key] = compute()
                except duckdb.Error as error:
                    if damage := find_damage(error, self.cursor()):
                        raise damage from error
                    raise
            return self._cache[key]  # type: ignore[return-value]


class LakeReader:
    """LRU cache of the states of a lake."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._lock = threading.Lock()
        self._states: OrderedDict[Hashable, LakeState] = OrderedDict()

    def state(self, at: str | None = None) -> LakeState:
        """Open the lake as it is published now, or as of a time (ISO 8601), an Iceberg snapshot id or a run id.

        Raises:
            BrewhouseError: No tables are published, or none were at that time.
        """
        key = (at or None, self._version())
        with self._lock:
            if key not in self._states:
                self._states[key] = LakeState(connect(self._lake, at or None))
                while len(self._states) > _MAX_STATES:
                    self._states.popitem(last=False)
            self._states.move_to_end(key)
            return self._states[key]

    def _version(self) -> Hashable:
        """Identify the published state: equal as long as nothing is published."""
        if not self._lake.is_local:
            return int(time.monotonic() / _SHARED_TTL_S)
        # Without any event, the views of schema monitoring are created empty.
        has_events = any(self._lake.events.glob("date=*/*.json"))
        try:
            catalog = self._lake.catalog_file.stat()
        except FileNotFoundError:
            return has_events
        return (catalog.st_ino, catalog.st_mtime_ns, has_events)
