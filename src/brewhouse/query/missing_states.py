"""Why the tables have no state as of a run: it was expired, or it published none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brewhouse.errors import BrewhouseError
from brewhouse.events.event import read_events
from brewhouse.events.run_reports import expired_by, run_reports
from brewhouse.lake.lake import Lake

if TYPE_CHECKING:
    from brewhouse.iceberg.tables import Tables

_SHOWN = 5


def missing_state(lake: Lake, tables: Tables, run: str) -> BrewhouseError | None:
    """Explain why the tables have no state as of a run; None if they have one, or the run is unknown."""
    reports = run_reports(read_events(lake))
    report, expiry = next((report for report in reports if report.run == run), None), expired_by(reports, run)
    history = [snapshot for name in tables.names() for snapshot in tables.history(name)]
    published = {entry["snapshot"] for entry in report.published} if report else set()
    if expiry is None and (report is None or published & {snapshot.snapshot_id for snapshot in history}):
        return None
    kept = list(dict.fromkeys(snapshot.run for snapshot in sorted(history, key=lambda s: s.committed_at)))
    hint = f"Kept are {'the last ones: ' if len(kept) > _SHOWN else ''}{', '.join(kept[-_SHOWN:]) or 'none'}."
    if expiry or published:
        by = f"run {expiry.run}" if expiry and expiry.workflow != "maintain" else "`brewhouse maintain`"
        on = f" on {expiry.ended_at[:10]}" if expiry else ""
        return BrewhouseError(f"Run {run} was expired by {by}{on}.", hint=hint)
    return BrewhouseError(f"Run {run} published no tables.", hint=hint)
