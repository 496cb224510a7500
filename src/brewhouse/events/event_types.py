"""What kinds of events there are, and what those that only read them need to know of one.

Nothing but the standard library is imported here: the functions of the stack in AWS have nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

RUN = "Brewhouse Run State Change"
JOB = "Glue Job State Change"
CHECK = "Brewhouse Check Result"
DRIFT = "Brewhouse Schema Drift"
PUBLISHED = "Brewhouse Tables Published"
SCHEDULE = "Brewhouse Schedule"
ALERT_SENT = "Brewhouse Alert Sent"
ALERT_FAILED = "Brewhouse Alert Failed"


class EventLike(Protocol):
    """An event as it is read; see `brewhouse.events.event.Event`."""

    @property
    def id(self) -> str:
        """Sorts by time."""

    @property
    def detail_type(self) -> str:
        """What kind of event."""

    @property
    def source(self) -> str:
        """Who says it: `brewhouse`, or a service of AWS."""

    @property
    def time(self) -> str:
        """When, ISO 8601, UTC."""

    @property
    def detail(self) -> dict[str, Any]:
        """The facts."""

    @property
    def run(self) -> str:
        """The run it belongs to."""


def run_of_detail(detail: Mapping[str, Any]) -> str:
    """Tell the run an event belongs to; one that AWS Glue wrote by itself may have only its own id of the job's run.

    Example:
        >>> run_of_detail({"jobRunId": "jr_1"}), run_of_detail({"jobRunId": "jr_1", "runId": "R"})
        ('jr_1', 'R')
    """
    return str(detail.get("runId") or detail.get("jobRunId", ""))
