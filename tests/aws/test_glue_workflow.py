"""What a workflow run's graph says, and what it means."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from brewhouse.aws.glue_workflow import Step, follow, judge, steps_of
from brewhouse.aws.session import Account
from brewhouse.errors import BrewhouseError, ChecksFailed

Call = Callable[..., tuple[int, str, str]]


def _node(name: str, state: str | None = None, message: str = "", attempt: int = 0) -> dict[str, Any]:
    run = {"Id": f"jr_{name}{attempt}", "JobRunState": state, "ExecutionTime": 61, "Attempt": attempt}
    run |= {"ErrorMessage": message} if message else {}
    return {"Type": "JOB", "Name": name, "JobDetails": {"JobRuns": [run] if state else []}}


def test_steps_are_read_from_the_graph_and_the_last_attempt_counts() -> None:
    retried = _node("b-transform", "FAILED", "once")
    retried["JobDetails"]["JobRuns"].append(_node("b-transform", "SUCCEEDED", attempt=1)["JobDetails"]["JobRuns"][0])
    crawler = {"Type": "CRAWLER", "Name": "b-raw", "CrawlerDetails": {"Crawls": [{"State": "RUNNING"}]}}
    graph = [{"Type": "TRIGGER", "Name": "t"}, _node("b-extract", "RUNNING"), retried, _node("b-aggregate"), crawler]
    assert list(steps_of({"Graph": {"Nodes": graph}})) == [
        Step("b-extract", "RUNNING", None, "", "jr_b-extract0"),
        Step("b-transform", "SUCCEEDED", 61.0, "", "jr_b-transform1"),
        Step("b-aggregate", "WAITING"),
        Step("b-raw", "RUNNING", is_crawler=True),
    ]


def test_a_run_whose_jobs_all_succeeded_is_good() -> None:
    judge([Step("b-extract", "SUCCEEDED"), Step("b-raw", "SUCCEEDED")], "COMPLETED")


@pytest.mark.parametrize(
    ("message", "kind", "code"),
    [("ChecksFailed: a sum differs", ChecksFailed, 3), ("BrewhouseError: no network", BrewhouseError, 1)],
)
def test_a_failed_job_ends_with_the_exit_code_of_run(message: str, kind: type[BrewhouseError], code: int) -> None:
    with pytest.raises(kind, match="aws logs transform") as failed:
        judge([Step("b-extract", "SUCCEEDED"), Step("b-transform", "FAILED", 1, message)], "COMPLETED")
    assert failed.value.exit_code == code


def test_a_run_is_good_whose_crawler_failed_for_nothing_rests_on_it() -> None:
    judge([Step("b-extract", "SUCCEEDED"), Step("b-raw", "FAILED", message="no role", is_crawler=True)], "COMPLETED")
    with pytest.raises(BrewhouseError, match="b-raw ended as failed"):
        judge([Step("b-extract", "SUCCEEDED"), Step("b-raw", "FAILED", message="no role")], "COMPLETED")


def test_a_run_that_was_stopped_is_no_success() -> None:
    with pytest.raises(BrewhouseError, match="b-extract ended as stopped"):
        judge([Step("b-extract", "STOPPED", 5), Step("b-transform", "WAITING")], "STOPPED")
    with pytest.raises(BrewhouseError, match="ended as stopped; never started: b-transform"):
        judge([Step("b-extract", "SUCCEEDED", 5), Step("b-transform", "WAITING")], "STOPPED")


def test_a_run_that_glue_takes_and_then_does_not_start_is_told_with_its_reason() -> None:
    with pytest.raises(BrewhouseError, match=r"Concurrent runs exceeded for workflow: b\. Only one may"):
        judge([Step("b-extract", "WAITING")], "ERROR", "Concurrent runs exceeded for workflow: b.")


def test_a_job_that_was_never_started_is_no_success() -> None:
    with pytest.raises(BrewhouseError, match="never started: b-transform"):
        judge([Step("b-extract", "SUCCEEDED"), Step("b-transform", "WAITING")], "COMPLETED")


def test_an_attempt_that_failed_is_told_also_when_the_next_one_has_begun() -> None:
    account = Account("1", "eu-central-1", "arn", boto3.Session("key", "secret", region_name="eu-central-1"))
    job = _node("b-extract", "FAILED", "no network")
    job["JobDetails"]["JobRuns"].append(_node("b-extract", "SUCCEEDED", attempt=1)["JobDetails"]["JobRuns"][0])
    over = {"Run": {"Status": "COMPLETED", "Graph": {"Nodes": [job]}}}
    asked = {"Name": "b", "RunId": "wr_1", "IncludeGraph": True}
    with Stubber(account.client("glue")) as glue:
        glue.add_response("get_workflow_run", over, asked)
        told = [(step.state, step.message) for step in follow(account, "b", "wr_1")]
    assert told == [("FAILED", "no network"), ("SUCCEEDED", "")]


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


def test_logs_prints_what_a_job_wrote(deployed: Account, call: Call) -> None:
    logs = deployed.client("logs")
    now = int(datetime.now(UTC).timestamp() * 1000)
    for group, words in (("output", "model silver.breweries"), ("error", "it failed")):
        place = {"logGroupName": f"/aws-glue/brew/{group}", "logStreamName": "jr_1"}
        logs.create_log_stream(**place)
        logs.put_log_events(**place, logEvents=[{"timestamp": now, "message": f"{words}\n"}])
    assert call("logs", "transform", "--stack", "brew", "--run", "jr_1") == (
        0,
        "model silver.breweries\nit failed\n",
        "",
    )


@pytest.mark.usefixtures("deployed")
def test_a_job_that_does_not_exist_has_no_logs(call: Call) -> None:
    code, _, err = call("logs", "crawl", "--stack", "brew")
    assert code == 2
    assert "extract, transform, aggregate, maintain" in err


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("command", [("run",), ("status",), ("query", "SELECT 1"), ("verify",)])
def test_without_a_stack_the_next_step_is_said(call: Call, command: tuple[str, ...]) -> None:
    code, _, err = call(*command, "--stack", "brew")
    assert code == 1
    assert "`brewhouse aws deploy` makes it" in err
