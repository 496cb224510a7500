"""What the pages read: one open, read-only DuckDB for each published state of the lake.

Opening the views and reading a table for the first time takes most of a page's time, so both are kept until the lake
shows something else: a local lake puts a new `brewhouse.duckdb` in place whenever it publishes, which one `stat` tells.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, TypeVar

from brewhouse.lake.duckdb_access import identifier
from brewhouse.lake.lake import Lake
from brewhouse.query.connection import connect

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")

_KEPT = 8  # states; the current one, and earlier ones somebody looks at
_SHARED_FOR_S = 15.0  # a lake on S3 is asked anew after that


class LakeState:
    """The lake as one publishing left it.

    Args:
        connection: Of `brewhouse.query.connection.connect`.

    Attributes:
        tables: Descriptions of the tables and views that can be read, by schema and name.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._lock = threading.RLock()
        self._made: dict[Hashable, object] = {}
        row = connection.execute("SELECT current_database()").fetchone()
        self._database = row[0] if row else "memory"
        self.tables: dict[str, str] = dict(
            connection.execute(
                "SELECT schema_name || '.' || view_name, coalesce(comment, '') FROM duckdb_views() "
                "WHERE database_name = ? AND NOT internal ORDER BY 1",
                [self._database],
            ).fetchall()
        )

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Open a cursor for one thread; it reads and does nothing else."""
        cursor = self._connection.cursor()
        cursor.execute(f"USE {identifier(self._database)}")
        return cursor

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Make something of this state the first time it is asked for, and keep it.

        Args:
            key: What it is, and of what.
            make: Makes it; what it raises is not kept.
        """
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
            return self._made[key]  # type: ignore[return-value]


class LakeReader:
    """The states of a lake that pages read, each opened once.

    Args:
        lake: Whose.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._lock = threading.Lock()
        self._states: OrderedDict[Hashable, LakeState] = OrderedDict()

    def key(self, at: str | None = None) -> Hashable:
        """Tell states apart: equal as long as the lake shows the same.

        Args:
            at: As `state` takes it.
        """
        if not self._lake.is_local:
            return (at, int(time.monotonic() / _SHARED_FOR_S))
        try:
            file = self._lake.views_file.stat()
        except FileNotFoundError:
            return (at, None, self._has_events())
        return (at, file.st_ino, file.st_mtime_ns, self._has_events())

    def state(self, at: str | None = None) -> LakeState:
        """Open what the lake shows now, or showed then.

        Args:
            at: A time (ISO 8601), an Iceberg snapshot id or the id of a run; None or nothing for what is current.

        Raises:
            BrewhouseError: Nothing is published, or not at that time.
        """
        at = at or None
        key = self.key(at)
        with self._lock:
            if key not in self._states:
                self._states[key] = LakeState(connect(self._lake, at))
                while len(self._states) > _KEPT:
                    self._states.popitem(last=False)
            self._states.move_to_end(key)
            return self._states[key]

    def _has_events(self) -> bool:
        """Say whether anything happened yet; the views of the events are made for none, or for all that will come."""
        return any(self._lake.events.glob("date=*/*.json"))
