"""Checks that only a real account can pass: triggers fired, jobs succeeded, tables are committed and can be queried."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from brewhouse.aws.athena import run_query
from brewhouse.aws.deploy import DeploymentCheck, resources, stack_checks
from brewhouse.aws.glue_workflow import last_job_runs
from brewhouse.aws.monitoring import monitoring_checks, runtime_checks
from brewhouse.aws.row_counts import row_count_checks
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import Stack
from brewhouse.errors import BrewhouseError
from brewhouse.query.saved_queries import saved_queries


def verify(account: Account, stack: Stack) -> Iterator[DeploymentCheck]:
    """Check a deployed stack: first its resources, then its runs, tables, queries and alarms."""
    yield from stack_checks(account, stack)
    for step in last_job_runs(account, stack.name):
        passed = None if step.state in {"WAITING", "RUNNING", "STARTING"} else step.state == "SUCCEEDED"
        yield DeploymentCheck(f"job {step.name} ran and succeeded", passed, step.message or step.state.lower())
    runs = account.client("glue").get_workflow_runs(Name=stack.name, MaxResults=20).get("Runs", [])
    last = f"the last run began {runs[0]['StartedOn']:%Y-%m-%d %H:%M}" if runs else "no run yet"
    yield DeploymentCheck("the workflow has run", True if runs else None, last)
    yield from _table_checks(account, stack)
    yield from _query_checks(account, stack)
    yield from row_count_checks(account, stack)
    for crawler in resources(account, stack.name, "AWS::Glue::Crawler"):
        crawl = account.client("glue").get_crawler(Name=crawler)["Crawler"].get("LastCrawl", {})
        state = crawl.get("Status")
        detail = crawl.get("ErrorMessage", state or "no crawl yet")
        yield DeploymentCheck(f"crawler {crawler} succeeded", state == "SUCCEEDED" if state else None, detail)
    yield from monitoring_checks(account, stack)
    yield from runtime_checks(account, stack)


def _table_checks(account: Account, stack: Stack) -> Iterator[DeploymentCheck]:
    """Check that every table points to its metadata."""
    pages = account.client("glue").get_paginator("get_tables").paginate
    for zone in ("silver", "gold"):
        database = f"{stack.parameters['CatalogDatabase']}_{zone}"
        tables = [table for page in pages(DatabaseName=database) for table in page["TableList"]]
        if not tables:
            yield DeploymentCheck(f"{database} has tables", None, "none yet")
        for table in tables:
            location = table.get("Parameters", {}).get("metadata_location", "")
            yield DeploymentCheck(f"{database}.{table['Name']} is an Iceberg table", bool(location), location)


def _query_checks(account: Account, stack: Stack) -> Iterator[DeploymentCheck]:
    """Check with Athena that gold and silver count the same breweries, and that every saved query runs."""
    sums = (
        "SELECT (SELECT count(*) FROM silver.breweries) AS silver, "
        "(SELECT sum(brewery_count) FROM gold.breweries_by_location) AS gold"
    )
    queries: list[tuple[str, str, Callable[[list[tuple[int, ...]]], bool]]] = [
        ("silver and gold count the same breweries", sums, lambda rows: len(set(rows[0])) == 1),
        *((f"Athena runs {query.name}", query.sql, lambda rows: len(rows) > 0) for query in saved_queries()),
    ]
    for name, sql, is_expected in queries:
        try:
            rows = run_query(account, stack.name, stack.parameters["CatalogDatabase"], sql).rows
        except BrewhouseError as error:
            yield DeploymentCheck(name, passed=False, detail=str(error))
        else:
            yield DeploymentCheck(name, is_expected(rows), f"{rows[0] if rows else 'no rows'}")
