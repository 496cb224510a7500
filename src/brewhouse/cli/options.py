"""Options shared by several commands, and the settings and the lake they select."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer

from brewhouse.errors import UsageError
from brewhouse.lake.lake import Lake, lake_of
from brewhouse.settings import Settings, load

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
    str | None, typer.Option("--at", help="Read as of a date, a time, a table snapshot id or a run id.")
]
CountryOption = Annotated[str | None, typer.Option("--country", help="Only this country, an ISO 3166 code such as BE.")]

_SETTING_OPTIONS: dict[str, Any] = {
    "lake": LakeOption,
    "source_url": Annotated[str | None, typer.Option("--source-url", help="Base URL of the API.")],
    "concurrency": Annotated[int | None, typer.Option("--concurrency", help="Concurrent requests. Default: 4")],
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
SOURCE_FLAGS = ("source_url", "concurrency", "max_missing_rows")
ENGINE_FLAGS = ("engine", "spark_master")

Command = TypeVar("Command", bound=Callable[..., None])


def reject_together(**given: object) -> None:
    """Refuse options that contradict each other.

    Args:
        given: The options by what a user types, each with its value; those without a true value are not given.

    Raises:
        UsageError: Two of them are given.
    """
    if len(names := [name for name, value in given.items() if value]) > 1:
        raise UsageError(f"{names[0]} and {names[1]} contradict each other.", hint=f"Omit {names[1]} or {names[0]}.")


def country_code(text: str) -> str:
    """Return an ISO 3166-1 code in upper case.

    Raises:
        UsageError: It is not the code of a country.
    """
    from brewhouse.places import gazetteer, reference

    code = text.upper()
    if code in {country.alpha_2 for country in reference.countries()}:
        return code
    found = gazetteer.countries().find(text)
    hint = f"Write {found.code}." if found else "`brewhouse places` lists the codes."
    raise UsageError(f"{text!r} is not the ISO 3166 code of a country.", hint=hint)


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


def settings_and_lake(lake: object = None, **flags: object) -> tuple[Settings, Lake]:
    """Load the settings and open the lake that they name; options that are None are not given."""
    if flags.get("engine") == "duckdb":
        reject_together(**{"--engine duckdb": True, "--spark-master": flags.get("spark_master")})
    settings = load({"lake": lake, **flags})
    return settings, lake_of(settings)
