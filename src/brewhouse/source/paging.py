"""Taking one page even when a row in it makes the source fail: smaller and smaller windows, down to that row."""

from __future__ import annotations

from collections.abc import Iterator

from brewhouse.source.client import Client, SourceUnavailable, Window

_TRIES_PER_PART = 2


async def take_page(client: Client, page: int, size: int, *, pages: int, max_holes: int) -> Window:
    """Take a page, or all of it that the source can give.

    Args:
        client: Asks the source.
        page: From 1.
        size: Breweries in a page.
        pages: How many pages there are, to know another one that should work.
        max_holes: More failing rows than this mean that the source is broken.

    Returns:
        The page; `holes` are the offsets in it, from 0, of rows the source cannot give.

    Raises:
        SourceUnavailable: The page cannot be had, and it is not a few rows that are to blame.
    """
    try:
        return await client.window(page, size)
    except SourceUnavailable as error:
        if error.status is None or error.status < 500:
            raise
        if not await _works_elsewhere(client, page, size, pages):
            raise
        return await _in_parts(client, page, size, max_holes, error)


async def _works_elsewhere(client: Client, page: int, size: int, pages: int) -> bool:
    """Say whether the source answers for another page, or, where there is none, for the counts of the whole."""
    try:
        if pages > 1:
            await client.window(2 if page == 1 else 1, size, _TRIES_PER_PART)
        else:
            await client.meta()
    except SourceUnavailable:
        return False
    return True


async def _in_parts(client: Client, page: int, size: int, max_holes: int, cause: SourceUnavailable) -> Window:
    """Take a window by its parts; a part that fails is taken by its own parts, a single row that fails is a hole."""
    whole = Window("", "", [], [], [])
    stack = [(page, size, (page - 1) * size)]
    start = (page - 1) * size
    while stack:
        part, width, position = stack.pop()
        try:
            got = await client.window(part, width, _TRIES_PER_PART) if (part, width) != (page, size) else None
        except SourceUnavailable as error:
            if error.status is None or error.status < 500:
                raise
            got = None
        if got is not None:
            whole.lines.extend(got.lines)
            whole.records.extend(got.records)
            whole = Window(got.url, got.taken_at, whole.lines, whole.records, whole.holes)
        elif width == 1:
            whole.holes.append(position - start)
            if len(whole.holes) > max_holes:
                raise cause
        else:
            stack.extend(reversed(list(parts(part, width))))
    if not whole.lines:
        raise cause
    return whole


def parts(page: int, size: int) -> Iterator[tuple[int, int, int]]:
    """Divide a window into equal smaller ones that the API can address.

    Args:
        page: Number of the window, from 1, among windows of this size.
        size: Rows in it, more than 1.

    Returns:
        For each part its page number, its size, and the position of its first row from 0.

    Example:
        >>> list(parts(2, 25))[:2]
        [(6, 5, 25), (7, 5, 30)]
    """
    factor = next(number for number in range(2, size + 1) if size % number == 0)
    width = size // factor
    for number in range(factor):
        yield (page - 1) * factor + number + 1, width, (page - 1) * size + number * width
