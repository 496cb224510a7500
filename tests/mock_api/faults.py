"""Descriptions of faults, typed and as text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import msgspec

from brewhouse.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Body = Literal["not_json", "object", "non_object", "empty"]
Endpoint = Literal["list", "meta", "one", "random", "search", "autocomplete", "any"]
GROUPS = ("by_state", "by_country", "by_type")
_ANSWERS = ("status", "html", "reset", "truncated", "body")
_DATA = ("poison", "add", "remove", "change", "swap", "rename", "partial")
_META = ("stale_meta", "meta_total", "meta_group")
EFFECTS = (*_ANSWERS, "slow_s", *_DATA, *_META, "clamp")


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A fault, where and how often it applies. `None`, `False` and `()` mean unset.

    Args:
        status: Response with this HTTP status instead; with `html`, as an HTML page.
        retry_after_s: The `Retry-After` header of that answer; 1 for a 429 when not given.
        html: Response with an HTML page; its status is 502 unless `status` says otherwise.
        reset: Reset the connection instead of answering.
        truncated: Close the connection after half of the body that `Content-Length` promised.
        slow_s: Response this many seconds late; goes together with any other answer.
        body: Response 200 with text that is not JSON, a JSON object, an array with a number in it, or nothing.
        poison: Positions in the order of ids (1 is the first) or ids of rows whose pages are all a 500.
        add: Add this many rows whose ids come before all others, once `after` (at least 1) list requests
            were answered.
        remove: Remove the first rows in the order of ids, likewise.
        change: Change the type of the first rows in the order of ids, likewise.
        swap: Replace the rows at these positions, likewise, by breweries of the same type, country and state with
            the last ids.
        rename: Change the names of the rows at these positions, likewise.
        partial: Serve only this many rows, until `fill` is called or until `after` list requests were answered.
        stale_meta: Let /meta answer as it did before a change, for this many requests; 0 is unlimited.
        meta_total: What is wrong with the total of /meta: `+3`, `-3`, or `100` to say just that.
        meta_group: What is wrong with a group of /meta: `by_type:micro:+3`; `by_type` alone adds 1 to its
            first one.
        clamp: Cut `per_page` silently to this many rows, and refuse none.
        page: Only these pages of the list, as ranges.
        endpoint: Only this endpoint.
        every: Only every n-th of the requests that fit.
        after: Leave alone this many of the requests that fit.
        times: Stop after this many times; `None` is unlimited. Changes of the data apply once by default.

    Raises:
        UsageError: It has no effect, or several that exclude each other.

    Example:
        >>> Fault(status=503, page=((3, 3),), times=2) == parse_fault("status=503,page=3,times=2")
        True
    """

    status: int | None = None
    retry_after_s: int | None = None
    html: bool = False
    reset: bool = False
    truncated: bool = False
    slow_s: float | None = None
    body: Body | None = None
    poison: tuple[int | str, ...] = ()
    add: int | None = None
    remove: int | None = None
    change: int | None = None
    swap: tuple[int, ...] = ()
    rename: tuple[int, ...] = ()
    partial: int | None = None
    stale_meta: int | None = None
    meta_total: str | None = None
    meta_group: str | None = None
    clamp: int | None = None
    page: tuple[tuple[int, int], ...] = ()
    endpoint: Endpoint = "list"
    every: int = 1
    after: int = 0
    times: int | None = None

    def __post_init__(self) -> None:
        found = self.effects
        together = {"slow_s"} | ({"status", "html"} if self.html else set())
        if not found:
            raise UsageError("The fault has no effect.", hint=f"Give one of {', '.join(EFFECTS)}.")
        if len(set(found) - together) + bool(set(found) & (together - {"slow_s"})) > 1:
            raise UsageError(f"A fault cannot combine {' and '.join(found)}.", hint="Give several faults.")
        if "slow_s" in found and set(found) & {*_DATA, *_META, "clamp"}:
            raise UsageError("slow_s can only be combined with an answer.", hint="Give several faults.")
        if self.every < 1 or self.after < 0 or (self.times is not None and self.times < 1):
            raise UsageError("`every` and `times` of a fault start at 1, `after` at 0.")

    @property
    def effects(self) -> tuple[str, ...]:
        """The names of its effects."""
        return tuple(name for name in EFFECTS if not _is_unset(getattr(self, name)))

    @property
    def is_answer(self) -> bool:
        """Whether it affects single responses rather than the data or /meta."""
        return any(name in (*_ANSWERS, "slow_s") for name in self.effects)

    def fits(self, endpoint: str, page: int | None) -> bool:
        """Return whether a request matches, regardless of counters.

        Args:
            endpoint: The endpoint asked, by its name here.
            page: The page asked for, when it is the list and the page is a number.
        """
        if self.endpoint not in ("any", endpoint):
            return False
        return not self.page or (page is not None and any(low <= page <= high for low, high in self.page))


