"""Raw snapshots being written: pages first, the manifest last.

The name of a page file contains its checksum, so that a damaged page is detected and refetching a page never overwrites
the earlier one. Files are only ever created; those that the manifest does not list are deleted before it is written.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import msgspec
from isal import igzip
from obstore.exceptions import AlreadyExistsError, BaseError

from brewhouse.errors import BrewhouseError
from brewhouse.ids import CLOCK_TOLERANCE
from brewhouse.lake.error_translation import translate_error
from brewhouse.lake.lake import CHECKSUM_DIGITS, Lake, read_file, sync_files
from brewhouse.lake.manifest import Manifest, Page
from brewhouse.lake.raw_snapshots import RawSnapshot, encode_manifest
from brewhouse.source import Meta

_GZIP_LEVEL = 2  # of ISA-L's levels 0 to 3: the size of zlib's level 2 in a quarter of the time
_PAGE_FILE = re.compile(rf"page-(\d{{5,}})\.([0-9a-f]{{{CHECKSUM_DIGITS}}})\.jsonl\.gz")


class ResumeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a later run needs to resume an interrupted snapshot, `started.json`.

    A full page of the source has `page_size_rows`; it may be less than `per_page_rows`, which was requested.
    """

    source_url: str
    per_page_rows: int
    page_size_rows: int
    started_at: str
    meta_before: Meta


@dataclass(frozen=True)
class SnapshotWriter:
    """Writes a raw snapshot, which has no manifest until it is complete."""

    lake: Lake
    run: str
    started: ResumeInfo

    @property
    def date(self) -> str:
        """Day of its start, UTC, as YYYY-MM-DD."""
        return self.started.started_at[:10]

    @cached_property
    def folder(self) -> Path:
        """Folder of the snapshot."""
        return self.lake.bronze / f"date={self.date}" / f"run={self.run}"

    @property
    def is_started(self) -> bool:
        """Whether a snapshot of this run was already started."""
        return (self.folder / "started.json").exists()

    def start(self) -> None:
        """Record what a later run needs to resume the snapshot.

        Raises:
            BrewhouseError: A snapshot of this run was already started, or the lake cannot be written.
        """
        if not self._create("started.json", msgspec.json.encode(self.started)):
            what = f"A snapshot of run {self.run} was already started, with other settings or too long ago to resume."
            raise BrewhouseError(what, hint="Run again: a new run has a new id.")

    async def write_page(self, number: int, lines: Sequence[bytes], *, url: str, status: int, fetched_at: str) -> Page:
        """Write a page of records, byte for byte, each a line without its line break.

        Raises:
            BrewhouseError: The lake cannot be written.
        """
        content = page_content(lines)
        sha256 = hashlib.sha256(content).hexdigest()
        name = f"page-{number:05d}.{sha256[:CHECKSUM_DIGITS]}.jsonl.gz"
        packed = igzip.compress(content, _GZIP_LEVEL, mtime=0)
        if not await self._create_page(name, packed) and _read_page(self.folder / name) != content:
            (self.folder / name).unlink()  # damaged by an interrupted write
            await self._create_page(name, packed)
        return Page(
            number=number, file=name, url=url, status=status, fetched_at=fetched_at, records=len(lines), sha256=sha256
        )

    def intact_pages(self) -> Iterator[tuple[Page, list[bytes]]]:
        """Read the intact pages with their lines, except those of which there are several versions."""
        by_number: dict[int, list[Path]] = defaultdict(list)
        for file in self.folder.glob("page-*"):
            if match := _PAGE_FILE.fullmatch(file.name):
                by_number[int(match[1])].append(file)
        for number, files in sorted(by_number.items()):
            if len(files) == 1 and (content := _read_page(files[0])) is not None:
                lines = content.split(b"\n")[:-1]
                query = f"per_page={self.started.page_size_rows}&page={number}&sort=id:asc"
                page = Page(
                    number=number,
                    file=files[0].name,
                    url=f"{self.started.source_url}/breweries?{query}",
                    status=200,
                    fetched_at=datetime.fromtimestamp(files[0].stat().st_mtime, UTC).isoformat(timespec="milliseconds"),
                    records=len(lines),
                    sha256=hashlib.sha256(content).hexdigest(),
                )
                yield page, lines

    def complete(self, manifest: Manifest) -> RawSnapshot:
        """Delete the files that the manifest does not list, then publish the snapshot by writing the manifest.

        Raises:
            BrewhouseError: Another process completed the snapshot meanwhile, or the lake cannot be written.
        """
        if not (self.folder / "manifest.json").exists():
            listed = {page.file for page in manifest.pages}
            for file in self.folder.glob("page-*"):
                if file.name not in listed:
                    file.unlink()
            sync_files(self.lake.root, [self.folder / file for file in listed])
            if self._create_durably("manifest.json", encode_manifest(manifest)):
                return RawSnapshot(self.folder, manifest)
        raise BrewhouseError(
            f"The snapshot of run {self.run} was completed by another process.", hint="Run one extract at a time."
        )

    def _create(self, name: str, content: bytes) -> bool:
        """Create a file; returns False if it exists."""
        try:
            self.lake.store.put((self.folder / name).relative_to(self.lake.root).as_posix(), content, mode="create")
        except (OSError, BaseError) as error:
            return self._is_new(name, error)
        return True

    def _create_durably(self, name: str, content: bytes) -> bool:
        """Create a file that is complete on the disk before it has its name; returns False if it exists."""
        if not self.lake.is_local:
            return self._create(name, content)
        file, new = self.folder / name, self.folder / f"{name}.new"
        try:
            new.write_bytes(content)
            sync_files(self.lake.root, [new])
            if file.exists():
                return False
            new.replace(file)  # not a link, which would leave the other name if the process is killed here
            sync_files(self.lake.root, [file])
        except OSError as error:
            return self._is_new(name, error)
        finally:
            new.unlink(missing_ok=True)
        return True

    async def _create_page(self, name: str, content: bytes) -> bool:
        """Create a page file, on S3 while others are fetched; returns False if it exists."""
        if not self.lake.is_local:
            return await asyncio.to_thread(self._create, name, content)
        try:
            with (self.folder / name).open("xb") as file:  # faster than the store; the checksum detects a cut page
                file.write(content)
        except OSError as error:
            return self._is_new(name, error)
        return True

    def _is_new(self, name: str, error: Exception) -> bool:
        """Return False for the error that a file exists; translate and raise any other."""
        if isinstance(error, AlreadyExistsError | FileExistsError):
            return False
        raise (None if self.lake.is_local else translate_error(error)) or BrewhouseError(
            f"{self.folder / name} cannot be written: {str(error).partition(chr(10))[0]}.",
            hint="Check the disk's free space and permissions.",
        ) from error


