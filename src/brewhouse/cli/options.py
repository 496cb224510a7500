"""Options that several commands share, and what they become."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from brewhouse.lake.lake import Lake
from brewhouse.settings import Settings, load


class LogFormat(StrEnum):
    """How a run tells how it gets on."""

    TEXT = "text"
    JSON = "json"


LakeOption = Annotated[
    Path | None, typer.Option("--lake", help="Root folder of the lake. Default: lake", show_default=False)
]
ModelsOption = Annotated[
    Path | None, typer.Option("--models", help="Folder of your own models, *.sql.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
LogFormatOption = Annotated[
    LogFormat | None,
    typer.Option("--log-format", help="What standard error shows of a run. Default: text", show_default=False),
]


def settings_and_lake(lake: Path | None, **flags: Any) -> tuple[Settings, Lake]:  # noqa: ANN401 - as they are typed
    """Put the settings together and name the lake they point to.

    Args:
        lake: The option `--lake`.
        flags: Other options by setting name, None when not given.
    """
    settings = load({"lake": lake, **flags})
    return settings, Lake(settings.lake.expanduser().resolve())
