"""Extract: fetch every brewery from the API into a raw snapshot, verbatim and proven complete.

The received records are compared with the source's own counts, before and after. When they disagree, the suspect pages
are fetched again, then all pages. When they agree, some pages are fetched again and compared, since a brewery that
replaces another one of its type, country and state changes no count. Only then a manifest makes the snapshot exist.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from brewhouse import __version__
from brewhouse.api.client import Client
from brewhouse.api.pages import Pager
from brewhouse.api.rate_limit import WINDOW_S
from brewhouse.checks.completeness import CompletenessResult
from brewhouse.errors import BrewhouseError
from brewhouse.ids import later
from brewhouse.lake.manifest import Manifest
from brewhouse.lake.raw_snapshots import RawSnapshot, complete_runs, find
from brewhouse.lake.snapshot_writer import ResumeInfo, SnapshotWriter, find_resumable
from brewhouse.pipeline.page_fetcher import PageFetcher
from brewhouse.pipeline.run_context import JobResult, RunContext
from brewhouse.source import Meta, SchemaDrift

_DIFFERENCES_SHOWN = 6

_log = logging.getLogger(__name__)


class SnapshotIncomplete(BrewhouseError):  # noqa: N818 - the state of the snapshot
    """The received records disagree with the source's counts or pages in every attempt."""


@dataclass(frozen=True)
class Extraction:
    """The result of an extract."""

    snapshot: RawSnapshot
    resumed_pages: int
    requested_pages: int


def extract(context: RunContext) -> JobResult:
    """Fetch every brewery from the source into a raw snapshot; see `fetch_snapshot` for the errors."""
    done = fetch_snapshot(context)
    missing = done.snapshot.manifest.missing_rows
    context.emit_drift(
        [SchemaDrift("hole", "the source cannot return a row", 1, msgspec.json.encode(row).decode()) for row in missing]
    )
    context.raw_snapshot = done.snapshot.run
    message = f"snapshot {done.snapshot.run} is complete: {done.snapshot.records} records"
    if done.resumed_pages:
        message += f"; {done.resumed_pages} pages resumed"
    if missing:
        message += f"; {len(missing)} rows are missing, which the source cannot return"
    return JobResult(
        message,
        counts={
            "records": done.snapshot.records,
            "requested_pages": done.requested_pages,
            "resumed_pages": done.resumed_pages,
            "holes": len(missing),
        },
        raw_snapshot=done.snapshot.run,
    )


def fetch_snapshot(context: RunContext, *, rate_limit_window_s: float = WINDOW_S) -> Extraction:
    """Fetch a complete raw snapshot, or return the run's own one if it is complete already.

    An interrupted snapshot of the same source is resumed, and keeps its own run id. A new one has the id of the run, or
    the next after the newest snapshot's if a wrong clock dated that one later.

    Raises:
        PermanentSourceError: The source is unavailable, or does not keep its contract.
        SnapshotIncomplete: The received records disagree with the source's counts or pages; nothing is published.
        BrewhouseError: The lake cannot be written.
    """
    runs = complete_runs(context.lake)
    if context.run in runs:
        return Extraction(find(context.lake, context.run), resumed_pages=0, requested_pages=0)
    return asyncio.run(_Extract(context, runs[-1] if runs else "").run(rate_limit_window_s))