def page_content(lines: Sequence[bytes]) -> bytes:
    """Return the content of a page file before its compression."""
    return b"\n".join([*lines, b""])


def find_resumable(lake: Lake, source_url: str, per_page_rows: int, max_age_hours: float) -> SnapshotWriter | None:
    """Find the newest interrupted snapshot of this source and page size that is young enough to resume.

    One before the newest complete snapshot is not resumed: its id would place newer data before older.
    """
    now = datetime.now(UTC)
    files = lake.bronze.glob("date=*/run=*/started.json")
    for file in sorted(files, key=lambda file: file.parent.name, reverse=True):
        if (file.parent / "manifest.json").exists():
            return None
        started = _read_started(file)
        if started is None or (started.source_url, started.per_page_rows) != (source_url, per_page_rows):
            continue
        if -CLOCK_TOLERANCE < now - datetime.fromisoformat(started.started_at) < timedelta(hours=max_age_hours):
            return SnapshotWriter(lake, file.parent.name.removeprefix("run="), started)
    return None


def _read_started(file: Path) -> ResumeInfo | None:
    try:
        return msgspec.json.decode(read_file(file), type=ResumeInfo)
    except (BrewhouseError, OSError, ValueError):
        return None


def _read_page(file: Path) -> bytes | None:
    """Read a page's lines; None if they do not match the checksum in its name."""
    match = _PAGE_FILE.fullmatch(file.name)
    try:
        content = gzip.decompress(read_file(file))
    except (BrewhouseError, OSError, EOFError, zlib.error):
        return None
    return content if match and hashlib.sha256(content).hexdigest().startswith(match[2]) else None
