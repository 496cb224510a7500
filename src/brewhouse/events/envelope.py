"""Events with the standard library only: what the Lambda functions of the AWS stack share with the jobs.

The envelope is EventBridge's: https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

EMPTY_DETAIL = {"runId": "", "jobName": "", "jobRunId": "", "state": "", "severity": "INFO", "message": ""}
"""Fields that every event's detail has."""


def run_of_detail(detail: Mapping[str, Any]) -> str:
    """Return the run that an event belongs to; events of AWS Glue itself only have Glue's id of the job run.

    Example:
        >>> [run_of_detail(detail | {"jobRunId": "jr_1"}) for detail in ({}, {"runId": "R"}, {"runId": ""})]
        ['jr_1', 'R', '']
    """
    return str(detail.get("runId", detail.get("jobRunId", "")))


def event_key(event_id: str, time: str) -> str:
    """Return the path of an event's file, relative to the root of the lake.

    Example:
        >>> event_key("01GW8EMG00PRMNFNQMVA3G9AMH", "2023-03-24T00:00:00+00:00")
        'events/date=2023-03-24/01GW8EMG00PRMNFNQMVA3G9AMH.json'
    """
    return f"events/date={time[:10]}/{event_id}.json"


@dataclass(frozen=True, kw_only=True)
class EventEnvelope:
    """One event, encoded as `brewhouse.events.event.Event` is."""

    id: str
    detail_type: str
    time: str
    detail: dict[str, Any]
    source: str = "brewhouse"

    @property
    def run(self) -> str:
        """The run it belongs to."""
        return run_of_detail(self.detail)

    @property
    def key(self) -> str:
        """Path of its file, relative to the root of the lake."""
        return event_key(self.id, self.time)

    def encode(self) -> bytes:
        """Return the event as one line of JSON."""
        envelope = {"id": self.id, "detail-type": self.detail_type, "time": self.time, "detail": self.detail}
        line = {**envelope, "source": self.source, "version": "0"}
        return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode()


def decode_events(content: bytes) -> list[EventEnvelope]:
    r"""Decode a file of events, one per line; skip lines that are not events.

    Example:
        >>> line = EventEnvelope(id="1", detail_type="Test", time="2026-08-02T06:00:00+00:00", detail={}).encode()
        >>> [event.id for event in decode_events(line + b"\nnot JSON\n[1]\n")]
        ['1']
    """
    return [event for line in content.splitlines() if (event := _decode(line)) is not None]


def _decode(line: bytes) -> EventEnvelope | None:
    with suppress(ValueError, KeyError, TypeError):
        fields = json.loads(line)
        texts = {"id": fields["id"], "detail_type": fields["detail-type"], "time": fields["time"]}
        if all(isinstance(text, str) for text in texts.values()) and isinstance(fields["detail"], dict):
            return EventEnvelope(**texts, detail=fields["detail"], source=str(fields.get("source", "")))
    return None
