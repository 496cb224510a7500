"""The `brewhouse` command line; errors are one paragraph on standard error.

Exit codes: 0 success, 1 failure, 2 wrong usage, 3 failed checks.
"""

from __future__ import annotations

import atexit
import gc
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from inspect import isfunction
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
import typer.main
from typer._coercion import build_runtime_param

from brewhouse import __version__
from brewhouse.cli import aws, jobs, models, output, read, runs, serve, setup
from brewhouse.cli.options import GroupedHelp
from brewhouse.cli.output import safe_streams
from brewhouse.errors import BrewhouseError, UsageError, install_command, redacted
from brewhouse.settings import reject_unknown_variables

_SECTIONS: dict[str, tuple[Any, ...]] = {
    "Run": (jobs.run, jobs.extract, jobs.transform, jobs.aggregate, jobs.rebuild, jobs.backfill, serve.demo),
    "Read": (read.query, read.queries, read.tables, read.describe, read.places, read.rejected, serve.report),
    "History": (read.history, read.changes, read.diff, jobs.rollback),
    "Operate": (
        *(setup.init, setup.config, setup.doctor),
        *(runs.runs, runs.show, runs.logs, runs.events, runs.alerts, runs.schedule),
        *(jobs.maintain, jobs.verify, jobs.relocate, setup.drop),
    ),
    "Console": (serve.serve, serve.mcp),
    "AWS": (aws.aws,),
    "Develop": (models.models, serve.mock_api),
}
_UNHEARD_S = 1.5
_AWS_LIBRARIES = {"boto3", "botocore", "yaml"}


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"brewhouse {__version__}")
        raise typer.Exit


