"""The notifier publishes one alert per incident and one per recovery, however often it runs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.aws.cloud import Cloud
from tests.events.any_events import AnyEventLog

from brewhouse.aws.functions import clients, notifier
from brewhouse.events.alerts import Message
from brewhouse.events.envelope import ALERT_SENT, CHECK, CRAWL, JOB, RUN
from brewhouse.events.event import read_events
from brewhouse.events.messages import subject
from brewhouse.events.run_reports import run_reports
from brewhouse.lake.lake import Lake

RECOVERED = subject(Message(kind="recovered", incidents=()))


class AlertInbox:
    """A subscriber of the alerts of a stack, and a lake whose runs are written as events."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.lake = Lake.at(f"s3://{cloud.bucket}/lake")
        self.sqs = cloud.client("sqs")
        self.queue = self.sqs.create_queue(QueueName=f"inbox-{time.time_ns()}")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        policy = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
        document = json.dumps({"Version": "2012-10-17", "Statement": [policy]})
        self.sqs.set_queue_attributes(QueueUrl=self.queue, Attributes={"Policy": document})
        subscribed = cloud.client("sns").subscribe(
            TopicArn=cloud.alerts, Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True
        )
        self.subscription = subscribed["SubscriptionArn"]

    def run(self, run: str, outcome: str = "SUCCEEDED", message: str = "", *, check: bool = False) -> None:
        """Write the events of a run whose last job is aggregate."""
        log = AnyEventLog(self.lake, run)
        this = {"jobName": "breweries", "workflow": "breweries"}
        log.write(RUN, {**this, "state": "RUNNING"})
        log.write(JOB, {"jobName": "aggregate", "state": "RUNNING"})
        if check:
            found = {"name": "sums agree", "table": "gold.x", "severity": "error", "found": 2, "example": "a"}
            log.write(CHECK, {"jobName": "aggregate", "checks": [{**found, "passed": False}]})
        log.write(JOB, {"jobName": "aggregate", "state": outcome, "message": message})
        log.write(RUN, {**this, "state": outcome, "message": message, "severity": "ERROR"})

    def notify(self) -> list[str]:
        """Run the notifier; return the subjects of the alerts received."""
        notifier.handler({}, None)
        return [each["Subject"] for each in self.mails()]

    def mails(self) -> list[dict[str, Any]]:
        """Receive the alerts."""
        found = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages", [])
        for each in found:
            self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=each["ReceiptHandle"])
        return [json.loads(each["Body"]) for each in found]


@pytest.fixture
def inbox(cloud: Cloud) -> Iterator[AlertInbox]:
    made = AlertInbox(cloud)
    yield made
    cloud.client("sns").unsubscribe(SubscriptionArn=made.subscription)


def test_a_failure_with_its_retries_is_one_alert_and_the_recovery_another(inbox: AlertInbox) -> None:
    inbox.run("R1")
    assert inbox.notify() == []
    inbox.run("R2", "FAILED", "no network")
    assert inbox.notify() == ["Brewhouse: aggregate failed"]
    for run in ("R3", "R4"):
        inbox.run(run, "FAILED", "no network")
        assert inbox.notify() == []
    assert inbox.notify() == []
    inbox.run("R5", message="published")
    assert inbox.notify() == [RECOVERED]
    assert inbox.notify() == []


def test_an_alert_names_job_time_and_cause_and_links_to_run_and_log(inbox: AlertInbox) -> None:
    inbox.run("R1", "FAILED", "no network\nthe second line")
    notifier.handler({}, None)
    [mail] = inbox.mails()
    lines = mail["Message"].splitlines()
    assert lines[0].startswith("The job aggregate failed at ")
    assert lines[2:4] == ["no network", "the second line"]
    console = "https://eu-central-1.console.aws.amazon.com"
    assert lines[-2] == f"Run: {console}/gluestudio/home?region=eu-central-1#/editor/job/brew-aggregate/runs"
    assert lines[-1].startswith(
        f"Log: {console}/cloudwatch/home?region=eu-central-1#logsV2:log-groups/log-group/$252Faws"
    )
    assert mail["MessageAttributes"]["kind"]["Value"] == "failed"


