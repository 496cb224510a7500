"""Measure whole processes, start-up included: median of several runs.

`python -m benchmarks` runs every benchmark; `python -m benchmarks small 200k 1m changed query events help` some, and
`growth`, which takes ten minutes, only if named.
The mock API runs in its own process on the same machine, without a rate limit. Lakes are deleted only at the end: for
five minutes ext4 avoids the inodes of deleted files, and a thousand new pages take up to a second longer. Wait as long
after deleting other files.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).parents[1]
BREWHOUSE = [sys.executable, "-m", "brewhouse"]
DATASET = ROOT.parent / "shared" / "data" / "breweries-2026-08-02.csv"
COUNT = "SELECT country_name, sum(brewery_count) FROM gold.breweries_by_location GROUP BY 1"


def measure(command: Sequence[str]) -> tuple[float, float]:
    """Run a command once; return its wall time in seconds and its peak memory in MB."""
    began = perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with exit code {process.returncode}")
    return seconds, usage.ru_maxrss / 1024


def report(what: str, runs: Sequence[tuple[float, float]]) -> None:
    """Print one row: median and range of the time, peak memory."""
    seconds = [run[0] for run in runs]
    memory = max(run[1] for run in runs)
    median = statistics.median(seconds)
    print(
        f"| {what} | {median:.2f} | {min(seconds):.2f} to {max(seconds):.2f} | {memory:.0f} | {len(runs)} |", flush=True
    )


@contextmanager
def source(*options: str) -> Iterator[str]:
    """Serve a dataset and yield its URL."""
    command = [sys.executable, "-m", "tests.mock_api", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split(" at ")[1].split(";")[0]
    finally:
        process.terminate()
        process.wait()


def whole_workflow(folder: str, what: str, runs: int, *options: str) -> None:
    """Measure `brewhouse run` into a new lake each time."""
    with source(*options) as url:
        lakes = [tempfile.mkdtemp(dir=folder) for _ in range(runs)]
        report(what, [measure([*BREWHOUSE, "run", "--lake", lake, "--source-url", url]) for lake in lakes])


def job_by_job(folder: str, what: str, *options: str) -> None:
    """Measure each job in its own process."""
    lake = tempfile.mkdtemp(dir=folder)
    with source(*options) as url:
        report(f"{what}, extract", [measure([*BREWHOUSE, "extract", "--lake", lake, "--source-url", url])])
        report(f"{what}, transform", [measure([*BREWHOUSE, "transform", "--lake", lake])])
        report(f"{what}, aggregate", [measure([*BREWHOUSE, "aggregate", "--lake", lake])])


def changed(folder: str, what: str, rows: int) -> None:
    """Measure a transform with 1 % of the breweries changed, and a query that only cleans the same snapshot."""
    lake = tempfile.mkdtemp(dir=folder)
    with source("--rows", str(rows)) as url:
        measure([*BREWHOUSE, "extract", "--lake", lake, "--source-url", url])
    measure([*BREWHOUSE, "transform", "--lake", lake])
    with source("--rows", str(rows), "--fault", f"change={rows // 100},after=1") as url:
        urllib.request.urlopen(f"{url}/breweries").close()  # the change follows the first response
        measure([*BREWHOUSE, "extract", "--lake", lake, "--source-url", url])
    report(f"{what}, transform", [measure([*BREWHOUSE, "transform", "--lake", lake])])
    plain = [sys.executable, "-m", "benchmarks.plain", lake, f"{lake}/plain.parquet"]
    report(f"{what}, a query that only cleans", [measure(plain) for _ in range(3)])


def queries(folder: str) -> None:
    """Measure a query that counts the rows of a gold table."""
    lake = tempfile.mkdtemp(dir=folder)
    with source("--rows", "11822") as url:
        measure([*BREWHOUSE, "run", "--lake", lake, "--source-url", url])
    command = [*BREWHOUSE, "query", "--lake", lake, COUNT]
    report("`brewhouse query` of a gold count", [measure(command) for _ in range(5)])


def archived_events(folder: str, number: int) -> None:
    """Measure queries of the events of a hundred days, archived as one file a day."""
    lake = tempfile.mkdtemp(dir=folder)
    with source("--rows", "2000") as url:
        measure([*BREWHOUSE, "run", "--lake", lake, "--source-url", url])
    templates = [json.loads(file.read_bytes()) for file in sorted(Path(lake).glob("events/date=*/*.json"))]
    for day in range(100):
        date = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day)
        file = Path(lake, "events", f"date={date.date()}", "events.0.json")
        file.parent.mkdir()
        lines = []
        for index in range(number // 100):
            event = {**templates[index % len(templates)], "id": f"{day:03}-{index:06}", "time": date.isoformat()}
            event["detail"] = {**event["detail"], "runId": f"run-{day}-{index // len(templates)}"}
            lines.append(json.dumps(event) + "\n")
        file.write_text("".join(lines))
    for what, sql in {
        "count by kind": "SELECT detail_type, level, count(*) FROM monitoring.events GROUP BY ALL",
        "newest failures": "SELECT * FROM monitoring.runs ORDER BY started_at DESC LIMIT 10",
    }.items():
        command = [*BREWHOUSE, "query", "--lake", lake, sql]
        report(f"`brewhouse query` of {number:,} events, {what}", [measure(command) for _ in range(5)])


def growth(folder: str) -> None:
    """Measure 300 runs of one lake on one day: the CPU time of each, and what they leave."""

    def cpu_s() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    def megabytes(pattern: str) -> float:
        return sum(file.stat().st_size for file in Path(lake).rglob(pattern) if file.is_file()) / 1e6

    lake = tempfile.mkdtemp(dir=folder)
    print("\n| runs | CPU s per run | lake MB | of it metadata.json |\n| --- | --- | --- | --- |")
    with source("--rows", "500") as url:
        for number in range(50, 301, 50):
            before = cpu_s()
            for _ in range(50):
                measure([*BREWHOUSE, "run", "--lake", lake, "--source-url", url])
            used = (cpu_s() - before) / 50
            print(f"| {number} | {used:.2f} | {megabytes('*'):.1f} | {megabytes('*.metadata.json'):.1f} |", flush=True)


def main(names: Sequence[str]) -> None:
    """Run the named benchmarks, or all of them."""
    machine = f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, {datetime.now(UTC).date()}\n")
    print("| what | median s | range s | peak MB | runs |\n| --- | --- | --- | --- | --- |")
    wanted = names or ("small", "200k", "1m", "changed", "query", "events", "help")
    with tempfile.TemporaryDirectory() as folder:
        if "small" in wanted and DATASET.exists():
            whole_workflow(folder, "whole workflow, 11,822 real breweries", 5, "--data", str(DATASET))
        if "200k" in wanted:
            whole_workflow(folder, "whole workflow, 200,000 breweries", 5, "--rows", "200000")
        if "1m" in wanted:
            job_by_job(folder, "1,000,000 breweries", "--rows", "1000000")
        if "changed" in wanted:
            changed(folder, "1,000,000 breweries, 1 % changed", 1_000_000)
        if "query" in wanted:
            queries(folder)
        if "events" in wanted:
            archived_events(folder, 100_000)
        if "help" in wanted:
            report("`brewhouse --help`", [measure([*BREWHOUSE, "--help"]) for _ in range(5)])
        if "growth" in names:
            growth(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
