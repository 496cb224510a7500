"""Commands about events, logs and alerts: events, logs, alerts."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

from brewhouse.cli.options import GroupedHelp, JsonOption, LakeOption, RunArgument, complete_run, settings_and_lake
from brewhouse.cli.output import make_output_optional, print_json, print_rows, shorten
from brewhouse.errors import BrewhouseError, UsageError

if TYPE_CHECKING:
    from brewhouse.events.envelope import Event
    from brewhouse.events.notifications import Outcome

_POLL_S = 0.5
_MESSAGE_CHARACTERS = 300


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
    from brewhouse.lake.lake import require_lake

    _, place = settings_and_lake(lake)
    require_lake(place)
    levels = LEVELS[LEVELS.index(level.upper()) :]
    run_id = report_of(place, run).run if run else None

    known: set[str] = set()
    found, first = read_events(place), -limit
    with suppress(KeyboardInterrupt):
        while True:
            new = [event for event in found if event.id not in known]
            known.update(event.id for event in new)
            matching = [event for event in new if event.level in levels and run_id in (None, event.run)]
            for event in matching[first:]:
                _print_event(event, as_json=as_json)
            if not follow:
                break
            time.sleep(_POLL_S)
            yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
            found, first = read_events(place, yesterday), 0


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
    from brewhouse.lake.lake import require_lake
    from brewhouse.lake.run_lock import holder
    from brewhouse.pipeline.interrupted_runs import close_killed_runs

    settings, place = settings_and_lake(lake)
    require_lake(place)
    close_killed_runs(place)
    held = holder(place)
    _print_outcomes(notify(place, settings.alerts, held.run if held else None), as_json=as_json)


def _print_event(event: Event, *, as_json: bool) -> None:
    if as_json:
        print(event.encode().decode(), flush=True)
        return
    message = " ".join(str(event.detail.get("message", "")).split())
    message = message or f"{event.detail.get('jobName', '')} {event.detail.get('state', '')}"
    shown = shorten(message, _MESSAGE_CHARACTERS)
    print(f"{event.time[:19]}Z {event.level:<5} {event.run} {event.detail_type}: {shown}", flush=True)


def _print_outcomes(outcomes: list[Outcome], *, as_json: bool) -> None:
    make_output_optional()
    if as_json:
        print_json(outcomes)
    elif outcomes:
        print_rows([{"to": o.receiver, "subject": o.subject, "result": o.error or "sent"} for o in outcomes])
    else:
        print("No messages are due.")
    failed = sum(bool(outcome.error) for outcome in outcomes)
    if failed:
        raise BrewhouseError(f"Failed to send {failed} of {len(outcomes)} messages.", hint="Fix the errors above.")
