"""Staying below the source's throttle: what is left is read from its answers, and waited for.

The service counts requests in a window of a minute that begins when the first one arrives. An answer comes after its
request arrived, so a window is over for certain once its length has passed since the first answer we had in it. What is
left in the next one is not known before its first answer: until then requests go out one at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping

WINDOW_S = 60.0


class RateLimit:
    """Admits requests, none that the source would refuse.

    Args:
        window_s: Length of the source's window in seconds.
    """

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._is_limited: bool | None = None
        self._left: int | None = None
        self._window_ends = 0.0
        self._resume_at = 0.0
        self._in_flight = 0
        self._door = asyncio.Lock()
        self._news = asyncio.Event()

    async def admit(self) -> None:
        """Wait until another request may be sent; `answered` must follow."""
        async with self._door:
            while (wait := self._wait_s()) != 0:
                self._news.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), wait)
            if self._left is not None:
                self._left -= 1
            self._in_flight += 1

    def answered(self, headers: Mapping[str, str] | None) -> None:
        """Learn from an answer.

        Args:
            headers: Of the answer; None when none came.
        """
        self._in_flight -= 1
        self._news.set()
        if headers is None:
            return
        text = headers.get("X-RateLimit-Remaining", "").strip()
        if not text.isdecimal():
            self._is_limited = bool(self._is_limited)
            return
        self._is_limited = True
        left = max(int(text) - self._in_flight, 0)
        if self._left is None:
            self._left = left
            self._window_ends = time.monotonic() + self._window_s
        else:
            self._left = min(self._left, left)

    def pause(self, seconds: float) -> None:
        """Let no request out for some time, as the source asked."""
        self._resume_at = max(self._resume_at, time.monotonic() + seconds)
        self._left = None

    def _wait_s(self) -> float | None:
        """Say how long to wait: 0 not at all, None until an answer comes."""
        now = time.monotonic()
        if now < self._resume_at:
            return self._resume_at - now
        if self._is_limited is False:
            return 0
        if self._left is not None and now >= self._window_ends:
            self._left = None
        if self._left is None:
            return None if self._in_flight else 0
        return 0 if self._left > 0 else self._window_ends - now
