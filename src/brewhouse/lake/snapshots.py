"""Raw snapshots: what the source sent, byte for byte, and the manifest that says it is complete.

A page is a file of its own, named by its content, so that it proves by itself that it is whole; files are only ever
created. The manifest comes last: without it, a snapshot does not exist for readers.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from brewhouse.errors import BrewhouseError
from brewhouse.lake.lake import Lake

_GZIP_LEVEL = 2  # a page in 1 ms; level 6 takes three times as long for a tenth less
_CHECKSUM_DIGITS = 12


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page as it was taken.

    Attributes:
        number: From 1.
        file: Its file's name.
        url: Where it came from.
        status: HTTP status of the answer.
        taken_at: When, ISO 8601, UTC.
        records: How many records it holds.
        sha256: Of its lines, uncompressed.
    """

    number: int
    file: str
    url: str
    status: int
    taken_at: str
    records: int
    sha256: str


class Drift(msgspec.Struct, kw_only=True):
    """Something the source sent that its contract does not say.

    Attributes:
        name: What kind of deviation.
        detail: What exactly, in words.
        count: How often.
        example: One of them.
    """

    name: str
    detail: str
    count: int
    example: str


class Hole(msgspec.Struct, frozen=True, kw_only=True):
    """A brewery that the source counts but cannot give.

    Attributes:
        position: In the order of ids, from 1.
        before_id: Id of the record before it.
        after_id: Id of the record after it.
        lacking: The groups that lack it, or lack all the holes when there are several.
    """

    position: int
    before_id: str | None
    after_id: str | None
    lacking: dict[str, dict[str, int]]


class Groups(msgspec.Struct, kw_only=True):
    """Records counted in total and by what they say.

    Attributes:
        total: Distinct records.
        by_type: By `brewery_type`.
        by_country: By `country`.
        by_state: By `state_province`, across countries.
    """

    total: int
    by_type: dict[str, int]
    by_country: dict[str, int]
    by_state: dict[str, int]


class Proof(msgspec.Struct, kw_only=True):
    """Why a snapshot is complete.

    Attributes:
        records: Records received.
        distinct_ids: How many of them there are when each id counts once.
        records_without_id: Records that have no id; each counts once by its bytes.
        groups_compared: Which of the source's groups were found equal.
        takes: How often the snapshot was taken until it agreed.
    """

    records: int
    distinct_ids: int
    records_without_id: int
    groups_compared: list[str]
    takes: int


class Manifest(msgspec.Struct, kw_only=True):
    """Everything about a complete snapshot; see the classes above for its parts.

    Attributes:
        run: Id of the run that began it.
        date: Day it was begun, UTC.
        source_url: Base URL of the source.
        per_page_rows: Records in a full page.
        started_at: ISO 8601, UTC.
        finished_at: ISO 8601, UTC.
        code_version: Of Brewhouse.
        meta_before: The source's counts before.
        meta_after: The source's counts after.
        received: The same counts of what was received.
        missing: By group, what the holes leave out.
        fields_seen: Every field with the JSON types it had and how often.
        drift: Deviations from the contract.
        holes: Breweries that the source cannot give.
        proof: Why it is complete.
        pages: In order.
    """

    run: str
    date: str
    source_url: str
    per_page_rows: int
    started_at: str
    finished_at: str
    code_version: str
    meta_before: MetaCounts
    meta_after: MetaCounts
    received: Groups
    missing: dict[str, dict[str, int]]
    fields_seen: dict[str, dict[str, int]]
    drift: list[Drift]
    holes: list[Hole]
    proof: Proof
    pages: list[Page]


class MetaCounts(msgspec.Struct, kw_only=True):
    """The source's own counts; groups are None where its dialect has none.

    Attributes:
        total: Number of breweries.
        by_type: By `brewery_type`.
        by_country: By `country`.
        by_state: By `state_province`, across countries.
    """

    total: int
    by_type: dict[str, int] | None = None
    by_country: dict[str, int] | None = None
    by_state: dict[str, int] | None = None


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """What must be known to go on with an interrupted snapshot.

    Attributes:
        source_url: Base URL of the source.
        per_page_rows: Records in a full page.
        started_at: ISO 8601, UTC.
        meta: The source's counts at that time.
    """

    source_url: str
    per_page_rows: int
    started_at: str
    meta: MetaCounts


@dataclass(frozen=True)
class RawSnapshot:
    """A complete raw snapshot.

    Attributes:
        folder: Where its pages are.
        manifest: What it says of itself.
    """

    folder: Path
    manifest: Manifest

    @property
    def run(self) -> str:
        """Id of the run that began it."""
        return self.manifest.run

    @property
    def records(self) -> int:
        """How many records it holds."""
        return self.manifest.proof.records

    @property
    def files(self) -> list[str]:
        """Absolute paths of its pages, in order."""
        return [str(self.folder / page.file) for page in self.manifest.pages]


