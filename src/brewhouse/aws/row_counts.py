"""Reconciliation of row counts: what Athena counts in each table against what the run that published it reported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from brewhouse.aws.athena import run_query
from brewhouse.aws.deploy import DeploymentCheck
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import Stack
from brewhouse.errors import BrewhouseError
from brewhouse.events.event import read_events
from brewhouse.events.run_reports import RunReport, run_reports
from brewhouse.lake.lake import Lake, Shared

_DAYS = 14


def count_rows(account: Account, stack: Stack, tables: Iterable[str]) -> dict[str, int]:
    """Count the rows of tables, named by zone, with one Athena query.

    Raises:
        UsageError: Athena cannot read a table.
    """
    sql = " UNION ALL ".join(f"SELECT '{name}' AS name, count(*) AS row_count FROM {name}" for name in tables)
    return dict(run_query(account, stack.name, stack.parameters["CatalogDatabase"], sql).rows)


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
        published = published_rows(reports)
        if not published:
            yield DeploymentCheck("row counts match the runs", None, "no run has published a table yet")
            return
        yield from compare_rows(published, count_rows(account, stack, sorted(published)))
    except BrewhouseError as error:
        yield DeploymentCheck("row counts match the runs", passed=False, detail=str(error))


def published_rows(reports: Iterable[RunReport]) -> dict[str, int]:
    """Return the rows that the last publication of each table reported; reports are sorted oldest first."""
    return {str(table["table"]): int(table["rows"]) for report in reports for table in report.published}


def compare_rows(published: Mapping[str, int], counted: Mapping[str, int]) -> Iterator[DeploymentCheck]:
    """Compare the published rows of each table with the counted ones; a table that was not found is not counted.

    Example:
        >>> [check.detail for check in compare_rows({"gold.a": 2, "gold.b": 2}, {"gold.a": 2, "gold.b": 1})]
        ['2 rows', 'the run reported 2 rows, Athena counts 1']
    """
    for name, rows in sorted(published.items()):
        count = counted.get(name)
        detail = f"{rows} rows" if count == rows else f"the run reported {rows} rows, Athena counts {count}"
        yield DeploymentCheck(f"row count of {name} matches the run", count == rows, detail)
