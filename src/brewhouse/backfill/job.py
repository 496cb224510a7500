"""Backfill: versions of the dataset's CSV file become raw snapshots of their dates.

A version's snapshot has an id made of its time and its content, so the same version gives the same snapshot: what is
there already stays as it is, and what was interrupted is gone on with. Versions are taken newest first, one at a time,
since what the ids of the early years mean is known from later ones. A version that cannot be proven is held back.
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
from brewhouse.backfill.csv_versions import Version, VersionRejectedError, groups_of, line_of, read_version
from brewhouse.backfill.id_mapping import Linked, Links, Place, sightings
from brewhouse.backfill.version_sources import DatasetVersion
from brewhouse.checks.check import Check
from brewhouse.checks.completeness import GROUPS, CompletenessCheck, CompletenessResult
from brewhouse.errors import BrewhouseError
from brewhouse.events.details import SnapshotsProcessed
from brewhouse.events.event import Listener
from brewhouse.ids import CHECKSUM_CHARACTERS, id_at
from brewhouse.lake.lake import Lake
from brewhouse.lake.manifest import Manifest, Page, Proof
from brewhouse.lake.raw_snapshots import RawSnapshot, complete_runs, find
from brewhouse.lake.s3_path import path_at
from brewhouse.lake.snapshot_writer import ResumeInfo, SnapshotWriter
from brewhouse.pipeline.rebuild import is_rebuilt, rebuild
from brewhouse.pipeline.run_context import JobResult, RunContext
from brewhouse.pipeline.runner import run_jobs
from brewhouse.settings import Settings
from brewhouse.source import Meta, SchemaDrift

Outcome = Literal["new", "there already", "held back"]

_PAGE_ROWS = 200
_DIFFERENCES_SHOWN = 3


class VersionResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a version.

    Attributes:
        time: When it was the dataset, ISO 8601, UTC.
        name: Where it comes from.
        outcome: Whether its snapshot is new, was there already, or was not made.
        records: How many it has; None when it is held back.
        slugs: How many of their ids are slugs; None when it was not looked at, being there already.
        linked: How many of the slugs are linked to the UUID of a record in the first version with UUIDs.
        snapshot: The run id of its raw snapshot.
        reason: Why it is held back.
    """

    time: str
    name: str
    outcome: Outcome
    records: int | None = None
    slugs: int | None = None
    linked: int | None = None
    snapshot: str | None = None
    reason: str = ""


@dataclass(frozen=True)
class Backfill:
    """What a backfill did.

    Attributes:
        versions: What became of each version, the oldest first.
        drift: Deviations of the new snapshots from the contract, added up.
    """

    versions: list[VersionResult]
    drift: list[SchemaDrift]

    def count(self, outcome: Outcome) -> int:
        """Count the versions of an outcome."""
        return sum(version.outcome == outcome for version in self.versions)


def run_backfill(
    lake: Lake, settings: Settings, origins: Sequence[DatasetVersion], *, listeners: Sequence[Listener] = ()
) -> tuple[str, Backfill]:
    """Backfill as a run of its own, and make all tables anew when there is something new.

    Args:
        lake: Gets the snapshots and the tables; it is locked meanwhile.
        settings: Of this run.
        origins: The versions, the oldest first.

    Returns:
        The run id, and what was done.

    Raises:
        BrewhouseError: Another run is going, no version can be used, or the lake cannot be written.
    """
    results: list[Backfill] = []

    def add_snapshots(context: RunContext) -> JobResult:
        result = backfill(lake, origins, lambda done, total: context.emit(SnapshotsProcessed(done=done, total=total)))
        results.append(result)
        context.emit_drift(result.drift)
        done = _told(result)
        context.emit_checks(done.checks)
        return done

    def rebuild_tables(context: RunContext) -> JobResult:
        if is_rebuilt(lake):
            return JobResult("the tables contain every raw snapshot already; nothing to do")
        return rebuild(context)

    run = run_jobs(
        lake, settings, "backfill", {"backfill": add_snapshots, "rebuild": rebuild_tables}, listeners=listeners
    )
    return run, results[0]


