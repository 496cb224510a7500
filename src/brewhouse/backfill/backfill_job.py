"""Backfill: versions of the dataset's CSV file become raw snapshots of their dates.

The id of a version's snapshot is derived from its time and content, so that the same version always yields the same
snapshot: existing ones are kept, interrupted ones are resumed. Versions are loaded one at a time, the newest first,
since the id mapping of the early years follows from later ones. A version that fails a check is held back.
"""

from __future__ import annotations

import asyncio
import gzip
from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec
from msgspec.structs import replace

from brewhouse import __version__
from brewhouse.api.contract import Record, parse_lines, parse_record
from brewhouse.api.schema_drift import Profiler
from brewhouse.backfill.csv_versions import ParsedVersion, VersionRejectedError, count_groups, line_of, parse_version
from brewhouse.backfill.id_mapping import IdMapping, MatchKey, unique_slugs
from brewhouse.backfill.version_sources import DatasetVersion
from brewhouse.checks.completeness import CompletenessCheck
from brewhouse.checks.data_contract import check_result
from brewhouse.errors import BrewhouseError
from brewhouse.events.event import Listener
from brewhouse.ids import CHECKSUM_CHARACTERS, id_at
from brewhouse.lake.lake import Lake, path_at, read_file
from brewhouse.lake.manifest import Manifest, Page
from brewhouse.lake.raw_snapshots import RawSnapshot, complete_runs, find
from brewhouse.lake.snapshot_writer import ResumeInfo, SnapshotWriter
from brewhouse.pipeline.rebuild import is_rebuilt, rebuild
from brewhouse.pipeline.run_context import JobResult, RunContext
from brewhouse.pipeline.runner import run_jobs
from brewhouse.settings import Settings
from brewhouse.source import Meta, SchemaDrift

Outcome = Literal["new", "there already", "held back"]

_PAGE_ROWS = 200
_DIFFERENCES_SHOWN = 3


class VersionResult(msgspec.Struct, frozen=True, kw_only=True, rename={"mapped": "linked"}):
    """The outcome for one version.

    Attributes:
        time: When it was published, ISO 8601, UTC.
        name: Its origin, a file or a commit.
        records: Number of records; None when it is held back.
        slugs: Number of ids that are slugs; None when the version was not parsed.
        mapped: Number of slugs mapped to a UUID of the first version with UUIDs.
    """

    time: str
    name: str
    outcome: Outcome
    records: int | None = None
    slugs: int | None = None
    mapped: int | None = None
    snapshot: str | None = None
    reason: str = ""


@dataclass(frozen=True)
class BackfillResult:
    """The outcome for each version, the oldest first, and the schema drift of the new snapshots, added up."""

    versions: list[VersionResult]
    drift: list[SchemaDrift]

    def count(self, outcome: Outcome) -> int:
        """Count the versions with an outcome."""
        return sum(version.outcome == outcome for version in self.versions)


def run_backfill(
    lake: Lake, settings: Settings, versions: Sequence[DatasetVersion], *, listeners: Sequence[Listener] = ()
) -> tuple[str, BackfillResult]:
    """Run a backfill, and rebuild all tables when there is a new snapshot; return the run id and the result.

    Raises:
        BrewhouseError: Another run holds the lake's lock, every version is held back, or the lake cannot be written.
    """
    results: list[BackfillResult] = []

    def load(context: RunContext) -> JobResult:
        result = backfill(lake, versions, context.emit_snapshots)
        results.append(result)
        context.emit_drift(result.drift)
        job = _job_result(result)
        context.emit_checks(job.checks)
        return job

    def rebuild_tables(context: RunContext) -> JobResult:
        if is_rebuilt(lake):
            return JobResult("the tables include every raw snapshot already; nothing to do")
        return rebuild(context)

    run = run_jobs(lake, settings, "backfill", {"backfill": load, "rebuild": rebuild_tables}, listeners=listeners)
    return run, results[0]


def backfill(lake: Lake, versions: Sequence[DatasetVersion], progress: Callable[[int, int], None]) -> BackfillResult:
    """Create a raw snapshot of each version that has none; the versions are sorted, the oldest first.

    Raises:
        BrewhouseError: Every version is held back, or the lake cannot be written.
    """
    mapping, slug_times = _read_id_mapping(lake, versions)
    results: list[VersionResult] = []
    drift: list[SchemaDrift] = []
    for version in reversed(versions):
        result, snapshot = _load_version(lake, version, mapping, has_slugs=version.time in slug_times)
        results.append(result)
        drift += snapshot.manifest.drift if snapshot else []
        progress(len(results), len(versions))
    if all(result.outcome == "held back" for result in results):
        what = f"All {len(results)} version(s) are held back; the last one, {results[0].name}: {results[0].reason}."
        raise BrewhouseError(what, hint="Pass versions of the public dataset's breweries.csv.")
    return BackfillResult(results[::-1], _added_up(drift))


def _read_id_mapping(lake: Lake, versions: Sequence[DatasetVersion]) -> tuple[IdMapping, frozenset[datetime]]:
    """Read the versions up to the first with UUIDs; return the id mapping and the times of those with slugs."""
    slugs: set[tuple[str, MatchKey]] = set()
    times: list[datetime] = []
    for version in versions:
        try:
            parsed = parse_version(version.read())
        except VersionRejectedError:
            continue
        if not parsed.slugs:
            return IdMapping(parsed.records if times else (), slugs), frozenset(times)
        times.append(version.time)
        slugs.update(unique_slugs(parsed.records))
    return IdMapping(_first_records_after(lake, times[-1]) if times else (), slugs), frozenset(times)