def test_an_alert_links_to_the_job_run_of_glue(inbox: AlertInbox) -> None:
    log = AnyEventLog(inbox.lake, "R1")
    this = {"jobName": "breweries", "workflow": "breweries"}
    log.write(RUN, {**this, "state": "RUNNING"})
    for job, state in (("extract", "SUCCEEDED"), ("transform", "FAILED")):
        log.write(JOB, {"jobName": job, "jobRunId": f"jr_{job}", "state": "RUNNING"})
        log.write(JOB, {"jobName": job, "jobRunId": f"jr_{job}", "state": state, "message": "no network"})
    log.write(RUN, {**this, "state": "FAILED", "message": "no network"})
    notifier.handler({}, None)
    [mail] = inbox.mails()
    run_link, log_link = mail["Message"].splitlines()[-2:]
    assert run_link.endswith("#/job/brew-transform/run/jr_transform")
    assert log_link.endswith("log-group/$252Faws-glue$252Fbrew$252Foutput/log-events/jr_transform")


def test_a_subject_is_plain_ascii_of_the_length_that_sns_allows(inbox: AlertInbox) -> None:
    log = AnyEventLog(inbox.lake, "R1")
    log.write(RUN, {"jobName": "café", "workflow": "café " * 40, "state": "FAILED", "message": "no network"})
    [subject_line] = inbox.notify()
    assert subject_line.isascii()
    assert len(subject_line) < 100
    assert subject_line.startswith("Brewhouse: the caf? caf?")