def backfill(lake: Lake, origins: Sequence[DatasetVersion], progress: Callable[[int, int], None]) -> Backfill:
    """Make a raw snapshot of each version that has none.

    Args:
        lake: Gets the snapshots.
        origins: The versions, the oldest first.
        progress: Told how many versions of how many are done.

    Raises:
        BrewhouseError: Every version is held back, or the lake cannot be written.
    """
    links, slug_times = _survey(lake, origins)
    results: list[VersionResult] = []
    drift: list[SchemaDrift] = []
    for origin in reversed(origins):
        result, snapshot = _take(lake, origin, links, has_slugs=origin.time in slug_times)
        results.append(result)
        drift += snapshot.manifest.drift if snapshot else []
        progress(len(results), len(origins))
    if all(result.outcome == "held back" for result in results):
        raise BrewhouseError(
            f"None of {len(results)} version(s) can be used; the last, {results[0].name}: {results[0].reason}.",
            hint="Give versions of the public dataset's breweries.csv.",
        )
    return Backfill(results[::-1], _added_up(drift))


def _survey(lake: Lake, origins: Sequence[DatasetVersion]) -> tuple[Links, frozenset[datetime]]:
    """Learn what slugs mean from the versions that have some, up to the first with UUIDs; and tell their times."""
    seen: set[tuple[str, Place]] = set()
    times: list[datetime] = []
    for origin in origins:
        try:
            version = read_version(origin.read())
        except VersionRejectedError:
            continue
        if not version.slugs:
            return Links(version.records if times else (), seen), frozenset(times)
        times.append(origin.time)
        seen.update(sightings(version.records))
    return Links(_first_records_after(lake, times[-1]) if times else (), seen), frozenset(times)


def _first_records_after(lake: Lake, time: datetime) -> list[Record]:
    """Read the first raw snapshot the lake has from after a time; without one there are no records."""
    runs = complete_runs(lake)
    position = bisect(runs, id_at(time, b"")[:-CHECKSUM_CHARACTERS] + "Z" * CHECKSUM_CHARACTERS)
    files = find(lake, runs[position]).files if position < len(runs) else []
    return [parse_record(line) for file in files for line in gzip.decompress(path_at(file).read_bytes()).splitlines()]


def _take(
    lake: Lake, origin: DatasetVersion, links: Links, *, has_slugs: bool
) -> tuple[VersionResult, RawSnapshot | None]:
    """Make a version's snapshot, if it has none; its rows are not looked at when nothing is to be learnt from them."""
    result = VersionResult(time=_text(origin.time), name=origin.name, outcome="there already")
    try:
        content = origin.read()
        run = id_at(origin.time, content)
        there = _there(lake, origin.time, run)
        if there and not has_slugs:
            return replace(result, records=find(lake, there).records, snapshot=there), None
        version = read_version(content)
        linked = links.link(version.records) if version.slugs else Linked(version.records, 0)
        looked_at = replace(result, records=len(version.records), slugs=version.slugs, linked=linked.linked)
        if there:
            return replace(looked_at, snapshot=there), None
        snapshot = _write(lake, run, origin, version, linked.records)
    except VersionRejectedError as error:
        return replace(result, outcome="held back", reason=str(error)), None
    return replace(looked_at, outcome="new", snapshot=run), snapshot


def _there(lake: Lake, time: datetime, run: str) -> str | None:
    """Find the snapshot of a version: its own, or its neighbour of the same day when that has the same content."""
    manifests = (lake.bronze / f"date={time.date()}").glob("run=*/manifest.json")
    runs = sorted(file.parent.name.removeprefix("run=") for file in manifests)
    position = bisect(runs, run)
    near = runs[max(position - 1, 0) : position + 1]
    return next((other for other in near if other[-CHECKSUM_CHARACTERS:] == run[-CHECKSUM_CHARACTERS:]), None)


