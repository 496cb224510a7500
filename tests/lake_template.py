"""A lake that is made once and given to each test as it was made, at the same place: Iceberg's paths are absolute."""

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

    def keep(self) -> None:
        """Take the lake as it is for what `restore` gives."""
        shutil.copytree(self.lake.root, self._kept)

    def restore(self) -> Lake:
        """Undo everything since `keep`."""
        shutil.rmtree(self.lake.root)
        shutil.copytree(self._kept, self.lake.root)
        return self.lake
