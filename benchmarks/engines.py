"""Measure transform and aggregate in one run with both engines, next to a plain PySpark script on the same raw pages.

`python -m benchmarks.engines 200k 1m 10m` compares the engines by size, `--page-rows 200 10000` the sizes of raw
pages, `--cores 1 2` the number of cores of all threads and processes, Spark's tasks and Java's compiler alike, and
`--only duckdb` leaves out the others. Raw snapshots are written as files, without an API. CPU time is that of the
process and all its descendants, JVM and Python workers included; memory is their sampled peak. Jobs, stages and tasks
are those of Spark's event log; "one task" is the longest task that is all of its stage, without the time that it waits
for a core, and "to driver" what tasks returned.
Each JVM has the options that are its default; `JDK_JAVA_OPTIONS=-XX:+UseParallelGC` gives all of them the same ones.
"""

from __future__ import annotations

import argparse
import ctypes
import gzip
import hashlib
import itertools
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import msgspec

from brewhouse.ids import new_id
from brewhouse.lake.lake import Lake, with_checksum
from brewhouse.lake.manifest import Counts, Manifest, Page, Proof
from brewhouse.mock_api.dataset import generate
from brewhouse.source import Meta

PAGE_SIZE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
GROUPS = {"by_type": "brewery_type", "by_country": "country", "by_state": "state_province"}
PLAIN = "plain"
NAMES = {PLAIN: "plain PySpark", "duckdb": "Brewhouse on DuckDB", "spark": "Brewhouse on Spark"}
HEADINGS = (
    *("breweries", "rows per page", "what", "cores", "s", "of that transform", "aggregate", "CPU s", "of plain"),
    *("peak MB", "jobs / stages / tasks", "one task s", "MB to driver"),
)
UNITS = {"k": 1_000, "m": 1_000_000}
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER: a JVM that outlives its Python is waited for here
RUN = """
import json, sys
from brewhouse.events.details import JobEnded
from brewhouse.lake.lake import lake_of
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.settings import load

def listen(detail, event):
    if isinstance(detail, JobEnded):
        print(json.dumps([detail.job_name, detail.seconds]), flush=True)

settings = load({})
run_workflow(lake_of(settings), settings, ("transform", "aggregate"), listeners=(listen,))
"""


def write_snapshot(lake: Lake, rows: int, page_rows: int) -> None:
    """Write a complete raw snapshot of generated breweries."""
    run, now = new_id(), datetime.now(UTC)
    folder = lake.bronze / f"date={now.date()}" / f"run={run}"
    folder.mkdir(parents=True)
    counts: dict[str, Counter[str]] = {group: Counter() for group in GROUPS}
    pages = []
    for number, records in enumerate(_batches(rows, page_rows), start=1):
        for group, field in GROUPS.items():
            counts[group].update(str(record[field]) for record in records if record[field] is not None)
        content = b"".join(msgspec.json.encode(record) + b"\n" for record in records)
        checksum = hashlib.sha256(content).hexdigest()
        name = with_checksum(f"page-{number:05d}.jsonl.gz", content)
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
        per_page_rows=page_rows,
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


def _batches(rows: int, page_rows: int) -> Iterator[list[dict[str, object]]]:
    records = iter(generate(rows))
    while batch := list(itertools.islice(records, page_rows)):
        yield [dict(record) for record in batch]


@dataclass(frozen=True)
class Cost:
    """What a command took: its output, wall time, CPU time and peak memory, with all its descendants."""

    output: str
    seconds: float
    cpu_s: float
    peak_mb: float


