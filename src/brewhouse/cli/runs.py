"""Commands about runs, and what they report: runs, show, events, logs, alerts, schedule."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

from brewhouse.cli.options import (
    AllOption,
    GroupedHelp,
    JsonOption,
    LakeOption,
    LimitOption,
    RunArgument,
    complete_run,
    settings_and_lake,
)
from brewhouse.cli.output import (
    make_output_optional,
    minute,
    print_json,
    print_report,
    print_result,
    print_rows,
    shorten,
)
from brewhouse.cli.results import shown_rows
from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.lake.lake import Lake, require_lake
from brewhouse.settings import Settings

if TYPE_CHECKING:
    from brewhouse.events.envelope import Event
    from brewhouse.events.notifications import Outcome

_ERROR_CHARACTERS = 80
_POLL_S = 0.5
_MESSAGE_CHARACTERS = 300
schedule = typer.Typer(
    cls=GroupedHelp,
    name="schedule",
    help="Scheduled runs, started while the console runs.\n\nExample: brewhouse schedule --count 10",
)


def runs(
    lake: LakeOption = None, limit: LimitOption = None, show_all: AllOption = False, as_json: JsonOption = False
) -> None:
    """List the runs of the lake, newest first.

    Example: brewhouse runs --json
    """
    from brewhouse.events.run_history import newest_reports, reports_of

    _, place = settings_and_lake(lake)
    wanted = shown_rows(limit, show_all=show_all, as_data=as_json)
    reports, has_older = (reports_of(place), False) if wanted is None else newest_reports(place, wanted)
    reports.reverse()
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


def events(
    lake: LakeOption = None,
    run: Annotated[
        str | None,
        typer.Option("--run", help="Only events of this run id, or of the `last` run.", autocompletion=complete_run),
    ] = None,
    level: Annotated[Literal["info", "warn", "error"], typer.Option("--level", help="Minimum severity.")] = "info",
    limit: Annotated[int, typer.Option("--limit", min=1, help="Number of newest events.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", help="Continue with new events until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List events, newest last; with --json as JSON lines.

    Example: brewhouse events --level warn --follow
    """
    from brewhouse.events.envelope import LEVELS
    from brewhouse.events.event import read_events
    from brewhouse.events.run_history import report_of

    _, place = settings_and_lake(lake)
    require_lake(place)
    levels = LEVELS[LEVELS.index(level.upper()) :]
    run_id = report_of(place, run).run if run else None

    known: set[str] = set()
    since, first = None, -limit
    with suppress(KeyboardInterrupt):
        while True:
            new = [event for event in read_events(place, since) if event.id not in known]
            known.update(event.id for event in new)
            matching = [event for event in new if event.level in levels and run_id in (None, event.run)]
            for event in matching[first:]:
                _print_event(event, as_json=as_json)
            if not follow:
                break
            time.sleep(_POLL_S)
            since, first = (datetime.now(UTC) - timedelta(days=1)).date(), 0


