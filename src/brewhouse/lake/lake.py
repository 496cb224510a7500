"""The layout of a lake, which docs/architecture.md describes."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.lake.damage import IRREGULAR, DamagedFileError
from brewhouse.lake.local_files import sync
from brewhouse.lake.s3 import SCHEME, bucket_store, require_aws_extra
from brewhouse.lake.s3_path import S3Path
from brewhouse.settings import SecretUrl, Settings

if TYPE_CHECKING:
    from obstore.store import LocalStore, S3Store

CHECKSUM_DIGITS = 12
_PARALLEL_READS = 32
CHECKSUM_IN_NAME = re.compile(rf"\.([0-9a-f]{{{CHECKSUM_DIGITS}}})\.")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # surrogates: bytes that are not UTF-8
_UNSUPPORTED = re.compile(r"[?#*\\]")  # Iceberg's URIs are not encoded; DuckDB matches * and \ as patterns
_UNSUPPORTED_ON_S3 = re.compile(r"[?#\\%^`{}\[\]<>|~\"*]|(?<![^/])\.{1,2}(?![^/])")  # services differ in encoding them
_MAX_ROOT_BYTES = 3800  # Linux limits a path to 4096 bytes, and the files are up to 200 below the root
_TABLES = (
    "SELECT table_namespace, table_name, metadata_location FROM iceberg_tables "
    "WHERE catalog_name = 'brewhouse' ORDER BY 1, 2"
)


@dataclass(frozen=True)
class Shared:
    """Options of a lake on S3, described in `Settings`; a local lake has its catalog and lock in its folder."""

    catalog: str = "glue"
    catalog_uri: SecretUrl | None = None
    catalog_database_prefix: str = "brewhouse"
    lock_ttl_s: float = 120.0


class _Below:
    """A path below the root of a lake."""

    def __init__(self, *parts: str) -> None:
        self._parts = parts

    def __get__(self, lake: Lake, _: type[Lake]) -> Path:
        return lake.root.joinpath(*self._parts)


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

    bronze = _Below("bronze", "breweries")  # the raw snapshots
    warehouse = _Below("warehouse")  # the Iceberg tables, `<zone>/<table>/`
    events = _Below("events")  # the events, in `date=YYYY-MM-DD/`, like the logs
    logs = _Below("logs")  # the logs of runs
    job_logs = _Below("job_logs")  # the logs of Glue jobs, written by the archiver on AWS
    catalog_file = _Below("catalog.db")  # the Iceberg catalog, a SQLite database
    views_file = _Below("brewhouse.duckdb")  # views over the published tables, for any DuckDB client
    own_views = _Below("views")  # the copy of these views that Brewhouse reads, which no other client can lock
    lock_file = _Below("run.lock")  # names the run that holds the lock or held it last

    @classmethod
    def at(cls, place: str, shared: Shared = Shared()) -> Lake:
        """Open a lake by its folder, which may begin with `~`, or its URL `s3://bucket/prefix`.

        Raises:
            UsageError: It is neither, or contains characters that a library cannot process.
        """
        return cls(_root(place), shared)

    @property
    def is_local(self) -> bool:
        """Whether the lake is a folder on this machine, with its own catalog, lock and views."""
        return not isinstance(self.root, S3Path)

    @property
    def may_have_tables(self) -> bool:
        """Whether a local lake has a catalog, or has lost the one of its tables; others are not asked."""
        return not self.is_local or self.catalog_file.exists() or self.warehouse.exists()

    @cached_property
    def store(self) -> LocalStore | S3Store:
        """The root as an object store; keys are relative to the root and use `/`.

        Raises:
            BrewhouseError: The lake was moved or copied; see `require_relocated`.
        """
        if isinstance(self.root, S3Path):
            return bucket_store(self.root.bucket, self.root.key)
        from obstore.store import LocalStore

        require_relocated(self)
        return LocalStore(prefix=self.root, mkdir=True)


def lake_of(settings: Settings) -> Lake:
    """Open the lake that the settings name.

    Raises:
        UsageError: The settings name a file, or what cannot be a lake.
    """
    shared = Shared(settings.catalog, settings.catalog_uri, settings.catalog_database_prefix, settings.lock_ttl_s)
    lake = Lake.at(settings.lake, shared)
    if not lake.is_local:
        require_aws_extra()
    else:
        try:
            is_folder = stat.S_ISDIR(lake.root.stat().st_mode)
        except FileNotFoundError:  # a run creates it
            return lake
        except OSError as error:
            what = f"The lake {lake.root} cannot be opened: {error.strerror}."
            raise UsageError(what, hint="Check its permissions, or name another folder with --lake.") from error
        if not is_folder:
            raise UsageError(f"The lake {lake.root} is not a folder.", hint="Name a folder with --lake.")
    return lake


def recorded_tables(lake: Lake) -> list[tuple[str, str, str]] | None:
    """Read zone, name and metadata location of each table of a local lake; None if its catalog cannot be read.

    Without PyIceberg, whose import doubles the time of a query.
    """
    if not lake.is_local or not lake.catalog_file.is_file():  # SQLite would wait for a pipe
        return None
    import sqlite3
    from contextlib import closing

    try:
        with closing(sqlite3.connect(f"{lake.catalog_file.as_uri()}?mode=rw", uri=True)) as catalog:
            return catalog.execute(_TABLES).fetchall()
    except sqlite3.Error:
        return None


def recorded_root(lake: Lake) -> str | None:
    """Return where the tables of a local lake were, if it was moved or copied since they were written; None if not.

    The locations in Iceberg's metadata are absolute, so those in the catalog show where it was.
    """
    tables = recorded_tables(lake) or ()
    roots = {location.rpartition(f"/warehouse/{zone}/{name}/metadata/")[0] for zone, name, location in tables}
    paths = {re.sub("^file:/+", "/", root) for root in roots}  # of Java: file:/folder
    others = paths - {"", str(lake.root)}  # "" is of a table stored elsewhere
    return min(others) if others else None


def require_relocated(lake: Lake) -> None:
    """Refuse to write a lake that was moved or copied and not relocated since."""
    if (recorded := recorded_root(lake)) is not None:
        raise BrewhouseError(
            f"The lake {lake.root} was moved or copied from {recorded}; its tables still refer to that place, so "
            "nothing was written.",
            hint=f"Run `brewhouse relocate --lake {quote(str(lake.root))}`.",
        )


def require_lake(lake: Lake) -> None:
    """Refuse to read a local lake that does not exist."""
    if lake.is_local and not lake.root.is_dir():
        raise BrewhouseError(*lacking(lake, ""))


def lacking(lake: Lake, what: str, command: str = "run") -> tuple[str, str]:
    """Return why a lake has none of something, as an error and its hint."""
    if lake.is_local and not lake.root.is_dir():
        return f"The lake {lake.root} does not exist.", f"Check --lake, or run `brewhouse {command}` first."
    hint = f"Run `brewhouse {command}` first."
    if lake.events.is_dir():
        hint = f"Run `brewhouse {command}`; `brewhouse show` says how the last run ended."
    return f"The lake {lake.root} has no {what}.", hint


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


def _root(place: str) -> Path:
    """Validate the place of a lake, before anything is written."""
    hint = "Name a folder or s3://bucket/prefix with --lake."
    if not place or place != place.strip():
        raise UsageError(f"A lake cannot be at {place!r}: it is empty, or begins or ends with a space.", hint=hint)
    if not place.startswith(SCHEME) and _URL.match(place):
        what = f"A lake cannot be at {SecretUrl(place)}: it is neither a folder nor an s3:// URL."
        raise UsageError(what, hint=hint)
    if place.startswith(SCHEME) and set(place.split("/")[2]) & set("@:"):
        what = "A lake cannot be at an S3 URL with credentials."
        raise UsageError(what, hint=f"Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead. {hint}")
    try:
        root = path_at(place)
        root = root if isinstance(root, S3Path) else root.expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, an unknown user, NUL
        raise UsageError(f"A lake cannot be at {place!r}: {str(error).rstrip('.')}.", hint=hint) from error
    is_s3 = isinstance(root, S3Path)
    if bad := _CONTROL.search(str(root)) or (_UNSUPPORTED_ON_S3 if is_s3 else _UNSUPPORTED).search(str(root)):
        raise UsageError(f"A lake cannot be at {str(root)!r}: {bad[0]!r} is not supported in its path.", hint=hint)
    if len(str(root).encode()) > _MAX_ROOT_BYTES:
        raise UsageError(f"A lake cannot be at {str(root)[:100]}…: the path is too long.", hint=hint)
    return root


def is_irregular(file: Path) -> bool:
    """Return whether a local path is something else than a file, such as a pipe; not if nothing is there."""
    try:  # one look: another process may delete the file between two
        return not stat.S_ISREG(file.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def read_file(file: Path) -> bytes:
    """Read a file of a lake, without waiting for a pipe in its place.

    Raises:
        DamagedFileError: It is not a regular file.
        OSError: It does not exist, or cannot be read.
    """
    if not isinstance(file, S3Path) and is_irregular(file):
        raise DamagedFileError(file, IRREGULAR)
    return file.read_bytes()


def read_many(files: Sequence[Path]) -> list[bytes]:
    """Read small files, in parallel if any is on S3."""
    if not any(isinstance(file, S3Path) for file in files):
        return [read_file(file) for file in files]
    with ThreadPoolExecutor(_PARALLEL_READS) as threads:
        return list(threads.map(read_file, files))


def list_files(folder: Path, suffix: str, first: str = "") -> list[Path]:
    """List the files of a folder with a suffix, from a name on, without what is not a regular file."""
    if isinstance(folder, S3Path) or not folder.is_dir():
        return [file for file in folder.glob(f"*{suffix}") if file.name >= first]
    with os.scandir(folder) as entries:  # a day of runs has thousands of events, and a Path takes longest
        wanted = (entry for entry in entries if entry.name >= first and entry.name.endswith(suffix))
        return [Path(entry.path) for entry in wanted if entry.is_file()]


def with_checksum(name: str, content: bytes) -> str:
    """Insert a file's checksum into its name or path, so that damage is detected when the file is read.

    Example:
        >>> with_checksum("/data/00001-x.metadata.json", b"{}")
        '/data/00001-x.44136fa355b3.metadata.json'
    """
    return _named(name, hashlib.sha256(content).hexdigest())


def add_checksum(file: Path) -> Path:
    """Rename a local file as `with_checksum` does."""
    return file.rename(_named(str(file), _digest(file)))


def has_checksum(file: Path) -> bool:
    """Return whether a local file has the content of the checksum in its name, if it has one."""
    match = CHECKSUM_IN_NAME.search(file.name)
    return match is None or _digest(file).startswith(match[1])


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


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
        list(threads.map(sync, [*local, *inside]))