def test_a_deleted_job_does_not_stop_the_alerts(inbox: AlertInbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACK", "absent")
    inbox.run("R1", "FAILED", "no network")
    assert inbox.notify() == ["Brewhouse: aggregate failed"]


def test_a_published_alert_is_an_event_of_its_run(inbox: AlertInbox) -> None:
    inbox.run("R1", "FAILED", "no network")
    notifier.handler({}, None)
    [sent] = [event for event in read_events(inbox.lake) if event.detail_type == ALERT_SENT]
    detail = {name: sent.detail[name] for name in ("kind", "receiver", "incidents", "workflow", "jobName")}
    assert sent.run == "R1"
    assert detail == {
        "kind": "failed",
        "receiver": "sns",
        "incidents": ["breweries:R1"],
        "workflow": "breweries",
        "jobName": "aggregate",
    }


def test_an_old_failure_of_glue_is_not_an_alert(inbox: AlertInbox, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _ended(inbox, monkeypatch, "FAILED")
    run |= {"StartedOn": run["StartedOn"] - timedelta(days=3), "CompletedOn": run["CompletedOn"] - timedelta(days=3)}
    assert inbox.notify() == []


def test_failed_checks_have_an_alert_of_their_own(inbox: AlertInbox) -> None:
    inbox.run("R1", "FAILED", "ChecksFailed", check=True)
    notifier.handler({}, None)
    [mail] = inbox.mails()
    assert mail["Subject"] == "Brewhouse: checks of aggregate failed"
    assert "gold.x: sums agree: 2 violations, such as a" in mail["Message"]


def test_concurrent_notifiers_publish_an_alert_once(inbox: AlertInbox) -> None:
    inbox.run("R1", "FAILED", "no network")
    threads = [threading.Thread(target=notifier.handler, args=({}, None)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each["Subject"] for each in inbox.mails()] == ["Brewhouse: aggregate failed"]


def test_a_job_killed_by_glue_is_an_alert_with_the_last_lines_of_its_log(
    inbox: AlertInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = AnyEventLog(inbox.lake, "R1")
    log.write(RUN, {"jobName": "breweries", "workflow": "breweries", "state": "RUNNING"})
    log.write(JOB, {"jobName": "aggregate", "state": "RUNNING"})
    run = _ended(inbox, monkeypatch, "FAILED", attempt=1)
    logs = inbox.cloud.client("logs")
    now = int(time.time() * 1000)
    for group, line in (("output", "java.lang.OutOfMemoryError: Java heap space"), ("error", "MemoryStore cleared")):
        place = {"logGroupName": f"/aws-glue/brew/{group}", "logStreamName": run["Id"]}
        logs.create_log_stream(**place)
        logs.put_log_events(**place, logEvents=[{"timestamp": now, "message": line}])
    assert inbox.notify() == ["Brewhouse: aggregate failed"]
    assert inbox.notify() == []
    [report] = run_reports(read_events(inbox.lake))
    assert (report.run, report.state) == ("R1", "FAILED")
    assert report.error.splitlines() == [
        "AWS Glue ended the job aggregate as FAILED: Command failed with exit code 137",
        "java.lang.OutOfMemoryError: Java heap space",
    ]
    inbox.run("R2")
    assert inbox.notify() == [RECOVERED]


@pytest.mark.parametrize("state", ["TIMEOUT", "ERROR", "EXPIRED", "STOPPED"])
def test_a_job_without_events_is_an_alert(inbox: AlertInbox, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    run = _ended(inbox, monkeypatch, state)
    assert inbox.notify() == ["Brewhouse: aggregate failed"]
    assert inbox.notify() == []
    [report] = run_reports(read_events(inbox.lake))
    assert (report.run, report.state) == (run["Id"], "FAILED")
    assert report.error.startswith(f"AWS Glue ended the job aggregate as {state}: ")


def test_a_job_that_reports_its_stop_is_an_alert(inbox: AlertInbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Glue ends a job with SIGTERM, whether someone stopped it or its time was up."""
    inbox.run("R1", "STOPPED", "Stopped by Ctrl-C or SIGTERM.")
    _ended(inbox, monkeypatch, "STOPPED")
    assert inbox.notify() == ["Brewhouse: aggregate failed"]
    assert inbox.notify() == []
    [report] = run_reports(read_events(inbox.lake))
    assert (report.run, report.state) == ("R1", "FAILED")


def test_an_attempt_that_glue_retries_is_not_an_alert(inbox: AlertInbox, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _ended(inbox, monkeypatch, "FAILED", attempt=0)
    assert inbox.notify() == [], "the retry may start soon"
    hour = timedelta(hours=1)
    first |= {"StartedOn": first["StartedOn"] - hour, "CompletedOn": first["CompletedOn"] - hour}
    retry = {**first, "Id": f"{first['Id']}_attempt_1", "Attempt": 1, "PreviousRunId": first["Id"]}
    _answer(monkeypatch, {**retry, "JobRunState": "RUNNING"}, first)
    assert inbox.notify() == []
    _answer(monkeypatch, retry, first)
    assert inbox.notify() == ["Brewhouse: aggregate failed"]


def test_an_attempt_whose_retry_never_starts_is_an_alert(inbox: AlertInbox, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _ended(inbox, monkeypatch, "FAILED", attempt=0)
    first["ErrorMessage"] = "Concurrent runs exceeded for job brew-aggregate."
    first["CompletedOn"] -= timedelta(minutes=6)
    another = {**first, "Id": "jr_other", "JobRunState": "RUNNING", "PreviousRunId": "jr_another"}
    _answer(monkeypatch, another, first)
    notifier.handler({}, None)
    [mail] = inbox.mails()
    assert mail["Subject"] == "Brewhouse: aggregate failed"
    assert "Concurrent runs exceeded for job brew-aggregate." in mail["Message"]
    assert inbox.notify() == []


@pytest.mark.parametrize(
    ("state", "shown"), [("DEACTIVATED", "deactivated"), ("CREATED", "created"), (None, "deleted")]
)
def test_a_chain_that_an_inactive_trigger_breaks_is_an_alert(
    inbox: AlertInbox, monkeypatch: pytest.MonkeyPatch, state: str | None, shown: str
) -> None:
    glue, now = clients.client("glue"), datetime.now(UTC)

    def trigger(Name: str) -> dict[str, Any]:  # noqa: N803 - boto3's
        if state is None:
            raise glue.exceptions.EntityNotFoundException({}, "GetTrigger")
        return {"Trigger": {"Name": Name, "State": state}}

    monkeypatch.setattr(glue, "get_trigger", trigger)
    log = AnyEventLog(inbox.lake, "R1")
    log.write(RUN, {"jobName": "breweries", "workflow": "breweries", "state": "RUNNING"})
    log.write(JOB, {"jobName": "extract", "jobRunId": "jr_1", "state": "SUCCEEDED"})
    ended = now + timedelta(seconds=1)
    extract: dict[str, Any] = {"Id": "jr_1", "JobRunState": "SUCCEEDED", "TriggerName": "brew-start"}
    extract |= {"StartedOn": ended - timedelta(minutes=1), "CompletedOn": ended}
    before: dict[str, Any] = {"Id": "jr_0", "JobRunState": "SUCCEEDED"}
    before |= {"StartedOn": ended - timedelta(days=1), "CompletedOn": ended - timedelta(days=1)}
    started = {"Id": "jr_2", "JobRunState": "RUNNING", "TriggerName": "x", "StartedOn": ended + timedelta(seconds=1)}
    _answer(monkeypatch, extract=[extract], transform=[before])
    assert inbox.notify() == [], "the next job may start soon"
    monkeypatch.setattr(notifier, "_START_WAIT", timedelta(minutes=-1))
    _answer(monkeypatch, extract=[extract], transform=[started, before])
    assert inbox.notify() == [], "the next job has started"
    _answer(monkeypatch, extract=[{**extract, "TriggerName": ""}], transform=[before])
    assert inbox.notify() == [], "someone started the job without its workflow"
    _answer(monkeypatch, extract=[extract], transform=[before])
    notifier.handler({}, None)
    [mail] = inbox.mails()
    assert mail["Subject"] == "Brewhouse: the breweries workflow failed"
    assert f"no job after extract: the trigger brew-after-extract is {shown}." in mail["Message"]
    assert inbox.notify() == []
    [report] = run_reports(read_events(inbox.lake))
    assert (report.run, report.state) == ("R1", "FAILED")
    inbox.run("R2")
    assert inbox.notify() == [RECOVERED]


@pytest.mark.parametrize(
    ("status", "message"), [("ERROR", "Concurrent runs exceeded for workflow: brew."), ("STOPPED", "")]
)
@pytest.mark.parametrize("has_begun", [False, True])
def test_a_workflow_run_that_glue_rejects_or_stops_is_an_alert(
    inbox: AlertInbox, monkeypatch: pytest.MonkeyPatch, status: str, message: str, has_begun: bool
) -> None:
    if has_begun:
        log = AnyEventLog(inbox.lake, "R1")
        this = {"jobName": "breweries", "workflow": "breweries", "workflowRunId": "wr_1"}
        log.write(RUN, {**this, "state": "RUNNING"})
    now = datetime.now(UTC)
    last = {"WorkflowRunId": "wr_1", "Status": status, "StartedOn": now - timedelta(seconds=2), "CompletedOn": now}
    last |= {"ErrorMessage": message} if message else {}
    monkeypatch.setattr(clients.client("glue"), "get_workflow", lambda **_: {"Workflow": {"LastRun": last}})
    notifier.handler({}, None)
    [mail] = inbox.mails()
    assert mail["Subject"] == "Brewhouse: the breweries workflow failed"
    assert f"AWS Glue ended the workflow as {status}: {message or 'no message'}" in mail["Message"]
    assert inbox.notify() == []
    [report] = run_reports(read_events(inbox.lake))
    assert (report.run, report.state) == ("R1" if has_begun else "wr_1", "FAILED")
    inbox.run("R2")
    assert inbox.notify() == [RECOVERED]


def test_a_failed_crawl_is_a_warning_until_a_crawl_succeeds(inbox: AlertInbox) -> None:
    def crawled(state: str) -> list[str]:
        AnyEventLog(inbox.lake, "").write(
            CRAWL, {"jobName": "raw", "state": state, "message": "Internal Service Exception"}
        )
        return inbox.notify()

    warning = "Brewhouse: warning: the crawler failed"
    notifier.handler({}, None)
    assert [
        crawled(state) for state in ("SUCCEEDED", "RUNNING", "FAILED", "RUNNING", "FAILED", "SUCCEEDED", "FAILED")
    ] == [[], [], [warning], [], [], [], [warning]]


def test_a_failure_that_the_job_reported_itself_keeps_its_message(
    inbox: AlertInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox.run("R1", "FAILED", "no network")
    _ended(inbox, monkeypatch, "FAILED", attempt=1)
    notifier.handler({}, None)
    [mail] = inbox.mails()
    assert "no network" in mail["Message"]
    assert "AWS Glue ended" not in mail["Message"]


def _ended(inbox: AlertInbox, monkeypatch: pytest.MonkeyPatch, state: str, attempt: int = 1) -> dict[str, Any]:
    """Replace Glue's answer with a failed run of aggregate, since runs of the emulator always succeed."""
    now = datetime.now(UTC)
    run = {
        "Id": f"jr_{time.time_ns()}",
        "JobRunState": state,
        "Attempt": attempt,
        "StartedOn": now - timedelta(seconds=90),
        "CompletedOn": now + timedelta(seconds=1),
        "ErrorMessage": "Command failed with exit code 137",
        "ExecutionTime": 90,
        "MaxCapacity": 2.0,
    }
    _answer(monkeypatch, run)
    del inbox
    return run


def _answer(monkeypatch: pytest.MonkeyPatch, *runs: dict[str, Any], **others: list[dict[str, Any]]) -> None:
    """Let Glue answer with these runs of aggregate, and of other jobs by name, newest first."""

    def answer(**given: Any) -> dict[str, Any]:  # noqa: ANN401 - arguments of boto3
        return {"JobRuns": {"aggregate": [*runs], **others}.get(given["JobName"].removeprefix("brew-"), [])}

    monkeypatch.setattr(clients.client("glue"), "get_job_runs", answer)


def test_the_hours_since_the_last_success_are_a_metric_of_the_alarm(
    inbox: AlertInbox, capsys: pytest.CaptureFixture[str]
) -> None:
    notifier.handler({}, None)
    assert json.loads(capsys.readouterr().out) == {"what": "no success yet"}
    inbox.run("R1")
    notifier.handler({}, None)
    line = json.loads(capsys.readouterr().out)
    assert 0 <= line["HoursSinceSuccess"] < 1
    assert line["Stack"] == "brew"
    [metrics] = line["_aws"]["CloudWatchMetrics"]
    alarm = inbox.cloud.client("cloudwatch").describe_alarms(AlarmNames=["brew-no-success"])["MetricAlarms"][0]
    assert (alarm["Namespace"], alarm["MetricName"]) == (metrics["Namespace"], metrics["Metrics"][0]["Name"])
    assert alarm["Dimensions"] == [{"Name": metrics["Dimensions"][0][0], "Value": line["Stack"]}]
    assert alarm["TreatMissingData"] == "breaching"


def test_the_deployed_function_publishes_under_its_role(inbox: AlertInbox) -> None:
    inbox.run("R1", "FAILED", "no network")
    done = inbox.cloud.client("lambda").invoke(FunctionName="brew-notifier", Payload=b"{}")
    answer = json.loads(done["Payload"].read())
    assert answer == {"sent": ["Brewhouse: aggregate failed"]}
    assert [each["Subject"] for each in inbox.mails()] == answer["sent"]


def test_a_lease_lasts_longer_than_the_timeout_of_the_function(cloud: Cloud) -> None:
    found = cloud.client("lambda").get_function_configuration(FunctionName="brew-notifier")
    assert found["Timeout"] < notifier._LEASE_S
