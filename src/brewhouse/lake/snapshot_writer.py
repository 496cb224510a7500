"""Raw snapshots being written: pages first, the manifest last.

A page's file is named by its content, so it proves by itself that it is whole, and a page taken again never overwrites
the earlier one. Files are only ever created; those that the snapshot does not mean are deleted before its manifest is
written.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from isal import igzip

from brewhouse.errors import BrewhouseError
from brewhouse.lake.error_translation import translate_error
from brewhouse.lake.lake import Lake
from brewhouse.lake.manifest import Manifest, Page
from brewhouse.lake.raw_snapshots import RawSnapshot
from brewhouse.source import Meta

_GZIP_LEVEL = 2  # of ISA-L's four; the size of zlib's 2, in a quarter of its time
_CHECKSUM_DIGITS = 12
_PAGE_FILE = re.compile(rf"page-(\d{{5,}})\.([0-9a-f]{{{_CHECKSUM_DIGITS}}})\.jsonl\.gz")


class ResumeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What must be known to go on with an interrupted snapshot.

    Attributes:
        source_url: Base URL of the source.
        per_page_rows: Records asked for in a page.
        page_size_rows: Records the source gives in a full page.
        started_at: ISO 8601, UTC.
        meta_before: The source's counts at that time.
    """

    source_url: str
    per_page_rows: int
    page_size_rows: int
    started_at: str
    meta_before: Meta


@dataclass(frozen=True)
class SnapshotWriter:
    """A raw snapshot that has no manifest yet.

    Attributes:
        lake: Its lake.
        run: Id of the run that began it.
        started: What was known then.
    """

    lake: Lake
    run: str
    started: ResumeInfo

    @property
    def date(self) -> str:
        """Day it was begun, UTC, as YYYY-MM-DD."""
        return self.started.started_at[:10]

    @property
    def folder(self) -> Path:
        """Its folder."""
        return self.lake.bronze / f"date={self.date}" / f"run={self.run}"

    @property
    def is_started(self) -> bool:
        """Whether a snapshot of this run was begun before."""
        return (self.folder / "started.json").exists()

    def start(self) -> None:
        """Write down what a later run needs to go on with it.

        Raises:
            BrewhouseError: A snapshot of this run was begun before, or the lake cannot be written.
        """
        if not self._create("started.json", msgspec.json.encode(self.started)):
            raise BrewhouseError(
                f"A snapshot of run {self.run} was begun before, with other settings or too long ago.",
                hint="Run again: a new run has an id of its own.",
            )

    async def write_page(self, number: int, lines: Sequence[bytes], *, url: str, status: int, fetched_at: str) -> Page:
        """Write a page.

        Args:
            number: From 1.
            lines: Records, byte for byte, without line breaks.
            url: Where it came from.
            status: HTTP status of the answer.
            fetched_at: When, ISO 8601, UTC.

        Raises:
            BrewhouseError: The lake cannot be written.
        """
        content = b"\n".join([*lines, b""])
        sha256 = hashlib.sha256(content).hexdigest()
        name = f"page-{number:05d}.{sha256[:_CHECKSUM_DIGITS]}.jsonl.gz"
        packed = igzip.compress(content, _GZIP_LEVEL, mtime=0)
        if not await self._create_page(name, packed) and _content(self.folder / name) != content:
            (self.folder / name).unlink()  # damaged on the way to the disk, and no snapshot's page yet
            await self._create_page(name, packed)
        return Page(
            number=number, file=name, url=url, status=status, fetched_at=fetched_at, records=len(lines), sha256=sha256
        )

    def intact_pages(self) -> Iterator[tuple[Page, list[bytes]]]:
        """Read the pages that are whole, each with its lines; those damaged or there twice are left out."""
        by_number: dict[int, list[Path]] = {}
        for file in sorted(self.folder.glob("page-*")):
            if match := _PAGE_FILE.fullmatch(file.name):
                by_number.setdefault(int(match[1]), []).append(file)
        for number, files in sorted(by_number.items()):
            if len(files) == 1 and (content := _content(files[0])) is not None:
                lines = content.split(b"\n")[:-1]
                yield self._page(number, files[0], content, len(lines)), lines

    def complete(self, manifest: Manifest) -> RawSnapshot:
        """Delete the files that are not meant, then make the snapshot exist by writing its manifest.

        Raises:
            BrewhouseError: Another process completed it meanwhile, or the lake cannot be written.
        """
        other = BrewhouseError(
            f"The snapshot of run {self.run} was completed by another process.", hint="Run one extract at a time."
        )
        if (self.folder / "manifest.json").exists():
            raise other
        meant = {page.file for page in manifest.pages}
        for file in self.folder.glob("page-*"):
            if file.name not in meant:
                file.unlink()
        if not self._create("manifest.json", msgspec.json.encode(manifest)):
            raise other
        return RawSnapshot(self.folder, manifest)

    def _page(self, number: int, file: Path, content: bytes, records: int) -> Page:
        started = self.started
        query = f"per_page={started.page_size_rows}&page={number}&sort=id:asc"
        return Page(
            number=number,
            file=file.name,
            url=f"{started.source_url}/breweries?{query}",
            status=200,
            fetched_at=datetime.fromtimestamp(file.stat().st_mtime, UTC).isoformat(timespec="milliseconds"),
            records=records,
            sha256=hashlib.sha256(content).hexdigest(),
        )

    def _create(self, name: str, content: bytes) -> bool:
        """Create a file; say whether it is new."""
        from obstore.exceptions import BaseError

        try:
            self.lake.store.put(self._path(name), content, mode="create")
        except (OSError, BaseError) as error:
            return self._refused(name, error)
        return True

    async def _create_page(self, name: str, content: bytes) -> bool:
        """Create a page's file, on S3 while others are taken; say whether it is new."""
        from obstore.exceptions import BaseError

        try:
            if self.lake.is_local:
                # Sooner done here than by the store's thread; a page that is cut off is told by its checksum.
                with (self.folder / name).open("xb") as file:
                    file.write(content)
            else:
                await self.lake.store.put_async(self._path(name), content, mode="create")
        except (OSError, BaseError) as error:
            return self._refused(name, error)
        return True

    def _path(self, name: str) -> str:
        return (self.folder / name).relative_to(self.lake.root).as_posix()

    def _refused(self, name: str, error: Exception) -> bool:
        """Say False when a file is there already and that is what hinders; else raise it in words."""
        from obstore.exceptions import AlreadyExistsError

        if isinstance(error, AlreadyExistsError | FileExistsError):
            return False
        said = str(error).partition("\n")[0]
        raise (None if self.lake.is_local else translate_error(error)) or BrewhouseError(
            f"{self.folder / name} cannot be written: {said}.", hint="Look at the disk's space and permissions."
        ) from error


