"""Verification reports what has passed, failed or cannot be known yet; `test_real_workflow` covers the command."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from tests.aws.cloud import STACK
from tests.aws.replay import replay
from tests.mock_api.server import MockApiServer

from brewhouse.aws.deploy import CheckResult, run_checks, stack_checks
from brewhouse.aws.row_counts import stack_lake
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import Stack, get_stack
from brewhouse.aws.verify import _are_equal, _ask, _crawler_checks, _drift, _raw_records, _roles, _time_travel, verify
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.query.saved_queries import saved_queries
from brewhouse.settings import load


def results(account: Account) -> dict[str, tuple[bool | None, str]]:
    return {check.name: (check.passed, check.detail) for check in verify(account, get_stack(account, STACK))}


def test_a_new_stack_has_no_run_no_table_and_no_event_yet_and_fails_queries(deployed: Account) -> None:
    found = results(deployed)
    assert found["the workflow has run"] == (None, "no run yet")
    for job in ("extract", "transform", "aggregate", "maintain"):
        assert found[f"job {STACK}-{job} ran and succeeded"] == (None, "waiting")
    for zone in ("silver", "gold"):
        assert found[f"brewhouse_{zone} has tables"] == (None, "none yet")
    assert found[f"crawler {STACK}-raw succeeded"] == (None, "no crawl yet")
    assert found["row counts match the runs"] == (None, "no run has published a table yet")
    assert found["events of Glue arrive in the lake"][0] is None
    assert found[f"trigger {STACK}-start is active"] == (True, "activated")
    assert found["Glue is enabled"] == (True, "")
    assert found["no other stack owns the databases"] == (True, "")
    assert found["a CloudTrail trail records calls"][0] is None
    for name in ("silver and gold count the same breweries", *(f"Athena runs {q.name}" for q in saved_queries())):
        passed, detail = found[name]
        assert passed is False
        assert "Athena could not run the query" in detail


def test_runs_crawls_and_tables_are_reported(deployed: Account) -> None:
    glue = deployed.client("glue")
    glue.start_workflow_run(Name=STACK)
    glue.start_job_run(JobName=f"{STACK}-extract")
    glue.start_crawler(Name=f"{STACK}-raw")
    for name, parameters in (("iceberg", {"metadata_location": "s3://b/m.json"}), ("broken", {})):
        glue.create_table(DatabaseName="brewhouse_gold", TableInput={"Name": name, "Parameters": parameters})
    found = results(deployed)
    started = glue.get_workflow(Name=STACK)["Workflow"]["LastRun"]["StartedOn"]
    assert found["the workflow has run"] == (True, f"the last run began {started:%Y-%m-%d %H:%M}")
    assert found[f"job {STACK}-extract ran and succeeded"] == (True, "succeeded")
    assert found["brewhouse_gold.iceberg is an Iceberg table"] == (True, "s3://b/m.json")
    assert found["brewhouse_gold.broken is an Iceberg table"] == (False, "")


def test_a_permission_that_a_boundary_denies_is_named_with_its_role(deployed: Account) -> None:
    allowed = {"EvaluationResults": [{"EvalActionName": "s3:PutObject", "EvalDecision": "allowed"}]}
    replay(deployed, {"iam.SimulatePrincipalPolicy": allowed})
    assert _roles(deployed, get_stack(deployed, STACK)) == (True, "5 roles")
    denied = {"EvaluationResults": [{"EvalActionName": "glue:UpdateTable", "EvalDecision": "implicitDeny"}]}
    asked: list[dict[str, Any]] = []
    deployed.client("iam").meta.events.register(
        "provide-client-params.iam.SimulatePrincipalPolicy", lambda params, **_: asked.append(params)
    )
    allowed.update(denied)
    passed, detail = _roles(deployed, get_stack(deployed, STACK))
    assert passed is False
    assert detail.count("glue:UpdateTable") == 5
    names = {each["PolicySourceArn"].split("/")[1].split("-")[1] for each in asked}
    assert names == {"ExtractRole", "TablesRole", "CrawlerRole", "ArchiverRole", "NotifierRole"}
    metrics = next(each for each in asked if each["ActionNames"] == ["cloudwatch:PutMetricData"])
    context = {"ContextKeyName": "cloudwatch:namespace", "ContextKeyValues": ["Glue"], "ContextKeyType": "string"}
    assert metrics["ContextEntries"] == [context], "else IAM denies what has a condition"
    assert not [target for each in asked for target in each["ResourceArns"] if "*" in target and target != "*"]


def test_drift_names_the_resources_and_properties(deployed: Account) -> None:
    assert _drift(deployed, get_stack(deployed, STACK)) == (True, "")
    drift = {
        "LogicalResourceId": "ExtractJob",
        "StackResourceDriftStatus": "MODIFIED",
        "PropertyDifferences": [{"PropertyPath": "/Timeout"}, {"PropertyPath": "/MaxRetries"}],
    }
    deleted = {"LogicalResourceId": "Dashboard", "StackResourceDriftStatus": "DELETED"}
    states = [{"DetectionStatus": "DETECTION_IN_PROGRESS"}, {"DetectionStatus": "DETECTION_COMPLETE"}]
    responses = {
        "cloudformation.DescribeStackDriftDetectionStatus": states,
        "cloudformation.DescribeStackResourceDrifts": {"StackResourceDrifts": [drift, deleted]},
    }
    replay(deployed, responses)
    found = _drift(deployed, get_stack(deployed, STACK))
    assert found == (False, "ExtractJob modified /Timeout /MaxRetries; Dashboard deleted")


def test_a_trigger_that_does_not_fire_is_a_failure(deployed: Account) -> None:
    deployed.client("glue").stop_trigger(Name=f"{STACK}-after-extract")
    found = {check.name: (check.passed, check.detail) for check in stack_checks(deployed, get_stack(deployed, STACK))}
    assert found[f"trigger {STACK}-after-extract is active"] == (
        False,
        "deactivated, so what follows it never starts: `brewhouse aws deploy` starts it",
    )


def test_the_crawler_must_have_made_exactly_two_tables(deployed: Account) -> None:
    crawl: dict[str, Any] = {"Status": "FAILED", "ErrorMessage": "no role"}
    replay(deployed, {"glue.GetCrawler": {"Crawler": {"LastCrawl": crawl}}})

    def found() -> list[tuple[bool | None, str]]:
        return [(check.passed, check.detail) for check in _crawler_checks(deployed, get_stack(deployed, STACK))]

    assert found() == [(None, "warning: no role")]
    crawl["Status"] = "SUCCEEDED"
    del crawl["ErrorMessage"]
    assert found() == [(True, "SUCCEEDED"), (False, "")], "none, next to `breweries`"
    for name, passed in (("crawled_breweries", False), ("crawled_events", True), ("crawled_started_json", False)):
        deployed.client("glue").create_table(DatabaseName="brewhouse_bronze", TableInput={"Name": name})
        assert found()[1][0] is passed


Answers = Callable[..., CheckResult]


@pytest.fixture
def answers(account: Account) -> Answers:
    """Check a lake of a run of 30 breweries, with the numbers of the row that Athena answers."""
    bucket = f"{STACK}-{account.number}"
    account.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": account.region})
    stack = Stack("arn", STACK, "CREATE_COMPLETE", {"BucketName": bucket, "CatalogDatabase": "beer"}, {})
    with MockApiServer(generate(30)) as source:
        run_workflow(stack_lake(stack), load({"source_url": source.url}, environ={}))

    result: dict[str, Any] = {}
    responses = {
        "athena.StartQueryExecution": {"QueryExecutionId": "q"},
        "athena.GetQueryExecution": {"QueryExecution": {"Status": {"State": "SUCCEEDED"}}},
        "athena.GetQueryResults": {"ResultSet": result},
    }
    replay(account, responses)

    def run(check: Callable[..., CheckResult], *numbers: int) -> CheckResult:
        result["ResultSetMetadata"] = {"ColumnInfo": [{"Name": "n", "Type": "bigint"}] * len(numbers)}
        result["Rows"] = [{"Data": [{"VarCharValue": str(number)} for number in numbers]}]
        return check(account, stack)

    return run


def test_athena_must_count_what_manifest_history_and_other_tables_say(answers: Answers) -> None:
    [passed, detail] = answers(_raw_records, 30)
    assert (passed, detail.partition(": ")[2]) == (True, "Athena counts 30, the manifest 30")
    assert answers(_raw_records, 29)[0] is False
    assert answers(_time_travel, 30, 1) == (True, "30 of 30 rows, 1 of 1 snapshots")
    assert answers(_time_travel, 29, 1)[0] is False
    assert answers(_time_travel, 30, 0)[0] is False
    equal = partial(_ask, sql="SELECT 1", expected=_are_equal)
    assert [answers(equal, 30, gold)[0] for gold in (30, 29)] == [True, False]


def test_a_request_that_fails_is_a_failed_check(account: Account) -> None:
    denial = "User: arn:x is not authorized to perform: cloudformation:DetectStackDrift"
    replay(account, {"cloudformation.DetectStackDrift": ("AccessDenied", denial)})
    stack = Stack("arn", STACK, "CREATE_COMPLETE", {}, {})
    [check] = run_checks({"drift": _drift}, account, stack, strict=True)
    assert check.passed is False
    assert "AWS denies cloudformation:DetectStackDrift" in check.detail
