"""Fetch pages; a page that fails is split into smaller ones, down to the rows that the source cannot return."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from brewhouse.api.client import Client, PageResult
from brewhouse.api.contract import parse_lines
from brewhouse.api.source_errors import SourceError, SourceUnavailable, UnusableResponseError
from brewhouse.settings import Settings

_ATTEMPTS_PER_PART = 2


@dataclass(frozen=True)
class PageRange:
    """A range of rows that the API can address: page number, from 1, and page size."""

    page: int
    size: int

    @property
    def start(self) -> int:
        """Position of its first row in the order of ids, from 0."""
        return (self.page - 1) * self.size

    def split(self) -> Iterator[PageRange]:
        """Divide it into the fewest equal ranges that the API can address.

        Example:
            >>> list(PageRange(page=2, size=25).split())[:2]
            [PageRange(page=6, size=5), PageRange(page=7, size=5)]
        """
        factor = next(number for number in range(2, self.size + 1) if self.size % number == 0)
        for number in range(factor):
            yield PageRange((self.page - 1) * factor + number + 1, self.size // factor)


class Pager:
    """Fetch the pages of one source, and probe failing ones for missing rows; `last_failure` explains the last one."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self.last_failure = ""
        self._last_success: PageRange | None = None
        self._missing_rows: dict[int, int] = {}

    async def fetch_first(self, total: int) -> tuple[PageResult, int]:
        """Fetch page 1, and return the rows per page: fewer than `per_page_rows` when the source silently caps it.

        Raises:
            PermanentSourceError: The page cannot be fetched.
        """
        requested = self._settings.per_page_rows
        result = await self.fetch(1, requested, pages=-(-total // requested))
        rows = len(result.lines)
        if result.missing_rows or rows == 0 or rows >= min(requested, total):
            return result, requested
        second = await self._client.page(1, requested)
        return second, rows if len(second.lines) == rows else requested

    async def fetch(self, page: int, size: int, *, pages: int) -> PageResult:
        """Fetch a page, or the rows of it that the source can return.

        Raises:
            PermanentSourceError: The page cannot be fetched, and individual rows are not the cause.
        """
        whole = PageRange(page, size)
        try:
            result = await self._client.page(page, size)
        except UnusableResponseError as error:
            if not await self._is_source_up(whole, pages):
                raise
            result = await self._fetch_in_parts(whole, error)
        else:
            if result.lines:
                self._last_success = whole
        self._missing_rows[page] = len(result.missing_rows)
        return result

    async def _is_source_up(self, failed: PageRange, pages: int) -> bool:
        """Check that a request other than the failed one succeeds.

        Single rows are among them, as each of the other pages may have a poisoned row too.
        """
        size = failed.size
        ranges = [self._last_success, PageRange(1, size), PageRange(2, size), PageRange(pages, size)]
        ranges += [PageRange(failed.start + 1, 1), PageRange(failed.start + size // 2 + 1, 1)]
        probes: list[Callable[[], Awaitable[object]]] = [
            partial(self._client.page, part.page, part.size, _ATTEMPTS_PER_PART)
            for part in dict.fromkeys(ranges)
            if part and part != failed
        ]
        for probe in probes if pages > 1 else [self._client.meta]:
            with suppress(SourceError):
                await probe()
                return True
        return False

    async def _fetch_in_parts(self, whole: PageRange, cause: UnusableResponseError) -> PageResult:
        """Fetch a range by its parts, splitting those that fail; a single row that fails is missing."""
        lines: list[bytes] = []
        missing_rows: list[int] = []
        fetched_at = ""
        stack = [whole] if whole.size == 1 else list(whole.split())[::-1]
        while stack:
            part = stack.pop()
            attempts = None if part.size == 1 else min(_ATTEMPTS_PER_PART, self._settings.max_attempts)
            try:
                result = await self._client.page(part.page, part.size, attempts)
            except UnusableResponseError as error:
                if part.size > 1:
                    stack.extend(reversed(list(part.split())))
                else:
                    missing_rows.append(part.start - whole.start)
                    self.last_failure = error.what
                    self._check_probe_limit(whole, len(missing_rows), cause)
            else:
                fetched_at = result.fetched_at
                lines += result.lines
        url = self._client.page_url(whole.page, whole.size)
        return PageResult(url, cause.status or 500, fetched_at, lines, parse_lines(lines), missing_rows)

    def _check_probe_limit(self, whole: PageRange, missing_rows: int, cause: UnusableResponseError) -> None:
        self._missing_rows[whole.page] = missing_rows
        limit = max(self._settings.missing_row_probe_limit, self._settings.max_missing_rows)
        if sum(self._missing_rows.values()) > limit:
            raise SourceUnavailable(
                f"The source cannot return more than {limit} rows, the last of them in page {whole.page}. {cause.what}",
                hint="The source is broken: run again later, fetched pages are kept; or raise missing_row_probe_limit.",
            ) from cause
