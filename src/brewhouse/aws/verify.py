"""Checks that only a real account can pass: triggers fired, jobs succeeded, tables are committed and can be queried."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from brewhouse.aws import stacks
from brewhouse.aws.athena import run_query
from brewhouse.aws.deploy import CheckResult, DeploymentCheck, resources, run_checks, stack_checks
from brewhouse.aws.glue_workflow import last_job_runs
from brewhouse.aws.monitoring import monitoring_checks, runtime_checks
from brewhouse.aws.preflight import Preflight
from brewhouse.aws.row_counts import row_count_checks, stack_lake
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import Stack
from brewhouse.aws.template import defaults
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.raw_snapshots import newest
from brewhouse.query.saved_queries import saved_queries

_CRAWLED = ["crawled_breweries", "crawled_events"]
"""The crawler's tables: its prefix and the last folder of each target."""


def verify(account: Account, stack: Stack) -> Iterator[DeploymentCheck]:
    """Check a deployed stack: first the account and its resources, then its runs, tables, queries and alarms."""
    yield from Preflight(account, stack.name, {**defaults(), **stack.parameters}).checks()
    yield from stack_checks(account, stack)
    checks = {"no resource was changed by hand": _drift, "each role has its permissions": _roles}
    yield from run_checks({name: partial(check, account, stack) for name, check in checks.items()}, strict=True)
    for step in last_job_runs(account, stack.name):
        passed = None if step.state in {"WAITING", "RUNNING", "STARTING"} else step.state == "SUCCEEDED"
        yield DeploymentCheck(f"job {step.name} ran and succeeded", passed, step.message or step.state.lower())
    runs = account.client("glue").get_workflow_runs(Name=stack.name, MaxResults=20).get("Runs", [])
    last = f"the last run began {runs[0]['StartedOn']:%Y-%m-%d %H:%M}" if runs else "no run yet"
    yield DeploymentCheck("the workflow has run", True if runs else None, last)
    yield from _table_checks(account, stack)
    yield from _query_checks(account, stack)
    yield from row_count_checks(account, stack)
    checks = {
        "Athena counts the records of the newest raw snapshot": _bronze,
        "Athena reads an earlier snapshot": _time_travel,
    }
    yield from run_checks({name: partial(check, account, stack) for name, check in checks.items()}, strict=True)
    for crawler in resources(account, stack.name, "AWS::Glue::Crawler").values():
        crawl = account.client("glue").get_crawler(Name=crawler)["Crawler"].get("LastCrawl", {})
        state = crawl.get("Status")
        detail = f"warning: {crawl['ErrorMessage']}" if "ErrorMessage" in crawl else state or "no crawl yet"
        yield DeploymentCheck(f"crawler {crawler} succeeded", True if state == "SUCCEEDED" else None, detail)
        if state == "SUCCEEDED":
            yield _crawled(account, stack)
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
    database = stack.parameters["CatalogDatabase"]

    def ask(sql: str, is_expected: Callable[[list[tuple[int, ...]]], bool]) -> CheckResult:
        rows = run_query(account, stack.name, database, sql).rows
        return is_expected(rows), f"{rows[0] if rows else 'no rows'}"

    checks = {"silver and gold count the same breweries": partial(ask, sums, lambda rows: len(set(rows[0])) == 1)}
    checks |= {f"Athena runs {query.name}": partial(ask, query.sql, bool) for query in saved_queries()}
    yield from run_checks(checks, strict=True)


def _crawled(account: Account, stack: Stack) -> DeploymentCheck:
    """Check that the crawler made one table of each of its targets."""
    pages = account.client("glue").get_paginator("get_tables").paginate
    found = pages(DatabaseName=f"{stack.parameters['CatalogDatabase']}_bronze")
    names = sorted(
        table["Name"] for page in found for table in page["TableList"] if table["Name"].startswith("crawled_")
    )
    return DeploymentCheck("the crawler made its two tables", names == _CRAWLED, ", ".join(names))


