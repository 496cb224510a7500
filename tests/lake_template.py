"""A lake that is made once and given to each test as it was, at the same place: Iceberg's paths are absolute."""

from __future__ import annotations

import shutil
from pathlib import Path

from brewhouse.lake.lake import Lake


class LakeTemplate:
    """A lake to write and to restore.

    Args:
        folder: Where it is, as `lake`.
    """

    def __init__(self, folder: Path) -> None:
        self.lake = Lake(folder / "lake")
        self._kept = folder / "kept"

    def keep(self, name: str = "") -> None:
        """Take the lake as it is for what `restore` gives by this name."""
        shutil.copytree(self.lake.root, self._kept / name)

    def restore(self, name: str = "") -> Lake:
        """Undo everything since `keep`."""
        shutil.rmtree(self.lake.root)
        shutil.copytree(self._kept / name, self.lake.root)
        return self.lake
