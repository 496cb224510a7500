"""Names of the event types, and what code that only reads events needs to know of one.

Standard library only: the Lambda functions of the AWS stack share this module.
"""

from __future__ import annotations

from typing import Any, Protocol

RUN = "Brewhouse Run State Change"
JOB = "Glue Job State Change"
CHECK = "Brewhouse Check Result"
DRIFT = "Brewhouse Schema Drift"
PUBLISHED = "Brewhouse Tables Published"
SCHEDULE = "Brewhouse Schedule"
WARNING = "Brewhouse Warning"
ALERT_SENT = "Brewhouse Alert Sent"
ALERT_FAILED = "Brewhouse Alert Failed"
CRAWL = "Glue Crawler State Change"


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
