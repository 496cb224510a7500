"""Where things are in a lake; see the layout in the README."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from obstore.store import LocalStore


@dataclass(frozen=True)
class Lake:
    """A lake's root folder and the places below it.

    Attributes:
        root: Absolute path of the root folder; it need not exist yet.

    Example:
        >>> Lake(Path("/data/lake")).catalog_file.name
        'catalog.db'
    """

    root: Path

    @property
    def bronze(self) -> Path:
        """Folder of the raw snapshots."""
        return self.root / "bronze" / "breweries"

    @property
    def warehouse(self) -> Path:
        """Folder of the Iceberg tables, `<zone>/<table>/` below it."""
        return self.root / "warehouse"

    @property
    def events(self) -> Path:
        """Folder of the events, `date=YYYY-MM-DD/` below it."""
        return self.root / "events"

    @property
    def logs(self) -> Path:
        """Folder of the runs' logs, `date=YYYY-MM-DD/` below it."""
        return self.root / "logs"

    @property
    def catalog_file(self) -> Path:
        """The Iceberg catalog, a SQLite database."""
        return self.root / "catalog.db"

    @property
    def views_file(self) -> Path:
        """Views over the published tables, for any DuckDB client."""
        return self.root / "brewhouse.duckdb"

    @property
    def lock_file(self) -> Path:
        """Held by the run that is going, and naming it."""
        return self.root / "run.lock"

    @cached_property
    def store(self) -> LocalStore:
        """The root as an object store; its paths are relative to the root and use `/`."""
        from obstore.store import LocalStore

        return LocalStore(prefix=self.root, mkdir=True)