def find_resumable(lake: Lake, source_url: str, per_page_rows: int, within_hours: float) -> SnapshotWriter | None:
    """Find the newest interrupted snapshot that can be gone on with.

    Args:
        lake: Where to look.
        source_url: It must be of this source.
        per_page_rows: Its pages must be of this size.
        within_hours: It must be younger than this.
    """
    earliest = datetime.now(UTC) - timedelta(hours=within_hours)
    files = lake.bronze.glob("date=*/run=*/started.json")
    for file in sorted(files, key=lambda file: file.parent.name, reverse=True):
        started = _started(file)
        if started is None or (file.parent / "manifest.json").exists():
            continue
        same = (started.source_url, started.per_page_rows) == (source_url, per_page_rows)
        if same and datetime.fromisoformat(started.started_at) > earliest:
            return SnapshotWriter(lake, file.parent.name.removeprefix("run="), started)
    return None


def _started(file: Path) -> ResumeInfo | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=ResumeInfo)
    except (OSError, msgspec.MsgspecError):
        return None


def _content(file: Path) -> bytes | None:
    """Read a page's lines; None when they are not those its name promises."""
    match = _PAGE_FILE.fullmatch(file.name)
    try:
        content = gzip.decompress(file.read_bytes())
    except (OSError, EOFError, zlib.error):
        return None
    return content if match and hashlib.sha256(content).hexdigest().startswith(match[2]) else None
