"""Page fetcher: concurrent workers fetch the pages of a raw snapshot, which are written, counted and profiled."""

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

_EXTRA_PAGES = 10

Progress = Callable[[int, int], None]


class PageFetcher:
    """Fetch the pages of one snapshot.

    Args:
        progress: Called with the number of pages done and their total.

    Attributes:
        size: Rows per page.
        pages: The pages fetched or resumed so far, by number.
        resumed: Number of pages that an interrupted run had left.
        requested: Number of pages fetched from the source, refetched ones included.
    """

    def __init__(self, pager: Pager, writer: SnapshotWriter, concurrency: int, progress: Progress) -> None:
        self.size = writer.started.page_size_rows
        self.pages: dict[int, Page] = {}
        self.resumed = 0
        self.requested = 0
        self._pager = pager
        self._writer = writer
        self._concurrency = concurrency
        self._progress = progress
        self._completeness = CompletenessCheck()
        self._profiler = Profiler()
        self._profiles: dict[int, Profile] = {}

    def resume(self, total: int) -> None:
        """Keep the intact pages of an interrupted run, when they have the size expected of `total` records."""
        for page, lines in self._writer.intact_pages():
            expected = min(self.size, total - (page.number - 1) * self.size)
            if page.records == expected:
                self._count(page, lines, parse_lines(lines), ())
                self.resumed += 1

    async def fetch_missing(self, total: int) -> None:
        """Fetch the pages that are missing, then further ones until one is empty.

        Args:
            total: Number of records that the source reports.

        Raises:
            PermanentSourceError: A page cannot be fetched.
            BrewhouseError: The lake cannot be written.
        """
        expected = max(-(-total // self.size), 1)
        await self._fetch_all(number for number in range(1, expected + 1) if number not in self.pages)
        number = expected + 1
        while (result := await self._pager.fetch(number, self.size, pages=expected)).lines or result.missing_rows:
            await self.write_page(number, result)
            is_same = number - 1 in self.pages and self.pages[number].sha256 == self.pages[number - 1].sha256
            if is_same or number > 2 * expected + _EXTRA_PAGES:
                return  # a source whose pages never end; the completeness check rejects it
            number += 1

    async def refetch(self, numbers: Iterable[int], total: int) -> None:
        """Fetch some pages again, and any that follow the last one; see `fetch_missing`."""
        for number in numbers:
            self._forget(number)
        await self.fetch_missing(total)

    async def restart(self, total: int) -> None:
        """Fetch all pages again; see `fetch_missing`."""
        self._completeness = CompletenessCheck()
        self._profiles.clear()
        self.pages.clear()
        first, self.size = await self._pager.fetch_first(total)
        await self.write_page(1, first)
        await self.fetch_missing(total)

    async def write_page(self, number: int, result: PageResult) -> None:
        """Write a page and count it; an empty one is not kept, except for the first.

        Raises:
            BrewhouseError: The lake cannot be written.
        """
        self.requested += 1
        if not result.lines and not result.missing_rows and number > 1:
            self._forget(number)
            return
        lines = one_line(result.lines)
        page = await self._writer.write_page(
            number, lines, url=result.url, status=result.status, fetched_at=result.fetched_at
        )
        self._count(page, result.lines, result.records, result.missing_rows)

    def completeness(self, before: Meta, after: Meta) -> CompletenessResult:
        """Compare the pages with the source's own counts before and after."""
        return self._completeness.result(before, after, self.size)

    def fields_seen(self) -> dict[str, dict[str, int]]:
        """Count the JSON types of each field."""
        return self._profiler.fields_seen(self._profiles.values())

    def drift(self) -> list[SchemaDrift]:
        """List the deviations from the contract."""
        return self._profiler.drift(list(self._profiles.values()))

    async def _fetch_all(self, numbers: Iterable[int]) -> None:
        """Fetch pages concurrently; the first failure stops all workers."""
        waiting = list(numbers)
        total = len(self.pages) + len(waiting)
        queue: Iterator[int] = iter(waiting)
        self._progress(len(self.pages), total)

        async def work() -> None:
            for number in queue:
                await self.write_page(number, await self._pager.fetch(number, self.size, pages=total))
                self._progress(min(len(self.pages), total), total)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._concurrency, len(waiting))):
                    group.create_task(work())
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from failures.exceptions[0].__cause__

    def _count(self, page: Page, lines: Sequence[bytes], records: Records, missing_rows: Sequence[int]) -> None:
        self._completeness.count(page.number, lines, records, missing_rows)
        self._profiles[page.number] = self._profiler.profile(lines, records)
        self.pages[page.number] = page

    def _forget(self, number: int) -> None:
        self._completeness.forget(number)
        self._profiles.pop(number, None)
        self.pages.pop(number, None)
