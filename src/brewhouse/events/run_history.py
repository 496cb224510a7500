"""The runs of a lake: all, the newest, or one of them; what holds the run lock is running."""

from __future__ import annotations

from datetime import date

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.events.event import EventReader, event_days
from brewhouse.events.run_reports import RunReport, run_reports
from brewhouse.ids import day_of
from brewhouse.lake.lake import Lake, lacking, require_lake
from brewhouse.lake.run_lock import holder


def reports_of(lake: Lake, since: date | None = None, first: str = "") -> list[RunReport]:
    """Return the reports of all runs of a lake, oldest first, or of those that `EventReader.read` finds events of."""
    require_lake(lake)
    held = holder(lake)
    return run_reports(EventReader(lake).read(since, first), held.run if held else None)


def newest_reports(lake: Lake, number: int) -> tuple[list[RunReport], bool]:
    """Return the reports of the newest runs, oldest first, and whether there are older ones; reads few days."""
    require_lake(lake)
    held, reader, days = holder(lake), EventReader(lake), event_days(lake)
    count = 2
    while True:
        since = date.fromisoformat(days[-count].name.removeprefix("date=")) if count < len(days) else None
        found = run_reports(reader.read(since), held.run if held else None)
        # A run of the first day may have begun before.
        reports = [report for report in found if since is None or report.started_at[:10] > str(since)]
        if since is None or len(reports) > number:
            return reports[-number:], len(reports) > number
        count *= 4


def report_of(lake: Lake, run: str) -> RunReport:
    """Return the report of a run id or of the `last` run.

    Raises:
        BrewhouseError: The lake has no runs.
        UsageError: It has no such run.
    """
    if run == "last":
        found, _ = newest_reports(lake, 1)
        if not found:
            raise BrewhouseError(*lacking(lake, "runs"))
    else:
        day = day_of(run)  # its events are newer than its id, unless the clock was set back
        quickly = reports_of(lake, date.fromisoformat(day), run) if day else []
        found = [each for each in quickly if each.run == run] or [each for each in reports_of(lake) if each.run == run]
    if found:
        return found[-1]
    raise UsageError(f"The lake {lake.root} has no run {run}.", hint="`brewhouse runs` lists them.")