def logs(
    run: RunArgument = "last",
    job: Annotated[str | None, typer.Argument(help="Only the lines of this job.")] = None,
    lake: LakeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the log of a run; with --json as JSON lines.

    Example: brewhouse logs last extract
    """
    from brewhouse.events.run_history import report_of
    from brewhouse.events.run_log import read_log

    _, place = settings_and_lake(lake)
    report = report_of(place, run)
    if job and job not in (jobs := [each.name for each in report.jobs]):
        raise UsageError(f"Run {report.run} has no job {job}.", hint=f"Its jobs are {', '.join(jobs) or 'none'}.")
    for line in read_log(place, report.run, job):
        if as_json:
            print(msgspec.json.encode(line).decode())
            continue
        print(f"{line.time[:23]}Z {line.level:<5} {f'{line.job}: ' if line.job else ''}{line.message}")
        if line.traceback:
            print(line.traceback)


alerts = typer.Typer(
    cls=GroupedHelp,
    name="alerts",
    help="Send alerts about failed, late and recovered runs.\n\nExample: brewhouse alerts test",
    no_args_is_help=True,
)


@alerts.command("test")
def send_test_messages(lake: LakeOption = None, as_json: JsonOption = False) -> None:
    """Send a test message to every receiver in [alerts] of brewhouse.toml.

    Example: brewhouse alerts test
    """
    from brewhouse.events.notifications import send_test

    settings, place = settings_and_lake(lake)
    if not settings.alerts.urls:
        raise UsageError(
            "No receiver is configured: alerts.urls is empty.",
            hint='Add urls = ["mailto://…"] to [alerts] in brewhouse.toml; see docs/alerts.md.',
        )
    _print_outcomes(send_test(place, settings.alerts), as_json=as_json)


@alerts.command("check")
def send_due_messages(lake: LakeOption = None, as_json: JsonOption = False) -> None:
    """Send due messages: interrupted runs, late runs and earlier messages that failed. For cron.

    Example: brewhouse alerts check
    """
    from brewhouse.events.notifications import notify
    from brewhouse.lake.run_lock import holder
    from brewhouse.pipeline.interrupted_runs import close_killed_runs

    settings, place = settings_and_lake(lake)
    require_lake(place)
    close_killed_runs(place)
    running = held.run if (held := holder(place)) else None
    _print_outcomes(notify(place, settings.alerts, running), as_json=as_json)


def _print_event(event: Event, *, as_json: bool) -> None:
    if as_json:
        print(event.encode().decode(), flush=True)
        return
    message = " ".join(str(event.detail.get("message", "")).split())
    shown = message or f"{event.detail.get('jobName', '')} {event.detail.get('state', '')}"
    start = f"{event.time[:19]}Z {event.level:<5} {event.run} {event.detail_type}"
    print(f"{start}: {shorten(shown, _MESSAGE_CHARACTERS)}", flush=True)


def _print_outcomes(outcomes: list[Outcome], *, as_json: bool) -> None:
    make_output_optional()
    if as_json:
        print_json(outcomes)
    elif outcomes:
        print_rows([{"to": o.receiver, "subject": o.subject, "result": o.error or "sent"} for o in outcomes])
    else:
        print("No messages are due.")
    if failed := sum(bool(outcome.error) for outcome in outcomes):
        raise BrewhouseError(f"Failed to send {failed} of {len(outcomes)} messages.", hint="Fix the errors above.")


@schedule.callback(invoke_without_command=True)
def show_schedule(
    context: typer.Context,
    lake: LakeOption = None,
    count: Annotated[int, typer.Option("--count", min=1, max=1000, help="Number of next runs.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Show the next scheduled runs; `brewhouse serve` starts them."""
    if context.invoked_subcommand is None:
        settings, place = settings_and_lake(lake)
        _print_schedule(settings, place, count, as_json=as_json)


@schedule.command("on")
def switch_on(lake: LakeOption = None) -> None:
    """Enable the schedule; runs missed while it was off are skipped.

    Example: brewhouse schedule on
    """
    _switch(lake, is_on=True)


@schedule.command("off")
def switch_off(lake: LakeOption = None) -> None:
    """Disable the schedule until it is enabled again.

    Example: brewhouse schedule off
    """
    _switch(lake, is_on=False)


def _print_schedule(settings: Settings, lake: Lake, count: int, *, as_json: bool) -> None:
    from brewhouse.events.event import read_events
    from brewhouse.events.schedule_state import schedule_state
    from brewhouse.pipeline.cron_schedule import parse_schedule, upcoming

    known = schedule_state(read_events(lake))
    configured = parse_schedule(settings.schedule.cron, settings.schedule.time_zone)
    plan = configured or parse_schedule(known.cron, known.time_zone)
    times = list(islice(upcoming(plan, datetime.now(UTC)), count)) if plan else []
    if as_json:
        cron, zone = (plan.cron, plan.zone.key) if plan else (None, None)
        starts = [time.isoformat() for time in times] if known.is_on else []
        print_json({"cron": cron, "time_zone": zone, "is_on": known.is_on, "next": starts})
    elif plan is None:
        print('No schedule is set. Add cron = "0 6 * * *" to [schedule] in brewhouse.toml; see docs/schedule.md.')
    elif not known.is_on:
        print(f"The schedule {plan.cron} ({plan.zone.key}) is off; `brewhouse schedule on` enables it.")
    else:
        print(f"The schedule {plan.cron} ({plan.zone.key}) is on; while `brewhouse serve` runs, the next runs start at")
        print_rows([{"due": f"{t:%a %Y-%m-%d %H:%M %Z}", "UTC": f"{t.astimezone(UTC):%Y-%m-%d %H:%MZ}"} for t in times])


def _switch(lake: str | None, *, is_on: bool) -> None:
    from brewhouse.events.schedule_state import switch
    from brewhouse.pipeline.cron_schedule import parse_schedule

    settings, place = settings_and_lake(lake)
    plan = parse_schedule(settings.schedule.cron, settings.schedule.time_zone)
    make_output_optional()
    switch(place, is_on=is_on, **({"cron": plan.cron, "time_zone": plan.zone.key} if plan else {}))
    _print_schedule(settings, place, count=1, as_json=False)
