"""The command that compacts tables and deletes old files: maintain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from brewhouse.cli.options import EngineOption, JsonOption, LakeOption, LogFormatOption, MasterOption, settings_and_lake
from brewhouse.cli.output import print_json, print_rows

if TYPE_CHECKING:
    from brewhouse.pipeline.maintenance import TableMaintenance


def maintain(
    lake: LakeOption = None,
    keep_days: Annotated[float | None, typer.Option("--keep-days", help="Days to keep snapshots. Default: 30")] = None,
    keep_last: Annotated[int | None, typer.Option("--keep-last", help="Snapshots to keep. Default: 10")] = None,
    engine: EngineOption = None,
    spark_master: MasterOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report the changes without making them.")] = False,
    log_format: LogFormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Expire old table snapshots, compact small files and delete unreferenced ones.

    Files are deleted a day after their last use, so running queries can finish.

    Example: brewhouse maintain --keep-days 90 --dry-run
    """
    from brewhouse.cli.progress import progress_listeners
    from brewhouse.pipeline.maintenance import preview_maintenance, run_maintenance, total_of

    settings, place = settings_and_lake(
        lake,
        snapshot_retention_days=keep_days,
        min_snapshots_to_keep=keep_last,
        engine=engine,
        spark_master=spark_master,
        log_format=log_format,
    )
    if dry_run:
        reports = preview_maintenance(place, settings)
    else:
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
        print(f"{total.files_waiting} more files ({total.bytes_waiting} bytes) are deleted once unused for a day.")


def _row(report: TableMaintenance) -> dict[str, str | int]:
    return {
        "table": report.table,
        "snapshots expired": report.snapshots_expired,
        "files compacted": f"{report.files_compacted} to {report.files_written}" if report.files_compacted else "",
        "files removed": report.files_removed,
        "bytes freed": report.bytes_freed,
    }
