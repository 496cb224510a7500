"""Options shared by several commands, and the settings and the lake they select."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

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
LogFormatOption = Annotated[
    Literal["text", "json"] | None, typer.Option("--log-format", help="Log format on standard error. Default: text")
]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="Maximum number of rows.")]
AtOption = Annotated[str | None, typer.Option("--at", help="Read as of a time, a table snapshot id or a run id.")]
CountryOption = Annotated[str | None, typer.Option("--country", help="Only this country, an ISO 3166 code such as BE.")]


def settings_and_lake(lake: str | None, **flags: Any) -> tuple[Settings, Lake]:  # noqa: ANN401 - as they are typed
    """Load the settings and open the lake that they name.

    Args:
        lake: The option `--lake`.
        flags: Other options by setting name; None if not given.
    """
    settings = load({"lake": lake, **flags})
    return settings, lake_of(settings)
