"""The schedule: when the workflow is due. Functions of a plan, of what was done and of the time; nothing is started.

The rules: a due time is acted on once. Of those that were missed, the newest is caught up with and the others are let
go. A time that the clocks skip is due when they have skipped it, one that they show twice is due the first time, as
Debian's cron has it.
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
    """When the workflow is due.

    Attributes:
        cron: Five fields.
        zone: Whose clock they are about.
    """

    cron: str
    zone: ZoneInfo


def parse_schedule(cron: str, time_zone: str) -> CronSchedule | None:
    """Read a schedule.

    Args:
        cron: Five fields, as cron has them; empty is no schedule.
        time_zone: As `Europe/Berlin`.

    Raises:
        UsageError: It is none, it never comes, or there is no such time zone.

    Example:
        >>> plan = parse_schedule("30 2 * * *", "Europe/Berlin")
        >>> [str(moment) for _, moment in zip(range(2), upcoming(plan, datetime(2026, 3, 28, 12, tzinfo=UTC)))]
        ['2026-03-29 03:00:00+02:00', '2026-03-30 02:30:00+02:00']
    """
    from cronsim import CronSim, CronSimError

    if not cron.strip():
        return None
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(
            f'There is no time zone "{time_zone}" for the schedule.', hint='Name it as "Europe/Berlin" or "UTC".'
        ) from error
    if len(cron.split()) != _FIELDS:  # the library would take seconds too
        raise UsageError(f'"{cron}" is no schedule: it has {len(cron.split())} fields.', hint=_HINT)
    try:
        next(CronSim(cron, datetime.now(UTC)))
    except CronSimError as error:
        raise UsageError(f'"{cron}" is no schedule: {error}.', hint=_HINT) from error
    except StopIteration as error:
        raise UsageError(f'"{cron}" never comes.', hint=_HINT) from error
    return CronSchedule(" ".join(cron.split()), zone)


def upcoming(plan: CronSchedule, after: datetime) -> Iterator[datetime]:
    """Give the due times after a moment, oldest first, in the plan's zone.

    Args:
        plan: When it is due.
        after: With its zone; a due time at this very moment is not among them.
    """
    from cronsim import CronSim

    last = after.astimezone(UTC)
    for moment in CronSim(plan.cron, after.astimezone(plan.zone)):
        if moment.astimezone(UTC) > last:  # several skipped times come at the same moment, a repeated one comes before
            last = moment.astimezone(UTC)
            yield moment


def latest(plan: CronSchedule, after: datetime, until: datetime) -> datetime | None:
    """Find the newest due time after a moment and until another one; None when there is none.

    Args:
        plan: When it is due.
        after: With its zone, excluded.
        until: With its zone, included.
    """
    first, last = (
        after.astimezone(UTC),
        until.astimezone(UTC),
    )  # within a zone, Python compares what clocks show
    for window in _WINDOWS:
        begin = max(first, last - window)
        found = deque(takewhile(lambda moment: moment.astimezone(UTC) <= last, upcoming(plan, begin)), maxlen=1)
        if found or begin == first:
            return found[0] if found else None
    return None


def due(plan: CronSchedule, remembered: ScheduleState, now: datetime) -> datetime | None:
    """Say which due time is to be acted on now.

    Args:
        plan: When it is due.
        remembered: What was acted on, and whether the schedule is on.
        now: With its zone.

    Returns:
        The newest due time that was not acted on; None when there is none, or the schedule is off or new.
    """
    if not remembered.is_on or remembered.since is None:
        return None
    return latest(plan, remembered.since, now)
