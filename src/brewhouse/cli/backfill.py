"""The command that takes earlier versions of the dataset: backfill."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from brewhouse.cli.options import JsonOption, LakeOption, LogFormatOption, settings_and_lake
from brewhouse.cli.output import print_json, print_rows

if TYPE_CHECKING:
    from brewhouse.backfill.job import VersionResult

_COMMIT_DIGITS = 8


def backfill(
    paths: Annotated[list[Path], typer.Argument(help="CSV files of the dataset, or clones of its git repository.")],
    date: Annotated[str | None, typer.Option("--date", help="Date of the file, when its name has none.")] = None,
    path: Annotated[str, typer.Option("--path", help="The file's path in a repository.")] = "breweries.csv",
    lake: LakeOption = None,
    log_format: LogFormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make raw snapshots of earlier versions of the dataset: CSV files, or the whole history of a git repository.

    Slug ids become the UUIDs of later versions; a version whose ids are missing is held back.

    Example: brewhouse backfill ~/openbrewerydb breweries-2025-10-03.csv
    """
    from brewhouse.backfill.job import run_backfill
    from brewhouse.backfill.version_sources import origins_of
    from brewhouse.cli.progress import progress_listeners

    settings, place = settings_and_lake(lake, log_format=log_format)
    origins = origins_of(paths, date, path)
    with progress_listeners(settings.log_format) as listeners:
        run, result = run_backfill(place, settings, origins, listeners=listeners)
    if as_json:
        print_json({"run": run, "versions": result.versions, "drift": result.drift})
        return
    print_rows([_row(version) for version in result.versions])
    new, there, held = (result.count(outcome) for outcome in ("new", "there already", "held back"))
    print(f"{len(result.versions)} versions: {new} new, {there} there already, {held} held back")


def _row(version: VersionResult) -> dict[str, object]:
    return {
        "version": f"{version.time[:19]}Z",
        "from": _shortened(version.name),
        "records": version.records,
        "linked": f"{version.linked} of {version.slugs}" if version.slugs else None,
        "what": f"held back: {version.reason}" if version.outcome == "held back" else version.outcome,
    }


def _shortened(name: str) -> str:
    """Cut a commit to what a line can show; `--json` has all of it."""
    kind, _, rest = name.partition(":")
    commit, _, path = rest.partition(":")
    return f"{kind}:{commit[:_COMMIT_DIGITS]}:{path}" if kind == "git" and path else name


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(backfill)
