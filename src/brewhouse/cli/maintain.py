"""The command that keeps the tables small: maintain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from brewhouse.cli.options import (
    EngineOption,
    JsonOption,
    LakeOption,
    LogFormatOption,
    MasterOption,
    settings_and_lake,
)
from brewhouse.cli.output import print_json, print_rows

if TYPE_CHECKING:
    from brewhouse.pipeline.maintenance import TableMaintenance

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
DaysOption = Annotated[
    float | None, typer.Option("--keep-days", help="Snapshots younger than this stay. Default: 30", show_default=False)
]
LastOption = Annotated[
    int | None, typer.Option("--keep-last", help="So many of the newest stay. Default: 10", show_default=False)
]


def maintain(
    lake: LakeOption = None,
    keep_days: DaysOption = None,
    keep_last: LastOption = None,
    engine: EngineOption = None,
    spark_master: MasterOption = None,
    dry_run: DryRunOption = False,
    log_format: LogFormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Expire old snapshots of the tables, make few files of many, delete what nothing refers to.

    A file is deleted when it has been out of use for a day, so nobody who reads is disturbed.

    Example: brewhouse maintain --keep-days 90 --dry-run
    """
    settings, place = settings_and_lake(
        lake,
        snapshot_retention_days=keep_days,
        min_snapshots_to_keep=keep_last,
        engine=engine,
        spark_master=spark_master,
        log_format=log_format,
    )
    from brewhouse.pipeline.maintenance import preview_maintenance, run_maintenance, total_of

    if dry_run:
        reports = preview_maintenance(place, settings)
    else:
        from brewhouse.cli.progress import progress_listeners

        with progress_listeners(settings.log_format) as listeners:
            reports = run_maintenance(place, settings, listeners=listeners)
    total = total_of(reports)
    if as_json:
        print_json({"dry_run": dry_run, "tables": reports, "total": total})
        return
    print_rows([_row(report) for report in (*reports, total)])
    if dry_run:
        print("Nothing was changed (--dry-run).")
    if total.files_waiting:
        print(f"{total.files_waiting} files more ({total.bytes_waiting} bytes) are deleted once unused for a day.")


def _row(report: TableMaintenance) -> dict[str, str | int]:
    return {
        "table": report.table,
        "snapshots expired": report.snapshots_expired,
        "files compacted": f"{report.files_compacted} to {report.files_written}" if report.files_compacted else "",
        "files removed": report.files_removed,
        "bytes freed": report.bytes_freed,
    }


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(maintain)
