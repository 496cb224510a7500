"""Where things are in a lake; see the layout in the README."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from brewhouse.errors import UsageError
from brewhouse.lake.s3 import bucket_store
from brewhouse.lake.s3_path import S3Path, path_at
from brewhouse.settings import Settings

if TYPE_CHECKING:
    from obstore.store import LocalStore, S3Store


@dataclass(frozen=True)
class Shared:
    """What a lake on S3 needs and a local one has in its folder.

    Attributes:
        catalog: Which Iceberg catalog knows its tables, `glue` or `rest`.
        catalog_uri: Where the REST catalog answers.
        catalog_database_prefix: What the names of the catalog's databases begin with, as `brewhouse_silver`.
        lock_ttl_s: Seconds after which the lock of a run that died is free.
    """

    catalog: str = "glue"
    catalog_uri: str | None = None
    catalog_database_prefix: str = "brewhouse"
    lock_ttl_s: float = 120.0


@dataclass(frozen=True)
class Lake:
    """A lake's root and the places below it.

    Attributes:
        root: Absolute path of the root folder, or an `S3Path`; it need not exist yet.
        shared: For a lake on S3.

    Example:
        >>> Lake(Path("/data/lake")).catalog_file.name
        'catalog.db'
        >>> str(Lake.at("s3://bucket/lake").bronze)
        's3://bucket/lake/bronze/breweries'
    """

    root: Path
    shared: Shared = Shared()

    @classmethod
    def at(cls, place: str, shared: Shared = Shared()) -> Lake:
        """Name a lake by a folder, which may begin with `~`, or by a URL `s3://bucket/prefix`."""
        root = path_at(place)
        return cls(root if isinstance(root, S3Path) else root.expanduser().resolve(), shared)

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine: it then has a catalog, a lock and views of its own in it."""
        return not isinstance(self.root, S3Path)

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
    def store(self) -> LocalStore | S3Store:
        """The root as an object store; its paths are relative to the root and use `/`."""
        if isinstance(self.root, S3Path):
            return bucket_store(self.root.bucket, self.root.key)
        from obstore.store import LocalStore

        return LocalStore(prefix=self.root, mkdir=True)


def lake_of(settings: Settings) -> Lake:
    """Name the lake that settings point to.

    Raises:
        UsageError: They point to a file.
    """
    shared = Shared(
        catalog=settings.catalog,
        catalog_uri=settings.catalog_uri,
        catalog_database_prefix=settings.catalog_database_prefix,
        lock_ttl_s=settings.lock_ttl_s,
    )
    lake = Lake.at(settings.lake, shared)
    if lake.is_local and lake.root.is_file():
        raise UsageError(f"The lake {lake.root} is a file.", hint="Name a folder with --lake.")
    return lake
