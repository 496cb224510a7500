"""Health of a lake, shown on every page: whether the workflow succeeds in time, and how old the data is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from brewhouse.events.alerts import WORKFLOW
from brewhouse.events.run_reports import INTERRUPTED, RunReport
from brewhouse.events.schedule_state import ScheduleState
from brewhouse.pipeline.cron_schedule import CronSchedule, latest, upcoming

_TOLERANCE = timedelta(hours=1)
"""How long after a due time a success may come."""
_FAILED = ("FAILED", "TIMEOUT", INTERRUPTED)


@dataclass(frozen=True)
class Health:
    """The state of the workflow; ids of runs are empty, and times None, where there is none.

    Attributes:
        succeeded: The newest run that succeeded, with its end.
        failed: The newest finished run if it failed, with its end and its reason.
        is_late: Whether no run has succeeded since the last due time, or for longer than the alert allows.
        next_due: When the next run starts; None without a schedule that is on.
    """

    running: str = ""
    succeeded: str = ""
    succeeded_at: datetime | None = None
    failed: str = ""
    failed_at: datetime | None = None
    reason: str = ""
    is_late: bool = False
    next_due: datetime | None = None


def health(
    reports: Sequence[RunReport],
    running: str,
    schedule: CronSchedule | None,
    state: ScheduleState,
    late_after_hours: float,
    now: datetime,
) -> Health:
    """Derive the health from the runs, newest first, and the schedule."""
    schedule = schedule if state.is_on else None
    ended = [report for report in reports if report.workflow == WORKFLOW and report.state not in {"RUNNING", "STOPPED"}]
    success = next((report for report in ended if report.state == "SUCCEEDED"), None)
    failure = ended[0] if ended and ended[0].state in _FAILED else None
    succeeded_at = _end(success) if success else None
    return Health(
        running=running,
        succeeded=success.run if success else "",
        succeeded_at=succeeded_at,
        failed=failure.run if failure else "",
        failed_at=_end(failure) if failure else None,
        reason=failure.error if failure else "",
        is_late=succeeded_at is not None
        and not running
        and _is_late(max(succeeded_at, state.since or succeeded_at), schedule, late_after_hours, now),
        next_due=next(upcoming(schedule, now)) if schedule else None,
    )


def _is_late(since: datetime, schedule: CronSchedule | None, late_after_hours: float, now: datetime) -> bool:
    if late_after_hours and now - since > timedelta(hours=late_after_hours):
        return True
    until = now - _TOLERANCE
    return schedule is not None and since < until and latest(schedule, since, until) is not None


def _end(report: RunReport) -> datetime:
    return datetime.fromisoformat(report.ended_at or report.started_at)
