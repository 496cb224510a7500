"""Options shared by several commands, and the settings and the lake they select."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args

import typer
from typer.core import TyperGroup

from brewhouse.errors import UsageError, suggestion
from brewhouse.lake.lake import Lake, lake_of
from brewhouse.settings import Settings, load, setting_names

if TYPE_CHECKING:
    from brewhouse.lakehouse import Lakehouse
    from brewhouse.places.gazetteer import Gazetteer
    from brewhouse.places.reference import Entry


def complete_table(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a table of a local lake, by its folders."""
    with suppress(Exception):
        _, lake = settings_and_lake(ctx.params.get("lake"))
        folders = sorted(lake.warehouse.glob("*/*")) if lake.is_local else []
        return [name for folder in folders if (name := f"{folder.parent.name}.{folder.name}").startswith(incomplete)]
    return []


def complete_run(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Complete a run id of a local lake, newest first."""
    from brewhouse.cli.output import minute
    from brewhouse.events.run_history import reports_of

    with suppress(Exception):
        _, lake = settings_and_lake(ctx.params.get("lake"))
        reports = reversed(reports_of(lake)) if lake.is_local and lake.root.is_dir() else []
        found = [(report.run, f"{report.state.lower()} {minute(report.started_at)}") for report in reports]
        return [(run, text) for run, text in found if run.startswith(incomplete)]
    return []


def complete_table_or_run(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Complete what `rollback` accepts."""
    return [*((name, "") for name in complete_table(ctx, incomplete)), *complete_run(ctx, incomplete)]


def complete_saved(incomplete: str) -> list[tuple[str, str]]:
    """Complete the name of a saved query."""
    from brewhouse.query.saved_queries import saved_queries

    return [(query.name, query.title) for query in saved_queries() if query.name.startswith(incomplete)]


def complete_setting(incomplete: str) -> list[str]:
    """Complete the name of a setting."""
    return [name for name in setting_names() if name.startswith(incomplete)]


LakeOption = Annotated[
    str | None, typer.Option("--lake", help="Root of the lake: a folder or s3://bucket/prefix. Default: lake")
]
ModelsOption = Annotated[Path | None, typer.Option("--models", help="Folder of your own models, *.sql.")]
EngineOption = Annotated[
    Literal["duckdb", "spark"] | None, typer.Option("--engine", help="Engine of the models. Default: duckdb")
]
MasterOption = Annotated[str | None, typer.Option("--spark-master", help="Spark master URL. Default: local[*]")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="Maximum number of rows; a table has 50 by default.")
]
AllOption = Annotated[bool, typer.Option("--all", help="Print all rows.")]
AtOption = Annotated[
    str | None,
    typer.Option(
        "--at", help="Read as of a date, a time, a table snapshot id or a run id.", autocompletion=complete_run
    ),
]
RunArgument = Annotated[str, typer.Argument(help="Run id, or `last`.", autocompletion=complete_run)]
CountryOption = Annotated[str | None, typer.Option("--country", help="Only this country, an ISO 3166 code such as BE.")]

_SETTING_OPTIONS: dict[str, Any] = {
    "lake": LakeOption,
    "source_url": Annotated[str | None, typer.Option("--source-url", help="Base URL of the API.")],
    "concurrency": Annotated[int | None, typer.Option("--concurrency", help="Concurrent requests. Default: 12")],
    "max_missing_rows": Annotated[
        int | None, typer.Option("--max-missing-rows", help="Publish with up to N missing rows.")
    ],
    "models": ModelsOption,
    "max_count_drop_percent": Annotated[
        float | None, typer.Option("--max-count-drop-percent", help="Allowed drop of the brewery count. Default: 20")
    ],
    "snapshot_retention_days": Annotated[
        float | None, typer.Option("--keep-days", help="Days to keep snapshots. Default: 30")
    ],
    "min_snapshots_to_keep": Annotated[
        int | None, typer.Option("--keep-last", help="Newest snapshots to keep. Default: 30")
    ],
    "engine": EngineOption,
    "spark_master": MasterOption,
    "log_format": Annotated[
        Literal["text", "json"] | None, typer.Option("--log-format", help="Log format on standard error. Default: text")
    ],
}
_LISTED = "`brewhouse places` lists the codes."
_PURPOSES = ("Run", "Read", "History", "Operate", "Console", "AWS", "Develop")
SOURCE_FLAGS = ("source_url", "concurrency", "max_missing_rows")
ENGINE_FLAGS = ("engine", "spark_master")

Command = TypeVar("Command", bound=Callable[..., None])


