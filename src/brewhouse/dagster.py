"""Dagster's assets, asset checks and schedule over the same jobs: `dagster dev -m brewhouse.dagster`.

A job is one multi-asset, so that it stays one transaction: all its tables are published or none. Each step is a run of
Brewhouse with one job; the lake's lock, events, log and alerts are as on the command line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import dagster as dg
import msgspec

from brewhouse.checks.check import Check
from brewhouse.errors import BrewhouseError, ChecksFailed
from brewhouse.events.run_reports import RunRecorder, RunReport
from brewhouse.lake.lake import lake_of
from brewhouse.models.model import Model
from brewhouse.models.project import models_of
from brewhouse.pipeline.cron_schedule import parse_schedule
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.settings import Settings, load

RAW = dg.AssetKey(["bronze", "breweries"])
"""The raw snapshots, which extract writes."""

_CHECKS = "checks"
_DAILY = "0 6 * * *"


def definitions(settings: Settings) -> dg.Definitions:
    """Define the workflow for Dagster: assets for the raw snapshot and every table, checks, a job and a schedule.

    The schedule is `[schedule]`, or 6:00 UTC without it.

    Raises:
        UsageError: The user-defined models or the schedule are invalid.
    """
    zones = {zone: models_of(zone, folder=settings.models) for zone in ("staging", "silver", "gold")}
    schedule = parse_schedule(settings.schedule.cron or _DAILY, settings.schedule.time_zone)
    assert schedule is not None
    job = dg.define_asset_job("breweries", description="Extract, transform, aggregate.")
    return dg.Definitions(
        assets=[
            _extract(settings),
            _published_by("transform", zones["silver"], settings),
            _published_by("aggregate", zones["gold"], settings),
        ],
        jobs=[job],
        schedules=[dg.ScheduleDefinition(job=job, cron_schedule=schedule.cron, execution_timezone=schedule.zone.key)],
    )


def _extract(settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(key=RAW, group_name="bronze", description="Every brewery as the API sent it, proven complete.")
    def extract() -> dg.MaterializeResult[None]:
        recorder = RunRecorder()
        _run("extract", settings, recorder)
        report = recorder.report
        counts = {name: count for job in report.jobs for name, count in job.counts.items()}
        return dg.MaterializeResult(
            metadata={"dagster/row_count": counts.get("records", 0), "run": report.run, **counts}
        )

    return extract


def _published_by(job: str, models: Sequence[Model], settings: Settings) -> dg.AssetsDefinition:
    """Make the multi-asset of a job that publishes tables."""
    specs = [
        dg.AssetSpec(_key(model.name), deps=_sources(model), description=model.description, group_name=model.zone)
        for model in models
    ]
    check_specs = [
        dg.AssetCheckSpec(_CHECKS, asset=_key(model.name), description="Everything that must hold of this table.")
        for model in models
    ]

    @dg.multi_asset(name=job, specs=specs, check_specs=check_specs)
    def publish() -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        recorder = RunRecorder()
        try:
            _run(job, settings, recorder)
        except ChecksFailed as error:
            yield from _check_results(models, recorder.report)
            raise dg.Failure(str(error), allow_retries=False) from error
        report = recorder.report
        rows = {str(table["table"]): table for table in report.published}
        for model in models:
            shown = rows.get(model.name)
            facts: dict[str, int | str] = {"run": report.run}
            if shown:
                facts |= {"dagster/row_count": int(shown["rows"]), "snapshot": str(shown["snapshot"])}
            yield dg.MaterializeResult(asset_key=_key(model.name), metadata=facts)
        yield from _check_results(models, report)

    return publish


def _check_results(models: Sequence[Model], report: RunReport) -> Iterator[dg.AssetCheckResult]:
    """Summarize the checks of a run, one result per table; a run with nothing to do has none."""
    checks = msgspec.convert(report.checks, list[Check])
    for model in models:
        of_table = [check for check in checks if check.table == model.name]
        failed = [check for check in of_table if not check.passed]
        is_error = any(check.severity == "error" for check in failed)
        yield dg.AssetCheckResult(
            asset_key=_key(model.name),
            check_name=_CHECKS,
            passed=not failed,
            severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
            description=f"{len(of_table) - len(failed)} passed, {len(failed)} failed",
            metadata={
                check.name: "passed"
                if check.passed
                else f"{check.severity}: {check.violations} violations, such as {check.example}"
                for check in of_table
            },
        )


def _run(job: str, settings: Settings, recorder: RunRecorder) -> None:
    """Run one job of the workflow; its errors fail the asset with their own message."""
    try:
        run_workflow(lake_of(settings), settings, (job,), listeners=(recorder.listen,))
    except ChecksFailed:
        raise
    except BrewhouseError as error:
        raise dg.Failure(str(error)) from error


def _key(name: str) -> dg.AssetKey:
    return dg.AssetKey(name.split("."))


def _sources(model: Model) -> list[dg.AssetKey]:
    """List the assets that a model reads; reference data shipped with Brewhouse is not an asset."""
    zones = {"bronze": RAW, "staging": RAW}
    known = {
        zones.get(zone) or _key(need)
        for need in model.depends_on
        if (zone := need.partition(".")[0]) in {"bronze", "staging", "silver", "gold"}
    }
    return sorted(known - {_key(model.name)})


defs = definitions(load({}))
