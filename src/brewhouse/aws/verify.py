"""What only a real account can prove, looked at there: that things fired, ran, committed and can be queried."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from brewhouse.aws.athena import run_query
from brewhouse.aws.athena_counts import count_checks
from brewhouse.aws.deploy import Check, checks, resources
from brewhouse.aws.glue_workflow import last_job_runs
from brewhouse.aws.monitoring import deployed_checks, proven_checks
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import Stack
from brewhouse.errors import BrewhouseError
from brewhouse.query.saved_queries import saved_queries


def verify(account: Account, stack: Stack) -> Iterator[Check]:
    """Look at a deployment, from what must be there to what must have happened.

    Args:
        account: Where.
        stack: As it is.
    """
    yield from checks(account, stack)
    ran = last_job_runs(account, stack.name)
    for step in ran:
        passed = None if step.state in {"WAITING", "RUNNING", "STARTING"} else step.state == "SUCCEEDED"
        yield Check(f"job {step.name} ran and succeeded", passed, step.message or step.state.lower())
    yield _ran(account, stack)
    yield from _tables(account, stack)
    yield from _queries(account, stack)
    yield from count_checks(account, stack)
    for crawler in resources(account, stack.name, "AWS::Glue::Crawler"):
        last = account.client("glue").get_crawler(Name=crawler)["Crawler"].get("LastCrawl", {})
        state = last.get("Status")
        yield Check(
            f"crawler {crawler} succeeded",
            state == "SUCCEEDED" if state else None,
            last.get("ErrorMessage", str(state)),
        )
    yield from deployed_checks(account, stack)
    yield from proven_checks(account, stack)


def _ran(account: Account, stack: Stack) -> Check:
    """Look whether the workflow ran, by its schedule or by hand."""
    runs = account.client("glue").get_workflow_runs(Name=stack.name, MaxResults=20).get("Runs", [])
    last = f"the last one began {runs[0]['StartedOn']:%Y-%m-%d %H:%M}" if runs else "no run yet"
    return Check("the workflow has run", True if runs else None, last)


def _tables(account: Account, stack: Stack) -> Iterator[Check]:
    """Look whether every table points to its metadata."""
    glue = account.client("glue")
    for zone in ("silver", "gold"):
        database = f"{stack.parameters['CatalogDatabase']}_{zone}"
        found = [
            table
            for page in glue.get_paginator("get_tables").paginate(DatabaseName=database)
            for table in page["TableList"]
        ]
        if not found:
            yield Check(f"{database} has tables", passed=None, detail="none yet")
        for table in found:
            location = table.get("Parameters", {}).get("metadata_location", "")
            yield Check(f"{database}.{table['Name']} is an Iceberg table", bool(location), location)


def _queries(account: Account, stack: Stack) -> Iterator[Check]:
    """Ask Athena: gold and silver must count the same breweries, and every saved query must run."""
    database = stack.parameters["CatalogDatabase"]
    both = (
        "SELECT (SELECT count(*) FROM silver.breweries) AS silver, "
        "(SELECT sum(brewery_count) FROM gold.breweries_by_location) AS gold"
    )
    asked: list[tuple[str, str, Callable[[list[tuple[int, ...]]], bool]]] = [
        ("silver and gold count the same breweries", both, lambda rows: len(set(rows[0])) == 1),
        *((f"Athena runs {query.name}", query.sql, lambda rows: len(rows) > 0) for query in saved_queries()),
    ]
    for name, sql, is_right in asked:
        try:
            result = run_query(account, stack.name, database, sql)
        except BrewhouseError as error:
            yield Check(name, passed=False, detail=str(error))
        else:
            yield Check(name, is_right(result.rows), f"{result.rows[0] if result.rows else 'no rows'}")
