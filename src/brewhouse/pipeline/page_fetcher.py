"""Page fetcher: concurrent workers fetch the pages of a raw snapshot, which are written, counted and profiled."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from itertools import takewhile

from brewhouse.api.client import PageResult
from brewhouse.api.contract import Records, one_line, parse_page
from brewhouse.api.pages import Pager
from brewhouse.api.schema_drift import Profiler
from brewhouse.api.source_errors import BadResponseError
from brewhouse.checks.completeness import CompletenessCheck, CompletenessResult
from brewhouse.lake.manifest import Page
from brewhouse.lake.snapshot_writer import SnapshotWriter, page_content
from brewhouse.source import Meta

_EXTRA_PAGES = 10
_FEW_PAGES = 4

Progress = Callable[[int, int], None]


class PageFetcher:
    """Fetch the pages of one snapshot.

    Attributes:
        pages: The pages fetched or resumed so far, by number.
        resumed: Number of pages that an interrupted run had left.
        requested: Number of pages fetched from the source, refetched ones included.
        compared: Numbers of the pages that `changes` compared with the source.
        profiler: Knows the fields of the pages, and their deviations from the contract.
    """

    def __init__(self, pager: Pager, writer: SnapshotWriter, concurrency: int, progress: Progress) -> None:
        self.size = writer.started.page_size_rows
        self.pages: dict[int, Page] = {}
        self.resumed = 0
        self.requested = 0
        self.compared: list[int] = []
        self._end = math.inf  # the first page known to be past the last one
        self.pager = pager
        self._writer = writer
        self._concurrency = concurrency
        self._progress = progress
        self._completeness = CompletenessCheck()
        self.profiler = Profiler()

    def resume(self, total: int) -> None:
        """Keep the readable pages of an interrupted run, when they have the size expected of `total` records."""
        for page, lines in self._writer.intact_pages():
            expected = min(self.size, total - (page.number - 1) * self.size)
            with suppress(BadResponseError):
                if page.records == expected:
                    self._count(page, lines, parse_page(b"[%b]" % b",".join(lines))[1], ())
                    self.resumed += 1

    async def fetch_missing(self, total: int) -> None:
        """Fetch the pages that are missing, then further ones until one is empty.

        An empty page ends the snapshot, however many records the source reports, as do pages that mostly repeat others.

        Raises:
            PermanentSourceError: A page cannot be fetched.
            BrewhouseError: The lake cannot be written.
        """
        expected = max(-(-total // self.size), 1)

        async def fetch(number: int) -> None:
            result = await self.pager.fetch(number, self.size, pages=expected)
            if result.lines or result.missing_rows:
                await self.write_page(number, result)
                self._progress(min(len(self.pages), expected), expected)
            else:
                self._forget(number)
                self._end = min(self._end, number)

        # Not a list, as it may be huge. The page that ends the snapshot is fetched at the same time as the last ones.
        missing = (number for number in range(1, expected + 2) if number not in self.pages)
        self._progress(min(len(self.pages), expected), expected)
        await self._for_each(takewhile(lambda number: number < self._end, missing), fetch)
        number = expected + 2
        while number < min(self._end, 2 * expected + _EXTRA_PAGES):
            await fetch(number)
            number += 1

    async def refetch(self, numbers: Iterable[int], total: int) -> None:
        """Fetch some pages again, and any that follow the last one; see `fetch_missing`."""
        for number in numbers:
            self._forget(number)
        self._end = math.inf
        await self.fetch_missing(total)

    async def restart(self, total: int) -> None:
        """Fetch all pages again; see `fetch_missing`."""
        self._completeness, self.profiler = CompletenessCheck(), Profiler()
        self.pages.clear()
        self._end = math.inf
        first, self.size = await self.pager.fetch_first(total)
        await self.write_page(1, first)
        await self.fetch_missing(total)

    async def write_page(self, number: int, result: PageResult) -> None:
        """Write a page and count it."""
        self.requested += 1
        lines = one_line(result.lines)
        page = await self._writer.write_page(
            number, lines, url=result.url, status=result.status, fetched_at=result.fetched_at
        )
        self._count(page, result.lines, result.records, result.missing_rows)
        count = len(self.pages)
        is_due = count >= _FEW_PAGES and count.bit_count() == 1  # rarely, as it takes as long as counting all pages
        if is_due and self._completeness.is_repetitive():
            self._end = min(self._end, number + 1)

    async def changes(self, limit: int) -> list[str]:
        """Fetch about `limit` pages again, see `sample`, and return a sentence per page whose records have changed."""
        changed: list[int] = []

        async def compare(number: int) -> None:
            result = await self.pager.fetch(number, self.size, pages=len(self.pages))
            content = page_content(one_line(result.lines))
            if hashlib.sha256(content).hexdigest() != self.pages[number].sha256:
                changed.append(number)

        # A page with missing rows takes too many requests.
        self.compared = sample([number for number, page in sorted(self.pages.items()) if page.status == 200], limit)
        await self._for_each(self.compared, compare)
        return [f"page {number} has changed since it was fetched" for number in sorted(changed)]

    def completeness(self, before: Meta, after: Meta) -> CompletenessResult:
        """Compare the pages with the source's own counts before and after."""
        return self._completeness.result(before, after, self.size)

    async def _for_each(self, numbers: Iterable[int], fetch: Callable[[int], Awaitable[None]]) -> None:
        """Fetch pages concurrently; the first failure stops all workers."""
        queue = iter(numbers)

        async def work() -> None:
            for number in queue:
                await fetch(number)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._concurrency):
                    group.create_task(work())
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from failures.exceptions[0].__cause__

    def _count(self, page: Page, lines: Sequence[bytes], records: Records, missing_rows: Sequence[int]) -> None:
        self._completeness.count(page.number, lines, records, missing_rows)
        self.profiler.count(page.number, lines, records)
        self.pages[page.number] = page

    def _forget(self, number: int) -> None:
        self._completeness.forget(number)
        self.profiler.forget(number)
        self.pages.pop(number, None)


def sample(numbers: Sequence[int], limit: int) -> list[int]:
    """Choose about `limit` pages at equal distances, the first two and the last among them; all of up to twice as many.

    Example:
        >>> sample(range(1, 61), 5), sample(range(1, 4), 5), sample(range(1, 4), 0)
        ([1, 2, 13, 25, 37, 49, 60], [1, 2, 3], [])
    """
    step = -(-len(numbers) // limit) if limit and len(numbers) > 2 * limit else 1
    return sorted({*numbers[::step], *numbers[1:2], *numbers[-1:]}) if limit else []
