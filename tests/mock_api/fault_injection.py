"""Select the faults that apply to a request, by counting requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.mock_api.faults import Fault, Faults


class Counter:
    """Count the requests that match a fault and select those it applies to.

    Args:
        fault: The fault.
        after: Requests to skip first.
        times: Maximum number of applications; `None` is unlimited.

    Example:
        >>> from tests.mock_api.faults import parse_fault
        >>> counter = Counter(parse_fault("reset,every=2"), after=1, times=1)
        >>> [counter.strikes() for _ in range(5)]
        [False, False, True, False, False]
    """

    def __init__(self, fault: Fault, after: int, times: int | None) -> None:
        self.fault = fault
        self._after = after
        self._times = times
        self._seen = 0
        self._struck = 0

    def strikes(self) -> bool:
        """Count a matching request; return whether the fault applies to it."""
        self._seen += 1
        past = self._seen - self._after
        if past < 1 or past % self.fault.every or (self._times is not None and self._struck >= self._times):
            return False
        self._struck += 1
        return True


class FaultInjector:
    """The faults of a mock API and their counters.

    Args:
        faults: Of several that would answer one request, the first that matches does.
    """

    def __init__(self, faults: Faults = ()) -> None:
        self.faults = faults
        self._answers = _counters(faults, lambda fault: fault.is_answer)
        self._meta = _counters(faults, lambda fault: bool(fault.meta_total or fault.meta_group))
        self._clamps = _counters(faults, lambda fault: fault.clamp is not None)
        self._shifts = [
            Counter(fault, after=max(fault.after - 1, 0), times=fault.times or 1)
            for fault in faults
            if fault.add
            or fault.remove
            or fault.change
            or fault.swap
            or fault.rename
            or (fault.partial is not None and fault.after)
        ]

    def answers(self, endpoint: str, page: int | None) -> Sequence[Fault]:
        """Count a request and return its faults: delays, and at most one that answers."""
        struck: list[Fault] = []
        answered = False
        for counter in self._answers:
            only_slow = counter.fault.effects == ("slow_s",)
            if (only_slow or not answered) and counter.fault.fits(endpoint, page) and counter.strikes():
                struck.append(counter.fault)
                answered = answered or not only_slow
        return struck

    def shifts(self, page: int) -> Sequence[Fault]:
        """Count a list response and return the data changes that follow it."""
        return [c.fault for c in self._shifts if c.fault.fits("list", page) and c.strikes()]

    def wrong_meta(self) -> Sequence[Fault]:
        """Count a request for /meta and return the faults of its response."""
        return [counter.fault for counter in self._meta if counter.strikes()]

    def clamp_rows(self, endpoint: str, page: int | None) -> int | None:
        """Count a request and return the cap of its `per_page`, if any."""
        cuts = [c.fault.clamp for c in self._clamps if c.fault.fits(endpoint, page) and c.strikes()]
        return cuts[0] if cuts else None


def _counters(faults: Faults, wanted: Callable[[Fault], bool]) -> list[Counter]:
    return [Counter(fault, fault.after, fault.times) for fault in faults if wanted(fault)]
