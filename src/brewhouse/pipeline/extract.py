"""Extract: the API's breweries become a raw snapshot, byte for byte, and proven complete.

What was received is counted and compared with what the source says of itself, before and after. A disagreement is
taken again: first the pages that look wrong, then the whole. Only a snapshot that agrees gets a manifest, and exists.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from brewhouse import __version__
from brewhouse.api.client import Client
from brewhouse.api.pages import Pager
from brewhouse.api.rate_limit import WINDOW_S
from brewhouse.checks.completeness import GROUPS, CompletenessResult
from brewhouse.errors import BrewhouseError
from brewhouse.events.details import PagesFetched
from brewhouse.lake.lake import Lake
from brewhouse.lake.manifest import Manifest, Proof
from brewhouse.lake.raw_snapshots import RawSnapshot, complete_runs, find
from brewhouse.lake.snapshot_writer import ResumeInfo, SnapshotWriter, find_resumable
from brewhouse.pipeline.page_fetcher import PageFetcher
from brewhouse.pipeline.run_context import JobResult, RunContext
from brewhouse.settings import Settings
from brewhouse.source import Meta, SchemaDrift

_DIFFERENCES_SHOWN = 6


class SnapshotIncomplete(BrewhouseError):  # noqa: N818 - the state of the snapshot
    """What was received is not what the source says it has, however often it was taken."""


@dataclass(frozen=True)
class Extraction:
    """What an extract did.

    Attributes:
        snapshot: The complete raw snapshot.
        resumed_pages: Pages an interrupted run had left.
        requested_pages: Pages taken from the source, those taken again included.
        already_done: Whether there was nothing to do.
    """

    snapshot: RawSnapshot
    resumed_pages: int
    requested_pages: int
    already_done: bool


def _silent(*_: object) -> None:
    """Show nothing."""


def extract(
    lake: Lake,
    settings: Settings,
    run: str,
    progress: Callable[[int, int], None] = _silent,
    record_drift: Callable[[list[SchemaDrift]], None] = _silent,
    *,
    throttle_window_s: float = WINDOW_S,
) -> Extraction:
    """Take every brewery from the source into a raw snapshot.

    An interrupted snapshot of the same source is gone on with; it keeps its own run id.

    Args:
        lake: Gets the snapshot.
        settings: The source, and how it is asked.
        run: Id of this run; ids sort by time.
        progress: Told how many pages of how many are there.
        record_drift: Told what deviates from the contract, as far as it was seen, before a failure stops the job.
        throttle_window_s: Length of the source's throttling window in seconds.

    Returns:
        The snapshot and what it took; nothing is done when this run's snapshot is complete already.

    Raises:
        SourceUnavailable: The source does not answer, or not with what it should.
        SnapshotIncomplete: What was received is not what the source says it has. Nothing is published.
        BrewhouseError: The lake cannot be written.
    """
    if run in complete_runs(lake):
        return Extraction(find(lake, run), resumed_pages=0, requested_pages=0, already_done=True)
    return asyncio.run(_Extract(lake, settings, run, progress, record_drift).run(throttle_window_s))


def extract_job(context: RunContext) -> JobResult:
    """Extract as a job of a run, with its progress and drift as events."""
    done = extract(
        context.lake,
        context.settings,
        context.run,
        lambda pages, total: context.emit(PagesFetched(done=pages, total=total)),
        context.emit_drift,
    )
    manifest = done.snapshot.manifest
    context.emit_drift(
        [
            SchemaDrift("hole", "the source cannot return a row", 1, msgspec.json.encode(row).decode())
            for row in manifest.missing_rows
        ]
    )
    message = f"snapshot {done.snapshot.run} is complete: {done.snapshot.records} records"
    if done.resumed_pages:
        message += f"; {done.resumed_pages} pages resumed"
    if manifest.missing_rows:
        message += f"; {len(manifest.missing_rows)} rows are missing, which the source cannot return"
    return JobResult(
        message=message,
        counts={
            "records": done.snapshot.records,
            "requested_pages": done.requested_pages,
            "resumed_pages": done.resumed_pages,
            "holes": len(manifest.missing_rows),
        },
    )


class _Extract:
    """One extract: what it was told, and what it learns on the way."""

    def __init__(
        self,
        lake: Lake,
        settings: Settings,
        run: str,
        progress: Callable[[int, int], None],
        record_drift: Callable[[list[SchemaDrift]], None],
    ) -> None:
        self._lake = lake
        self._settings = settings
        self._run = run
        self._progress = progress
        self._record_drift = record_drift
        self._deviations: Counter[str] = Counter()
        self._takes = 1

    async def run(self, throttle_window_s: float) -> Extraction:
        async with Client(self._settings, throttle_window_s) as client:
            draft, taking = await self._begin(client)
            try:
                before, after, verdict = await self._until_complete(client, draft, taking)
            finally:
                self._record_drift(self._drift(draft, taking, draft.started.meta_before))
        self._accept(verdict)
        manifest = self._manifest(draft, taking, before, after, verdict)
        snapshot = draft.complete(manifest)
        return Extraction(snapshot, taking.resumed, taking.requested, already_done=False)

    async def _begin(self, client: Client) -> tuple[SnapshotWriter, PageFetcher]:
        """Go on with an interrupted snapshot, or begin a new one with its first page."""
        settings = self._settings
        pager = Pager(client, settings)
        draft = find_resumable(self._lake, settings.source_url, settings.per_page_rows, settings.resume_max_age_hours)
        if draft is not None:
            taking = PageFetcher(pager, draft, settings.concurrency, self._progress)
            taking.resume(draft.started.meta_before.total)
            return draft, taking
        started_at = _now()
        meta = await self._meta(client)
        first, size = await pager.first(meta.total)
        started = ResumeInfo(
            source_url=settings.source_url,
            per_page_rows=settings.per_page_rows,
            page_size_rows=size,
            started_at=started_at,
            meta_before=meta,
        )
        draft = SnapshotWriter(self._lake, self._run, started)
        draft.start()
        taking = PageFetcher(pager, draft, settings.concurrency, self._progress)
        await taking.write_page(1, first)
        return draft, taking

    async def _until_complete(
        self, client: Client, draft: SnapshotWriter, taking: PageFetcher
    ) -> tuple[Meta, Meta, CompletenessResult]:
        """Take what is missing, then again what disagrees, as often as the settings allow."""
        settings = self._settings
        before = draft.started.meta_before
        await taking.fetch_missing(before.total)
        was_partial = False
        while True:
            after = await self._meta(client)
            verdict = taking.verdict(before, after)
            if not verdict.differences:
                return before, after, verdict
            if self._takes >= settings.max_extract_attempts:
                raise self._incomplete(verdict)
            self._takes += 1
            is_last = self._takes == settings.max_extract_attempts
            was_partial = bool(verdict.concerned) and before == after and not was_partial and not is_last
            before = after
            if was_partial:
                await taking.refetch(verdict.concerned, after.total)
            else:
                await asyncio.sleep(settings.extract_retry_wait_s)
                await taking.restart(after.total)

    async def _meta(self, client: Client) -> Meta:
        meta, deviations = await client.meta()
        self._deviations.update(deviations)
        return meta

    def _incomplete(self, verdict: CompletenessResult) -> SnapshotIncomplete:
        shown = "; ".join(verdict.differences[:_DIFFERENCES_SHOWN])
        more = len(verdict.differences) - _DIFFERENCES_SHOWN
        return SnapshotIncomplete(
            f"The snapshot of {self._settings.source_url} is not what the source says it has, after {self._takes} "
            f"take(s): {shown}{f'; and {more} more differences' if more > 0 else ''}. "
            "What was taken is kept; nothing was published.",
            hint="The source may be changing just now: run again in some minutes.",
        )

    def _accept(self, verdict: CompletenessResult) -> None:
        """Let a snapshot pass only when it lacks no more breweries than were accepted."""
        if len(verdict.missing_rows) <= self._settings.max_missing_rows:
            return
        places = "; ".join(
            f"row {hole.position}, between ids {hole.before_id} and {hole.after_id}"
            for hole in verdict.missing_rows[:_DIFFERENCES_SHOWN]
        )
        raise SnapshotIncomplete(
            f"{self._settings.source_url} cannot give {len(verdict.missing_rows)} of the breweries it counts: {places}"
            f"{'; and others' if len(verdict.missing_rows) > _DIFFERENCES_SHOWN else ''}. They are missing in "
            f"{_words(verdict.missing)}. What was taken is kept; nothing was published.",
            hint=f"Publish without them with --max-missing-rows {len(verdict.missing_rows)}.",
        )

    def _manifest(
        self, draft: SnapshotWriter, taking: PageFetcher, before: Meta, after: Meta, verdict: CompletenessResult
    ) -> Manifest:
        return Manifest(
            run=draft.run,
            date=draft.date,
            source_url=draft.started.source_url,
            per_page_rows=draft.started.per_page_rows,
            started_at=draft.started.started_at,
            finished_at=_now(),
            code_version=__version__,
            meta_before=before,
            meta_after=after,
            received=verdict.received,
            missing=verdict.missing,
            fields_seen=taking.fields_seen(),
            drift=self._drift(draft, taking, after),
            missing_rows=verdict.missing_rows,
            proof=Proof(
                records=verdict.records,
                distinct_ids=verdict.received.total,
                records_without_id=verdict.without_id,
                groups_compared=[name for name in GROUPS if getattr(after, name) is not None],
                attempts=self._takes,
            ),
            pages=[page for _, page in sorted(taking.pages.items())],
        )

    def _drift(self, draft: SnapshotWriter, taking: PageFetcher, meta: Meta) -> list[SchemaDrift]:
        drift = [
            SchemaDrift(name=name, detail="/breweries/meta", count=count, example=f"total {meta.total}")
            for name, count in sorted(self._deviations.items())
        ]
        if taking.size < draft.started.per_page_rows:
            drift.append(
                SchemaDrift(
                    name="per_page_clamped",
                    detail=f"{draft.started.per_page_rows} to {taking.size}",
                    count=len(taking.pages),
                    example=next((page.url for page in taking.pages.values()), ""),
                )
            )
        return drift + taking.drift()


def _words(missing: dict[str, dict[str, int]]) -> str:
    groups = [f"{name} {value!r}" for name, counts in missing.items() for value in counts]
    return ", ".join(groups) or "no group of /meta"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
