"""Commands about runs: runs, show."""

from __future__ import annotations

from typing import Annotated

import typer

from brewhouse.cli.options import JsonOption, LakeOption, settings_and_lake
from brewhouse.cli.output import print_report, print_result, report_of, reports_of, shorten

_ERROR_CHARACTERS = 80


def runs(lake: LakeOption = None, as_json: JsonOption = False) -> None:
    """List the runs of the lake, newest first.

    Example: brewhouse runs --json
    """
    _, place = settings_and_lake(lake)
    reports = reports_of(place)[::-1]
    rows = [
        {
            "run": report.run,
            "state": report.state.lower(),
            "started": report.started_at[:19],
            "seconds": report.seconds,
            "jobs": ", ".join(job.name for job in report.jobs),
            "error": shorten(report.error, _ERROR_CHARACTERS),
        }
        for report in reports
    ]
    print_result(rows, as_json=as_json, value=reports)


def show(
    run: Annotated[str, typer.Argument(help="Run id, or `last`.")] = "last",
    lake: LakeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a run: jobs, durations, row counts, checks, schema drift and error.

    Example: brewhouse show last
    """
    from brewhouse.events.run_reports import expired_by

    _, place = settings_and_lake(lake)
    report = report_of(place, run)
    print_report(report, as_json=as_json)
    if not as_json and (expiry := expired_by(reports_of(place), report.run)):
        print(f"expired: run {expiry.run} expired its states of the tables on {expiry.ended_at[:10]}")
