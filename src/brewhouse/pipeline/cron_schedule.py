"""When the workflow is due: pure functions of a cron schedule, its state and the time.

A due time is acted on once. Of missed ones, only the newest is made up for. A time that the clocks skip is due right
after the skip, one that they repeat is due the first time, as in Debian's cron.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from brewhouse.errors import UsageError
from brewhouse.events.schedule_state import ScheduleState

_FIELDS = 5
_WINDOWS = tuple(timedelta(days=days) for days in (1 / 24, 1, 32, 366, 9 * 366, 60 * 366))
_HINT = 'Write it as "0 6 * * *": minute, hour, day of the month, month, day of the week.'


@dataclass(frozen=True)
class CronSchedule:
    """Five cron fields and the time zone they refer to."""

    cron: str
    zone: ZoneInfo


def parse_schedule(cron: str, time_zone: str) -> CronSchedule | None:
    """Parse five cron fields, and a time zone such as `Europe/Berlin`; return None for empty fields.

    Raises:
        UsageError: The fields are invalid or never due, or there is no such time zone.

    Example:
        >>> schedule = parse_schedule("30 2 * * *", "Europe/Berlin")
        >>> [str(moment) for _, moment in zip(range(2), upcoming(schedule, datetime(2026, 3, 28, 12, tzinfo=UTC)))]
        ['2026-03-29 03:00:00+02:00', '2026-03-30 02:30:00+02:00']
    """
    from cronsim import CronSim, CronSimError

    if not cron.strip():
        return None
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(
            f'Unknown time zone of the schedule: "{time_zone}".', hint='Name it as "Europe/Berlin" or "UTC".'
        ) from error
    if len(cron.split()) != _FIELDS:  # the library would accept a sixth field
        raise UsageError(f'Invalid schedule "{cron}": it has {len(cron.split())} fields.', hint=_HINT)
    try:
        next(CronSim(cron, datetime.now(UTC)))
    except CronSimError as error:
        raise UsageError(f'Invalid schedule "{cron}": {error}.', hint=_HINT) from error
    except StopIteration as error:
        raise UsageError(f'Invalid schedule "{cron}": it is never due.', hint=_HINT) from error
    return CronSchedule(" ".join(cron.split()), zone)


def upcoming(schedule: CronSchedule, after: datetime) -> Iterator[datetime]:
    """Iterate over the due times after a moment (with a time zone, excluded), in the schedule's time zone."""
    from cronsim import CronSim

    last = after.astimezone(UTC)
    for moment in CronSim(schedule.cron, after.astimezone(schedule.zone)):
        if moment.astimezone(UTC) > last:  # several skipped times come at the same moment, a repeated one comes before
            last = moment.astimezone(UTC)
            yield moment


def latest(schedule: CronSchedule, after: datetime, until: datetime) -> datetime | None:
    """Return the newest due time after a moment (excluded) and up to another (included), both with time zones."""
    first, last = after.astimezone(UTC), until.astimezone(UTC)  # within a zone, Python compares what clocks show
    for window in _WINDOWS:
        begin = max(first, last - window)
        found = deque(takewhile(lambda moment: moment.astimezone(UTC) <= last, upcoming(schedule, begin)), maxlen=1)
        if found or begin == first:
            return found[0] if found else None
    return None


def due(schedule: CronSchedule, state: ScheduleState, now: datetime) -> datetime | None:
    """Return the newest due time that is not settled; None when there is none, or the schedule is off or new."""
    if not state.is_on or state.since is None:
        return None
    return latest(schedule, state.since, now)
