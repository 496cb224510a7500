"""Reconciliation of row counts: what Athena counts in each table against what the run that published it reported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from brewhouse.aws.athena import run_query
from brewhouse.aws.deploy import DeploymentCheck
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import Stack
from brewhouse.errors import BrewhouseError
from brewhouse.events.event import read_events
from brewhouse.events.run_reports import run_reports
from brewhouse.lake.lake import Lake, Shared

_DAYS = 14


def count_rows(account: Account, stack: Stack, tables: Iterable[str]) -> dict[str, int]:
    """Count the rows of tables, named by zone, with one Athena query."""
    sql = " UNION ALL ".join(f"SELECT '{name}' AS name, count(*) AS row_count FROM {name}" for name in tables)
    return dict(run_query(account, stack, sql).rows)


def stack_lake(stack: Stack) -> Lake:
    """Open the lake of a stack."""
    shared = Shared(catalog_database_prefix=stack.parameters["CatalogDatabase"])
    return Lake.at(f"s3://{stack.parameters['BucketName']}/lake", shared)


def row_count_checks(account: Account, stack: Stack, workflow_run: str | None = None) -> Iterator[DeploymentCheck]:
    """Compare Athena's row counts with the last two weeks' reports; a given run of the workflow must have succeeded."""
    try:
        reports = run_reports(read_events(stack_lake(stack), datetime.now(UTC).date() - timedelta(days=_DAYS)))
        if workflow_run is not None:
            states = [report.state for report in reports if report.workflow_run == workflow_run]
            state = states[0] if states else "no events"
            yield DeploymentCheck(f"run {workflow_run} succeeded", state == "SUCCEEDED", state.lower())
        published = {str(table["table"]): int(table["rows"]) for report in reports for table in report.published}
        if not published:
            yield DeploymentCheck("row counts match the runs", None, "no run has published a table yet")
            return
        counted = count_rows(account, stack, sorted(published))
    except BrewhouseError as error:
        yield DeploymentCheck("row counts match the runs", passed=False, detail=str(error))
        return
    for name, rows in sorted(published.items()):  # of the last publication: reports are sorted oldest first
        count = counted.get(name)
        detail = f"{rows} rows" if count == rows else f"the run reported {rows} rows, Athena counts {count}"
        yield DeploymentCheck(f"row count of {name} matches the run", count == rows, detail)
