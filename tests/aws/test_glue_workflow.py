"""The graph of a workflow run is read, followed and judged; jobs have states and logs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from brewhouse.aws.functions.normalize import WORKFLOWS
from brewhouse.aws.glue_workflow import WorkflowStep, attempts, follow, logs, raise_on_failure, start
from brewhouse.aws.session import Account
from brewhouse.errors import BrewhouseError, ChecksFailed

Call = Callable[..., tuple[int, str, str]]
EXTRACTED = WorkflowStep("b-extract", "SUCCEEDED")


def _node(name: str, state: str | None = None, message: str = "", attempt: int = 0) -> dict[str, Any]:
    run = {"Id": f"jr_{name}{attempt}", "JobRunState": state, "ExecutionTime": 61, "Attempt": attempt}
    run |= {"ErrorMessage": message} if message else {}
    return {"Type": "JOB", "Name": name, "JobDetails": {"JobRuns": [run] if state else []}}


def test_a_step_of_the_graph_is_its_last_attempt() -> None:
    retried = _node("b-transform", "FAILED", "once")
    retried["JobDetails"]["JobRuns"].append(_node("b-transform", "SUCCEEDED", attempt=1)["JobDetails"]["JobRuns"][0])
    crawler = {"Type": "CRAWLER", "Name": "b-raw", "CrawlerDetails": {"Crawls": [{"State": "RUNNING"}]}}
    graph = [{"Type": "TRIGGER", "Name": "t"}, _node("b-extract", "RUNNING"), retried, _node("b-aggregate"), crawler]
    assert list({step.name: step for step in attempts({"Graph": {"Nodes": graph}})}.values()) == [
        WorkflowStep("b-extract", "RUNNING", None, "", "jr_b-extract0"),
        WorkflowStep("b-transform", "SUCCEEDED", 61.0, "", "jr_b-transform1"),
        WorkflowStep("b-aggregate", "WAITING"),
        WorkflowStep("b-raw", "RUNNING", is_crawler=True),
    ]


def test_a_run_with_successful_jobs_is_not_a_failure() -> None:
    raise_on_failure([EXTRACTED, WorkflowStep("b-raw", "SUCCEEDED")], "COMPLETED")


@pytest.mark.parametrize(
    ("message", "kind", "code"),
    [("ChecksFailed: a sum differs", ChecksFailed, 3), ("BrewhouseError: no network", BrewhouseError, 1)],
)
def test_a_failed_job_ends_with_the_exit_code_of_run(message: str, kind: type[BrewhouseError], code: int) -> None:
    with pytest.raises(kind, match="aws logs transform") as failed:
        raise_on_failure([EXTRACTED, WorkflowStep("b-transform", "FAILED", 1, message)], "COMPLETED")
    assert failed.value.exit_code == code


def test_a_failed_crawler_is_not_a_failure_of_the_run() -> None:
    raise_on_failure(
        [EXTRACTED, WorkflowStep("b-raw", "FAILED", message="no role", is_crawler=True)],
        "COMPLETED",
    )
    with pytest.raises(BrewhouseError, match="b-raw ended as failed"):
        raise_on_failure([EXTRACTED, WorkflowStep("b-raw", "FAILED", message="no role")], "COMPLETED")


def test_a_stopped_run_is_a_failure() -> None:
    with pytest.raises(BrewhouseError, match="b-extract ended as stopped"):
        raise_on_failure([WorkflowStep("b-extract", "STOPPED", 5), WorkflowStep("b-transform", "WAITING")], "STOPPED")
    with pytest.raises(BrewhouseError, match="ended as stopped; never started: b-transform"):
        raise_on_failure([WorkflowStep("b-extract", "SUCCEEDED", 5), WorkflowStep("b-transform", "WAITING")], "STOPPED")


def test_a_run_that_glue_accepts_but_does_not_start_has_its_reason() -> None:
    with pytest.raises(BrewhouseError, match=r"Concurrent runs exceeded for workflow: b\. One run at a time"):
        raise_on_failure([WorkflowStep("b-extract", "WAITING")], "ERROR", "Concurrent runs exceeded for workflow: b.")


def test_a_job_that_never_started_is_a_failure() -> None:
    with pytest.raises(BrewhouseError, match="never started: b-transform"):
        raise_on_failure([EXTRACTED, WorkflowStep("b-transform", "WAITING")], "COMPLETED")


@pytest.mark.parametrize("state", ["DEACTIVATED", "CREATED"])
def test_a_chain_that_an_inactive_trigger_breaks_is_a_failure_that_names_it(
    glue: tuple[Account, Stubber], state: str
) -> None:
    account, stub = glue
    triggers = [
        {"Type": "TRIGGER", "Name": name, "TriggerDetails": {"Trigger": {"Name": name, "State": now}}}
        for name, now in (("b-start", "ACTIVATED"), ("b-after-extract", state))
    ]
    nodes = [*triggers, _node("b-extract", "SUCCEEDED"), _node("b-transform")]
    stub.add_response("get_workflow_run", {"Run": {"Status": "COMPLETED", "Graph": {"Nodes": nodes}}})
    why = "never started: b-transform, since a trigger is inactive: b-after-extract"
    with pytest.raises(BrewhouseError, match=why) as error:
        list(follow(account, "b", "wr_1"))
    assert "`brewhouse aws deploy` starts" in str(error.value)


def test_a_failed_attempt_is_reported_even_if_the_next_one_has_started() -> None:
    account = Account("1", "eu-central-1", "arn", boto3.Session("key", "secret", region_name="eu-central-1"))
    job = _node("b-extract", "FAILED", "no network")
    job["JobDetails"]["JobRuns"].append(_node("b-extract", "SUCCEEDED", attempt=1)["JobDetails"]["JobRuns"][0])
    over = {"Run": {"Status": "COMPLETED", "Graph": {"Nodes": [job]}}}
    asked = {"Name": "b", "RunId": "wr_1", "IncludeGraph": True}
    with Stubber(account.client("glue")) as glue:
        glue.add_response("get_workflow_run", over, asked)
        reported = [(step.state, step.message) for step in follow(account, "b", "wr_1")]
    assert reported == [("FAILED", "no network"), ("SUCCEEDED", "")]


def test_run_starts_the_workflow(deployed: Account, call: Call) -> None:
    code, out, err = call("run", "--stack", "brew")
    assert (code, err) == (0, "")
    last = deployed.client("glue").get_workflow(Name="brew")["Workflow"]["LastRun"]
    assert last["WorkflowRunId"] == out.split()[3]


def test_status_shows_triggers_and_jobs(deployed: Account, call: Call) -> None:
    code, out, err = call("status", "--stack", "brew")
    assert (code, err) == (0, "")
    assert deployed.number in out
    assert "brew-after-extract" in out
    assert "cron(0 6 * * ? *)" in out
    assert "waiting" in out


def test_logs_prints_what_the_driver_of_one_attempt_wrote(deployed: Account, call: Call) -> None:
    client = deployed.client("logs")
    now = int(datetime.now(UTC).timestamp() * 1000)
    for group, stream, text in (
        ("output", "jr_1", "the first attempt failed"),
        ("output", "jr_1_g-abc", "of an executor"),
        ("output", "jr_1_attempt_1", "the second attempt"),
        ("output", "jr_1_attempt_1_g-def", "of its executor"),
        ("output", "jr_12", "another run"),
        ("output", "jr_2-driver", "a documented name"),
        ("output", "jr_2-1", "of a documented executor"),
        ("error", "jr_1", "INFO MemoryStore: MemoryStore cleared"),
    ):
        place = {"logGroupName": f"/aws-glue/brew/{group}", "logStreamName": stream}
        client.create_log_stream(**place)
        client.put_log_events(**place, logEvents=[{"timestamp": now, "message": f"{text}\n"}])
    printed = {
        (run, option): call("logs", "transform", "--stack", "brew", "--run", run, *option)[1].splitlines()
        for run in ("jr_1", "jr_1_attempt_1", "jr_2")
        for option in ((), ("--executors",))
    }
    assert printed == {
        ("jr_1", ()): ["the first attempt failed"],
        ("jr_1", ("--executors",)): ["the first attempt failed", "g-abc: of an executor"],
        ("jr_1_attempt_1", ()): ["the second attempt"],
        ("jr_1_attempt_1", ("--executors",)): ["the second attempt", "g-def: of its executor"],
        ("jr_2", ()): ["a documented name"],
        ("jr_2", ("--executors",)): ["a documented name", "1: of a documented executor"],
    }


@pytest.mark.usefixtures("deployed")
def test_a_job_that_does_not_exist_has_no_logs(call: Call) -> None:
    code, _, err = call("logs", "crawl", "--stack", "brew")
    assert code == 2
    assert "extract, transform, aggregate, maintain" in err


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("command", [("run",), ("status",), ("query", "SELECT 1"), ("verify",)])
def test_without_a_stack_the_next_step_is_named(call: Call, command: tuple[str, ...]) -> None:
    code, _, err = call(*command, "--stack", "brew")
    assert code == 1
    assert "Create it: `brewhouse aws deploy`" in err


@pytest.fixture
def glue() -> Iterator[tuple[Account, Stubber]]:
    """An account whose Glue answers as recorded."""
    account = Account("1", "eu-central-1", "arn", boto3.Session("key", "secret", region_name="eu-central-1"))
    with Stubber(account.client("glue")) as stub:
        yield account, stub
        stub.assert_no_pending_responses()


def test_a_second_run_of_the_workflow_is_rejected_with_the_next_step(glue: tuple[Account, Stubber]) -> None:
    account, stub = glue
    stub.add_client_error("start_workflow_run", "ConcurrentRunsExceededException")
    with pytest.raises(BrewhouseError, match=r"workflow b is in progress\. One run at a time: `brewhouse aws status`"):
        start(account, "b")


def test_each_state_change_is_reported_once(glue: tuple[Account, Stubber], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brewhouse.aws.glue_workflow.POLL_S", 0)
    account, stub = glue
    for status, states in (
        ("RUNNING", ("RUNNING", None)),
        ("RUNNING", ("RUNNING", None)),
        ("RUNNING", ("SUCCEEDED", "RUNNING")),
        ("COMPLETED", ("SUCCEEDED", "SUCCEEDED")),
    ):
        nodes = [_node("b-extract", states[0]), _node("b-transform", states[1])]
        stub.add_response("get_workflow_run", {"Run": {"Status": status, "Graph": {"Nodes": nodes}}})
    assert [(step.name, step.state, step.seconds) for step in follow(account, "b", "wr_1")] == [
        ("b-extract", "RUNNING", None),
        ("b-extract", "SUCCEEDED", 61),
        ("b-transform", "RUNNING", None),
        ("b-transform", "SUCCEEDED", 61),
    ]


def test_a_crawler_is_a_step_with_its_error(glue: tuple[Account, Stubber]) -> None:
    account, stub = glue
    crawl = {"State": "FAILED", "ErrorMessage": "no role"}
    nodes = [
        _node("b-extract", "SUCCEEDED"),
        {"Type": "CRAWLER", "Name": "b-raw", "CrawlerDetails": {"Crawls": [crawl]}},
        {"Type": "CRAWLER", "Name": "b-other", "CrawlerDetails": {"Crawls": []}},
    ]
    stub.add_response("get_workflow_run", {"Run": {"Status": "COMPLETED", "Graph": {"Nodes": nodes}}})
    steps: list[WorkflowStep] = []
    with pytest.raises(BrewhouseError, match="never started: b-other"):
        steps.extend(follow(account, "b", "wr_1"))
    assert [(step.name, step.state, step.message, step.has_failed) for step in steps] == [
        ("b-extract", "SUCCEEDED", "", False),
        ("b-raw", "FAILED", "no role", True),
    ]


def test_the_logs_of_the_last_run_are_the_default(glue: tuple[Account, Stubber]) -> None:
    account, stub = glue
    for job in WORKFLOWS:
        runs = [{"Id": f"jr_{job}", "JobRunState": "SUCCEEDED"}]
        stub.add_response("get_job_runs", {"JobRuns": runs}, {"JobName": f"b-{job}", "MaxResults": 1})
    with Stubber(account.client("logs")) as written:
        group = {"logGroupName": "/aws-glue/b/output"}
        streams = {"logStreams": [{"logStreamName": "jr_transform"}]}
        written.add_response("describe_log_streams", streams, {**group, "logStreamNamePrefix": "jr_transform"})
        lines = {"events": [{"message": "one\n"}, {"message": "two"}]}
        written.add_response("filter_log_events", lines, {**group, "logStreamNames": ["jr_transform"]})
        assert list(logs(account, "b", "transform")) == ["one", "two"]


@pytest.mark.usefixtures("deployed")
def test_a_job_that_never_ran_has_no_logs(call: Call) -> None:
    code, _, err = call("logs", "extract", "--stack", "brew")
    assert code == 2
    assert "The job extract never ran. Start the workflow: `brewhouse aws run`." in err


def test_a_missing_log_group_has_no_lines(deployed: Account, call: Call) -> None:
    for group in ("output", "error"):
        deployed.client("logs").delete_log_group(logGroupName=f"/aws-glue/brew/{group}")
    assert call("logs", "extract", "--stack", "brew", "--run", "jr_1") == (0, "", "")


def test_a_denied_read_of_the_logs_is_an_error() -> None:
    account = Account("1", "eu-central-1", "arn", boto3.Session("key", "secret", region_name="eu-central-1"))
    with Stubber(account.client("logs")) as stub:
        stub.add_client_error("describe_log_streams", "AccessDeniedException")
        with pytest.raises(ClientError, match="AccessDenied"):
            list(logs(account, "b", "extract", "jr_1"))
