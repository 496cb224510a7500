"""Measure transform and aggregate with both engines: `python -m benchmarks.engines 1m 10m growth`.

`growth` is DuckDB alone with 4 GB, from 100,000 rows up. Raw snapshots are written as files, without an API. Memory is
the sampled peak of a process and its descendants.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import os
import platform
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import msgspec

from brewhouse.ids import new_id
from brewhouse.lake.lake import Lake
from brewhouse.lake.manifest import Counts, Manifest, Page, Proof
from brewhouse.mock_api.dataset import generate
from brewhouse.source import Meta

PAGE_ROWS = 10_000
PAGE_SIZE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
GROUPS = {"by_type": "brewery_type", "by_country": "country", "by_state": "state_province"}
SIZES = {"1m": 1_000_000, "10m": 10_000_000}
GROWTH = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)


def write_snapshot(lake: Lake, rows: int) -> None:
    """Write a complete raw snapshot of generated breweries."""
    run, now = new_id(), datetime.now(UTC)
    folder = lake.bronze / f"date={now.date()}" / f"run={run}"
    folder.mkdir(parents=True)
    counts: dict[str, Counter[str]] = {group: Counter() for group in GROUPS}
    pages = []
    for number, records in enumerate(_batches(rows), start=1):
        for group, field in GROUPS.items():
            counts[group].update(str(record[field]) for record in records if record[field] is not None)
        content = b"".join(msgspec.json.encode(record) + b"\n" for record in records)
        checksum = hashlib.sha256(content).hexdigest()
        name = f"page-{number:05}.{checksum[:12]}.jsonl.gz"
        (folder / name).write_bytes(gzip.compress(content, 1))
        pages.append(
            Page(
                number=number,
                file=name,
                url="",
                status=200,
                fetched_at=now.isoformat(),
                records=len(records),
                sha256=checksum,
            )
        )
    manifest = Manifest(
        run=run,
        date=str(now.date()),
        source_url="",
        per_page_rows=PAGE_ROWS,
        started_at=now.isoformat(),
        finished_at=now.isoformat(),
        code_version="",
        meta_before=Meta(total=rows),
        meta_after=Meta(total=rows),
        received=Counts(total=rows, **{group: dict(counted) for group, counted in counts.items()}),
        missing={},
        fields_seen={},
        drift=[],
        missing_rows=[],
        proof=Proof(records=rows, distinct_ids=rows, records_without_id=0, groups_compared=[], attempts=1),
        pages=pages,
    )
    (folder / "manifest.json").write_bytes(msgspec.json.encode(manifest))


def _batches(rows: int) -> Iterator[list[dict[str, object]]]:
    records = iter(generate(rows))
    while batch := list(itertools.islice(records, PAGE_ROWS)):
        yield [dict(record) for record in batch]


def measure(command: Sequence[str]) -> tuple[float, float]:
    """Run a command once; return its wall time in seconds and the peak memory, in MB, of it and its descendants."""
    began, peak, done = perf_counter(), 0, threading.Event()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.1):
            peak = max(peak, sum(_resident(pid) for pid in _family(process.pid)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, errors = process.communicate()
    done.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with exit code {process.returncode}: {errors.decode()}")
    return perf_counter() - began, peak / 1024 / 1024


def _family(pid: int) -> Iterator[int]:
    """List a process and its descendants."""
    yield pid
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        for child in [child for thread in threads for child in (thread / "children").read_text().split()]:
            yield from _family(int(child))
    except OSError:  # it has ended
        return


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_SIZE
    except OSError:
        return 0


def jobs(rows: int, engine: str, memory_mb: int) -> None:
    """Print time and memory of transform and aggregate for a number of breweries."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        write_snapshot(lake, rows)
        os.environ["BREWHOUSE_MEMORY_LIMIT_MB"] = str(memory_mb)
        for job in ("transform", "aggregate"):
            command = [sys.executable, "-m", "brewhouse", job, "--lake", folder, "--engine", engine]
            seconds, peak_mb = measure(command)
            print(f"| {rows:,} | {engine} | {memory_mb} | {job} | {seconds:.1f} | {peak_mb:.0f} |", flush=True)


def main(names: Sequence[str]) -> None:
    """Run the named benchmarks."""
    machine = f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, {datetime.now(UTC).date()}\n")
    print("| breweries | engine | memory limit MB | job | s | peak MB |\n| --- | --- | --- | --- | --- | --- |")
    for name in names:
        if name == "growth":
            for rows in GROWTH:
                jobs(rows, "duckdb", 4096)
        else:
            for engine in ("duckdb", "spark"):
                jobs(SIZES[name], engine, 4096)


if __name__ == "__main__":
    main(sys.argv[1:])
