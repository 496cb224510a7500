"""Commands that run the jobs: run, extract, transform, aggregate, rebuild, rollback."""

from __future__ import annotations

from typing import Annotated

import typer

from brewhouse.cli.options import (
    EngineOption,
    JsonOption,
    LakeOption,
    LogFormatOption,
    MasterOption,
    ModelsOption,
    settings_and_lake,
)
from brewhouse.lake.lake import Lake
from brewhouse.settings import Settings

SourceOption = Annotated[str | None, typer.Option("--source-url", help="Base URL of the API.", show_default=False)]
ConcurrencyOption = Annotated[int | None, typer.Option("--concurrency", help="Requests at once. Default: 4")]
MissingRowsOption = Annotated[
    int | None, typer.Option("--max-missing-rows", help="Publish although up to N rows cannot be had.")
]
SnapshotOption = Annotated[
    str | None, typer.Option("--snapshot", help="Run id of a raw snapshot. Default: the newest", show_default=False)
]
DropOption = Annotated[
    float | None,
    typer.Option("--max-count-drop-percent", help="Fall of the number of breweries allowed. Default: 20"),
]


def run(
    lake: LakeOption = None,
    source_url: SourceOption = None,
    concurrency: ConcurrencyOption = None,
    max_missing_rows: MissingRowsOption = None,
    models: ModelsOption = None,
    max_count_drop_percent: DropOption = None,
    snapshot: SnapshotOption = None,
    *,
    engine: EngineOption = None,
    spark_master: MasterOption = None,
    log_format: LogFormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the whole workflow: extract, transform, aggregate; with --snapshot publish from a raw snapshot again.

    Example: brewhouse run --lake ~/breweries
    """
    settings, place = settings_and_lake(
        lake,
        source_url=source_url,
        concurrency=concurrency,
        max_missing_rows=max_missing_rows,
        models=models,
        max_count_drop_percent=max_count_drop_percent,
        engine=engine,
        spark_master=spark_master,
        log_format=log_format,
    )
    jobs = ("extract", "transform", "aggregate") if snapshot is None else ("transform", "aggregate")
    run_jobs(place, settings, jobs, as_json=as_json, snapshot=snapshot)


def extract(
    lake: LakeOption = None,
    source_url: SourceOption = None,
    concurrency: ConcurrencyOption = None,
    max_missing_rows: MissingRowsOption = None,
    log_format: LogFormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take every brewery from the API into a raw snapshot, and prove it complete.

    Example: brewhouse extract --concurrency 2
    """
    settings, place = settings_and_lake(
        lake, source_url=source_url, concurrency=concurrency, max_missing_rows=max_missing_rows, log_format=log_format
    )
    run_jobs(place, settings, ("extract",), as_json=as_json)


def transform(
    lake: LakeOption = None,
    models: ModelsOption = None,
    max_count_drop_percent: DropOption = None,
    snapshot: SnapshotOption = None,
    engine: EngineOption = None,
    spark_master: MasterOption = None,
    log_format: LogFormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the silver tables of the newest complete raw snapshot.

    Example: brewhouse transform --max-count-drop-percent 50
    """
    settings, place = settings_and_lake(
        lake,
        models=models,
        max_count_drop_percent=max_count_drop_percent,
        engine=engine,
        spark_master=spark_master,
        log_format=log_format,
    )
    run_jobs(place, settings, ("transform",), as_json=as_json, snapshot=snapshot)


def aggregate(
    lake: LakeOption = None,
    models: ModelsOption = None,
    engine: EngineOption = None,
    spark_master: MasterOption = None,
    log_format: LogFormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the gold tables of the published silver tables.

    Example: brewhouse aggregate --json
    """
    settings, place = settings_and_lake(
        lake, models=models, engine=engine, spark_master=spark_master, log_format=log_format
    )
    run_jobs(place, settings, ("aggregate",), as_json=as_json)


def rollback(
    table: Annotated[str, typer.Argument(help="Zone and table, as gold.breweries_by_location.")],
    snapshot: Annotated[int, typer.Argument(help="Id of one of its snapshots.")],
    lake: LakeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Roll a table back to an earlier snapshot.

    Example: brewhouse rollback silver.breweries 5781947118336215154
    """
    from brewhouse.cli.output import print_json
    from brewhouse.ids import new_id
    from brewhouse.lake.run_lock import run_lock
    from brewhouse.pipeline.publishing import refresh_views
    from brewhouse.query.connection import published_tables

    _, place = settings_and_lake(lake)
    tables = published_tables(place)
    with run_lock(place, new_id()):
        tables.rollback(table, snapshot)
        refresh_views(place, tables)
        now = tables.current(table)
    if as_json:
        print_json(now)
        return
    print(f"{table} shows snapshot {snapshot} again.")


def rebuild(
    lake: LakeOption = None,
    models: ModelsOption = None,
    max_count_drop_percent: DropOption = None,
    engine: EngineOption = None,
    spark_master: MasterOption = None,
    log_format: LogFormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rebuild all silver and gold tables from every raw snapshot of the bronze zone.

    Example: brewhouse rebuild
    """
    from brewhouse.cli.progress import progress_listeners
    from brewhouse.cli.runs import print_report, report_of
    from brewhouse.pipeline.rebuild import run_rebuild

    settings, place = settings_and_lake(
        lake,
        models=models,
        max_count_drop_percent=max_count_drop_percent,
        engine=engine,
        spark_master=spark_master,
        log_format=log_format,
    )
    with progress_listeners(settings.log_format) as listeners:
        run_id = run_rebuild(place, settings, listeners=listeners)
    print_report(report_of(place, run_id), as_json=as_json)


def run_jobs(
    lake: Lake, settings: Settings, jobs: tuple[str, ...], *, as_json: bool, snapshot: str | None = None
) -> None:
    """Run jobs as one run and print its report."""
    from brewhouse.cli.progress import progress_listeners
    from brewhouse.cli.runs import print_report, report_of
    from brewhouse.pipeline.workflow import run_workflow

    with progress_listeners(settings.log_format) as listeners:
        run_id = run_workflow(lake, settings, jobs, snapshot, listeners=listeners)
    print_report(report_of(lake, run_id), as_json=as_json)


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (run, extract, transform, aggregate, rebuild, rollback):
        app.command()(command)
