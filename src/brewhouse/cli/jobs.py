"""Commands that change a lake: run, extract, transform, aggregate, rebuild, rollback, relocate, backfill, maintain."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from brewhouse.cli import output
from brewhouse.cli.options import (
    ENGINE_FLAGS,
    SOURCE_FLAGS,
    JsonOption,
    LakeOption,
    complete_run,
    complete_table_or_run,
    reject_together,
    setting_flags,
    settings_and_lake,
)
from brewhouse.cli.output import print_json, print_report, print_result, print_rows, progress_listeners
from brewhouse.errors import ChecksFailed
from brewhouse.lake.lake import Lake, require_lake
from brewhouse.settings import Settings

if TYPE_CHECKING:
    from brewhouse.backfill.backfill_job import VersionResult
    from brewhouse.events.run_reports import RunReport
    from brewhouse.pipeline.maintenance import TableMaintenance

SnapshotOption = Annotated[
    str | None,
    typer.Option("--snapshot", help="Run id of a raw snapshot. Default: the newest", autocompletion=complete_run),
]


@setting_flags("lake", *SOURCE_FLAGS, "models", "max_count_drop_percent", "snapshot", *ENGINE_FLAGS, "log_format")
def run(*, snapshot: SnapshotOption = None, as_json: JsonOption = False, **flags: object) -> None:
    """Run the whole workflow: extract, transform, aggregate; with --snapshot publish a raw snapshot again.

    Example: brewhouse run --lake ~/breweries
    """
    for name in SOURCE_FLAGS if snapshot is not None else ():
        reject_together(**{"--snapshot": True, f"--{name.replace('_', '-')}": flags[name] is not None})
    settings, place = settings_and_lake(**flags)
    jobs = ("extract", "transform", "aggregate") if snapshot is None else ("transform", "aggregate")
    run_jobs(place, settings, jobs, as_json=as_json, snapshot=snapshot)


@setting_flags("lake", *SOURCE_FLAGS, "log_format")
def extract(*, as_json: JsonOption = False, **flags: object) -> None:
    """Fetch every brewery from the API into a raw snapshot and check that it is complete.

    Example: brewhouse extract --concurrency 2
    """
    settings, place = settings_and_lake(**flags)
    run_jobs(place, settings, ("extract",), as_json=as_json)


@setting_flags("lake", "models", "max_count_drop_percent", "snapshot", *ENGINE_FLAGS, "log_format")
def transform(*, snapshot: SnapshotOption = None, as_json: JsonOption = False, **flags: object) -> None:
    """Build the silver tables from the newest complete raw snapshot.

    Example: brewhouse transform --max-count-drop-percent 50
    """
    settings, place = settings_and_lake(**flags)
    run_jobs(place, settings, ("transform",), as_json=as_json, snapshot=snapshot)


@setting_flags("lake", "models", *ENGINE_FLAGS, "log_format")
def aggregate(*, as_json: JsonOption = False, **flags: object) -> None:
    """Build the gold tables from the published silver tables.

    Example: brewhouse aggregate --json
    """
    settings, place = settings_and_lake(**flags)
    run_jobs(place, settings, ("aggregate",), as_json=as_json)


@setting_flags("target", "snapshot", "lake", "log_format")
def rollback(
    target: Annotated[
        str,
        typer.Argument(metavar="RUN or TABLE", help="Run id, or zone and table.", autocompletion=complete_table_or_run),
    ],
    snapshot: Annotated[int | None, typer.Argument(help="Id of a snapshot of the table.")] = None,
    *,
    as_json: JsonOption = False,
    **flags: object,
) -> None:
    """Roll back all tables to the state as of a run, or one table to one of its snapshots.

    A table that is rolled back alone may disagree with the others until the next run. Later states are kept.

    Example: brewhouse rollback 01KT7JWVRG5CJVXM0D2Z1Q3M5V
    """
    from brewhouse.lakehouse import Lakehouse
    from brewhouse.query.connection import published_tables

    settings, place = settings_and_lake(**flags)
    with progress_listeners(settings.log_format) as listeners:
        report = Lakehouse.of(settings).rollback(target, snapshot, listeners)
    if snapshot is None:
        _print_outcome(report, as_json=as_json)
    elif as_json:
        print_json(published_tables(place).current(target))
    else:
        print(f"{target} shows snapshot {snapshot} again.")


@setting_flags("lake", "models", "max_count_drop_percent", *ENGINE_FLAGS, "log_format")
def rebuild(*, as_json: JsonOption = False, **flags: object) -> None:
    """Rebuild all silver and gold tables from every raw snapshot of the bronze zone.

    Example: brewhouse rebuild
    """
    from brewhouse.pipeline.rebuild import run_rebuild

    settings, place = settings_and_lake(**flags)
    _report(partial(run_rebuild, place, settings), settings.log_format, as_json=as_json)


def relocate(lake: LakeOption = None, as_json: JsonOption = False) -> None:
    """Let the tables of a lake that was moved or copied refer to its new place.

    Until then the lake can be read, but not written. The original is neither read nor changed.

    Example: brewhouse relocate --lake copy
    """
    from brewhouse.pipeline.maintenance import relocate as relocate_tables

    _, place = settings_and_lake(lake)
    names = relocate_tables(place, lambda message: print(f"brewhouse: {message}", file=sys.stderr))
    if as_json:
        print_json({"lake": str(place.root), "tables": names})
        return
    print(f"{len(names)} tables relocated to {place.root}." if names else f"The tables of {place.root} are in place.")


@setting_flags("paths", "date", "path", "lake", "log_format")
def backfill(
    paths: Annotated[list[Path], typer.Argument(help="CSV files of the dataset, or clones of its git repository.")],
    date: Annotated[str | None, typer.Option("--date", help="Date of a file that has none in its name.")] = None,
    path: Annotated[str, typer.Option("--path", help="Path of the file in a repository.")] = "breweries.csv",
    *,
    as_json: JsonOption = False,
    **flags: object,
) -> None:
    """Create raw snapshots from earlier versions of the dataset: CSV files, or the history of a git repository.

    Slug ids are mapped to the UUIDs of later versions; a version with missing ids is held back.

    Example: brewhouse backfill ~/openbrewerydb breweries-2025-10-03.csv
    """
    from brewhouse.backfill.backfill_job import run_backfill
    from brewhouse.backfill.version_sources import list_versions

    settings, place = settings_and_lake(**flags)
    versions = list_versions(paths, date, path)
    with progress_listeners(settings.log_format) as listeners:
        run, result = run_backfill(place, settings, versions, listeners=listeners)
    if as_json:
        print_json({"run": run, "versions": result.versions, "drift": result.drift})
        return
    print_rows([_version_row(version) for version in result.versions])
    new, present, held_back = (result.count(outcome) for outcome in ("new", "there already", "held back"))
    print(f"{len(result.versions)} versions: {new} new, {present} already present, {held_back} held back")


@setting_flags("lake", "snapshot_retention_days", "min_snapshots_to_keep", *ENGINE_FLAGS, "dry_run", "log_format")
def maintain(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report the changes without making them.")] = False,
    as_json: JsonOption = False,
    **flags: object,
) -> None:
    """Expire old table snapshots, compact small files and delete unreferenced ones.

    Files are deleted a day after their last use, so running queries can finish.

    Example: brewhouse maintain --keep-days 90 --dry-run
    """
    from brewhouse.pipeline.maintenance import preview_maintenance, run_maintenance, total_of

    settings, place = settings_and_lake(**flags)
    if dry_run:
        reports = preview_maintenance(place, settings)
    else:
        with progress_listeners(settings.log_format) as listeners:
            reports = run_maintenance(place, settings, listeners=listeners)
    total = total_of(reports)
    if as_json:
        print_json({"dry_run": dry_run, "tables": reports, "total": total})
        return
    print_rows([_maintenance_row(report) for report in (*reports, total)])
    if dry_run:
        print("Nothing was changed (--dry-run).")
    if total.files_waiting:
        print(f"{total.files_waiting} more files ({total.bytes_waiting} bytes) are deleted once unused for a day.")


def verify(lake: LakeOption = None, as_json: JsonOption = False) -> None:
    """Check every file of the lake against its checksums, sizes and counts; exit code 3 if one is damaged.

    Example: brewhouse verify --json
    """
    from brewhouse.pipeline.lake_audit import verify as find_damages

    _, place = settings_and_lake(lake)
    require_lake(place)
    findings = list(find_damages(place, lambda step: output.print_progress(f"verify: {step}")))
    if findings or as_json:
        print_result([msgspec.structs.asdict(finding) for finding in findings], as_json=as_json)
    else:
        print("No damaged files.")
    if findings:
        raise ChecksFailed(
            f"{len(findings)} files of the lake {place.root} are damaged or missing.",
            hint="Repair each as listed; `brewhouse rebuild` makes all tables from the raw snapshots.",
        )


def run_jobs(
    lake: Lake, settings: Settings, jobs: tuple[str, ...], *, as_json: bool, snapshot: str | None = None
) -> None:
    """Run jobs as one run and print its report."""
    from brewhouse.pipeline.workflow import run_workflow

    _report(partial(run_workflow, lake, settings, jobs, snapshot), settings.log_format, as_json=as_json)


def _report(run: Callable[..., object], log_format: str, *, as_json: bool) -> None:
    """Run what takes listeners, and print its report."""
    from brewhouse.events.run_reports import RunRecorder

    recorder = RunRecorder()
    with progress_listeners(log_format) as listeners:
        run(listeners=(*listeners, recorder.listen))
    _print_outcome(recorder.report, as_json=as_json)


def _print_outcome(report: RunReport, *, as_json: bool) -> None:
    if as_json or not output.is_quiet:
        print_report(report, as_json=as_json)


def _version_row(version: VersionResult) -> dict[str, object]:
    results = {"held back": f"held back: {version.reason}", "there already": "already present"}
    return {
        "version": f"{version.time[:19]}Z",
        "source": re.sub(r"^(git:[^:]{8})[^:]*(?=:.)", r"\1", version.name),
        "records": version.records,
        "mapped ids": f"{version.mapped} of {version.slugs}" if version.slugs else None,
        "result": results.get(version.outcome, version.outcome),
    }


def _maintenance_row(report: TableMaintenance) -> dict[str, str | int]:
    return {
        "table": report.table,
        "snapshots expired": report.snapshots_expired,
        "files compacted": f"{report.files_compacted} to {report.files_written}" if report.files_compacted else "",
        "files removed": report.files_removed,
        "bytes freed": report.bytes_freed,
    }
