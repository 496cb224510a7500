"""The state of the schedule, kept in events alone: whether it is on, and up to when due times are settled.

A due time is claimed by a create-only write of an event whose id derives from that time, before its run is started. So
of several consoles on a lake, or of one that was killed and restarted, only one starts the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from brewhouse.events.details import ScheduledRunRefused, ScheduleSwitched
from brewhouse.events.envelope import SCHEDULE, Event
from brewhouse.events.event import EventLog
from brewhouse.ids import CLOCK_TOLERANCE, id_at, new_id
from brewhouse.lake.lake import Lake

_CLAIM = b"the workflow is due"


class ScheduleState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the schedule.

    Attributes:
        since: Due times up to this one are settled; None when there never was a schedule.
        cron: The cron fields when it was last switched on; empty when unknown.
    """

    is_on: bool = True
    since: datetime | None = None
    cron: str = ""
    time_zone: str = "UTC"


def schedule_state(events: Iterable[Event], now: datetime | None = None) -> ScheduleState:
    """Fold events, oldest first, into the state of the schedule, without those that a wrong clock dated after now."""
    state, latest = ScheduleState(), (now or datetime.now(UTC)) + CLOCK_TOLERANCE
    for event in events:
        if event.detail_type == SCHEDULE and datetime.fromisoformat(event.time) < latest:
            state = _fold(state, event)
    return state


def switch(lake: Lake, *, is_on: bool, cron: str = "", time_zone: str = "") -> None:
    """Switch the schedule on or off; once on, only due times from now on count.

    Args:
        cron: Five cron fields; empty when the process that starts the runs decides.
    """
    fields = f": {cron} ({time_zone})" if cron else ""
    event = ScheduleSwitched(
        state="ON" if is_on else "OFF", message=f"the schedule is {'on' if is_on else 'off'}{fields}"
    )
    EventLog(lake, "").emit(msgspec.structs.replace(event, cron=cron, time_zone=time_zone) if cron else event)


def claim(lake: Lake, moment: datetime, now: datetime) -> bool:
    """Claim a due time, unless another process did; both moments have time zones."""
    from obstore.exceptions import AlreadyExistsError

    due = moment.astimezone(UTC)
    late = f", {int((now - due).total_seconds() // 60)} minutes late" if (now - due).total_seconds() >= 60 else ""
    detail = {
        "runId": "",
        "claim": new_id(),  # distinguishes it from the same claim of another process
        "state": "STARTED",
        "severity": "INFO",
        "due": due.isoformat(),
        "message": f"the run due at {moment.isoformat(timespec='minutes')} is started{late}",
    }
    event = Event(id=id_at(due, _CLAIM), detail_type=SCHEDULE, time=now.astimezone(UTC).isoformat(), detail=detail)
    try:
        lake.store.put(f"events/date={due.date()}/{event.id}.json", event.encode(), mode="create")
    except AlreadyExistsError:
        return False
    return True


def emit_refusal(lake: Lake, moment: datetime, reason: str) -> None:
    """Record that the run of a due time could not be started."""
    message = f"the run due at {moment.isoformat(timespec='minutes')} could not be started: {reason}"
    EventLog(lake, "").emit(ScheduledRunRefused(message=message))


def _fold(state: ScheduleState, event: Event) -> ScheduleState:
    detail = event.detail
    match detail.get("state"):
        case "OFF":
            return msgspec.structs.replace(state, is_on=False)
        case "ON":
            fields = {"cron": detail["cron"], "time_zone": detail.get("timeZone", "UTC")} if detail.get("cron") else {}
            return msgspec.structs.replace(state, is_on=True, since=_later(state.since, event.time), **fields)
        case "STARTED":
            return msgspec.structs.replace(state, since=_later(state.since, detail.get("due", event.time)))
    return state


def _later(since: datetime | None, text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if since is None else max(since, moment)
