"""The layout of a lake; the README describes it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from brewhouse.errors import UsageError
from brewhouse.lake.s3 import SCHEME, bucket_store
from brewhouse.lake.s3_path import S3Path
from brewhouse.settings import SecretUrl, Settings

if TYPE_CHECKING:
    from obstore.store import LocalStore, S3Store

CHECKSUM_DIGITS = 12
_PARALLEL_READS = 32
CHECKSUM_IN_NAME = re.compile(rf"\.([0-9a-f]{{{CHECKSUM_DIGITS}}})\.")


@dataclass(frozen=True)
class Shared:
    """Options of a lake on S3, described in `Settings`; a local lake has its catalog and lock in its folder."""

    catalog: str = "glue"
    catalog_uri: SecretUrl | None = None
    catalog_database_prefix: str = "brewhouse"
    lock_ttl_s: float = 120.0


@dataclass(frozen=True)
class Lake:
    """A lake's root, an absolute path or an `S3Path` that need not exist yet, and the paths below it.

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
        """Open a lake by its folder, which may begin with `~`, or its URL `s3://bucket/prefix`."""
        root = path_at(place)
        return cls(root if isinstance(root, S3Path) else root.expanduser().resolve(), shared)

    @property
    def is_local(self) -> bool:
        """Whether the lake is a folder on this machine, with its own catalog, lock and views."""
        return not isinstance(self.root, S3Path)

    @property
    def bronze(self) -> Path:
        """Folder of the raw snapshots."""
        return self.root / "bronze" / "breweries"

    @property
    def warehouse(self) -> Path:
        """Folder of the Iceberg tables, with `<zone>/<table>/` below it."""
        return self.root / "warehouse"

    @property
    def events(self) -> Path:
        """Folder of the events, with `date=YYYY-MM-DD/` below it."""
        return self.root / "events"

    @property
    def logs(self) -> Path:
        """Folder of the run logs, with `date=YYYY-MM-DD/` below it."""
        return self.root / "logs"

    @property
    def catalog_file(self) -> Path:
        """The Iceberg catalog, a SQLite database."""
        return self.root / "catalog.db"

    @property
    def views_file(self) -> Path:
        """The database with views over the published tables, for any DuckDB client."""
        return self.root / "brewhouse.duckdb"

    @property
    def own_views(self) -> Path:
        """Folder of the copy of these views that Brewhouse reads, so that no other client can lock it."""
        return self.root / "views"

    @property
    def lock_file(self) -> Path:
        """The lock file; it names the run that holds the lock or held it last."""
        return self.root / "run.lock"

    @cached_property
    def store(self) -> LocalStore | S3Store:
        """The root as an object store; keys are relative to the root and use `/`."""
        if isinstance(self.root, S3Path):
            return bucket_store(self.root.bucket, self.root.key)
        from obstore.store import LocalStore

        return LocalStore(prefix=self.root, mkdir=True)


def lake_of(settings: Settings) -> Lake:
    """Open the lake that the settings name.

    Raises:
        UsageError: The settings name a file.
    """
    shared = Shared(settings.catalog, settings.catalog_uri, settings.catalog_database_prefix, settings.lock_ttl_s)
    lake = Lake.at(settings.lake, shared)
    if lake.is_local and lake.root.is_file():
        raise UsageError(f"The lake {lake.root} is a file.", hint="Name a folder with --lake.")
    return lake


def path_at(place: str) -> Path:
    """Parse a local path or a URL `s3://bucket/key`.

    Raises:
        UsageError: The URL has no bucket.
    """
    if not place.startswith(SCHEME):
        return Path(place)
    if not (rest := place.removeprefix(SCHEME).strip("/")):
        raise UsageError(f"{place} has no bucket.", hint="Write it as s3://bucket/prefix.")
    return S3Path("/", rest)


def read_many(files: Sequence[Path]) -> list[bytes]:
    """Read small files, in parallel if any is on S3."""
    if not any(isinstance(file, S3Path) for file in files):
        return [file.read_bytes() for file in files]
    with ThreadPoolExecutor(_PARALLEL_READS) as threads:
        return list(threads.map(lambda file: file.read_bytes(), files))


def with_checksum(name: str, content: bytes) -> str:
    """Insert a file's checksum into its name or path, so that damage is detected when the file is read.

    Example:
        >>> with_checksum("/data/00001-x.metadata.json", b"{}")
        '/data/00001-x.44136fa355b3.metadata.json'
    """
    return _named(name, hashlib.sha256(content).hexdigest())


def add_checksum(file: Path) -> Path:
    """Rename a local file as `with_checksum` does."""
    with file.open("rb") as content:
        return file.rename(_named(str(file), hashlib.file_digest(content, "sha256").hexdigest()))


def _named(name: str, digest: str) -> str:
    folder, slash, file = name.rpartition("/")
    stem, dot, extension = file.partition(".")
    return f"{folder}{slash}{stem}.{digest[:CHECKSUM_DIGITS]}{dot}{extension}"


def sync_files(root: Path, files: Iterable[Path]) -> None:
    """Flush local files, and the folders above them up to a lake's root, to the disk; a put on S3 is durable itself."""
    local = {file for file in files if not isinstance(file, S3Path)}
    folders = {folder for parent in {file.parent for file in local} for folder in (parent, *parent.parents)}
    inside = [folder for folder in folders if folder.is_relative_to(root)]
    with ThreadPoolExecutor(_PARALLEL_READS) as threads:  # the file system combines concurrent flushes
        list(threads.map(_sync, [*local, *inside]))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