def _first_records_after(lake: Lake, time: datetime) -> list[Record]:
    """Read the first raw snapshot after a time; empty without one."""
    runs = complete_runs(lake)
    position = bisect(runs, id_at(time, b"")[:-CHECKSUM_CHARACTERS] + "Z" * CHECKSUM_CHARACTERS)
    files = find(lake, runs[position]).files if position < len(runs) else []
    return [parse_record(line) for file in files for line in gzip.decompress(read_file(path_at(file))).splitlines()]


def _load_version(
    lake: Lake, version: DatasetVersion, mapping: IdMapping, *, has_slugs: bool
) -> tuple[VersionResult, RawSnapshot | None]:
    """Create a version's snapshot, if it has none; return it when it is new.

    A version that has a snapshot is parsed only for its slugs, which the mapping of older versions depends on.
    """
    result = VersionResult(
        time=version.time.isoformat(timespec="milliseconds"), name=version.name, outcome="there already"
    )
    try:
        content = version.read()
        run = id_at(version.time, content)
        existing = _find_snapshot(lake, version.time, run)
        if existing and not has_slugs:
            return replace(result, records=find(lake, existing).records, snapshot=existing), None
        parsed = parse_version(content)
        records, mapped = mapping.apply(parsed.records) if parsed.slugs else (parsed.records, 0)
        loaded = replace(result, records=len(records), slugs=parsed.slugs, mapped=mapped)
        if existing:
            return replace(loaded, snapshot=existing), None
        snapshot = _write_snapshot(lake, run, version, parsed, records)
    except VersionRejectedError as error:
        return replace(result, outcome="held back", reason=str(error)), None
    return replace(loaded, outcome="new", snapshot=run), snapshot


def _find_snapshot(lake: Lake, time: datetime, run: str) -> str | None:
    """Find the snapshot of a version: its own, or a neighbor of the same day with the same content."""
    manifests = (lake.bronze / f"date={time.date()}").glob("run=*/manifest.json")
    runs = sorted(file.parent.name.removeprefix("run=") for file in manifests)
    position = bisect(runs, run)
    neighbors = runs[max(position - 1, 0) : position + 1]
    return next((other for other in neighbors if other[-CHECKSUM_CHARACTERS:] == run[-CHECKSUM_CHARACTERS:]), None)


def _write_snapshot(
    lake: Lake, run: str, version: DatasetVersion, parsed: ParsedVersion, records: Sequence[Record]
) -> RawSnapshot:
    """Write a version's snapshot, after a completeness check against the counts of its file."""
    time = version.time.isoformat(timespec="milliseconds")
    meta = Meta(total=len(records), **count_groups(parsed.records))
    lines = [line_of(record) for record in sorted(records, key=lambda record: record["id"])]
    pages = [lines[start : start + _PAGE_ROWS] for start in range(0, len(lines), _PAGE_ROWS)]
    completeness, profiler = CompletenessCheck(), Profiler()
    for number, page in enumerate(pages, start=1):
        decoded = parse_lines(page)
        completeness.count(number, page, decoded)
        profiler.count(number, page, decoded)
    result = completeness.result(meta, meta, _PAGE_ROWS)
    if result.differences:
        raise VersionRejectedError("; ".join(result.differences[:_DIFFERENCES_SHOWN]).replace("/meta", "its file"))

    bad_bytes = [SchemaDrift("bad_bytes", "invalid UTF-8 replaced by U+FFFD", parsed.bad_bytes, version.name)]
    started = ResumeInfo(
        source_url=version.name, per_page_rows=_PAGE_ROWS, page_size_rows=_PAGE_ROWS, started_at=time, meta_before=meta
    )
    writer = SnapshotWriter(lake, run, started)
    if not writer.is_started:
        writer.start()
    return writer.complete(
        Manifest(
            run=run,
            date=writer.date,
            source_url=version.name,
            per_page_rows=_PAGE_ROWS,
            started_at=time,
            finished_at=time,
            code_version=__version__,
            meta_before=meta,
            meta_after=meta,
            received=result.received,
            missing={},
            fields_seen=profiler.fields_seen(),
            drift=(bad_bytes if parsed.bad_bytes else []) + profiler.drift(),
            missing_rows=[],
            proof=result.proof,
            pages=asyncio.run(_write_pages(writer, pages)),
        )
    )


async def _write_pages(writer: SnapshotWriter, pages: Sequence[Sequence[bytes]]) -> list[Page]:
    started = writer.started
    return [
        await writer.write_page(number, lines, url=started.source_url, status=200, fetched_at=started.started_at)
        for number, lines in enumerate(pages, start=1)
    ]


def _added_up(drift: Sequence[SchemaDrift]) -> list[SchemaDrift]:
    """Add up the counts of equal deviations of several snapshots."""
    sums: dict[tuple[str, str], SchemaDrift] = {}
    for item in drift:
        before = sums.get((item.name, item.detail))
        sums[item.name, item.detail] = replace(before, count=before.count + item.count) if before else item
    return [sums[kind] for kind in sorted(sums)]


def _job_result(result: BackfillResult) -> JobResult:
    counts = {
        "versions": len(result.versions),
        "new": result.count("new"),
        "there_already": result.count("there already"),
        "held_back": result.count("held back"),
    }
    message = (
        f"{counts['new']} of {counts['versions']} versions are new raw snapshots, "
        f"{counts['there_already']} existed already, {counts['held_back']} are held back"
    )
    held_back = [f"{version.name}: {version.reason}" for version in result.versions if version.outcome == "held back"]
    name = "every version can be used"
    check = check_result(name, "bronze.breweries", len(held_back), "; ".join(held_back), "warning")
    return JobResult(message, counts=counts, checks=[check])
