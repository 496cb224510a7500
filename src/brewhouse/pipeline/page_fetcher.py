"""Taking pages into a raw snapshot: fetched by a few workers, written, counted and looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence

from brewhouse.api.client import PageResult
from brewhouse.api.contract import Records, one_line, parse_lines
from brewhouse.api.pages import Pager
from brewhouse.api.schema_drift import Profile, Profiler
from brewhouse.checks.completeness import CompletenessCheck, CompletenessResult
from brewhouse.lake.manifest import Page
from brewhouse.lake.snapshot_writer import SnapshotWriter
from brewhouse.source import Meta, SchemaDrift

_MORE_PAGES = 10

Progress = Callable[[int, int], None]


class PageFetcher:
    """The pages of one snapshot, as far as they are taken.

    Args:
        pager: Takes pages from the source.
        draft: Where they are written.
        concurrency: How many are taken at once.
        progress: Told how many pages of how many are there.

    Attributes:
        size: Records in a full page.
        pages: What was taken, by number.
        resumed: How many pages were there already.
        requested: How many pages were taken from the source.
    """

    def __init__(self, pager: Pager, draft: SnapshotWriter, concurrency: int, progress: Progress) -> None:
        self.size = draft.started.page_size_rows
        self.pages: dict[int, Page] = {}
        self.resumed = 0
        self.requested = 0
        self._pager = pager
        self._draft = draft
        self._concurrency = concurrency
        self._progress = progress
        self._census = CompletenessCheck()
        self._profiler = Profiler()
        self._profiles: dict[int, Profile] = {}

    def resume(self, total: int) -> None:
        """Count the pages that an interrupted run left whole.

        Args:
            total: Records the source said it had.
        """
        for page, lines in self._draft.intact_pages():
            expected = min(self.size, total - (page.number - 1) * self.size)
            if page.records != expected:
                continue
            self._count(page, lines, parse_lines(lines), ())
            self.resumed += 1

    async def fetch_missing(self, total: int) -> None:
        """Take the pages that are not there yet, and go on until one is empty.

        Args:
            total: Records the source says it has.

        Raises:
            SourceUnavailable: A page cannot be had.
            BrewhouseError: The lake cannot be written.
        """
        expected = max(-(-total // self.size), 1)
        await self._all(number for number in range(1, expected + 1) if number not in self.pages)
        number = expected + 1
        while (window := await self._pager.take(number, self.size, pages=expected)).lines or window.missing_rows:
            await self.write_page(number, window)
            is_same = number - 1 in self.pages and self.pages[number].sha256 == self.pages[number - 1].sha256
            if is_same or number > 2 * expected + _MORE_PAGES:
                return  # a source that gives pages for ever; the census refuses it
            number += 1

    async def refetch(self, numbers: Iterable[int], total: int) -> None:
        """Take some pages once more, and look whether there are more than before.

        Args:
            numbers: Of the pages.
            total: Records the source says it has.

        Raises:
            SourceUnavailable: A page cannot be had.
            BrewhouseError: The lake cannot be written.
        """
        for number in numbers:
            self._forget(number)
        await self.fetch_missing(total)

    async def restart(self, total: int) -> None:
        """Take the whole once more.

        Args:
            total: Records the source says it has.

        Raises:
            SourceUnavailable: A page cannot be had.
            BrewhouseError: The lake cannot be written.
        """
        self._census.clear()
        self._profiles.clear()
        self.pages.clear()
        first, self.size = await self._pager.first(total)
        await self.write_page(1, first)
        await self.fetch_missing(total)

    async def write_page(self, number: int, window: PageResult) -> None:
        """Write a page and count it; one without records is nothing to keep, but for the first.

        Args:
            number: From 1.
            window: What was taken.

        Raises:
            BrewhouseError: The lake cannot be written.
        """
        self.requested += 1
        if not window.lines and not window.missing_rows and number > 1:
            self._forget(number)
            return
        lines = one_line(window.lines)
        page = await self._draft.write_page(
            number, lines, url=window.url, status=window.status, fetched_at=window.fetched_at
        )
        self._count(page, window.lines, window.records, window.missing_rows)

    def verdict(self, before: Meta, after: Meta) -> CompletenessResult:
        """Compare what was taken with the source's own counts."""
        return self._census.verdict(before, after, self.size)

    def fields_seen(self) -> dict[str, dict[str, int]]:
        """Count, by field, how often it had which JSON type."""
        return self._profiler.fields_seen(self._profiles.values())

    def drift(self) -> list[SchemaDrift]:
        """List what deviates from the contract."""
        return self._profiler.deviations(list(self._profiles.values()))

    async def _all(self, numbers: Iterable[int]) -> None:
        """Take pages, some at once; the first failure stops them all."""
        waiting = list(numbers)
        total = len(self.pages) + len(waiting)
        queue: Iterator[int] = iter(waiting)
        self._progress(len(self.pages), total)

        async def work() -> None:
            for number in queue:
                await self.write_page(number, await self._pager.take(number, self.size, pages=total))
                self._progress(min(len(self.pages), total), total)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._concurrency, len(waiting))):
                    group.create_task(work())
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from failures.exceptions[0].__cause__

    def _count(self, page: Page, lines: Sequence[bytes], records: Records, missing_rows: Sequence[int]) -> None:
        self._census.count(page.number, lines, records, missing_rows)
        self._profiles[page.number] = self._profiler.look(lines, records)
        self.pages[page.number] = page

    def _forget(self, number: int) -> None:
        self._census.forget(number)
        self._profiles.pop(number, None)
        self.pages.pop(number, None)
