"""Client-side rate limit, which follows the remaining quota that the source reports.

The service counts requests in a window of a minute that begins when the first one arrives. A response comes after its
request arrived, so a window is certainly over once its length has passed since the first response in it. The quota of
the next window is unknown before its first response: until then requests are sent one at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

WINDOW_S = 60.0


class RateLimit:
    """Delay requests that the source would reject.

    Args:
        window_s: Length of the source's window in seconds.
    """

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._is_limited: bool | None = None
        self._remaining: int | None = None
        self._window_ends = 0.0
        self._resume_at = 0.0
        self._in_flight = 0
        self._turn = asyncio.Lock()
        self._response_arrived = asyncio.Event()

    async def acquire(self) -> None:
        """Wait until a request may be sent; `release` must follow."""
        async with self._turn:
            while (wait := self._wait_s()) != 0:
                self._response_arrived.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._response_arrived.wait(), wait)
            if self._remaining is not None:
                self._remaining -= 1
            self._in_flight += 1

    def release(self, headers: Mapping[str, str] | None) -> None:
        """End a request and read the remaining quota from the headers of its response; None without one."""
        self._in_flight -= 1
        self._response_arrived.set()
        if headers is None:
            return
        text = headers.get("X-RateLimit-Remaining", "").strip()
        if not text.isdecimal():
            self._is_limited = bool(self._is_limited)
            return
        self._is_limited = True
        remaining = max(int(text) - self._in_flight, 0)
        if self._remaining is None:
            self._remaining = remaining
            self._window_ends = time.monotonic() + self._window_s
        else:
            self._remaining = min(self._remaining, remaining)

    def pause(self, seconds: float) -> None:
        """Hold all requests for some time, as the source asked."""
        self._resume_at = max(self._resume_at, time.monotonic() + seconds)
        self._remaining = None

    def _wait_s(self) -> float | None:
        """Return the time until a request may be sent; None until a response arrives."""
        now = time.monotonic()
        if now < self._resume_at:
            return self._resume_at - now
        if self._is_limited is False:
            return 0
        if self._remaining is not None and now >= self._window_ends:
            self._remaining = None
        if self._remaining is None:
            return None if self._in_flight else 0
        return 0 if self._remaining > 0 else self._window_ends - now


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Read `Retry-After`, a number of seconds or a date; 1 s when it is missing or invalid."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return 1.0
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max((until - datetime.now(UTC)).total_seconds(), 0.0)
