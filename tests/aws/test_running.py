"""What a workflow run's graph says, and what it means."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from brewhouse.aws.running import Step, judge, steps_of
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
        Step("b-raw", "RUNNING"),
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


def test_a_job_that_was_never_started_is_no_success() -> None:
    with pytest.raises(BrewhouseError, match="never started: b-transform"):
        judge([Step("b-extract", "SUCCEEDED"), Step("b-transform", "WAITING")], "COMPLETED")


def test_run_starts_the_workflow(deployed: Account, call: Call) -> None:
    code, out, err = call("run", "--stack", "brew")
    assert (code, err) == (0, "")
    last = deployed.client("glue").get_workflow(Name="brew")["Workflow"]["LastRun"]
    assert last["WorkflowRunId"] == out.split()[2]


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
@pytest.mark.parametrize("command", [("status",), ("query", "SELECT 1"), ("verify",)])
def test_without_a_stack_the_next_step_is_said(call: Call, command: tuple[str, ...]) -> None:
    code, _, err = call(*command, "--stack", "brew")
    assert code == 1
    assert "`brewhouse aws deploy` makes it" in err
