"""Complete raw snapshots, for readers: every record of the source, byte for byte, proven complete.

A snapshot exists once its manifest does; `brewhouse.lake.snapshot_writer` writes it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec
from isal import igzip, igzip_lib

from brewhouse.errors import BrewhouseError
from brewhouse.ids import day_of
from brewhouse.lake.damage import MISSING, WRONG_CHECKSUM, DamagedFileError
from brewhouse.lake.lake import Lake, lacking, path_at, read_file
from brewhouse.lake.manifest import Manifest, Page
from brewhouse.lake.run_lock import last_holder
from brewhouse.lake.s3_path import S3Path

_PARALLEL_READS = 8
_CHECKSUM = re.compile(rb'(.*),("[^"]{6}":"[^"]{64}")\}', re.DOTALL)  # also a damaged one


@dataclass(frozen=True)
class RawSnapshot:
    """A complete raw snapshot."""

    folder: Path
    manifest: Manifest

    @property
    def run(self) -> str:
        """Id of the run that started it."""
        return self.manifest.run

    @property
    def records(self) -> int:
        """Number of records."""
        return self.manifest.proof.records

    def verified_files(self) -> list[str]:
        """Return `files` after comparing each with its checksum in the manifest.

        Raises:
            BrewhouseError: A page is missing or damaged.
        """
        for damage in self.damages():
            raise damage
        return self.files

    def damages(self) -> Iterator[BrewhouseError]:
        """Generate the error of each page that is missing or differs from its checksum in the manifest."""
        with ThreadPoolExecutor(_PARALLEL_READS) as threads:
            yield from filter(None, threads.map(_damage, self.files, self.manifest.pages))

    @property
    def files(self) -> list[str]:
        """Absolute paths of its pages, in order."""
        folder = self.folder.absolute()
        return [str(folder / page.file) for page in self.manifest.pages]


def newest(lake: Lake) -> RawSnapshot | None:
    """Return the newest complete raw snapshot of a lake, by run id.

    Raises:
        BrewhouseError: Its manifest cannot be read.
    """
    files = _manifests(lake)
    return _read(files[-1]) if files else None


def find(lake: Lake, run: str) -> RawSnapshot:
    """Return the complete raw snapshot that a run started.

    Raises:
        BrewhouseError: The lake has no such snapshot, or its manifest cannot be read.
    """
    likely = lake.bronze / f"date={day_of(run)}" / f"run={run}" / "manifest.json"
    if _is_written(likely):  # almost always; listing a long history takes many requests on S3
        return _read(likely)
    files = {_run_of(file): file for file in _manifests(lake)}
    if run not in files:
        what = f"The lake {lake.root} has no complete raw snapshot {run}; it has {', '.join(files) or 'none'}."
        raise BrewhouseError(what, hint="Name one of those, or run `brewhouse extract` for a new one.")
    return _read(files[run])


def require_written(lake: Lake) -> None:
    """Refuse a lake that no run has written to, before a job without extract creates it to record its failure."""
    if last_holder(lake) is None and not complete_runs(lake):
        raise nothing_extracted(lake)


def nothing_extracted(lake: Lake) -> BrewhouseError:
    """Return the error of a lake without a complete raw snapshot."""
    return BrewhouseError(*lacking(lake, "complete raw snapshot", "extract"))


def complete(lake: Lake) -> list[RawSnapshot]:
    """List the complete raw snapshots of a lake, oldest first.

    Raises:
        BrewhouseError: A manifest cannot be read.
    """
    return [_read(file) for file in _manifests(lake)]


def complete_runs(lake: Lake) -> list[str]:
    """List the runs that started a complete raw snapshot, oldest first, without reading manifests."""
    return [_run_of(file) for file in _manifests(lake)]


def _manifests(lake: Lake) -> list[Path]:
    listed = lake.bronze.glob("date=*/run=*/manifest.json")
    return sorted(filter(_is_written, listed) if lake.is_local else listed, key=_run_of)


def _is_written(manifest: Path) -> bool:
    """Return whether a manifest exists; a loss of power may have left an empty file."""
    return manifest.exists() if isinstance(manifest, S3Path) else manifest.is_file() and manifest.stat().st_size > 0


def _run_of(file: Path) -> str:
    return file.parent.name.removeprefix("run=")


def encode_manifest(manifest: Manifest) -> bytes:
    """Encode a manifest as JSON, with the checksum of all that precedes it."""
    content = msgspec.json.encode(manifest)[:-1]
    return b"%b,%b}" % (content, _checksum(content))


def _checksum(content: bytes) -> bytes:
    return b'"sha256":"%b"' % hashlib.sha256(content).hexdigest().encode()


def _damage(file: str, page: Page) -> BrewhouseError | None:
    """Return the error of a page that is missing or differs from its checksum in the manifest."""
    path = path_at(file)
    try:
        if isinstance(path, S3Path):
            from brewhouse.lake.object_cache import filesystem

            packed = filesystem().open(file).read()
        else:
            packed = read_file(path)
        lines: bytes = igzip.decompress(packed)  # type: ignore[no-untyped-call] # in half of zlib's time
    except FileNotFoundError:
        return DamagedFileError(path, MISSING)
    except (igzip.BadGzipFile, EOFError, igzip_lib.IsalError) as error:  # type: ignore[misc] # wrong in its stubs
        return DamagedFileError(path, f"it cannot be decompressed ({error})")
    is_whole = hashlib.sha256(lines).hexdigest() == page.sha256 and lines.count(b"\n") == page.records
    return None if is_whole else DamagedFileError(path, WRONG_CHECKSUM)


def _decode_manifest(content: bytes) -> Manifest:
    match = _CHECKSUM.fullmatch(content)
    if match and match[2] != _checksum(match[1]):
        raise ValueError(WRONG_CHECKSUM)
    return msgspec.json.decode(content, type=Manifest)


def _read(file: Path) -> RawSnapshot:
    try:
        return RawSnapshot(file.parent, _decode_manifest(read_file(file)))
    except (OSError, ValueError) as error:  # ValueError: not JSON, not UTF-8, or not a manifest
        raise BrewhouseError(
            f"The manifest {file} cannot be read: {error}.", hint="Restore it, or move its folder out of the lake."
        ) from error
