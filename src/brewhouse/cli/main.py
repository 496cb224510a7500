"""The `brewhouse` command line; errors are one paragraph on standard error.

Exit codes: 0 success, 1 failure, 2 wrong usage, 3 failed checks.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress

import typer

from brewhouse.cli import aws, changes, events, jobs, models, read, runs, schedule, serve
from brewhouse.cli.output import safe_streams
from brewhouse.errors import BrewhouseError, redacted

COMMANDS = (
    *(jobs.run, jobs.extract, jobs.transform, jobs.aggregate, jobs.rebuild, jobs.rollback, jobs.relocate),
    *(read.query, read.queries, read.tables, read.describe, read.history, read.rejected),
    *(changes.changes, changes.diff, changes.places, models.models),
    *(runs.runs, runs.show, events.events, events.logs),
    *(jobs.backfill, jobs.maintain, jobs.verify, serve.serve, serve.mock_api, serve.demo, serve.report),
)
GROUPS = (events.alerts, schedule.schedule, aws.aws)


def _app_of(commands: Iterable[Callable[..., None]], groups: Iterable[typer.Typer] = ()) -> typer.Typer:
    app = typer.Typer(
        name="brewhouse",
        help="A lakehouse in a box: every brewery of the world, checked, published and queryable.\n\n"
        'Example: brewhouse run && brewhouse query "SELECT country_name, sum(brewery_count) FROM '
        'gold.breweries_by_location GROUP BY country_name"',
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(lambda: None)  # otherwise an app with one command is that command
    for command in commands:
        app.command(_name(command))(command)
    for group in groups:
        app.add_typer(group)
    return app


def _name(command: Callable[..., None]) -> str:
    return command.__name__.replace("_", "-")


app = _app_of(COMMANDS, GROUPS)


def start() -> None:
    """Run the command line as this process, which ends without freeing every object: that takes 0.2 s."""
    codes: list[int] = []

    def end() -> None:
        if codes:
            if "logging" in sys.modules:
                sys.modules["logging"].shutdown()
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError, ValueError):
                    stream.flush()
            os._exit(codes[0])

    atexit.register(end)  # before any library, so that it is called after those of all libraries
    try:
        main()
    except SystemExit as stop:
        if not isinstance(stop.code, str):  # which the interpreter prints
            codes.append(stop.code or 0)
        raise


def main() -> None:
    """Run the command line; `--debug` in any position shows the traceback of an error."""
    gc.set_threshold(50_000)  # imports create many long-lived objects; collecting among them takes 0.2 s
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    with safe_streams():
        sys.exit(_exit_code(arguments, debug=debug))


def _exit_code(arguments: list[str], *, debug: bool) -> int | str | None:
    """Run a command, print its error, and return its exit code."""
    try:
        try:
            # Typer builds the options of every command of an app, which takes 50 ms.
            named = [command for command in COMMANDS if arguments[:1] == [_name(command)]]
            (_app_of(named) if named else app)(args=arguments, prog_name="brewhouse")
        except SystemExit as end:
            sys.stdout.flush()
            if isinstance(eof := getattr(end.__context__, "__cause__", None), EOFError):  # Typer printed `Aborted!`
                raise BrewhouseError(f"A file ends too early: {eof}.", hint="Copy or download it again.") from eof
            return end.code
    except BrokenPipeError:
        return 1
    except Exception as error:  # noqa: BLE001 - whatever it is
        if debug:
            import traceback

            print(redacted("".join(traceback.format_exception(error))), end="", file=sys.stderr)
            return 1
        known = _readable_error(error)
        print(f"brewhouse: {known}", file=sys.stderr)
        return known.exit_code
    return 0


def _readable_error(error: Exception) -> BrewhouseError:
    from brewhouse.lake.error_translation import translate_error, translate_system_error

    known = error if isinstance(error, BrewhouseError) else translate_error(error) or translate_system_error(error)
    return known or BrewhouseError(
        f"Unexpected {type(error).__name__}: {error}.", hint="Run the command again with --debug for the traceback."
    )
