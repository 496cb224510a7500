"""Commands about runs: runs, show."""

from __future__ import annotations

from brewhouse.cli.options import AllOption, JsonOption, LakeOption, LimitOption, RunArgument, settings_and_lake
from brewhouse.cli.output import minute, print_report, print_result, shorten
from brewhouse.cli.results import shown_rows

_ERROR_CHARACTERS = 80


def runs(
    lake: LakeOption = None, limit: LimitOption = None, show_all: AllOption = False, as_json: JsonOption = False
) -> None:
    """List the runs of the lake, newest first.

    Example: brewhouse runs --json
    """
    from brewhouse.events.run_history import newest_reports, reports_of

    _, place = settings_and_lake(lake)
    wanted = shown_rows(limit, show_all=show_all, as_data=as_json)
    found, has_older = (reports_of(place), False) if wanted is None else newest_reports(place, wanted)
    reports = found[::-1]
    has_errors = any(report.error for report in reports)
    rows = [
        {
            "run": report.run,
            "state": report.state.lower(),
            "started": minute(report.started_at),
            "seconds": report.seconds,
            **({"error": shorten(report.error, _ERROR_CHARACTERS)} if has_errors else {}),
            "jobs": ", ".join(job.name for job in report.jobs),
        }
        for report in reports
    ]
    print_result(rows, as_json=as_json, value=reports)
    if has_older and not as_json:
        print("… older runs (--all)")


def show(
    run: RunArgument = "last",
    lake: LakeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a run: jobs, durations, row counts, checks, schema drift and error.

    Example: brewhouse show last
    """
    from brewhouse.events.run_history import report_of, reports_of
    from brewhouse.events.run_reports import expired_by

    _, place = settings_and_lake(lake)
    report = report_of(place, run)
    print_report(report, as_json=as_json)
    if not as_json and (expiry := expired_by(reports_of(place), report.run)):
        print(f"expired: run {expiry.run} expired its states of the tables on {expiry.ended_at[:10]}")