class _Extract:
    """One extract, with the state that its attempts share."""

    def __init__(self, context: RunContext, newest: str) -> None:
        self._context = context
        self._newest = newest
        self._lake = context.lake
        self._settings = context.settings
        self._meta_deviations: Counter[str] = Counter()
        self._attempts = 1

    async def run(self, rate_limit_window_s: float) -> Extraction:
        async with Client(self._settings, rate_limit_window_s) as client:
            writer, fetcher = await self._start(client)
            try:
                before, after, result = await self._fetch_until_complete(client, writer, fetcher)
            finally:
                self._context.emit_drift(self._drift(writer, fetcher, writer.started.meta_before))
        self._check_missing_rows(result, fetcher.pager.last_failure)
        snapshot = writer.complete(self._manifest(writer, fetcher, before, after, result))
        return Extraction(snapshot, fetcher.resumed, fetcher.requested)

    async def _start(self, client: Client) -> tuple[SnapshotWriter, PageFetcher]:
        """Resume an interrupted snapshot, or start a new one with its first page."""
        settings = self._settings
        pager = Pager(client, settings)
        source = str(settings.source_url)
        writer = find_resumable(self._lake, source, settings.per_page_rows, settings.resume_max_age_hours)
        if writer is not None:
            fetcher = PageFetcher(pager, writer, settings.concurrency, self._context.emit_pages)
            fetcher.resume(writer.started.meta_before.total)
            return writer, fetcher
        started_at = _now()
        meta = await self._meta(client)
        first, size = await pager.fetch_first(meta.total)
        started = ResumeInfo(
            source_url=source,
            per_page_rows=settings.per_page_rows,
            page_size_rows=size,
            started_at=started_at,
            meta_before=meta,
        )
        self._context.check_clock(self._newest, "newest raw snapshot")
        writer = SnapshotWriter(self._lake, later(self._context.run, self._newest), started)
        writer.start()
        fetcher = PageFetcher(pager, writer, settings.concurrency, self._context.emit_pages)
        await fetcher.write_page(1, first)
        return writer, fetcher

    async def _fetch_until_complete(
        self, client: Client, writer: SnapshotWriter, fetcher: PageFetcher
    ) -> tuple[Meta, Meta, CompletenessResult]:
        """Fetch the missing pages, then refetch suspect ones, or all, up to the maximum number of attempts."""
        settings = self._settings
        before = writer.started.meta_before
        await fetcher.fetch_missing(before.total)
        was_partial = False
        while True:
            after = await self._meta(client)
            result = fetcher.completeness(before, after)
            differences = result.differences or await fetcher.changes(settings.compared_pages)
            if not differences:
                return before, after, result
            if self._attempts >= settings.max_extract_attempts:
                raise self._incomplete(differences)
            _log.warning("attempt %d of %d: %s", self._attempts, settings.max_extract_attempts, differences[0])
            self._attempts += 1
            is_last = self._attempts == settings.max_extract_attempts
            is_partial = bool(result.differences and result.suspect_pages) and before == after
            was_partial = is_partial and not was_partial and not is_last
            before = after
            if was_partial:
                await fetcher.refetch(result.suspect_pages, after.total)
            else:
                await asyncio.sleep(settings.extract_retry_wait_s)
                await fetcher.restart(after.total)

    async def _meta(self, client: Client) -> Meta:
        meta, deviations = await client.meta()
        self._meta_deviations.update(deviations)
        return meta

    def _incomplete(self, differences: list[str]) -> SnapshotIncomplete:
        shown = "; ".join(differences[:_DIFFERENCES_SHOWN])
        more = len(differences) - _DIFFERENCES_SHOWN
        return SnapshotIncomplete(
            f"The snapshot of {self._settings.source_url} disagrees with the source after "
            f"{self._attempts} attempt(s): {shown}{f'; and {more} more differences' if more > 0 else ''}. "
            "Fetched pages are kept; nothing was published.",
            hint="The source may be changing at the moment: run again in a few minutes.",
        )

    def _check_missing_rows(self, result: CompletenessResult, last_failure: str) -> None:
        """Reject a snapshot that lacks more breweries than the settings allow."""
        if len(result.missing_rows) <= self._settings.max_missing_rows:
            return
        positions = "; ".join(
            f"row {row.position}, between ids {row.before_id!s:.80} and {row.after_id!s:.80}"
            for row in result.missing_rows[:_DIFFERENCES_SHOWN]
        )
        others = "; and others" if len(result.missing_rows) > _DIFFERENCES_SHOWN else ""
        groups = [f"{name} {value!r:.80}" for name, counts in result.missing.items() for value in counts]
        raise SnapshotIncomplete(
            f"{self._settings.source_url} cannot return {len(result.missing_rows)} of the breweries it counts: "
            f"{positions}{others}. They are missing in {', '.join(groups) or 'no group of /meta'}. "
            f"Fetched pages are kept; nothing was published. The last failure: {last_failure}",
            hint=f"Publish without them with --max-missing-rows {len(result.missing_rows)}.",
        )

    def _manifest(
        self, writer: SnapshotWriter, fetcher: PageFetcher, before: Meta, after: Meta, result: CompletenessResult
    ) -> Manifest:
        return Manifest(
            run=writer.run,
            date=writer.date,
            source_url=writer.started.source_url,
            per_page_rows=writer.started.per_page_rows,
            started_at=writer.started.started_at,
            finished_at=_now(),
            code_version=__version__,
            meta_before=before,
            meta_after=after,
            received=result.received,
            missing=result.missing,
            fields_seen=fetcher.profiler.fields_seen(),
            drift=self._drift(writer, fetcher, after),
            missing_rows=result.missing_rows,
            proof=msgspec.structs.replace(result.proof, attempts=self._attempts, compared_pages=fetcher.compared),
            pages=[page for _, page in sorted(fetcher.pages.items())],
        )

    def _drift(self, writer: SnapshotWriter, fetcher: PageFetcher, meta: Meta) -> list[SchemaDrift]:
        drift = [
            SchemaDrift(name=name, detail="/breweries/meta", count=count, example=f"total {meta.total}")
            for name, count in sorted(self._meta_deviations.items())
        ]
        if fetcher.size < writer.started.per_page_rows:
            sizes = f"{writer.started.per_page_rows} to {fetcher.size}"
            example = next((page.url for page in fetcher.pages.values()), "")
            drift.append(SchemaDrift("per_page_clamped", sizes, len(fetcher.pages), example))
        return drift + fetcher.profiler.drift()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
