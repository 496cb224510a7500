"""Client-side rate limit, which follows the remaining quota that the source reports.

The service counts requests in a window of a minute that begins when the first one arrives. A response comes after its
request arrived, so a window is certainly over once its length has passed since the first response in it. The quota of
the next window is unknown before its first response: until then requests are sent one at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from brewhouse.api.source_errors import PermanentSourceError

WINDOW_S = 60.0
_MAX_EMPTY_WINDOWS = 15
_MAX_DIGITS = 18

_log = logging.getLogger(__name__)


class RateLimit:
    """Delay requests that the source would reject."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._is_limited: bool | None = None
        self._remaining: int | None = None
        self._window_ends = 0.0
        self._empty_windows = 0
        self._resume_at = 0.0
        self._in_flight = 0
        self._turn = asyncio.Lock()
        self._response_arrived = asyncio.Event()

    async def acquire(self) -> None:
        """Wait until a request may be sent; `release` must follow.

        Raises:
            PermanentSourceError: The first response of too many windows in a row left no quota.
        """
        async with self._turn:
            if self._remaining == 0 and (wait := self._wait_s()):
                if self._empty_windows >= _MAX_EMPTY_WINDOWS:
                    raise PermanentSourceError(
                        f"The source's rate limit allowed one request in each of the last {self._empty_windows} "
                        f"windows of {self._window_s:g} s (X-RateLimit-Remaining: 0).",
                        hint="Run again later, fetched pages are kept.",
                    )
                _log.warning("the source's rate limit is used up; waiting %.0f s", wait)
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
        reported = int(text[:_MAX_DIGITS])
        remaining = max(reported - self._in_flight, 0)
        if self._remaining is None:
            self._remaining = remaining
            self._window_ends = time.monotonic() + self._window_s
            self._empty_windows = 0 if reported else self._empty_windows + 1
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
        return float(text[:_MAX_DIGITS])
    try:
        until = parsedate_to_datetime(text)
        if until.tzinfo is None:
            until = until.replace(tzinfo=UTC)
        return max((until - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, OverflowError):  # OverflowError: a time zone or a year out of range
        return 1.0
