"""The `brewhouse` command: an error is one paragraph on standard error, and its kind is the exit code.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 checks failed.
"""

from __future__ import annotations

import gc
import os
import sys

import typer

from brewhouse.cli import aws, backfill, changes, events, jobs, maintain, models, read, report, runs, schedule, serve
from brewhouse.errors import BrewhouseError

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
for commands in (jobs, read, changes, models, runs, events, schedule, backfill, maintain, serve, report, aws):
    commands.register(app)


def main() -> None:
    """Run the command line; `--debug` anywhere shows the traceback of an error."""
    gc.set_threshold(50_000)  # imports make many objects that stay; looking for garbage among them costs 0.2 s
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(args=arguments, prog_name="brewhouse")
    except BrewhouseError as error:
        if debug:
            raise
        print(f"brewhouse: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # whatever a library throws ends as one paragraph too
        if debug:
            raise
        from brewhouse.lake.error_translation import translate_error

        if known := translate_error(error):
            print(f"brewhouse: {known}", file=sys.stderr)
            sys.exit(known.exit_code)
        print(
            f"brewhouse: Unexpected {type(error).__name__}: {error}. Run the command again with --debug to see where.",
            file=sys.stderr,
        )
        sys.exit(1)
