"""What is remembered of the schedule, by events alone: whether it is on, and up to when it was acted on.

A due time is claimed by a create-only write of an event whose id is made of that time, before its run is started: of
several consoles on a lake, or one that was killed and started again, only one acts on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from brewhouse.events.event import Event, EventLog
from brewhouse.events.event_types import SCHEDULE
from brewhouse.ids import id_at
from brewhouse.lake.lake import Lake

_CLAIM = b"the workflow is due"


class ScheduleState(msgspec.Struct, frozen=True, kw_only=True):
    """What the events tell of the schedule.

    Attributes:
        is_on: Whether runs are started.
        since: Due times until then are settled; None when there never was a schedule.
        cron: As it was when it was last switched on; empty when nobody said.
        time_zone: Likewise.
    """

    is_on: bool = True
    since: datetime | None = None
    cron: str = ""
    time_zone: str = "UTC"


def schedule_state(events: Iterable[Event]) -> ScheduleState:
    """Fold events into what is remembered of the schedule.

    Args:
        events: Oldest first.
    """
    known = ScheduleState()
    for event in events:
        if event.detail_type == SCHEDULE:
            known = _fold(known, event)
    return known


def switch(lake: Lake, *, is_on: bool, cron: str = "", time_zone: str = "") -> None:
    """Switch the schedule on or off; on, only due times from now on count.

    Args:
        lake: Whose schedule.
        is_on: Whether runs are to be started.
        cron: Five fields; empty leaves it to whoever starts them.
        time_zone: Of these.
    """
    said = f": {cron} ({time_zone})" if cron else ""
    detail = {"state": "ON" if is_on else "OFF", "message": f"the schedule is {'on' if is_on else 'off'}{said}"}
    if cron:
        detail |= {"cron": cron, "timeZone": time_zone}
    EventLog(lake, "").write(SCHEDULE, detail)


def claim(lake: Lake, moment: datetime, now: datetime) -> bool:
    """Take it upon oneself to act on a due time.

    Args:
        lake: Whose schedule.
        moment: The due time, with its zone.
        now: With its zone.

    Returns:
        Whether nobody else has done so.
    """
    from obstore.exceptions import AlreadyExistsError

    due = moment.astimezone(UTC)
    late = f", {int((now - due).total_seconds() // 60)} minutes late" if (now - due).total_seconds() >= 60 else ""
    detail = {
        "runId": "",
        "state": "STARTED",
        "severity": "INFO",
        "due": due.isoformat(),
        "message": f"the run due at {moment.isoformat(timespec='minutes')} is started{late}",
    }
    event = Event(id=id_at(due, _CLAIM), detail_type=SCHEDULE, time=now.astimezone(UTC).isoformat(), detail=detail)
    try:
        lake.store.put(f"events/date={due.date()}/{event.id}.json", msgspec.json.encode(event), mode="create")
    except AlreadyExistsError:
        return False
    return True


def tell_refusal(lake: Lake, moment: datetime, why: str) -> None:
    """Tell that the run of a due time could not be started.

    Args:
        lake: Whose schedule.
        moment: The due time.
        why: In words.
    """
    message = f"the run due at {moment.isoformat(timespec='minutes')} could not be started: {why}"
    EventLog(lake, "").write(SCHEDULE, {"state": "FAILED", "severity": "WARN", "message": message})


def _fold(known: ScheduleState, event: Event) -> ScheduleState:
    detail = event.detail
    state = detail.get("state")
    if state == "OFF":
        return msgspec.structs.replace(known, is_on=False)
    if state == "ON":
        told = {"cron": detail["cron"], "time_zone": detail.get("timeZone", "UTC")} if detail.get("cron") else {}
        return msgspec.structs.replace(known, is_on=True, since=_later(known.since, event.time), **told)
    if state == "STARTED":
        return msgspec.structs.replace(known, since=_later(known.since, detail.get("due", event.time)))
    return known


def _later(since: datetime | None, text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if since is None else max(since, moment)
