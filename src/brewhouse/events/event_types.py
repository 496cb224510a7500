"""Names of the event types, and what code that only reads events needs to know of one.

Standard library only: the Lambda functions of the AWS stack share this module.
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
    """The fields of `brewhouse.events.event.Event` that readers need; the Lambda functions have a type of their own."""

    @property
    def id(self) -> str:
        """A ULID."""

    @property
    def detail_type(self) -> str:
        """One of the constants of this module."""

    @property
    def source(self) -> str:
        """`brewhouse`, or a service of AWS."""

    @property
    def time(self) -> str:
        """ISO 8601, UTC."""

    @property
    def detail(self) -> dict[str, Any]:
        """The event's fields."""

    @property
    def run(self) -> str:
        """Id of the run that it belongs to."""


def run_of_detail(detail: Mapping[str, Any]) -> str:
    """Return the run that an event belongs to; events of AWS Glue itself only have Glue's id of the job run.

    Example:
        >>> run_of_detail({"jobRunId": "jr_1"}), run_of_detail({"jobRunId": "jr_1", "runId": "R"})
        ('jr_1', 'R')
    """
    return str(detail.get("runId") or detail.get("jobRunId", ""))
