"""Staying below the source's throttle: what is left is read from its answers, and waited for.

The service counts requests in a window of a minute that begins with the first one (Laravel's limiter). Our own window
begins with our first request, which is never earlier, so waiting for its end is always enough.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

WINDOW_S = 60.0
_POLL_S = 0.02


class Throttle:
    """Admits requests one after the other, none that the source would refuse.

    Args:
        window_s: Length of the source's window in seconds.
    """

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._left: int | None = None
        self._limited = False
        self._started_at = 0.0
        self._resume_at = 0.0
        self._in_flight = 0
        self._door = asyncio.Lock()

    async def admit(self) -> None:
        """Wait until another request may be sent."""
        async with self._door:
            while (wait := self._wait()) > 0:  # noqa: ASYNC110 - what is waited for is the clock
                await asyncio.sleep(wait)
            if self._left is None and not self._in_flight:
                self._started_at = time.monotonic()
            if self._left is not None:
                self._left -= 1
            self._in_flight += 1

    def answered(self, headers: Mapping[str, str]) -> None:
        """Learn from an answer, or from its absence.

        Args:
            headers: Of the answer; empty when none came.
        """
        self._in_flight -= 1
        text = headers.get("X-RateLimit-Remaining", "")
        if not text.isdigit():
            return
        self._limited = True
        left = int(text) - self._in_flight
        self._left = left if self._left is None else min(self._left, left)

    def pause(self, seconds: float) -> None:
        """Let no request out for some time, as the source asked."""
        self._resume_at = max(self._resume_at, time.monotonic() + seconds)
        self._left = None

    def _wait(self) -> float:
        now = time.monotonic()
        if now < self._resume_at:
            return self._resume_at - now
        if self._limited and now >= self._started_at + self._window_s:
            self._left = None
        if self._limited and self._left is None:
            return _POLL_S if self._in_flight else 0.0
        if self._left is not None and self._left <= 0:
            return max(self._started_at + self._window_s - now, _POLL_S)
        return 0.0