Faults: TypeAlias = tuple[Fault, ...]
"""All faults of a mock API."""


def parse_fault(spec: str) -> Fault:
    """Read a fault from text: `key=value` pairs with commas between, the keys being the fields of `Fault`.

    Several values of one key stand with a `+` between, and pages may be ranges: `page=3+7-9`. A key alone is
    enough for `html`, `reset` and `truncated`.

    Args:
        spec: The text.

    Returns:
        The fault it describes.

    Raises:
        UsageError: A key is unknown, a value is invalid, or the fault has no effect.

    Example:
        >>> parse_fault("reset,page=3+7-9,times=2").page
        ((3, 3), (7, 9))
    """
    fields: dict[str, object] = {}
    for part in spec.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if key not in _READ:
            raise UsageError(f"The fault '{spec}' has an unknown key '{key}'.", hint=f"Keys: {', '.join(_READ)}.")
        try:
            fields[key] = _READ[key](value if equals else "yes")
        except ValueError as error:
            raise UsageError(
                f"The fault '{spec}' has an invalid value of '{key}': '{value}'.",
                hint="See `tests.mock_api.faults.Fault` for what each key takes.",
            ) from error
    return msgspec.convert(fields, Fault)


def parse_faults(faults: Iterable[Fault | str]) -> Faults:
    """Parse faults given as text; keep the others."""
    return tuple(parse_fault(fault) if isinstance(fault, str) else fault for fault in faults)


def shifted(count: int, change: str) -> int:
    """Apply the change of `meta_total` or `meta_group` to a count.

    Example:
        >>> shifted(10, "+3"), shifted(10, "-3"), shifted(10, "3")
        (13, 7, 3)
    """
    return count + int(change) if change[0] in "+-" else int(change)


def _is_unset(value: object) -> bool:
    return value is None or value is False or value == ()


def _positions(value: str) -> tuple[int, ...]:
    return tuple(map(_count, value.split("+")))


def _matching(pattern: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(value)
        return value

    return read


def _one_of(*names: str) -> Callable[[str], str]:
    return _matching("|".join(names))


def _count(value: str) -> int:
    return int(_matching("[0-9]+")(value))


def _seconds(value: str) -> float:
    return float(_matching(r"[0-9]*\.?[0-9]+")(value))


def _yes(value: str) -> bool:
    return _one_of("yes", "true", "1")(value) != ""


def _pages(value: str) -> tuple[tuple[int, int], ...]:
    bounds = [(part.partition("-")[0], part.rpartition("-")[2]) for part in value.split("+")]
    return tuple((_count(low), _count(high)) for low, high in bounds)


def _rows(value: str) -> tuple[int | str, ...]:
    return tuple(int(part) if part.isdecimal() else _matching(".+")(part) for part in value.split("+"))


_READ: dict[str, Callable[[str], object]] = {
    "status": lambda value: int(_matching("[1-5][0-9][0-9]")(value)),
    "retry_after_s": _count,
    "html": _yes,
    "reset": _yes,
    "truncated": _yes,
    "slow_s": _seconds,
    "body": _one_of(*get_args(Body)),
    "poison": _rows,
    "add": _count,
    "remove": _count,
    "change": _count,
    "swap": _positions,
    "rename": _positions,
    "partial": _count,
    "stale_meta": lambda value: 0 if value == "yes" else _count(value),
    "meta_total": _matching("[+-]?[0-9]+"),
    "meta_group": _matching(f"({'|'.join(GROUPS)})(:.*:[+-]?[0-9]+)?"),
    "clamp": _count,
    "page": _pages,
    "endpoint": _one_of(*get_args(Endpoint)),
    "every": _count,
    "after": _count,
    "times": _count,
}
