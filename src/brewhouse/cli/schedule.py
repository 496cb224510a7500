"""Commands about the schedule: schedule, schedule on, schedule off."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import Annotated

import typer

from brewhouse.cli.options import GroupedHelp, JsonOption, LakeOption, settings_and_lake
from brewhouse.cli.output import make_output_optional, print_json, print_rows
from brewhouse.lake.lake import Lake
from brewhouse.settings import Settings

schedule = typer.Typer(
    cls=GroupedHelp,
    name="schedule",
    help="Scheduled runs, started while the console runs.\n\nExample: brewhouse schedule --count 10",
)


@schedule.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    lake: LakeOption = None,
    count: Annotated[int, typer.Option("--count", min=1, max=1000, help="Number of next runs.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Show the next scheduled runs; `brewhouse serve` starts them."""
    if context.invoked_subcommand is None:
        settings, place = settings_and_lake(lake)
        _show(settings, place, count, as_json=as_json)


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


def _show(settings: Settings, lake: Lake, count: int, *, as_json: bool) -> None:
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
    _show(settings, place, count=1, as_json=False)
