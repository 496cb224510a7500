"""The command that writes the overview into a file: report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from brewhouse.cli.options import AtOption, CountryOption, LakeOption, console_extra, settings_and_lake


def report(
    output: Annotated[
        Path, typer.Option("--output", help="Output file: .html for the page; .pdf, .png or .svg for its charts.")
    ] = Path("report.html"),
    lake: LakeOption = None,
    at: AtOption = None,
    country: CountryOption = None,
    state: Annotated[str, typer.Option("--state", help="Only this state, such as US-OR.")] = "",
    brewery_type: Annotated[str, typer.Option("--type", help="Only this type, such as micro.")] = "",
    language: Annotated[Literal["en", "pt"], typer.Option("--language", help="Language of the report.")] = "en",
) -> None:
    """Write the overview as one self-contained file: numbers, map, charts, newest changes.

    Example: brewhouse report --output belgium.html --country BE
    """
    with console_extra("The report"):
        import vl_convert  # noqa: F401 - fail before the lake is read

        from brewhouse.console.overview import OverviewFilters
        from brewhouse.console.overview_report import write_report
    _, place = settings_and_lake(lake)
    write_report(place, output, OverviewFilters(country or "", state, brewery_type), at=at, language=language)
    print(output)
