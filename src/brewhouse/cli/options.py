"""Options that several commands share, and what they become."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from brewhouse.lake.lake import Lake
from brewhouse.settings import Settings, load

LakeOption = Annotated[
    Path | None, typer.Option("--lake", help="Root folder of the lake. Default: lake", show_default=False)
]


class EngineName(StrEnum):
    """What can run the models."""

    DUCKDB = "duckdb"
    SPARK = "spark"


EngineOption = Annotated[
    EngineName | None, typer.Option("--engine", help="What runs the models. Default: duckdb", show_default=False)
]
MasterOption = Annotated[
    str | None, typer.Option("--spark-master", help="Where Spark runs. Default: local[*]", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def settings_and_lake(lake: Path | None, **flags: Any) -> tuple[Settings, Lake]:  # noqa: ANN401 - as they are typed
    """Put the settings together and name the lake they point to.

    Args:
        lake: The option `--lake`.
        flags: Other options by setting name, None when not given.
    """
    settings = load({"lake": lake, **flags})
    return settings, Lake(settings.lake.expanduser().resolve())
