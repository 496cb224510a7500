"""Taking pages, even when a row in one makes the source fail: smaller and smaller windows, down to that row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from brewhouse.api.client import Client, PageResult, SourceUnavailable
from brewhouse.api.contract import parse_lines
from brewhouse.settings import Settings

_TRIES_PER_PART = 2


@dataclass(frozen=True)
class PageRange:
    """A part of a page that can be asked for by itself.

    Attributes:
        page: Its number, from 1, among windows of its size.
        size: Rows in it.
    """

    page: int
    size: int

    @property
    def start(self) -> int:
        """Position of its first row in the order, from 0."""
        return (self.page - 1) * self.size

    def halves(self) -> Iterator[PageRange]:
        """Divide it into the fewest equal parts the API can address.

        Example:
            >>> list(PageRange(page=2, size=25).halves())[:2]
            [PageRange(page=6, size=5), PageRange(page=7, size=5)]
        """
        factor = next(number for number in range(2, self.size + 1) if self.size % number == 0)
        for number in range(factor):
            yield PageRange((self.page - 1) * factor + number + 1, self.size // factor)


class Pager:
    """Takes pages of one source.

    Args:
        client: Asks the source.
        settings: Tries, and how many holes there may be.
    """

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._good: PageRange | None = None
        self._holes: dict[int, int] = {}

    async def first(self, total: int) -> tuple[PageResult, int]:
        """Take page 1, and find out how many rows the source gives in a page.

        Args:
            total: How many rows the source says it has.

        Returns:
            The page, and the size of a page: less than the settings say when the source cuts it silently.

        Raises:
            SourceUnavailable: The page cannot be had.
        """
        asked = self._settings.per_page_rows
        window = await self.take(1, asked, pages=-(-total // asked))
        rows = len(window.lines)
        if window.missing_rows or rows == 0 or rows >= min(asked, total):
            return window, asked
        again = await self._client.window(1, asked)
        return again, rows if len(again.lines) == rows else asked

    async def take(self, page: int, size: int, *, pages: int) -> PageResult:
        """Take a page, or all of it that the source can give.

        Args:
            page: From 1.
            size: Rows in a page.
            pages: How many there are, to know others that should work.

        Returns:
            The page; its `holes` are the offsets of the rows the source cannot give.

        Raises:
            SourceUnavailable: The page cannot be had, and it is not a few rows that are to blame.
        """
        whole = PageRange(page, size)
        try:
            window = await self._client.window(page, size)
        except SourceUnavailable as error:
            if not error.may_be_the_page or not await self._works(whole, pages):
                raise
            window = await self._in_parts(whole, error)
        else:
            if window.lines:
                self._good = whole
        self._holes[page] = len(window.missing_rows)
        return window

    async def _works(self, failed: PageRange, pages: int) -> bool:
        """Say whether the source gives anything else now."""
        if pages <= 1:
            try:
                await self._client.meta()
            except SourceUnavailable:
                return False
            return True
        for part in self._others(failed, pages):
            try:
                await self._client.window(part.page, part.size, _TRIES_PER_PART)
            except SourceUnavailable:
                continue
            return True
        return False

    def _others(self, failed: PageRange, pages: int) -> list[PageRange]:
        """List windows that should work: other pages, and single rows should all of those be poisoned too."""
        size = failed.size
        candidates = [self._good, PageRange(1, size), PageRange(2, size), PageRange(pages, size)]
        candidates += [PageRange(failed.start + 1, 1), PageRange(failed.start + size // 2 + 1, 1)]
        whole = [part for part in candidates if part and part != failed]
        return list(dict.fromkeys(whole))

    async def _in_parts(self, whole: PageRange, cause: SourceUnavailable) -> PageResult:
        """Take a window by its parts, and a part that fails by its own; a single row that fails is a hole."""
        lines: list[bytes] = []
        missing_rows: list[int] = []
        fetched_at = ""
        stack = [whole] if whole.size == 1 else list(whole.halves())[::-1]
        while stack:
            part = stack.pop()
            window = await self._part(part)
            if window is not None:
                fetched_at = window.fetched_at
                lines += window.lines
            elif part.size > 1:
                stack.extend(reversed(list(part.halves())))
            else:
                missing_rows.append(part.start - whole.start)
                self._bear(whole, len(missing_rows), cause)
        url = self._client.url(whole.page, whole.size)
        return PageResult(url, cause.status or 500, fetched_at, lines, parse_lines(lines), missing_rows)

    async def _part(self, part: PageRange) -> PageResult | None:
        tries = None if part.size == 1 else min(_TRIES_PER_PART, self._settings.max_attempts)
        try:
            return await self._client.window(part.page, part.size, tries)
        except SourceUnavailable as error:
            if not error.may_be_the_page:
                raise
            return None

    def _bear(self, whole: PageRange, missing_rows: int, cause: SourceUnavailable) -> None:
        self._holes[whole.page] = missing_rows
        most = max(self._settings.missing_row_probe_limit, self._settings.max_missing_rows)
        if sum(self._holes.values()) > most:
            raise SourceUnavailable(
                f"More than {most} rows cannot be had from the source, the last in page {whole.page}. {cause.what}",
                hint="The source is broken: run again later, what was taken is kept; or raise missing_row_probe_limit.",
                status=cause.status,
            ) from cause
