"""Ids that sort by the time they were made: ULIDs (https://github.com/ulid/spec)."""

from __future__ import annotations

import secrets
import threading
import time

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_last = 0
_turn = threading.Lock()


def new_id() -> str:
    """Make an id for a run or an event.

    Returns:
        26 characters; ids of one process sort in the order they were made, those of several by the millisecond.

    Example:
        >>> new_id() < new_id()
        True
    """
    global _last  # noqa: PLW0603 - the order of ids is the process's own
    with _turn:
        _last = number = max((time.time_ns() // 1_000_000 << 80) | secrets.randbits(80), _last + 1)
    return "".join(_DIGITS[number >> shift & 31] for shift in range(125, -1, -5))