def measure(command: Sequence[str], environment: Mapping[str, str], cores: int) -> Cost:
    """Run a command once, to the end of its last descendant, on a number of the machine's cores."""
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    before, began, peak, done = _cpu_s(), perf_counter(), 0, threading.Event()
    on_cores = ["taskset", "--cpu-list", ",".join(map(str, sorted(os.sched_getaffinity(0))[:cores]))]
    process = subprocess.Popen(
        [*on_cores, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **environment}
    )

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.1):
            peak = max(peak, sum(_resident(pid) for pid in _family(process.pid)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, errors = process.communicate()
    seconds = perf_counter() - began
    done.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with exit code {process.returncode}: {errors.decode()}")
    with suppress(ChildProcessError):
        while True:
            os.wait()
    return Cost(output.decode(), seconds, _cpu_s() - before, peak / 1024 / 1024)


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


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


def spark_counts(log: Path) -> str:
    """Summarize the event log of a Spark application, as cells of a table."""
    jobs, stages, tasks, returned_bytes = 0, 0, 0, 0
    seconds: dict[int, list[float]] = defaultdict(list)  # of the tasks of each stage
    for file in sorted(log.rglob("events_*")):
        for line in file.read_text("utf-8").splitlines():
            event = json.loads(line)
            match event["Event"]:
                case "SparkListenerJobStart":
                    jobs += 1
                case "SparkListenerStageCompleted":
                    stages += 1
                case "SparkListenerTaskEnd":
                    tasks += 1
                    info = event["Task Info"]
                    seconds[event["Stage ID"]].append((info["Finish Time"] - info["Launch Time"]) / 1000)
                    returned_bytes += (event.get("Task Metrics") or {}).get("Result Size", 0)
    shutil.rmtree(log)
    longest_s = max((took[0] for took in seconds.values() if len(took) == 1), default=0.0)
    return f"{jobs} / {stages} / {tasks} | {longest_s:.1f} | {returned_bytes / 1e6:.1f}"


def compare(folder: Path, rows: int, page_rows: int, cores: int, engines: Sequence[str], memory_mb: int) -> None:
    """Print a row for each engine on the raw pages of a lake."""
    source, plain_cpu_s = Lake(folder / "source"), 0.0
    write_snapshot(source, rows, page_rows)
    for engine in engines:
        lake, log = folder / engine, folder / "log"
        log.mkdir()
        shutil.copytree(source.root, lake, copy_function=os.link)
        logs = f"--conf spark.eventLog.enabled=true --conf spark.eventLog.dir={log.as_uri()} pyspark-shell"
        environment = {
            "PYSPARK_SUBMIT_ARGS": f"--conf spark.eventLog.compress=false {logs}",
            "BREWHOUSE_LAKE": str(lake),
            "BREWHOUSE_ENGINE": engine,
            "BREWHOUSE_SPARK_MASTER": f"local[{cores}]",
            "BREWHOUSE_MEMORY_LIMIT_MB": str(memory_mb),
        }
        command = [sys.executable, "-c", RUN]
        if engine == PLAIN:
            command = [
                sys.executable,
                "-m",
                "benchmarks.plain_spark",
                str(lake),
                f"{lake}/out",
                str(cores),
                str(memory_mb),
            ]
        cost = measure(command, environment, cores)  # the JIT compiler has no others either
        lines = [line for line in cost.output.splitlines() if line.startswith("[")]  # others are of libraries
        took = dict(map(json.loads, lines)) if engine != PLAIN else {}
        plain_cpu_s = cost.cpu_s if engine == PLAIN else plain_cpu_s
        jobs = " | ".join(f"{took[job]:.1f}" if job in took else "" for job in ("transform", "aggregate"))
        ratio = f"{cost.cpu_s / plain_cpu_s:.1f}" if plain_cpu_s else ""
        counts = " | | " if engine == "duckdb" else spark_counts(log)
        print(
            f"| {rows:,} | {page_rows:,} | {NAMES[engine]} | {cores} | {cost.seconds:.1f} | {jobs} "
            f"| {cost.cpu_s:.0f} | {ratio} | {cost.peak_mb:,.0f} | {counts} |",
            flush=True,
        )
        shutil.rmtree(lake)
        shutil.rmtree(log, ignore_errors=True)


def rows_of(size: str) -> int:
    """Return the number of rows of a size.

    Example:
        >>> rows_of("200k"), rows_of("10m")
        (200000, 10000000)
    """
    return int(size[:-1]) * UNITS[size[-1]]


def main(argv: Sequence[str]) -> None:
    """Run the benchmarks that the arguments select."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="+", type=rows_of, help="numbers of breweries, as 200k or 1m")
    parser.add_argument("--page-rows", nargs="+", type=int, default=[10_000])
    parser.add_argument("--cores", nargs="+", type=int, default=[os.cpu_count() or 1])
    parser.add_argument("--only", nargs="+", choices=tuple(NAMES), default=tuple(NAMES))
    parser.add_argument("--memory-mb", type=int, default=4096, help="of DuckDB, or of Spark's JVM")
    asked = parser.parse_args(argv)
    machine = f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, {datetime.now(UTC).date()}, memory limit {asked.memory_mb:,} MB\n")
    print(f"| {' | '.join(HEADINGS)} |\n|{' --- |' * len(HEADINGS)}")
    with tempfile.TemporaryDirectory() as name:
        for rows, page_rows, cores in itertools.product(asked.sizes, asked.page_rows, asked.cores):
            compare(Path(name), rows, page_rows, cores, asked.only, asked.memory_mb)
            shutil.rmtree(Path(name) / "source")


if __name__ == "__main__":
    main(sys.argv[1:])
