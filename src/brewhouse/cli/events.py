"""Commands that tell afterwards what happened, and tell people: events, logs, alerts."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from brewhouse.cli.options import JsonOption, LakeOption, settings_and_lake
from brewhouse.cli.output import print_json, print_rows
from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.lake.lake import Lake

if TYPE_CHECKING:
    from collections.abc import Iterable

    from brewhouse.events.event import Event
    from brewhouse.events.notifications import Outcome

_POLL_S = 0.5
_MESSAGE_CHARACTERS = 300


class Level(StrEnum):
    """How serious an event is."""

    INFO = "info"
    WARN = "warn"
    ERROR = "error"


def events(
    lake: LakeOption = None,
    run: Annotated[str | None, typer.Option("--run", help="Only those of this run, or of the `last`.")] = None,
    level: Annotated[Level, typer.Option("--level", help="Only those at least as serious.")] = Level.INFO,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many of the newest.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what happens next, until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List what happened, newest last; with --json a line each.

    Example: brewhouse events --level warn --follow
    """
    from brewhouse.events.event import LEVELS, read_events

    _, place = settings_and_lake(lake)
    wanted = LEVELS[LEVELS.index(level.name) :]
    chosen = _run_id(place, run) if run else None

    def show(happened: Iterable[Event]) -> None:
        for event in happened:
            _print_event(event, as_json=as_json)

    def matching(happened: Iterable[Event]) -> list[Event]:
        return [event for event in happened if event.level in wanted and chosen in (None, event.run)]

    seen = read_events(place)
    show(matching(seen)[-limit:])
    known = {event.id for event in seen}
    try:
        while follow:
            time.sleep(_POLL_S)
            new = [e for e in read_events(place, _yesterday()) if e.id not in known]
            known.update(event.id for event in new)
            show(matching(new))
    except KeyboardInterrupt:
        return


def logs(
    run: Annotated[str, typer.Argument(help="Run id, or `last`.")] = "last",
    job: Annotated[str | None, typer.Argument(help="Only the lines of this job.", show_default=False)] = None,
    lake: LakeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the log of a run; with --json a line of JSON each.

    Example: brewhouse logs last extract
    """
    import msgspec

    from brewhouse.events.run_log import read_log

    _, place = settings_and_lake(lake)
    for line in read_log(place, _run_id(place, run), job):
        if as_json:
            print(msgspec.json.encode(line).decode())
            continue
        print(f"{line.time[:23]}Z {line.level:<5} {f'{line.job}: ' if line.job else ''}{line.message}")
        if line.traceback:
            print(line.traceback)


alerts = typer.Typer(
    name="alerts",
    help="Tell people what they should know.\n\nExample: brewhouse alerts test",
    no_args_is_help=True,
)


@alerts.command("test")
def send_test_messages(lake: LakeOption = None, as_json: JsonOption = False) -> None:
    """Send a test to everybody in [alerts] of brewhouse.toml.

    Example: brewhouse alerts test
    """
    from brewhouse.events.notifications import send_test

    settings, place = settings_and_lake(lake)
    if not settings.alerts.urls:
        raise UsageError(
            "Nobody is to be told: there are no alerts.urls.",
            hint='Put urls = ["mailto://…"] below [alerts] in brewhouse.toml; see docs/alerts.md.',
        )
    _print_outcomes(send_test(place, settings.alerts), as_json=as_json)


@alerts.command("check")
def send_what_is_due(lake: LakeOption = None, as_json: JsonOption = False) -> None:
    """Send what is due: killed runs, late runs, and what could not be sent before. For cron.

    Example: brewhouse alerts check
    """
    from brewhouse.events.notifications import notify
    from brewhouse.lake.run_lock import holder
    from brewhouse.pipeline.interrupted_runs import close_killed_runs

    settings, place = settings_and_lake(lake)
    if not place.root.exists():
        raise BrewhouseError(f"There is no lake {place.root}.", hint="Run `brewhouse run` first.")
    close_killed_runs(place)
    held = holder(place)
    _print_outcomes(notify(place, settings.alerts, held.run if held else None), as_json=as_json)


def _run_id(lake: Lake, run: str) -> str:
    from brewhouse.cli.runs import report_of

    return report_of(lake, run).run


def _yesterday() -> date:
    return (datetime.now(UTC) - timedelta(days=1)).date()


def _print_event(event: Event, *, as_json: bool) -> None:
    import msgspec

    if as_json:
        print(msgspec.json.encode(event).decode(), flush=True)
        return
    detail = event.detail
    message = " ".join(str(detail.get("message", "")).split())
    message = message or f"{detail.get('jobName', '')} {detail.get('state', '')}"
    shown = message if len(message) <= _MESSAGE_CHARACTERS else f"{message[:_MESSAGE_CHARACTERS]}…"
    print(f"{event.time[:19]}Z {event.level:<5} {event.run} {event.detail_type}: {shown}", flush=True)


def _print_outcomes(outcomes: list[Outcome], *, as_json: bool) -> None:
    if as_json:
        print_json(outcomes)
    elif outcomes:
        print_rows([{"to": o.receiver, "subject": o.subject, "what": o.error or "sent"} for o in outcomes])
    else:
        print("Nothing is due.")
    if any(outcome.error for outcome in outcomes):
        raise BrewhouseError("Not everything could be sent.", hint="Mend what is said above, then try again.")


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (events, logs):
        app.command()(command)
    app.add_typer(alerts)
