"""The command that imports earlier versions of the dataset: backfill."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from brewhouse.cli.options import JsonOption, LakeOption, LogFormatOption, settings_and_lake
from brewhouse.cli.output import print_json, print_rows

if TYPE_CHECKING:
    from brewhouse.backfill.backfill_job import VersionResult

_COMMIT_DIGITS = 8


def backfill(
    paths: Annotated[list[Path], typer.Argument(help="CSV files of the dataset, or clones of its git repository.")],
    date: Annotated[str | None, typer.Option("--date", help="Date of a file that has none in its name.")] = None,
    path: Annotated[str, typer.Option("--path", help="Path of the file in a repository.")] = "breweries.csv",
    lake: LakeOption = None,
    log_format: LogFormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create raw snapshots from earlier versions of the dataset: CSV files, or the history of a git repository.

    Slug ids are mapped to the UUIDs of later versions; a version with missing ids is held back.

    Example: brewhouse backfill ~/openbrewerydb breweries-2025-10-03.csv
    """
    from brewhouse.backfill.backfill_job import run_backfill
    from brewhouse.backfill.version_sources import list_versions
    from brewhouse.cli.progress import progress_listeners

    settings, place = settings_and_lake(lake, log_format=log_format)
    versions = list_versions(paths, date, path)
    with progress_listeners(settings.log_format) as listeners:
        run, result = run_backfill(place, settings, versions, listeners=listeners)
    if as_json:
        print_json({"run": run, "versions": result.versions, "drift": result.drift})
        return
    print_rows([_row(version) for version in result.versions])
    new, present, held_back = (result.count(outcome) for outcome in ("new", "there already", "held back"))
    print(f"{len(result.versions)} versions: {new} new, {present} already present, {held_back} held back")


def _row(version: VersionResult) -> dict[str, object]:
    results = {"held back": f"held back: {version.reason}", "there already": "already present"}
    return {
        "version": f"{version.time[:19]}Z",
        "source": _shortened(version.name),
        "records": version.records,
        "mapped ids": f"{version.mapped} of {version.slugs}" if version.slugs else None,
        "result": results.get(version.outcome, version.outcome),
    }


def _shortened(name: str) -> str:
    """Abbreviate the commit in the name of a git version."""
    kind, _, rest = name.partition(":")
    commit, _, path = rest.partition(":")
    return f"{kind}:{commit[:_COMMIT_DIGITS]}:{path}" if kind == "git" and path else name
