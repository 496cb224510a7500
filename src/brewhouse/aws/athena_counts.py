"""Whether Athena counts in every table what the run that published it says: two ways to the same number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from brewhouse.aws.athena import run_query
from brewhouse.aws.deploy import Check
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import Stack
from brewhouse.errors import BrewhouseError
from brewhouse.events.event import read_events
from brewhouse.events.run_reports import RunReport, run_reports
from brewhouse.lake.lake import Lake, Shared

_DAYS = 14


def counted_by_athena(account: Account, stack: Stack, tables: Iterable[str]) -> dict[str, int]:
    """Count the rows of tables by one query.

    Args:
        account: Where.
        stack: Its workgroup and databases are used.
        tables: Zone and table of each.

    Raises:
        UsageError: Athena cannot read one of them; says why.
    """
    sql = " UNION ALL ".join(f"SELECT '{name}' AS name, count(*) AS row_count FROM {name}" for name in tables)
    return dict(run_query(account, stack.name, stack.parameters["CatalogDatabase"], sql).rows)


def count_checks(account: Account, stack: Stack, workflow_run: str | None = None) -> Iterator[Check]:
    """Compare what is counted with what the runs of the last days say.

    Args:
        account: Where.
        stack: As it is.
        workflow_run: Glue's id of a run that must be among them; None demands none.
    """
    try:
        yield from _checks(account, stack, workflow_run)
    except BrewhouseError as error:
        yield Check("Athena counts what the run says", passed=False, detail=str(error))


def _checks(account: Account, stack: Stack, workflow_run: str | None) -> Iterator[Check]:
    reports = run_reports(read_events(lake_of(stack), datetime.now(UTC).date() - timedelta(days=_DAYS)))
    if workflow_run is not None:
        state = next(
            (report.state for report in reports if report.workflow_run == workflow_run), "not told by any event"
        )
        yield Check(f"run {workflow_run} succeeded", state == "SUCCEEDED", state.lower())
    told = told_counts(reports)
    if not told:
        yield Check("Athena counts what the run says", passed=None, detail="no run published a table yet")
        return
    yield from compared(told, counted_by_athena(account, stack, sorted(told)))


def told_counts(reports: Iterable[RunReport]) -> dict[str, int]:
    """Give the rows that the last publication of each table says, by table.

    Args:
        reports: Oldest first.
    """
    return {str(table["table"]): int(table["rows"]) for report in reports for table in report.published}


def compared(told: Mapping[str, int], counted: Mapping[str, int]) -> Iterator[Check]:
    """Compare two counts of each table.

    Args:
        told: By the run that published it.
        counted: By reading it; a table that was not found is missing.

    Example:
        >>> [check.detail for check in compared({"gold.a": 2, "gold.b": 2}, {"gold.a": 2, "gold.b": 1})]
        ['2 rows', 'the run says 2 rows, Athena counts 1']
    """
    for name, rows in sorted(told.items()):
        found = counted.get(name)
        detail = f"{rows} rows" if found == rows else f"the run says {rows} rows, Athena counts {found}"
        yield Check(f"Athena counts what the run says in {name}", found == rows, detail)


def lake_of(stack: Stack) -> Lake:
    """Name the lake of a stack."""
    place = f"s3://{stack.parameters['BucketName']}/lake"
    return Lake.at(place, Shared(catalog_database_prefix=stack.parameters["CatalogDatabase"]))