def select_options(
    config: Annotated[Path | None, typer.Option("--config", help="Settings file. Default: brewhouse.toml")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print no progress and no report of a run.")] = False,
    _debug: Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Select what holds for every command; the options are accepted in any position."""
    if config is not None:
        os.environ["BREWHOUSE_CONFIG"] = str(config)  # inherited by the processes that this one starts
    output.is_quiet = quiet
    if not {"-h", "--help"} & {*sys.argv}:
        reject_unknown_variables()


def _app_of(named: str = "", *, is_summary: bool = False) -> typer.Typer:
    """Return the app of all commands, or of a named one: Typer builds the options of each, which takes 50 ms.

    Args:
        is_summary: Whether all commands are without options, for the help that lists them.
    """
    app = typer.Typer(
        name="brewhouse",
        cls=GroupedHelp,
        help="A lakehouse in a box: every brewery of the world, checked, published and queryable.\n\n"
        'Example: brewhouse run && brewhouse query "SELECT country_name, sum(brewery_count) FROM '
        'gold.breweries_by_location GROUP BY country_name"',
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    )
    app.callback()(select_options)
    for section, commands in _SECTIONS.items():
        for command in sorted(commands, key=isfunction, reverse=True):  # as Typer does: groups come last
            if isinstance(command, typer.Typer):
                if is_summary:
                    app.command(command.info.name, rich_help_panel=section, help=command.info.help)(lambda: None)
                elif not named:
                    app.add_typer(command, rich_help_panel=section)
            elif is_summary:
                app.command(_name(command), rich_help_panel=section, help=command.__doc__)(lambda: None)
            elif not named or named == _name(command):
                app.command(_name(command), rich_help_panel=section)(command)
    return app


def _name(command: Callable[..., None]) -> str:
    return command.__name__.replace("_", "-")


class _QuickCoercion:
    """Coerces a parameter as Typer does, for which it imports pydantic, unless the value stays as it is."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ANN401 - of the click inside Typer
        kind, is_list = param.type_descriptor.annotation, param.multiple or param.nargs == -1
        if value is None:
            return () if is_list else None
        if not is_list and (type(value) is kind or (get_origin(kind) is Literal and value in get_args(kind))):
            return value
        return build_runtime_param(param.type_descriptor).coerce(value, param=param, ctx=ctx)


def _command_of(name: str) -> Any:  # noqa: ANN401 - of the click inside Typer
    """Return the command line with one command, which starts 0.1 s earlier than that of all commands."""
    group: Any = typer.main.get_command(_app_of(name))
    context = typer.Context(group, **group.context_settings)
    command = group.commands[name]
    for parameter in [*group.get_params(context), *command.get_params(typer.Context(command, parent=context))]:
        parameter._runtime_param = _QuickCoercion()  # private in Typer, which else creates it when needed
    return group


app = _app_of()
_NAMES = {_name(command) for commands in _SECTIONS.values() for command in commands if isfunction(command)}


def start() -> None:
    """Run the command line as this process, which ends without freeing every object: that takes 0.2 s."""
    codes: list[int] = []

    def end() -> None:
        if codes:
            if "logging" in sys.modules:
                sys.modules["logging"].shutdown()
            for stream in filter(None, (sys.stdout, sys.stderr)):  # None is a closed one
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
    """Run the command line."""
    gc.set_threshold(50_000)  # imports create many long-lived objects; collecting among them takes 0.2 s
    arguments = _common_first(sys.argv[1:])
    with safe_streams(), _ended_by_ctrl_c():
        sys.exit(_exit_code(arguments, debug="--debug" in arguments))


@contextmanager
def _ended_by_ctrl_c() -> Iterator[None]:
    """End this process if Ctrl-C does not end the block, as Python hears no signal while a library waits, as for S3.

    What works on a lake may still record its end and release the lock, so a second Ctrl-C ends it, not one that
    follows at once: timeout(1) sends two.
    """
    reader, writer = socket.socketpair()  # on Windows, a pipe always blocks
    writer.setblocking(False)
    ended = threading.Event()

    def watch() -> None:
        is_announced = False
        while reader.recv(1, socket.MSG_PEEK):
            is_heard = not is_announced and ended.wait(_UNHEARD_S)
            if signal.SIGINT in reader.recv(64) and not is_heard:  # all that came meanwhile count as one
                if is_announced or not output.is_output_optional():
                    os._exit(130)
                print("brewhouse: stopping; press Ctrl-C again to end at once", file=sys.stderr, flush=True)
                is_announced = True
        reader.close()

    threading.Thread(target=watch, daemon=True).start()
    previous = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(previous)
        writer.close()


def _common_first(arguments: list[str]) -> list[str]:
    """Move the options of every command before the command.

    Example:
        >>> _common_first(["run", "--config", "x.toml", "--lake", "a", "--quiet", "--", "--debug"])
        ['--config', 'x.toml', '--quiet', 'run', '--lake', 'a', '--', '--debug']
    """
    common: list[str] = []
    others: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            others += [argument, *rest]
        elif argument == "--config":
            if (file := next(rest, None)) is None:
                return [argument]  # of which the parser says that it lacks its value
            common += [argument, file]
        elif argument in {"--debug", "--quiet"} or argument.startswith("--config="):
            common.append(argument)
        else:
            others.append(argument)
    return [*common, *others]


def _exit_code(arguments: list[str], *, debug: bool) -> int | str | None:
    """Run a command, print its error, and return its exit code."""
    try:
        try:
            if arguments and arguments[0] in _NAMES:
                run = _command_of(arguments[0])
            else:
                run = _app_of(is_summary=True) if arguments in (["--help"], ["-h"]) else app
            code: int | str | None = run(args=arguments, prog_name="brewhouse", standalone_mode=False)
        except SystemExit as end:
            code = end.code
        except typer.Abort as end:
            if isinstance(end.__cause__, EOFError):
                raise BrewhouseError(
                    f"A file ends too early: {end.__cause__}.", hint="Copy or download it again."
                ) from end
            raise BrewhouseError("Nothing was done: the confirmation was declined.", hint="Pass --yes.") from end
        sys.stdout.flush()
    except BrokenPipeError:
        return 1
    except Exception as error:  # noqa: BLE001 - whatever it is
        if debug:
            import traceback

            print(redacted("".join(traceback.format_exception(error))), end="", file=sys.stderr)
        elif type(error).__name__ == "NoArgsIsHelpError":
            print(error, file=sys.stderr)
        else:
            print(f"brewhouse: {_readable_error(error)}", file=sys.stderr)
        return _readable_error(error).exit_code
    return code


def _readable_error(error: Exception) -> BrewhouseError:
    from brewhouse.lake.error_translation import translate_error, translate_system_error

    if hasattr(error, "format_message"):
        return _usage_error(error)
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in _AWS_LIBRARIES:
        what = f"`brewhouse aws` needs {error.name}, which is not installed."
        return UsageError(what, hint=f"Run `{install_command('aws')}`.")
    known = error if isinstance(error, BrewhouseError) else translate_error(error) or translate_system_error(error)
    return known or BrewhouseError(
        f"Unexpected {type(error).__name__}: {error}.", hint="Run the command again with --debug for the traceback."
    )


_USAGE = (
    (r"Value error, |\.$", ""),
    (r": (?:Input should be|it must be) ", " must be "),
    (r"greater than or equal to (\S+)", r"\1 or more"),
    (r"less than or equal to (\S+)", r"\1 or less"),
    (r"a valid integer, .*", "a whole number"),
    (r"a valid number, .*", "a number"),
    (r": '.*' is not one of (.*)", r" must be one of \1"),
    (r"^No such option: (\S+)", r"No such option \1"),
    (r" \(Possible options: (.*)\)$", r". Did you mean \1?"),
    (r"^Got unexpected extra argument(?:\(s\)|s)? \((.*)\)", r"Unexpected argument \1"),
)
"""What the click inside Typer writes, and what we write."""


def _usage_error(error: Any) -> UsageError:  # noqa: ANN401 - of the click inside Typer
    """Describe an invalid option or argument, with its value."""
    text = error.format_message()
    for pattern, ours in _USAGE:
        text = re.sub(pattern, ours, text)
    if match := re.match("Invalid value for '(.+?)'( must be .*)", text):
        name, requirement = match.groups()
        given = [value for option, value in zip(sys.argv, sys.argv[1:], strict=False) if option == name]
        given += [value.partition("=")[2] for value in sys.argv if value.startswith(f"{name}=")]
        text = f"{name}{requirement}{f' (got {given[-1]})' if given else ''}"
    path = error.ctx.command_path if error.ctx else "brewhouse"
    return UsageError(text if text.endswith("?") else f"{text}.", hint=f"See `{path} --help`.")
