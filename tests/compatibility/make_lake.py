"""Make the lake that `test_lake_of_today.py` reads: a small one, written by the Brewhouse that is installed.

`lake-0.1.0.tar.gz` was made by Brewhouse 0.1.0, commit d8bfdd3, with

    python -m tests.compatibility.make_lake 0.1.0

from the root of a clone of that commit with this folder copied into it. Never recreate it with a later version: its
purpose is to come from that one. A later version gets a lake, and a file, of its own.

Iceberg's metadata holds absolute paths, so the lake is made at `/tmp/brewhouse-lake-<version>/lake` and must be
extracted there. Its content, oldest first:

1. a run of version 1 of the breweries, one of version 2, one of version 3; see `outside.breweries`;
2. a run whose checks failed, since the source lost most breweries: it left a raw snapshot and published nothing;
3. a run that failed, as it was to publish a raw snapshot that is not there;
4. a run that was killed with one page taken: a raw snapshot without a manifest, and a run without an end.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tarfile
from pathlib import Path

from tests.compatibility.outside import breweries, brewhouse, interrupt, mock_api, output

HERE = Path(__file__).parent


def home_of(version: str) -> Path:
    """Name the folder that a version's lake was made in, as its `lake`."""
    return Path("/tmp") / f"brewhouse-lake-{version}"


def fill(lake: Path) -> None:
    """Do what the lake is to have seen."""
    for version in (1, 2, 3):
        with mock_api(breweries(version)) as url:
            output("run", "--lake", lake, "--source-url", url)
    with mock_api(breweries(3)[:20]) as url:
        assert brewhouse("run", "--lake", lake, "--source-url", url).returncode == 3
    assert brewhouse("transform", "--lake", lake, "--snapshot", "NONE").returncode == 1
    interrupt(lake, signal.SIGKILL)


def pack(home: Path, target: Path) -> None:
    """Put the lake into a file, without whose it was."""

    def nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        return entry

    with tarfile.open(target, "w:gz") as archive:
        archive.add(home / "lake", "lake", filter=nobodys)


def main() -> None:
    """Make the lake and its file."""
    (version,) = sys.argv[1:]
    home = home_of(version)
    home.mkdir()
    try:
        fill(home / "lake")
        pack(home, HERE / f"lake-{version}.tar.gz")
    finally:
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
