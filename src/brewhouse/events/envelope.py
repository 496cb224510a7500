"""An event in EventBridge's envelope, with the standard library only, as the Lambda functions of the AWS stack need it.

The envelope is https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

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

LEVELS = ("INFO", "WARN", "ERROR")
EMPTY_DETAIL = {"runId": "", "jobName": "", "jobRunId": "", "state": "", "severity": "INFO", "message": ""}
"""Fields that every event's detail has."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event; its time is ISO 8601, UTC.

    Attributes:
        id: A ULID, so that ids sort by time.
        detail_type: One of the constants above, the envelope's `detail-type`.
        detail: `EMPTY_DETAIL` and the fields of its type.
    """

    id: str
    detail_type: str
    time: str
    detail: dict[str, Any]
    source: str = "brewhouse"

    @property
    def run(self) -> str:
        """Id of the run that it belongs to, empty when to none; events of AWS Glue itself have Glue's of the job run.

        Example:
            >>> details = {"jobRunId": "jr_1"}, {"jobRunId": "jr_1", "runId": "R"}, {"jobRunId": "jr_1", "runId": ""}
            >>> [Event(id="1", detail_type=JOB, time="", detail=detail).run for detail in details]
            ['jr_1', 'R', '']
        """
        return str(self.detail.get("runId", self.detail.get("jobRunId", "")))

    @property
    def level(self) -> str:
        """INFO, WARN or ERROR."""
        severity = self.detail.get("severity")
        return severity if severity in LEVELS else "INFO"

    @property
    def key(self) -> str:
        """Path of its file, relative to the root of the lake."""
        return f"events/date={self.time[:10]}/{self.id}.json"

    def encode(self) -> bytes:
        """Return the event as one line of JSON."""
        envelope = {"id": self.id, "detail-type": self.detail_type, "time": self.time, "detail": self.detail}
        line = {**envelope, "source": self.source, "version": "0"}
        return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode()


def decode_events(content: bytes, decode: Callable[[bytes], Any] = json.loads) -> list[Event]:
    r"""Decode a file of events, one per line; skip lines that are not events.

    Args:
        decode: Decodes JSON, perhaps faster than the standard library.

    Example:
        >>> line = Event(id="1", detail_type="Test", time="2026-08-02T06:00:00+00:00", detail={}).encode()
        >>> [event.id for event in decode_events(line + b"\nnot JSON\n[1]\n")]
        ['1']
    """
    return [event for line in content.splitlines() if (event := _event(line, decode)) is not None]


def _event(line: bytes, decode: Callable[[bytes], Any]) -> Event | None:
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        fields = decode(line)
        texts = {"id": fields["id"], "detail_type": fields["detail-type"], "time": fields["time"]}
        if all(isinstance(text, str) for text in texts.values()) and isinstance(fields["detail"], dict):
            return Event(**texts, detail=fields["detail"], source=str(fields.get("source", "")))
    return None
