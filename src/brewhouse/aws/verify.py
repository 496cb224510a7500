"""Checks that only a real account can pass: triggers fired, jobs succeeded, tables are committed and can be queried."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from brewhouse.aws import stacks
from brewhouse.aws.athena import run_query
from brewhouse.aws.deploy import CheckResult, DeploymentCheck, resources, run_checks, stack_checks
from brewhouse.aws.functions.lake_events import LakeEvents
from brewhouse.aws.glue_workflow import last_job_runs
from brewhouse.aws.monitoring import monitoring_checks, runtime_checks
from brewhouse.aws.preflight import Preflight, as_list
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import Stack
from brewhouse.aws.template import defaults
from brewhouse.errors import BrewhouseError
from brewhouse.events.envelope import ALERT_SENT, JOB, Event
from brewhouse.events.event import read_events
from brewhouse.events.run_reports import run_reports
from brewhouse.iceberg.tables import Tables
from brewhouse.ids import id_at
from brewhouse.lake.lake import Lake, Shared
from brewhouse.lake.raw_snapshots import newest
from brewhouse.query.saved_queries import saved_queries

_CRAWLED = ["crawled_breweries", "crawled_events"]
"""The crawler's tables: its prefix and the last folder of each target."""
_SUMS = """
SELECT (SELECT count(*) FROM silver.breweries) AS silver,
  (SELECT sum(brewery_count) FROM gold.breweries_by_location) AS gold
"""
_DAYS = 14
DRILL_POLL_S = 15.0
DRILL_TIMEOUT_S = 2700.0
"""Two attempts of a job, a few minutes each, and the notifier's next scheduled run."""
_DEAD_SOURCE = "http://127.0.0.1:9"  # the port of the discard protocol, which nothing serves


def verify(account: Account, stack: Stack) -> Iterator[DeploymentCheck]:
    """Check a deployed stack: first the account and its resources, then its runs, tables, queries and alarms."""
    yield from Preflight(account, stack.name, {**defaults(), **stack.parameters}).checks()
    yield from stack_checks(account, stack)
    checks = {"no resource was changed by hand": _drift, "each role has its permissions": _roles}
    yield from run_checks(checks, account, stack, strict=True)
    for step in last_job_runs(account, stack.name):
        passed = None if step.state in {"WAITING", "RUNNING", "STARTING"} else step.state == "SUCCEEDED"
        yield DeploymentCheck(f"job {step.name} ran and succeeded", passed, step.message or step.state.lower())
    run = account.client("glue").get_workflow(Name=stack.name)["Workflow"].get("LastRun")
    last = f"the last run began {run['StartedOn']:%Y-%m-%d %H:%M}" if run else "no run yet"
    yield DeploymentCheck("the workflow has run", True if run else None, last)
    for zone in ("silver", "gold"):
        tables = _tables(account, stack, zone)
        if not tables:
            yield DeploymentCheck(f"{stack.database(zone)} has tables", None, "none yet")
        for name, parameters in tables.items():
            location = parameters.get("metadata_location", "")
            yield DeploymentCheck(f"{stack.database(zone)}.{name} is an Iceberg table", bool(location), location)
    asked = {"silver and gold count the same breweries": partial(_ask, sql=_SUMS, expected=_are_equal)}
    asked |= {f"Athena runs {query.name}": partial(_ask, sql=query.sql, expected=bool) for query in saved_queries()}
    yield from run_checks(asked, account, stack, strict=True)
    yield from row_count_checks(account, stack)
    checks = {
        "Athena counts the records of the newest raw snapshot": _raw_records,
        "Athena reads an earlier snapshot": _time_travel,
    }
    yield from run_checks(checks, account, stack, strict=True)
    yield from _crawler_checks(account, stack)
    yield from monitoring_checks(account, stack)
    yield from runtime_checks(account, stack)


def _crawler_checks(account: Account, stack: Stack) -> Iterator[DeploymentCheck]:
    for crawler in resources(account, stack.name, "AWS::Glue::Crawler").values():
        crawl = account.client("glue").get_crawler(Name=crawler)["Crawler"].get("LastCrawl", {})
        state = crawl.get("Status")
        detail = f"warning: {crawl['ErrorMessage']}" if "ErrorMessage" in crawl else state or "no crawl yet"
        yield DeploymentCheck(f"crawler {crawler} succeeded", True if state == "SUCCEEDED" else None, detail)
        if state == "SUCCEEDED":
            made = sorted(name for name in _tables(account, stack, "bronze") if name.startswith("crawled_"))
            yield DeploymentCheck("the crawler made its two tables", made == _CRAWLED, ", ".join(made))


