"""ULIDs: ids that sort by creation time (https://github.com/ulid/spec)."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import reduce

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CLOCK_TOLERANCE = timedelta(minutes=2)
"""The clocks of machines that share a lake may differ by less."""
CHECKSUM_CHARACTERS = 16
"""Number of characters at the end of an id of `id_at` that are the checksum of the content."""

_last = 0
_lock = threading.Lock()


def new_id() -> str:
    """Create an id of 26 characters; ids sort by creation, those of several processes by the millisecond."""
    global _last  # noqa: PLW0603 - ids of the whole process are ordered
    with _lock:
        _last = number = max((time.time_ns() // 1_000_000 << 80) | secrets.randbits(80), _last + 1)
    return _encode(number)


def later(text: str, than: str) -> str:
    """Return an id if it sorts after another one, or that is not an id, else the first id that does.

    Example:
        >>> later("01GW8EMG00PRMNFNQMVA3G9AMH", "01GW8EMG00PRMNFNQMVA3G9AMZ")
        '01GW8EMG00PRMNFNQMVA3G9AN0'
    """
    return text if text > than or time_of(than) is None else _encode(_number(than) + 1)


def id_at(moment: datetime, content: bytes) -> str:
    """Derive an id from a time and a content; ids sort by their times, also among those of `new_id`.

    Args:
        moment: With a time zone, from 1970 on; read to the millisecond.
        content: Its checksum is the id's last `CHECKSUM_CHARACTERS` characters.

    Example:
        >>> id_at(datetime(2023, 3, 24, tzinfo=UTC), b"id,name")
        '01GW8EMG00PRMNFNQMVA3G9AMH'
    """
    milliseconds = (moment - _EPOCH) // timedelta(milliseconds=1)
    return _encode(milliseconds << 80 | int.from_bytes(hashlib.sha256(content).digest()[:10]))


def day_of(text: str) -> str | None:
    """Return the UTC day on which an id was created; None for a text that is not an id of a possible day.

    Example:
        >>> day_of("01GW8EMG00PRMNFNQMVA3G9AMH"), day_of("last")
        ('2023-03-24', None)
    """
    moment = time_of(text)
    return str(moment.date()) if moment else None


def time_of(text: str) -> datetime | None:
    """Return the time at which an id was created, UTC; None for a text that is not an id of a possible time."""
    try:
        return _EPOCH + timedelta(milliseconds=_number(text) >> 80) if _number(text) >= 0 else None
    except OverflowError:
        return None


def _number(text: str) -> int:
    """Decode an id; -1 for a text that is not one."""
    if len(text) != 26 or not set(text) <= set(_DIGITS):
        return -1
    return reduce(lambda number, digit: number << 5 | _DIGITS.index(digit), text, 0)


def _encode(number: int) -> str:
    return "".join(_DIGITS[number >> shift & 31] for shift in range(125, -1, -5))
