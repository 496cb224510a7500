"""Events of any detail, as other programs, other versions or AWS may write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brewhouse.events.envelope import Event
from brewhouse.events.event import EventLog


class AnyEventLog(EventLog):
    """An event log that also writes events of any detail."""

    def write(self, detail_type: str, detail: Mapping[str, Any]) -> Event:
        """Write an event, without listeners; the keys that every event has are added if missing."""
        defaults = {"jobName": "", "state": "RUNNING", "severity": "INFO", "message": ""}
        event = self._envelope(detail_type, defaults | dict(detail))
        return self._put(event)
