"""Brewhouse next to others that do a part of its work, against one mock API, in turn: `python -m benchmarks peers`.

Each runs in an environment of its own, made on first use below `~/.cache/brewhouse-benchmarks`. The
JVM of PySpark is in the wall time alone.
"""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.processes import ROOT, Usage, measure, source

HERE = Path(__file__).parent
CACHE = Path("~/.cache/brewhouse-benchmarks").expanduser()
RUNTIME = ("--require-hashes", "-r", str(ROOT / "requirements" / "runtime.lock"))


@dataclass(frozen=True, eq=False)
class Peer:
    """A program that fetches every brewery from `URL` and writes them below `FOLDER`.

    Attributes:
        packages: Arguments of pip for its environment.
        command: Arguments of that environment's Python.
    """

    name: str
    environment: str
    packages: tuple[str, ...]
    command: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict)

    def python(self) -> Path:
        """Return the Python of its environment, which is made if absent.

        Raises:
            subprocess.CalledProcessError: A package cannot be installed.
        """
        folder = CACHE / self.environment
        python, installed = folder / "bin" / "python", folder / ".installed"
        wanted = "\n".join(Path(each).read_text() if each.endswith(".lock") else each for each in self.packages)
        if not installed.exists() or installed.read_text() != wanted:
            print(f"installing {self.environment} into {folder}", file=sys.stderr)
            venv.create(folder, clear=True, with_pip=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *self.packages], check=True)
            installed.write_text(wanted)
        return python


BREWHOUSE = Peer(
    "Brewhouse",
    "brewhouse",
    RUNTIME,
    ("-m", "brewhouse", "run", "--source-url", "URL", "--lake", "FOLDER"),
    {"PYTHONPATH": str(ROOT / "src")},
)
BARE = Peer("bare aiohttp + DuckDB + one Parquet file", "brewhouse", RUNTIME, (str(HERE / "bare.py"), "URL", "FOLDER"))
DLT = Peer(
    "dlt into Iceberg",
    "dlt",
    ("dlt[filesystem,pyiceberg]==1.31.0",),
    (str(HERE / "dlt_iceberg.py"), "URL", "FOLDER"),
    {"RUNTIME__DLTHUB_TELEMETRY": "false"},
)
SPARK = Peer(
    "requests + PySpark",
    "pyspark",
    ("pyspark==4.1.4", "requests==2.32.5"),
    (str(HERE / "requests_spark.py"), "URL", "FOLDER"),
)


SIZES: dict[str, tuple[str, tuple[str, ...]]] = {
    "real": ("11,822", ()),
    "latency": ("11,822, 80 ms latency", ("--fault", "slow_s=0.08,endpoint=any")),
    "200k": ("200,000", ("--rows", "200000")),
    "1m": ("1,000,000", ("--rows", "1000000")),
}
"""What a size is called in the table, and its options of the mock API, after those of the real breweries."""
DEFAULT_SIZES = ("real", "latency", "200k")


def compare_all(folder: str, real: Sequence[str], sizes: Sequence[str] = DEFAULT_SIZES, runs: int = 3) -> None:
    """Compare the peers and print a table; PySpark, which takes longest, at the size of the real breweries alone.

    Args:
        folder: Where the peers write; nothing is deleted meanwhile.
        real: Options of the mock API that serve the real breweries.
        sizes: Names in `SIZES`.
        runs: Of each peer and size; one more comes first and is not counted.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(ROOT / "src")], check=True, env=environment)
    commands = {peer: python for peer in (BREWHOUSE, BARE, DLT, SPARK) if (python := _environment(peer))}
    print("\n| breweries | who | median s | range s | to bare | CPU s | peak MB | runs |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for size in sizes:
        what, options = SIZES[size]
        chosen = {peer: python for peer, python in commands.items() if peer is not SPARK or size == "real"}
        _compare(folder, chosen, what, [*(real if "--rows" not in options else ()), *options], runs)


def _compare(folder: str, commands: Mapping[Peer, Path], what: str, options: Sequence[str], runs: int) -> None:
    """Measure each peer several times, in turn, and print a row for each; the first round is not counted."""
    results: dict[str, list[Usage]] = {peer.name: [] for peer in commands}
    with source(*options) as url:
        for number, (peer, python) in itertools.product(range(runs + 1), commands.items()):
            values = {"URL": url, "FOLDER": tempfile.mkdtemp(dir=folder)}
            usage = measure([str(python), *(values.get(word, word) for word in peer.command)], peer.variables)
            if number:
                results[peer.name].append(usage)
    bare_s = statistics.median(usage.wall_s for usage in results[BARE.name]) if BARE.name in results else None
    for name, usages in results.items():
        _print_row(what, name, usages, bare_s)


def _environment(peer: Peer) -> Path | None:
    try:
        return peer.python()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"{peer.name} is left out, as it cannot be installed: {error}", file=sys.stderr)
        return None


def _print_row(what: str, name: str, usages: Sequence[Usage], bare_s: float | None) -> None:
    wall = [usage.wall_s for usage in usages]
    median, cpu = statistics.median(wall), statistics.median(usage.cpu_s for usage in usages)
    ratio = f"{median / bare_s:.2f}" if bare_s else ""
    peak = max(usage.peak_mb for usage in usages)
    spread = f"{min(wall):.2f} to {max(wall):.2f}"
    print(
        f"| {what} | {name} | {median:.2f} | {spread} | {ratio} | {cpu:.2f} | {peak:.0f} | {len(usages)} |", flush=True
    )
