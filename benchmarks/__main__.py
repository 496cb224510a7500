"""Measure whole processes, start-up included: median of several runs.

`python -m benchmarks` runs those that take seconds, `python -m benchmarks peers query` some, `python -m benchmarks all`
also `peers` and `growth`, which take minutes; `--help` lists them.
The mock API runs in its own process on the same machine, without a rate limit. Lakes are deleted only at the end: for
five minutes ext4 avoids the inodes of deleted files, and a thousand new pages take up to a second longer. Wait as long
after deleting other files.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

from benchmarks.peers import DEFAULT_SIZES, SIZES, compare_all
from benchmarks.processes import ROOT, Usage, measure, source

BREWHOUSE = [sys.executable, "-m", "brewhouse"]
DATASET = ROOT.parent / "shared" / "data" / "breweries-2026-08-02.csv"
REAL = ("--data", str(DATASET)) if DATASET.exists() else ("--rows", "11822")
COUNT = "SELECT country_name, sum(brewery_count) FROM gold.breweries_by_location GROUP BY 1"


def report(what: str, runs: Sequence[Usage]) -> None:
    """Print one row: median and range of the time, peak memory."""
    seconds = [run.wall_s for run in runs]
    memory = max(run.peak_mb for run in runs)
    median = statistics.median(seconds)
    print(
        f"| {what} | {median:.2f} | {min(seconds):.2f} to {max(seconds):.2f} | {memory:.0f} | {len(runs)} |", flush=True
    )


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
    _archive_events(lake, number)
    for what, sql in {
        "count by kind": "SELECT detail_type, level, count(*) FROM monitoring.events GROUP BY ALL",
        "newest failures": "SELECT * FROM monitoring.runs ORDER BY started_at DESC LIMIT 10",
    }.items():
        command = [*BREWHOUSE, "query", "--lake", lake, sql]
        report(f"`brewhouse query` of {number:,} events, {what}", [measure(command) for _ in range(5)])


def _archive_events(lake: str, number: int) -> None:
    """Write events of a hundred days, like those of the lake's runs, one archived file a day."""
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


def growth(folder: str) -> None:
    """Make 300 runs of one lake on one day and events of 100 days, and measure runs and commands on the way.

    The runs that are not measured share a process, which imports everything once.
    """
    lake = tempfile.mkdtemp(dir=folder)

    def megabytes(pattern: str) -> float:
        return sum(file.stat().st_size for file in Path(lake).rglob(pattern) if file.is_file()) / 1e6

    def measure_all(command: list[str]) -> str:
        usages = [measure([*BREWHOUSE, *command, "--lake", lake]) for _ in range(5)]
        wall, cpu = (statistics.median(values) for values in ([u.wall_s for u in usages], [u.cpu_s for u in usages]))
        return f"{wall:.2f} ({cpu:.2f})"

    print("\n| runs | events | `run` s (CPU s) | `runs` s (CPU s) | runs page s | metadata MB | lake MB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with source("--rows", "500") as url:
        for number, events in ((5, 0), (95, 0), (290, 100_000)):
            made = len(list(Path(lake).glob("bronze/breweries/*/*/manifest.json")))
            many = [sys.executable, "-m", "benchmarks.many_runs", lake, url, str(number - made)]
            measure(many)
            if events:
                _archive_events(lake, events)
            run = measure_all(["run", "--source-url", url])
            listed = measure_all(["runs"])
            page = _serve(lake, "runs", warm=True).wall_s
            total = len(list(Path(lake).glob("events/*/*.json"))) + events
            print(
                f"| {number + 5} | {total:,} | {run} | {listed} | {page:.2f} | "
                f"{megabytes('metadata/*'):.1f} | {megabytes('*'):.1f} |",
                flush=True,
            )


def first_page(folder: str) -> None:
    """Measure the time from the start of `brewhouse serve` to the whole overview."""
    lake = tempfile.mkdtemp(dir=folder)
    with source(*REAL) as url:
        measure([*BREWHOUSE, "run", "--lake", lake, "--source-url", url])
    report("first page of the console after `brewhouse serve`", [_serve(lake) for _ in range(5)])


def _serve(lake: str, page: str = "", *, warm: bool = False) -> Usage:
    """Start the console and measure the time until a page is read; with `warm`, after the overview."""
    began = perf_counter()
    process = subprocess.Popen(
        [*BREWHOUSE, "serve", "--lake", lake, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    url = next(found[0] for line in process.stdout if (found := re.search(r"http://127.0.0.1:\d+", line)))
    if warm:
        urllib.request.urlopen(url).read()
        began = perf_counter()
    urllib.request.urlopen(f"{url}/{page}").read()
    seconds = perf_counter() - began
    process.terminate()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Usage(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


BENCHMARKS: dict[str, Callable[[str], None]] = {
    "small": lambda folder: whole_workflow(folder, "whole workflow, 11,822 real breweries", 5, *REAL),
    "200k": lambda folder: whole_workflow(folder, "whole workflow, 200,000 breweries", 5, "--rows", "200000"),
    "1m": lambda folder: job_by_job(folder, "1,000,000 breweries", "--rows", "1000000"),
    "changed": lambda folder: changed(folder, "1,000,000 breweries, 1 % changed", 1_000_000),
    "query": queries,
    "events": lambda folder: archived_events(folder, 100_000),
    "help": lambda _: report("`brewhouse --help`", [measure([*BREWHOUSE, "--help"]) for _ in range(5)]),
    "console": first_page,
}
TABLES = ("peers", "growth")
"""They print a table of their own, and take minutes."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the named benchmarks, or those that take seconds."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__.partition("\n")[0])
    known = (*BENCHMARKS, *TABLES)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(known)}, or all; default: the first eight"
    )
    parser.add_argument(
        "--sizes", nargs="+", choices=SIZES, default=DEFAULT_SIZES, help=f"of peers: {', '.join(SIZES)}", metavar="SIZE"
    )
    parser.add_argument("--runs", type=int, default=3, help="of each peer and size; default: 3")
    options = parser.parse_args(arguments)
    names = known if options.names == ["all"] else options.names or tuple(BENCHMARKS)
    if unknown := set(names) - set(known):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    machine = f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, {datetime.now(UTC).date()}")
    with tempfile.TemporaryDirectory() as folder:
        if chosen := [name for name in names if name in BENCHMARKS]:
            print("\n| what | median s | range s | peak MB | runs |\n| --- | --- | --- | --- | --- |")
            for name in chosen:
                BENCHMARKS[name](folder)
        if "peers" in names:
            compare_all(folder, REAL, options.sizes, options.runs)
        if "growth" in names:
            growth(folder)


if __name__ == "__main__":
    main()