def _bronze(account: Account, stack: Stack) -> CheckResult:
    snapshot = newest(stack_lake(stack))
    if snapshot is None:
        return None, "no raw snapshot yet"
    day = snapshot.folder.parent.name.removeprefix("date=")
    sql = f"SELECT count(*) FROM bronze.breweries WHERE date = '{day}' AND \"$path\" LIKE '%/run={snapshot.run}/page-%'"
    [(count,)] = run_query(account, stack.name, stack.parameters["CatalogDatabase"], sql).rows
    return count == snapshot.records, f"{day}: Athena counts {count}, the manifest {snapshot.records}"


def _time_travel(account: Account, stack: Stack) -> CheckResult:
    tables = Tables(stack_lake(stack))
    if "silver.breweries" not in tables.names():
        return None, "no table yet"
    first, *_ = history = [snapshot for snapshot in tables.history("silver.breweries") if not snapshot.branch]
    sql = (
        f"SELECT (SELECT count(*) FROM silver.breweries FOR VERSION AS OF {first.snapshot_id}), "
        'count(*) FROM silver."breweries$snapshots"'
    )
    [(rows, snapshots)] = run_query(account, stack.name, stack.parameters["CatalogDatabase"], sql).rows
    detail = f"{rows} of {first.rows} rows, {snapshots} of {len(history)} snapshots"
    return rows == first.rows and snapshots >= len(history), detail


def _drift(account: Account, stack: Stack) -> CheckResult:
    client = account.client("cloudformation")
    started = client.detect_stack_drift(StackName=stack.name)["StackDriftDetectionId"]
    while (found := client.describe_stack_drift_detection_status(StackDriftDetectionId=started))[
        "DetectionStatus"
    ] == "DETECTION_IN_PROGRESS":
        time.sleep(stacks.POLL_S)
    if found["DetectionStatus"] != "DETECTION_COMPLETE":
        return None, found.get("DetectionStatusReason", "CloudFormation gave no reason")
    drifts = client.describe_stack_resource_drifts(
        StackName=stack.name, StackResourceDriftStatusFilters=["MODIFIED", "DELETED"], MaxResults=100
    )["StackResourceDrifts"]
    detail = "; ".join(
        f"{each['LogicalResourceId']} {each['StackResourceDriftStatus'].lower()}"
        + "".join(f" {difference['PropertyPath']}" for difference in each.get("PropertyDifferences", []))
        for each in drifts
    )
    return not drifts, detail


def _roles(account: Account, stack: Stack) -> CheckResult:
    """Let IAM simulate each statement of each role: a boundary or an organisation's policy may deny what it allows."""
    iam, denied, roles = account.client("iam"), set(), resources(account, stack.name, "AWS::IAM::Role").values()
    for role in roles:
        arn = iam.get_role(RoleName=role)["Role"]["Arn"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            for statement in iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"]:
                denied |= {f"{role}: {action}" for action in _denied(iam, arn, statement)}
    return not denied, "; ".join(sorted(denied)) or f"{len(roles)} roles"


def _denied(iam: Any, role: str, statement: Mapping[str, Any]) -> Iterator[str]:  # noqa: ANN401 - boto3
    """Simulate the actions of a statement on its resources, under its conditions; yield those that are denied."""
    values = {key: value for test in statement.get("Condition", {}).values() for key, value in test.items()}
    lists = {key: value if isinstance(value, list) else [value] for key, value in values.items()}
    context = [
        {"ContextKeyName": key, "ContextKeyValues": value[:1], "ContextKeyType": "string"}
        for key, value in lists.items()
    ]
    actions, targets = (
        [each] if isinstance(each, str) else each for each in (statement["Action"], statement["Resource"])
    )
    for target in targets:
        results = iam.simulate_principal_policy(
            PolicySourceArn=role,
            ActionNames=actions,
            ResourceArns=[target if target == "*" else target.replace("*", "x")],
            ContextEntries=context,
        )["EvaluationResults"]
        yield from (each["EvalActionName"] for each in results if each["EvalDecision"] != "allowed")
