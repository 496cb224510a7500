"""Commands about runs: runs, show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from brewhouse.cli.options import JsonOption, LakeOption, settings_and_lake
from brewhouse.cli.output import print_json, print_rows, shorten
from brewhouse.errors import UsageError
from brewhouse.lake.lake import Lake

if TYPE_CHECKING:
    from brewhouse.events.run_reports import RunReport

_ERROR_CHARACTERS = 80
_EXAMPLE_CHARACTERS = 160


def runs(lake: LakeOption = None, as_json: JsonOption = False) -> None:
    """List the runs of the lake, newest first.

    Example: brewhouse runs --json
    """
    _, place = settings_and_lake(lake)
    reports = _reports(place)[::-1]
    if as_json:
        print_json(reports)
        return
    print_rows([_row(report) for report in reports])


def _row(report: RunReport) -> dict[str, object]:
    return {
        "run": report.run,
        "state": report.state.lower(),
        "started": report.started_at[:19],
        "seconds": report.seconds,
        "jobs": ", ".join(job.name for job in report.jobs),
        "error": shorten(report.error, _ERROR_CHARACTERS),
    }


def show(
    run: Annotated[str, typer.Argument(help="Run id, or `last`.")] = "last",
    lake: LakeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a run: jobs, durations, row counts, checks, schema drift and error.

    Example: brewhouse show last
    """
    _, place = settings_and_lake(lake)
    print_report(report_of(place, run), as_json=as_json)


def report_of(lake: Lake, run: str) -> RunReport:
    """Return the report of a run id or of the `last` run.

    Raises:
        UsageError: The lake has no such run.
    """
    reports = _reports(lake)
    if run == "last" and reports:
        return reports[-1]
    for report in reports:
        if report.run == run:
            return report
    raise UsageError(f"The lake {lake.root} has no run {run}.", hint="`brewhouse runs` lists them.")


def print_report(report: RunReport, *, as_json: bool) -> None:
    """Print a run's report as JSON or as text."""
    if as_json:
        print_json(report)
        return
    seconds = f" in {report.seconds:.2f} s" if report.seconds is not None else ""
    print(f"run {report.run} {report.state.lower()}{seconds}, started {report.started_at[:19]}Z")
    if report.error:
        print(f"error: {report.error}")
    print_rows(
        [{"job": j.name, "state": j.state.lower(), "seconds": j.seconds, "result": j.message} for j in report.jobs]
    )
    if report.published:
        print_rows(report.published)
    _print_checks(report)
    for drift in report.drift:
        print(f"schema drift: {drift['name']} {drift['detail']}, {drift['count']} times; example: {drift['example']}")


def _print_checks(report: RunReport) -> None:
    if not report.checks:
        return
    failed = [check for check in report.checks if not check["passed"]]
    counts = [f"{len(report.checks) - len(failed)} checks passed"]
    for severity in ("error", "warning"):
        number = sum(check["severity"] == severity for check in failed)
        counts += [f"{number} {severity}{'s' if number > 1 else ''}"] if number else []
    print(", ".join(counts))
    for check in failed:
        violations = f"{check['found']} violation{'' if check['found'] == 1 else 's'}"
        facts = f"{violations}; {shorten(check['example'] or '', _EXAMPLE_CHARACTERS)}"
        print(f"{check['severity']}: {check['table']}: {check['name']}: {facts}")


def _reports(lake: Lake) -> list[RunReport]:
    from brewhouse.events.event import read_events
    from brewhouse.events.run_reports import run_reports
    from brewhouse.lake.run_lock import holder

    held = holder(lake)
    return run_reports(read_events(lake), held.run if held else None)