def _write(lake: Lake, run: str, origin: DatasetVersion, version: Version, records: Sequence[Record]) -> RawSnapshot:
    """Write a version's snapshot, once its lines are found to hold what its file does.

    Raises:
        HeldBackError: They do not, or ids are there twice.
        BrewhouseError: The lake cannot be written.
    """
    time = _text(origin.time)
    meta = Meta(total=len(records), **groups_of(version.records))
    lines = [line_of(record) for record in sorted(records, key=lambda record: record["id"])]
    pages = [lines[start : start + _PAGE_ROWS] for start in range(0, len(lines), _PAGE_ROWS)]
    verdict, fields_seen, drift = _looked_at(pages, meta)
    if verdict.differences:
        raise VersionRejectedError("; ".join(verdict.differences[:_DIFFERENCES_SHOWN]).replace("/meta", "its file"))

    started = ResumeInfo(
        source_url=origin.name, per_page_rows=_PAGE_ROWS, page_size_rows=_PAGE_ROWS, started_at=time, meta_before=meta
    )
    draft = SnapshotWriter(lake, run, started)
    if not draft.is_started:
        draft.start()
    written = asyncio.run(_write_pages(draft, pages))
    return draft.complete(
        Manifest(
            run=run,
            date=draft.date,
            source_url=origin.name,
            per_page_rows=_PAGE_ROWS,
            started_at=time,
            finished_at=time,
            code_version=__version__,
            meta_before=meta,
            meta_after=meta,
            received=verdict.received,
            missing={},
            fields_seen=fields_seen,
            drift=_bad_bytes(version, origin) + drift,
            missing_rows=[],
            proof=Proof(
                records=verdict.records,
                distinct_ids=verdict.received.total,
                records_without_id=verdict.without_id,
                groups_compared=list(GROUPS),
                attempts=1,
            ),
            pages=written,
        )
    )


async def _write_pages(draft: SnapshotWriter, pages: Sequence[Sequence[bytes]]) -> list[Page]:
    started = draft.started
    return [
        await draft.write_page(number, lines, url=started.source_url, status=200, fetched_at=started.started_at)
        for number, lines in enumerate(pages, start=1)
    ]


def _looked_at(
    pages: Sequence[Sequence[bytes]], meta: Meta
) -> tuple[CompletenessResult, dict[str, dict[str, int]], list[SchemaDrift]]:
    """Count what the lines of a snapshot hold, as an extract does: the census, the fields seen, and the drift."""
    census, profiler = CompletenessCheck(), Profiler()
    profiles = []
    for number, lines in enumerate(pages, start=1):
        records = parse_lines(lines)
        census.count(number, lines, records)
        profiles.append(profiler.look(lines, records))
    drift = profiler.deviations(profiles)
    return census.verdict(meta, meta, _PAGE_ROWS), profiler.fields_seen(profiles), drift


def _bad_bytes(version: Version, origin: DatasetVersion) -> list[SchemaDrift]:
    if not version.bad_bytes:
        return []
    return [
        SchemaDrift(name="bad_bytes", detail="no UTF-8, became U+FFFD", count=version.bad_bytes, example=origin.name)
    ]


def _added_up(drift: Sequence[SchemaDrift]) -> list[SchemaDrift]:
    """Add up what deviates in the same way in several snapshots."""
    sums: dict[tuple[str, str], SchemaDrift] = {}
    for found in drift:
        before = sums.get((found.name, found.detail))
        sums[found.name, found.detail] = replace(before, count=before.count + found.count) if before else found
    return [sums[kind] for kind in sorted(sums)]


def _told(result: Backfill) -> JobResult:
    counts = {
        "versions": len(result.versions),
        "new": result.count("new"),
        "there_already": result.count("there already"),
        "held_back": result.count("held back"),
    }
    message = f"{counts['new']} of {counts['versions']} versions are new raw snapshots"
    message += f", {counts['there_already']} were there already, {counts['held_back']} are held back"
    held_back = [f"{version.name}: {version.reason}" for version in result.versions if version.outcome == "held back"]
    check = Check(
        name="every version can be used",
        table="bronze.breweries",
        severity="warning",
        violations=len(held_back),
        example="; ".join(held_back) or None,
    )
    return JobResult(message, counts=counts, checks=[check])


def _text(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")
