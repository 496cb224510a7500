"""Ids that sort by the time they were made: ULIDs (https://github.com/ulid/spec)."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from datetime import UTC, datetime, timedelta

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CHECKSUM_CHARACTERS = 16
"""How many characters at the end of an id made by `id_at` are the content's."""

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
    return _written(number)


def id_at(moment: datetime, content: bytes) -> str:
    """Make the id of a content that was there at a moment, the same one every time.

    Args:
        moment: With its zone, from 1970 on; milliseconds count.
        content: What the id's last `CHECKSUM_CHARACTERS` characters tell from others.

    Returns:
        26 characters; ids sort by their moments, and among those of `new_id`.

    Example:
        >>> id_at(datetime(2023, 3, 24, tzinfo=UTC), b"id,name")
        '01GW8EMG00PRMNFNQMVA3G9AMH'
    """
    milliseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    return _written(milliseconds << 80 | int.from_bytes(hashlib.sha256(content).digest()[:10]))


def day_of(made: str) -> str | None:
    """Tell the day, UTC, on which an id was made; None when it is none of these ids.

    Example:
        >>> day_of("01GW8EMG00PRMNFNQMVA3G9AMH"), day_of("last")
        ('2023-03-24', None)
    """
    if len(made) != 26 or not set(made) <= set(_DIGITS):
        return None
    milliseconds = 0
    for digit in made[:10]:
        milliseconds = milliseconds << 5 | _DIGITS.index(digit)
    return str((datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)).date())


def _written(number: int) -> str:
    return "".join(_DIGITS[number >> shift & 31] for shift in range(125, -1, -5))