@dataclass(frozen=True)
class Draft:
    """A raw snapshot being taken: pages, and no manifest yet.

    Attributes:
        lake: Its lake.
        date: Day it was begun, UTC.
        run: Id of the run that began it.
        started: What was known then.
    """

    lake: Lake
    date: str
    run: str
    started: Started

    @property
    def path(self) -> str:
        """Its folder, relative to the lake's root."""
        return f"bronze/breweries/date={self.date}/run={self.run}"

    @property
    def folder(self) -> Path:
        """Its folder, absolute."""
        return self.lake.root / self.path

    def begin(self) -> None:
        """Write down what a later run needs to go on with it."""
        self._create("started.json", msgspec.json.encode(self.started))

    def write_page(self, number: int, url: str, taken_at: str, lines: list[bytes]) -> Page:
        """Write a page; one that is there with the same content stays.

        Args:
            number: From 1.
            url: Where it came from.
            taken_at: When, ISO 8601, UTC.
            lines: Records, byte for byte, without line breaks.
        """
        content = b"".join(line + b"\n" for line in lines)
        sha256 = hashlib.sha256(content).hexdigest()
        name = f"page-{number:05d}.{sha256[:_CHECKSUM_DIGITS]}.jsonl.gz"
        self._create(name, gzip.compress(content, _GZIP_LEVEL, mtime=0))
        return Page(number=number, file=name, url=url, status=200, taken_at=taken_at, records=len(lines), sha256=sha256)

    def read_pages(self) -> Iterator[tuple[Page, list[bytes]]]:
        """Read the pages there are, each with its lines; damaged files are left out."""
        for file in sorted(self.folder.glob("page-*.jsonl.gz")):
            number, checksum = file.name.removeprefix("page-").split(".")[:2]
            try:
                content = gzip.decompress(file.read_bytes())
            except (OSError, EOFError, zlib.error):
                continue
            sha256 = hashlib.sha256(content).hexdigest()
            if sha256[:_CHECKSUM_DIGITS] != checksum or not number.isdigit():
                continue
            lines = content.splitlines()
            query = f"per_page={self.started.per_page_rows}&page={int(number)}&sort=id:asc"
            page = Page(
                number=int(number),
                file=file.name,
                url=f"{self.started.source_url}/breweries?{query}",
                status=200,
                taken_at=_modified(file),
                records=len(lines),
                sha256=sha256,
            )
            yield page, lines

    def record_id(self, page: Page, index: int) -> str | None:
        """Tell the id of a page's record, by its place in the page from 0."""
        lines = gzip.decompress((self.folder / page.file).read_bytes()).splitlines()
        key = msgspec.json.decode(lines[index]).get("id")
        return key if isinstance(key, str) else None

    def complete(self, manifest: Manifest) -> RawSnapshot:
        """Let go of files no longer meant, then make the snapshot exist by writing its manifest."""
        meant = {page.file for page in manifest.pages}
        for file in self.folder.glob("page-*.jsonl.gz"):
            if file.name not in meant:
                file.unlink()
        self._create("manifest.json", msgspec.json.encode(manifest))
        return RawSnapshot(self.folder, manifest)

    def discard(self, page: Page) -> None:
        """Delete a page's file, to take it again."""
        (self.folder / page.file).unlink(missing_ok=True)

    def _create(self, name: str, content: bytes) -> None:
        from obstore.exceptions import AlreadyExistsError

        path = f"{self.path}/{name}"
        try:
            self.lake.store.put(path, content, mode="create")
        except AlreadyExistsError:
            if (self.folder / name).read_bytes() != content:
                self.lake.store.delete(path)
                self.lake.store.put(path, content, mode="create")


def complete_snapshots(lake: Lake) -> list[RawSnapshot]:
    """List the complete raw snapshots of a lake, oldest first."""
    files = sorted(lake.bronze.glob("date=*/run=*/manifest.json"), key=lambda file: file.parent.name)
    return [_read(file) for file in files]


def newest(lake: Lake) -> RawSnapshot | None:
    """Find the newest complete raw snapshot of a lake."""
    files = lake.bronze.glob("date=*/run=*/manifest.json")
    newest_file = max(files, key=lambda file: file.parent.name, default=None)
    return _read(newest_file) if newest_file else None


def find(lake: Lake, run: str) -> RawSnapshot:
    """Find a complete raw snapshot by the run that began it.

    Raises:
        BrewhouseError: The lake has no such snapshot.
    """
    file = next(lake.bronze.glob(f"date=*/run={run}/manifest.json"), None)
    if file is None:
        files = lake.bronze.glob("date=*/run=*/manifest.json")
        known = ", ".join(sorted(file.parent.name.removeprefix("run=") for file in files))
        raise BrewhouseError(
            f"The lake {lake.root} has no complete raw snapshot {run}; it has: {known or 'none'}.",
            hint="Run `brewhouse extract` first.",
        )
    return _read(file)


def unfinished(lake: Lake) -> list[Draft]:
    """List the snapshots that were begun and have no manifest, oldest first."""
    drafts = []
    for file in sorted(lake.bronze.glob("date=*/run=*/started.json"), key=lambda file: file.parent.name):
        if not (file.parent / "manifest.json").exists():
            date, run = file.parent.parent.name.removeprefix("date="), file.parent.name.removeprefix("run=")
            drafts.append(Draft(lake, date, run, msgspec.json.decode(file.read_bytes(), type=Started)))
    return drafts


def _read(file: Path) -> RawSnapshot:
    try:
        return RawSnapshot(file.parent, msgspec.json.decode(file.read_bytes(), type=Manifest))
    except msgspec.DecodeError as error:
        raise BrewhouseError(
            f"The manifest {file} cannot be read: {error}.", hint="Restore it, or move its folder out of the lake."
        ) from error


def _modified(file: Path) -> str:
    return datetime.fromtimestamp(file.stat().st_mtime, UTC).isoformat()
