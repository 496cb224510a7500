"""Extract: the API becomes a raw snapshot that is complete, and proven to be.

Pages are taken several at once and written as they come. Then the census compares them with the source's own counts;
what disagrees is taken again, and only what agrees gets a manifest. An interrupted snapshot is gone on with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec

from brewhouse import __version__
from brewhouse.checks.census import PageCensus, Verdict, count_page, take_census
from brewhouse.checks.drift import DriftLog
from brewhouse.errors import BrewhouseError
from brewhouse.lake.lake import Lake
from brewhouse.lake.snapshots import (
    Draft,
    Hole,
    Manifest,
    MetaCounts,
    Page,
    Proof,
    RawSnapshot,
    Started,
    complete_snapshots,
    unfinished,
)
from brewhouse.settings import Settings
from brewhouse.source.client import Client
from brewhouse.source.contract import GROUPS, parse_page
from brewhouse.source.paging import take_page

Progress = Callable[[int, int], None]


class SnapshotIncomplete(BrewhouseError):  # noqa: N818 - the state of the snapshot
    """What was received is not what the source says it has."""


@dataclass(frozen=True)
class Extraction:
    """What an extract did.

    Attributes:
        snapshot: The complete raw snapshot.
        resumed_pages: Pages that an interrupted extract had taken before.
        requested_pages: Pages asked for now.
    """

    snapshot: RawSnapshot
    resumed_pages: int
    requested_pages: int


@dataclass
class _Take:
    """A snapshot being taken: what is known of its pages so far."""

    client: Client
    settings: Settings
    draft: Draft
    before: MetaCounts
    size: int
    progress: Progress
    drift: DriftLog = field(default_factory=DriftLog)
    pages: dict[int, Page] = field(default_factory=dict)
    census: dict[int, PageCensus] = field(default_factory=dict)
    requested: int = 0

    @property
    def page_count(self) -> int:
        """Pages that the source's total fills."""
        return -(-self.before.total // self.size)


def extract(lake: Lake, settings: Settings, run: str, progress: Progress, *, window_s: float = 60.0) -> Extraction:
    """Take a complete raw snapshot.

    Args:
        lake: Gets the snapshot.
        settings: The source and how to ask it.
        run: Id of the run; of the snapshot too, unless an interrupted one is gone on with.
        progress: Told how many pages of how many are there.
        window_s: Length of the source's throttling window in seconds.

    Returns:
        The snapshot, and what it took.

    Raises:
        SourceUnavailable: The source could not be asked.
        SnapshotIncomplete: What came disagrees with the source's own counts, however often it was taken.
    """
    return asyncio.run(_extract(lake, settings, run, progress, window_s))


async def _extract(lake: Lake, settings: Settings, run: str, progress: Progress, window_s: float) -> Extraction:
    async with Client(settings, window_s) as client:
        draft = _interrupted(lake, settings)
        drift = DriftLog()
        if draft is None:
            draft = _begin(lake, settings, run, await _meta(client, drift))
        take = _Take(client, settings, draft, draft.started.meta, settings.per_page_rows, progress, drift)
        resumed = _resume(take)
        for number in range(1, settings.max_takes + 1):
            await _fill(take)
            after = await _meta(client, take.drift)
            verdict = take_census(take.census, take.before, after, take.size)
            if not verdict.differences:
                return Extraction(_complete(take, after, verdict, number), resumed, take.requested)
            if number < settings.max_takes:
                await _forget(take, after, verdict, again=number > 1)
    raise _incomplete(settings, verdict)


def _interrupted(lake: Lake, settings: Settings) -> Draft | None:
    """Find an interrupted snapshot of the same source that is young enough to go on with."""
    oldest = (datetime.now(UTC) - timedelta(hours=settings.resume_within_hours)).isoformat()
    newest = max((snapshot.run for snapshot in complete_snapshots(lake)), default="")
    wanted = (settings.source_url, settings.per_page_rows)
    for draft in reversed(unfinished(lake)):
        started = draft.started
        same = (started.source_url, started.per_page_rows) == wanted
        if same and started.started_at >= oldest and draft.run > newest:
            return draft
    return None


def _begin(lake: Lake, settings: Settings, run: str, meta: MetaCounts) -> Draft:
    now = datetime.now(UTC)
    started = Started(
        source_url=settings.source_url,
        per_page_rows=settings.per_page_rows,
        started_at=now.isoformat(),
        meta=meta,
    )
    draft = Draft(lake, str(now.date()), run, started)
    draft.begin()
    return draft


def _resume(take: _Take) -> int:
    """Keep the pages that an interrupted extract left whole; a short one may be damaged and is taken again."""
    for page, lines in take.draft.read_pages():
        full = page.records == take.size or page.number >= take.page_count
        if full and page.number not in take.pages:
            _keep(take, page, lines)
        else:
            take.draft.discard(page)
    return len(take.pages)


def _keep(take: _Take, page: Page, lines: list[bytes]) -> None:
    _, records = parse_page(b"[" + b",".join(lines) + b"]")
    take.drift.observe(lines, records)
    take.pages[page.number] = page
    take.census[page.number] = count_page(lines, records)


async def _fill(take: _Take) -> None:
    """Take every page that is not there yet, and all that come after the last expected one, up to an empty one."""
    await _learn_page_size(take)
    missing = iter([number for number in range(1, take.page_count + 1) if number not in take.pages])

    async def worker() -> None:
        for number in missing:
            await _take_page(take, number)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(take.settings.concurrency):
                group.create_task(worker())
    except* BrewhouseError as errors:
        raise _first_of(errors) from None
    number = take.page_count + 1
    while await _take_page(take, number):
        number += 1


async def _take_page(take: _Take, number: int) -> int:
    """Take one page and write it.

    Returns:
        How many records it has.
    """
    take.requested += 1
    window = await take_page(take.client, number, take.size, pages=take.page_count, max_holes=take.settings.max_holes)
    if window.lines or window.holes:
        take.drift.observe(window.lines, window.records)
        lines = [line.replace(b"\n", b" ").replace(b"\r", b" ") for line in window.lines]
        take.pages[number] = await asyncio.to_thread(take.draft.write_page, number, window.url, window.taken_at, lines)
        take.census[number] = count_page(lines, window.records, window.holes)
        take.progress(len(take.pages), max(take.page_count, len(take.pages)))
    return len(window.lines)


async def _learn_page_size(take: _Take) -> None:
    """Take the first page alone, to find out whether the service gives fewer rows a page than it was asked for."""
    if 1 in take.pages or take.page_count <= 1:
        return
    count = await _take_page(take, 1)
    if 0 < count < take.size and not take.census[1].hole_offsets and await _take_page(take, 1) == count:
        take.drift.note("per_page_clamped", f"asked for {take.size} rows a page, got {count}")
        take.size = count


async def _meta(client: Client, drift: DriftLog) -> MetaCounts:
    meta, deviations = await client.meta()
    for name in deviations:
        drift.note(name, f"/breweries/meta: {name.replace('_', ' ')}")
    return msgspec.convert(meta, MetaCounts, from_attributes=True)


async def _forget(take: _Take, after: MetaCounts, verdict: Verdict, *, again: bool) -> None:
    """Let go of the pages to take again: those that look wrong, else, or the second time, all of them."""
    some = verdict.concerned and not again and after == take.before
    for number in list(take.pages) if not some else sorted(verdict.concerned & take.pages.keys()):
        take.draft.discard(take.pages.pop(number))
        del take.census[number]
    take.before = after
    if not some:
        take.drift = DriftLog()
        await asyncio.sleep(take.settings.retake_wait_s)
        take.before = await _meta(take.client, take.drift)


def _complete(take: _Take, after: MetaCounts, verdict: Verdict, takes: int) -> RawSnapshot:
    holes = _holes(take, verdict)
    if len(holes) > take.settings.accept_holes:
        places = "; ".join(f"row {hole.position} after {hole.before_id}" for hole in holes)
        raise SnapshotIncomplete(
            f"The source counts {len(holes)} breweries that it cannot give ({places}); the groups lack "
            f"{verdict.missing}. What was taken is kept, nothing is published.",
            hint=f"Run again later, or publish without them: --accept-holes {len(holes)}.",
        )
    proof = Proof(
        records=verdict.records,
        distinct_ids=verdict.received.total,
        records_without_id=verdict.without_id,
        groups_compared=[name for name in GROUPS if getattr(after, name) is not None],
        takes=takes,
    )
    started = take.draft.started
    manifest = Manifest(
        run=take.draft.run,
        date=take.draft.date,
        source_url=started.source_url,
        per_page_rows=take.size,
        started_at=started.started_at,
        finished_at=datetime.now(UTC).isoformat(),
        code_version=__version__,
        meta_before=take.before,
        meta_after=after,
        received=verdict.received,
        missing=verdict.missing,
        fields_seen=take.drift.fields_seen(),
        drift=take.drift.drifts(),
        holes=holes,
        proof=proof,
        pages=[take.pages[number] for number in sorted(take.pages)],
    )
    return take.draft.complete(manifest)


def _holes(take: _Take, verdict: Verdict) -> list[Hole]:
    return [
        Hole(
            position=(number - 1) * take.size + offset + 1,
            before_id=_neighbour(take, number, offset, -1),
            after_id=_neighbour(take, number, offset, +1),
            lacking=verdict.missing,
        )
        for number in sorted(take.census)
        for offset in take.census[number].hole_offsets
    ]


def _neighbour(take: _Take, number: int, offset: int, step: int) -> str | None:
    """Name the record before or after a hole, on its page or the next one."""
    census = take.census[number]
    holes = set(census.hole_offsets)
    rows = len(census.keys) + len(holes)
    place = offset + step
    while place in holes:
        place += step
    if 0 <= place < rows:
        index = place - sum(hole < place for hole in holes)
        return take.draft.record_id(take.pages[number], index)
    other = take.census.get(number + step)
    return (other.last_id if step < 0 else other.first_id) if other else None


def _incomplete(settings: Settings, verdict: Verdict) -> SnapshotIncomplete:
    facts = "; ".join(verdict.differences[:10])
    more = f"; and {len(verdict.differences) - 10} more" if len(verdict.differences) > 10 else ""
    return SnapshotIncomplete(
        f"What {settings.source_url} gave is not what it says it has, though it was taken {settings.max_takes} times: "
        f"{facts}{more}. What was taken is kept, nothing is published.",
        hint="The source may be being updated: run again in some minutes.",
    )


def _first_of(errors: BaseExceptionGroup[BrewhouseError]) -> BrewhouseError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, BrewhouseError)
    return error
