"""A rate limit per client in fixed windows, as in Laravel."""

from __future__ import annotations

import math
import time

import msgspec


class Admission(msgspec.Struct, frozen=True):
    """Whether a request is admitted, and its rate-limit headers."""

    admitted: bool
    headers: tuple[tuple[str, str], ...]


class Throttle:
    """Count each client's requests in windows that start with its first request.

    A rejected request neither counts nor extends the window.

    Args:
        limit: Requests per client and window.
        window_s: Length of a window in seconds.

    Example:
        >>> throttle = Throttle(limit=1, window_s=60)
        >>> throttle.admit("127.0.0.1", now_s=1000.0).headers
        (('X-RateLimit-Limit', '1'), ('X-RateLimit-Remaining', '0'))
        >>> throttle.admit("127.0.0.1", now_s=1020.5).headers[2:]
        (('Retry-After', '40'), ('X-RateLimit-Reset', '1060'))
        >>> throttle.admit("127.0.0.1", now_s=1060.0).admitted
        True
    """

    def __init__(self, limit: int, window_s: float) -> None:
        self.limit = limit
        self.window_s = window_s
        self._windows: dict[str, tuple[float, int]] = {}

    def admit(self, client: str, now_s: float | None = None) -> Admission:
        """Count a request or reject it.

        Args:
                now_s: Seconds since the epoch; default: the clock.
        """
        now = time.time() if now_s is None else now_s
        ends, used = self._windows.get(client, (0.0, 0))
        if now >= ends:
            ends, used = now + self.window_s, 0
        admitted = used < self.limit
        if admitted:
            used += 1
            self._windows[client] = (ends, used)
        headers = [("X-RateLimit-Limit", str(self.limit)), ("X-RateLimit-Remaining", str(self.limit - used))]
        if not admitted:
            headers.append(("Retry-After", str(math.ceil(ends - now))))
            headers.append(("X-RateLimit-Reset", str(math.ceil(ends))))
        return Admission(admitted, tuple(headers))
