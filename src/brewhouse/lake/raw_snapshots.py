"""Raw snapshots for readers: what the source sent, byte for byte, proven complete.

A snapshot exists once its manifest does; how one is written is told in `brewhouse.lake.snapshot_writer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from brewhouse.errors import BrewhouseError
from brewhouse.ids import day_of
from brewhouse.lake.lake import Lake
from brewhouse.lake.manifest import Manifest


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
    def date(self) -> str:
        """Day it was begun, UTC, as YYYY-MM-DD."""
        return self.manifest.date

    @property
    def records(self) -> int:
        """How many records it holds."""
        return self.manifest.proof.records

    @property
    def files(self) -> list[str]:
        """Absolute paths of its pages, in order."""
        folder = self.folder.absolute()
        return [str(folder / page.file) for page in self.manifest.pages]


def newest(lake: Lake) -> RawSnapshot | None:
    """Find the newest complete raw snapshot of a lake, by run id.

    Raises:
        BrewhouseError: Its manifest cannot be read.
    """
    files = _manifests(lake)
    return _read(files[-1]) if files else None


def find(lake: Lake, run: str) -> RawSnapshot:
    """Find a complete raw snapshot by the run that began it.

    Raises:
        BrewhouseError: The lake has no such snapshot, or its manifest cannot be read.
    """
    likely = lake.bronze / f"date={day_of(run)}" / f"run={run}" / "manifest.json"
    if likely.exists():  # nearly always; to list a long history takes many requests on S3
        return _read(likely)
    files = {_run_of(file): file for file in _manifests(lake)}
    if run not in files:
        raise BrewhouseError(
            f"The lake {lake.root} has no complete raw snapshot {run}; it has {', '.join(files) or 'none'}.",
            hint="Name one of those, or run `brewhouse extract` for a new one.",
        )
    return _read(files[run])


def complete(lake: Lake) -> list[RawSnapshot]:
    """List the complete raw snapshots of a lake, oldest first.

    Raises:
        BrewhouseError: A manifest cannot be read.
    """
    return [_read(file) for file in _manifests(lake)]


def complete_runs(lake: Lake) -> list[str]:
    """List the runs that began a complete raw snapshot, oldest first; their manifests are not read."""
    return [_run_of(file) for file in _manifests(lake)]


def _manifests(lake: Lake) -> list[Path]:
    return sorted(lake.bronze.glob("date=*/run=*/manifest.json"), key=_run_of)


def _run_of(file: Path) -> str:
    return file.parent.name.removeprefix("run=")


def _read(file: Path) -> RawSnapshot:
    try:
        return RawSnapshot(file.parent, msgspec.json.decode(file.read_bytes(), type=Manifest))
    except (OSError, msgspec.MsgspecError) as error:
        raise BrewhouseError(
            f"The manifest {file} cannot be read: {error}.", hint="Restore it, or move its folder out of the lake."
        ) from error
