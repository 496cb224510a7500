"""Verification, row counts and the failure drill report what passed, failed or cannot be known yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from botocore.stub import Stubber
from tests.aws.cloud import STACK
from tests.aws.replay import replay
from tests.events.any_events import AnyEventLog
from tests.mock_api.server import MockApiServer

from brewhouse.aws.deploy import CheckResult, run_checks, stack_checks
from brewhouse.aws.functions.lake_events import LakeEvents
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import Stack, get_stack
from brewhouse.aws.verify import (
    _are_equal,
    _ask,
    _crawler_checks,
    _drift,
    _raw_records,
    _roles,
    _time_travel,
    failure_drill,
    row_count_checks,
    stack_lake,
    verify,
)
from brewhouse.events.envelope import ALERT_SENT, JOB, PUBLISHED, RUN, Event
from brewhouse.ids import new_id
from brewhouse.lake.lake import Lake
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


@pytest.fixture
def stack(account: Account) -> Stack:
    bucket = f"brew-{account.number}"
    account.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": account.region})
    return Stack("arn", "brew", "CREATE_COMPLETE", {"BucketName": bucket, "CatalogDatabase": "beer"}, {})


def publish(stack: Stack, run: str, tables: Mapping[str, int], state: str = "SUCCEEDED") -> None:
    """Write the events of a run that published tables."""
    log = AnyEventLog(Lake.at(f"s3://{stack.parameters['BucketName']}/lake"), run)
    this = {"jobName": "breweries", "workflow": "breweries", "workflowRunId": f"wr_{run}"}
    log.write(RUN, {**this, "state": "RUNNING"})
    log.write(PUBLISHED, {"tables": [{"table": name, "rows": rows} for name, rows in tables.items()]})
    log.write(RUN, {**this, "state": state})


def answer(athena: Stubber, rows: Mapping[str, int]) -> None:
    """Let Athena return the row count of each table."""
    info = [{"Name": "name", "Type": "varchar"}, {"Name": "row_count", "Type": "bigint"}]
    data = [["name", "row_count"], *([name, str(count)] for name, count in rows.items())]
    result = {
        "ResultSetMetadata": {"ColumnInfo": info},
        "Rows": [{"Data": [{"VarCharValue": value} for value in row]} for row in data],
    }
    athena.add_response("start_query_execution", {"QueryExecutionId": "q"})
    athena.add_response("get_query_execution", {"QueryExecution": {"Status": {"State": "SUCCEEDED"}}})
    athena.add_response("get_query_results", {"ResultSet": result})


def row_counts(account: Account, stack: Stack, workflow_run: str | None = None) -> list[tuple[bool | None, str]]:
    return [(check.passed, check.detail) for check in row_count_checks(account, stack, workflow_run)]


def test_without_a_run_the_result_is_unknown(account: Account, stack: Stack) -> None:
    assert row_counts(account, stack) == [(None, "no run has published a table yet")]


def test_the_last_publication_of_each_table_is_compared(account: Account, stack: Stack) -> None:
    publish(stack, "R1", {"gold.a": 1, "silver.b": 5})
    publish(stack, "R2", {"gold.a": 2})
    with Stubber(account.client("athena")) as athena:
        answer(athena, {"gold.a": 2, "silver.b": 4})
        assert row_counts(account, stack) == [(True, "2 rows"), (False, "the run reported 5 rows, Athena counts 4")]


def test_a_table_that_athena_does_not_return_fails(account: Account, stack: Stack) -> None:
    publish(stack, "R1", {"gold.a": 1})
    with Stubber(account.client("athena")) as athena:
        answer(athena, {})
        assert row_counts(account, stack) == [(False, "the run reported 1 rows, Athena counts None")]


@pytest.mark.parametrize(
    ("workflow_run", "state", "result"),
    [
        ("wr_R1", "SUCCEEDED", (True, "succeeded")),
        ("wr_R1", "FAILED", (False, "failed")),
        ("wr_R2", "SUCCEEDED", (False, "no events")),
    ],
)
def test_the_given_workflow_run_must_have_succeeded(
    account: Account, stack: Stack, workflow_run: str, state: str, result: tuple[bool, str]
) -> None:
    publish(stack, "R1", {"gold.a": 1}, state)
    with Stubber(account.client("athena")) as athena:
        answer(athena, {"gold.a": 1})
        assert row_counts(account, stack, workflow_run) == [result, (True, "1 rows")]


def test_a_failed_query_is_a_failed_check(account: Account, stack: Stack) -> None:
    publish(stack, "R1", {"gold.a": 1})
    with Stubber(account.client("athena")) as athena:
        athena.add_client_error("start_query_execution", "InvalidRequestException", "no table gold.a")
        [(passed, detail)] = row_counts(account, stack)
    assert passed is False
    assert "Athena could not run the query: no table gold.a" in detail


EVENT, LOG, ALERT = "the event of a failed job arrives", "its log lines are archived", "an alert is sent"


@pytest.fixture
def drill(deployed: Account, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, bool | None]]:
    """Run the drill in an account that causes these effects when the job is started."""
    monkeypatch.setattr("brewhouse.aws.verify.DRILL_POLL_S", 0.01)
    monkeypatch.setattr("brewhouse.aws.verify.DRILL_TIMEOUT_S", 0.2)
    asked: list[dict[str, Any]] = []
    glue, stack = deployed.client("glue"), get_stack(deployed, STACK)
    glue.meta.events.register("provide-client-params.glue.StartJobRun", lambda params, **_: asked.append(params))
    lake_events = LakeEvents(deployed.client("s3"), stack.parameters["BucketName"])

    def put(detail_type: str, source: str = "brewhouse", **detail: Any) -> Event:  # noqa: ANN401
        now = datetime.now(UTC).isoformat()
        event = Event(id=new_id(), detail_type=detail_type, time=now, source=source, detail=detail)
        lake_events.put(event)
        return event

    def run(*effects: str, state: str = "FAILED", suffix: str = "", kind: str = "failed") -> dict[str, bool | None]:
        def cause(parsed: dict[str, Any], **_: object) -> None:
            run_id = parsed["JobRunId"] + suffix
            end = put(JOB, "aws.glue", jobName="extract", jobRunId=run_id, state=state) if EVENT in effects else None
            if end and LOG in effects:
                lake_events.put_log(end, [(datetime.now(UTC), "refused")])
            if ALERT in effects:
                put(ALERT_SENT, kind=kind)

        glue.meta.events.register("after-call.glue.StartJobRun", cause, unique_id="effects")
        found = {check.name: check.passed for check in failure_drill(deployed, stack)}
        glue.meta.events.unregister("after-call.glue.StartJobRun", unique_id="effects")
        assert asked[-1] == {"JobName": f"{STACK}-extract", "Arguments": {"--source-url": "http://127.0.0.1:9"}}
        return found

    return run


def test_all_effects_of_a_failure_are_found(drill: Callable[..., dict[str, bool | None]]) -> None:
    assert drill(EVENT, LOG, ALERT) == {EVENT: True, LOG: True, ALERT: True}
    assert drill(EVENT, LOG, ALERT, suffix="_attempt_1") == {EVENT: True, LOG: True, ALERT: True}


def test_a_missing_effect_fails_after_the_time(drill: Callable[..., dict[str, bool | None]]) -> None:
    assert drill(EVENT, state="SUCCEEDED") == {EVENT: False, LOG: False, ALERT: False}
    assert drill(ALERT, kind="recovered") == {EVENT: False, LOG: False, ALERT: False}
    assert drill(EVENT) == {EVENT: True, LOG: False, ALERT: False}
    assert drill(ALERT) == {ALERT: True, EVENT: False, LOG: False}
