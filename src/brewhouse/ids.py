"""Ids that sort by the time they were made: ULIDs (https://github.com/ulid/spec)."""

from __future__ import annotations

import secrets
import time

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_id() -> str:
    """Make an id for a run or an event.

    Returns:
        26 characters; ids made in different milliseconds sort by their time.

    Example:
        >>> len(new_id())
        26
    """
    number = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    return "".join(_DIGITS[number >> shift & 31] for shift in range(125, -1, -5))
