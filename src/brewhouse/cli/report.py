"""The overview as a file to send: report."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from brewhouse.cli.options import LakeOption, settings_and_lake
from brewhouse.errors import UsageError


class Language(StrEnum):
    """What a report is written in."""

    ENGLISH = "en"
    PORTUGUESE = "pt"


def report(
    output: Annotated[
        Path, typer.Option("--output", help="The file: .html for a page, .pdf, .png or .svg for its charts.")
    ] = Path("report.html"),
    lake: LakeOption = None,
    at: Annotated[str | None, typer.Option("--at", help="As of a time, a snapshot or a run.")] = None,
    country: Annotated[str, typer.Option("--country", help="Only this country, as BE.")] = "",
    state: Annotated[str, typer.Option("--state", help="Only this state, as US-OR.")] = "",
    brewery_type: Annotated[str, typer.Option("--type", help="Only this type, as micro.")] = "",
    language: Annotated[Language, typer.Option("--language", help="What it is written in.")] = Language.ENGLISH,
) -> None:
    """Write the overview as one file that asks nobody for anything: numbers, map, charts, newest changes.

    Example: brewhouse report --output belgium.html --country BE
    """
    try:
        import vl_convert  # noqa: F401 - before anything is read, to say that it is missing

        from brewhouse.console.overview import OverviewFilters
        from brewhouse.console.overview_report import write_report
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "brewhouse":
            raise
        raise UsageError(
            f"A report needs {error.name}, which is not installed.", hint='Run `pip install "brewhouse[console]"`.'
        ) from error
    _, place = settings_and_lake(lake)
    write_report(place, output, OverviewFilters(country, state, brewery_type), at=at, language=language.value)
    print(output)


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(report)