class GroupedHelp(TyperGroup):
    """A group whose help lists its commands by purpose, with whole summaries."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401, ARG002 - of the click inside Typer
        """Write a section for each purpose."""
        sections: dict[str, list[tuple[str, str]]] = {purpose: [] for purpose in _PURPOSES}  # groups come last else
        for name, command in self.commands.items():
            section = getattr(command, "rich_help_panel", None) or "Commands"
            sections.setdefault(section, []).append((name, command.get_short_help_str(1000)))
        for section, rows in ((name, found) for name, found in sections.items() if found):
            with formatter.section(section):
                formatter.write_dl(rows)


def _option(setting: str) -> str:
    """Return the option of a setting."""
    option = get_args(_SETTING_OPTIONS[setting])[1] if setting in _SETTING_OPTIONS else None
    return str(option.default) if option else setting


def reject_together(**given: object) -> None:
    """Refuse options that contradict each other.

    Args:
        given: The options by what a user types, each with its value; those without a true value are not given.
    """
    if len(names := [name for name, value in given.items() if value]) > 1:
        raise UsageError(f"{names[0]} and {names[1]} contradict each other.", hint=f"Omit {names[1]} or {names[0]}.")


def country_code(text: str) -> str:
    """Return an ISO 3166-1 code in upper case; refuse a text that is not one."""
    from brewhouse.places import gazetteer, reference

    code = text.upper()
    if code in {country.code for country in reference.countries()}:
        return code
    hint = _code_hint(text, gazetteer.countries(), reference.countries())
    raise UsageError(f"{text!r} is not the ISO 3166 code of a country.", hint=hint or _LISTED)


def _code_hint(text: str, known: Gazetteer, entries: Sequence[Entry]) -> str:
    """Suggest the code of the place that a text names, or nearly names; empty if there is none."""
    from difflib import get_close_matches

    if found := known.find(text):
        return f"Write {found.code}." if found.code else ""
    names = {name.casefold(): entry.code for entry in entries for name in entry.names}
    return "".join(f"Did you mean {names[close]}?" for close in get_close_matches(text.casefold(), names, 1, 0.75))


def state_code(text: str, country: str) -> str:
    """Return an ISO 3166-2 code in upper case; a name of a state without one stays.

    Raises:
        UsageError: It looks like a code and is none, or is the name of a state that has one.
    """
    from brewhouse.places import gazetteer, reference

    is_code = re.fullmatch(r"[A-Za-z]{2}-\w{1,3}", text) is not None
    if is_code and country:
        reject_together(**{f"--country {country}": text[:2].upper() != country, f"--state {text}": True})
    country = country or text[:2].upper()
    divisions = reference.subdivisions(country)
    if text.upper() in {division.code for division in divisions}:
        return text.upper()
    hint = _code_hint(text, gazetteer.subdivisions(country), divisions) if divisions else ""
    if is_code or hint:
        raise UsageError(f"{text!r} is not the ISO 3166 code of a state.", hint=hint or _LISTED)
    return text


def known_type(text: str) -> str:
    """Return a type of breweries; refuse one that the source does not have."""
    from brewhouse.api.contract import BREWERY_TYPES

    if text and text not in BREWERY_TYPES:
        raise UsageError(f"{text!r} is not a type of breweries.", hint=suggestion(text.lower(), BREWERY_TYPES))
    return text


def require_option(needed: str, is_given: object, **given: object) -> None:
    """Refuse options that have no effect without another one; those that are None or empty are not given.

    Raises:
        UsageError: One of them is given, and the needed one is not.
    """
    if not is_given and (names := [name for name, value in given.items() if value not in {None, ""}]):
        raise UsageError(f"{names[0]} has no effect without {needed}.", hint=f"Add {needed}, or omit {names[0]}.")


def setting_flags(*names: str) -> Callable[[Command], Command]:
    """Give a command an option for each of these settings, in this order; it receives them as `**flags`.

    The command's own parameters follow, unless they are named too.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        known = {
            name: Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=option)
            for name, option in _SETTING_OPTIONS.items()
        } | dict(signature.parameters)
        chosen = [known[name] for name in dict.fromkeys([*names, *signature.parameters])]
        options = [parameter for parameter in chosen if parameter.kind is not Parameter.VAR_KEYWORD]
        command.__signature__ = signature.replace(parameters=options)  # type: ignore[attr-defined]
        return command

    return decorate


def open_lake(lake: str | None) -> Lakehouse:
    """Open the lake of an option with the library, to read it."""
    from brewhouse.lakehouse import Lakehouse

    return Lakehouse.of(settings_and_lake(lake)[0])


def settings_and_lake(lake: object = None, **flags: object) -> tuple[Settings, Lake]:
    """Load the settings and open the lake that they name; options that are None are not given."""
    settings = load({"lake": lake, **flags}, spell=_option)
    require_option("--engine spark", settings.engine == "spark", **{"--spark-master": flags.get("spark_master")})
    return settings, lake_of(settings)