def _tables(account: Account, stack: Stack, zone: str) -> dict[str, Mapping[str, str]]:
    """Return the parameters of each table of a zone in the Glue catalog."""
    pages = account.client("glue").get_paginator("get_tables").paginate(DatabaseName=stack.database(zone))
    return {table["Name"]: table.get("Parameters", {}) for page in pages for table in page["TableList"]}


def _ask(account: Account, stack: Stack, sql: str, expected: Callable[[list[tuple[Any, ...]]], bool]) -> CheckResult:
    rows = run_query(account, stack, sql).rows
    return expected(rows), f"{rows[0] if rows else 'no rows'}"


def _are_equal(rows: list[tuple[Any, ...]]) -> bool:
    return len(set(rows[0])) == 1


def _raw_records(account: Account, stack: Stack) -> CheckResult:
    snapshot = newest(stack_lake(stack))
    if snapshot is None:
        return None, "no raw snapshot yet"
    day = snapshot.folder.parent.name.removeprefix("date=")
    sql = f"SELECT count(*) FROM bronze.breweries WHERE date = '{day}' AND \"$path\" LIKE '%/run={snapshot.run}/page-%'"
    [(count,)] = run_query(account, stack, sql).rows
    return count == snapshot.records, f"{day}: Athena counts {count}, the manifest {snapshot.records}"


def _time_travel(account: Account, stack: Stack) -> CheckResult:
    tables = Tables(stack_lake(stack))
    is_there = "silver.breweries" in tables.names()
    history = [each for each in tables.history("silver.breweries") if not each.branch] if is_there else []
    if not history:
        return None, "no table yet"
    sql = (
        f"SELECT (SELECT count(*) FROM silver.breweries FOR VERSION AS OF {history[0].snapshot_id}), "
        'count(*) FROM silver."breweries$snapshots"'
    )
    [(rows, snapshots)] = run_query(account, stack, sql).rows
    detail = f"{rows} of {history[0].rows} rows, {snapshots} of {len(history)} snapshots"
    return rows == history[0].rows and snapshots >= len(history), detail


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
    changed = [
        f"{each['LogicalResourceId']} {each['StackResourceDriftStatus'].lower()} "
        + " ".join(one["PropertyPath"] for one in each.get("PropertyDifferences", []))
        for each in drifts
    ]
    return not changed, "; ".join(map(str.rstrip, changed))


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
    context = [
        {"ContextKeyName": key, "ContextKeyValues": as_list(value)[:1], "ContextKeyType": "string"}
        for test in statement.get("Condition", {}).values()
        for key, value in test.items()
    ]
    for target in as_list(statement["Resource"]):
        results = iam.simulate_principal_policy(
            PolicySourceArn=role,
            ActionNames=as_list(statement["Action"]),
            ResourceArns=[target if target == "*" else target.replace("*", "x")],
            ContextEntries=context,
        )["EvaluationResults"]
        yield from (each["EvalActionName"] for each in results if each["EvalDecision"] != "allowed")


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


def failure_drill(account: Account, stack: Stack) -> Iterator[DeploymentCheck]:
    """Start the failing job run, and yield a check for each effect once it is there, or when the time is over."""
    begin, deadline = datetime.now(UTC), time.monotonic() + DRILL_TIMEOUT_S
    s3, bucket = account.client("s3"), stack.parameters["BucketName"]
    run = account.client("glue").start_job_run(
        JobName=f"{stack.name}-extract", Arguments={"--source-url": _DEAD_SOURCE}
    )["JobRunId"]
    reported: set[str] = set()
    while True:
        is_over = time.monotonic() > deadline
        events = LakeEvents(s3, bucket).read(begin.date(), after=id_at(begin - timedelta(seconds=1), b""))
        ends = [each for each in events if _is_failure(each, run)]
        logs = [f"lake/job_logs/{end.key.split('/', 1)[1]}" for end in ends]
        archived = [s3.list_objects_v2(Bucket=bucket, Prefix=key)["KeyCount"] for key in logs]
        effects = {
            "the event of a failed job arrives": bool(ends),
            "its log lines are archived": any(archived),
            "an alert is sent": any((e.detail_type, e.detail.get("kind")) == (ALERT_SENT, "failed") for e in events),
        }
        for name in [name for name, is_there in effects.items() if name not in reported and (is_there or is_over)]:
            reported.add(name)
            seconds = (datetime.now(UTC) - begin).seconds
            detail = f"after {seconds} s" if effects[name] else f"not within {DRILL_TIMEOUT_S:.0f} s"
            yield DeploymentCheck(name, effects[name], detail)
        if len(reported) == len(effects):
            return
        time.sleep(DRILL_POLL_S)


def _is_failure(event: Event, run: str) -> bool:
    """Return whether an event of Glue is the end of an attempt of a job run that failed."""
    kind = (event.source, event.detail_type, event.detail.get("state"))
    return kind == ("aws.glue", JOB, "FAILED") and str(event.detail.get("jobRunId")).startswith(run)
