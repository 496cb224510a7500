"""Options that several commands share, and what they become."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from brewhouse.lake.lake import Lake, lake_of
from brewhouse.settings import Settings, load


class LogFormat(StrEnum):
    """How a run tells how it gets on."""

    TEXT = "text"
    JSON = "json"


LakeOption = Annotated[
    str | None,
    typer.Option("--lake", help="Root of the lake: a folder, or s3://bucket/prefix. Default: lake", show_default=False),
]
ModelsOption = Annotated[
    Path | None, typer.Option("--models", help="Folder of your own models, *.sql.", show_default=False)
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
LogFormatOption = Annotated[
    LogFormat | None,
    typer.Option("--log-format", help="What standard error shows of a run. Default: text", show_default=False),
]


def settings_and_lake(lake: str | None, **flags: Any) -> tuple[Settings, Lake]:  # noqa: ANN401 - as they are typed
    """Put the settings together and name the lake they point to.

    Args:
        lake: The option `--lake`.
        flags: Other options by setting name, None when not given.
    """
    settings = load({"lake": lake, **flags})
    return settings, lake_of(settings)
