"""People are told once of what failed, and once that it is over, whatever woke the notifier and how often."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from brewhouse.aws.functions import clients, notifier
from brewhouse.aws.functions import lease as leases
from brewhouse.aws.functions.job_runs import run_facts
from brewhouse.aws.functions.lake_events import LakeEvents
from brewhouse.aws.functions.lease import LeaseTimeoutError, lease
from brewhouse.aws.monitoring import runtime_checks
from brewhouse.aws.stacks import get_stack
from brewhouse.events.envelope import EventEnvelope
from brewhouse.events.event import EventLog, read_events
from brewhouse.events.event_types import CHECK, JOB, RUN
from brewhouse.events.run_reports import run_reports
from brewhouse.ids import id_at
from brewhouse.lake.lake import Lake


class Story:
    """Runs of a lake, as the jobs tell them, and what arrives at somebody who has subscribed to the alerts."""

    def __init__(self, cloud: Any) -> None:  # noqa: ANN401 - a Cloud
        self.cloud = cloud
        self.lake = Lake.at(f"s3://{cloud.bucket}/lake")
        self.sqs = cloud.client("sqs")
        self.inbox = self.sqs.create_queue(QueueName=f"inbox-{time.time_ns()}")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.inbox, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        policy = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
        document = json.dumps({"Version": "2012-10-17", "Statement": [policy]})
        self.sqs.set_queue_attributes(QueueUrl=self.inbox, Attributes={"Policy": document})
        subscribed = cloud.client("sns").subscribe(
            TopicArn=cloud.alerts, Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True
        )
        self.subscription = subscribed["SubscriptionArn"]

    def run(self, run: str, outcome: str = "SUCCEEDED", message: str = "", *, check: bool = False) -> None:
        """Tell a run whose last job is aggregate."""
        log = EventLog(self.lake, run)
        this = {"jobName": "breweries", "workflow": "breweries"}
        log.write(RUN, {**this, "state": "RUNNING"})
        log.write(JOB, {"jobName": "aggregate", "state": "RUNNING"})
        if check:
            found = {"name": "sums agree", "table": "gold.x", "severity": "error", "found": 2, "example": "a"}
            log.write(CHECK, {"jobName": "aggregate", "checks": [{**found, "passed": False}]})
        log.write(JOB, {"jobName": "aggregate", "state": outcome, "message": message})
        log.write(RUN, {**this, "state": outcome, "message": message, "severity": "ERROR"})

    def look(self) -> list[str]:
        """Wake the notifier; gives the subjects of what arrives."""
        notifier.handler({}, None)
        return [each["Subject"] for each in self.mails()]

    def mails(self) -> list[dict[str, Any]]:
        """Read what arrives."""
        found = self.sqs.receive_message(QueueUrl=self.inbox, MaxNumberOfMessages=10).get("Messages", [])
        for each in found:
            self.sqs.delete_message(QueueUrl=self.inbox, ReceiptHandle=each["ReceiptHandle"])
        return [json.loads(each["Body"]) for each in found]


@pytest.fixture
def story(cloud: Any) -> Iterator[Story]:  # noqa: ANN401 - a Cloud
    made = Story(cloud)
    yield made
    cloud.client("sns").unsubscribe(SubscriptionArn=made.subscription)


def test_a_failure_and_its_retries_are_one_message_and_the_success_another(story: Story) -> None:
    story.run("R1")
    assert story.look() == []
    story.run("R2", "FAILED", "no network")
    assert story.look() == ["Brewhouse: aggregate failed"]
    for run in ("R3", "R4"):
        story.run(run, "FAILED", "no network")
        assert story.look() == []
    assert story.look() == []
    story.run("R5", message="published")
    assert story.look() == ["Brewhouse: the breweries workflow is well again"]
    assert story.look() == []


def test_a_message_says_which_job_when_why_and_where_to_look(story: Story) -> None:
    story.run("R1", "FAILED", "no network\nthe second line")
    notifier.handler({}, None)
    [mail] = story.mails()
    lines = mail["Message"].splitlines()
    assert lines[0].startswith("The job aggregate failed at ")
    assert lines[2:4] == ["no network", "the second line"]
    console = "https://eu-central-1.console.aws.amazon.com"
    assert lines[-2] == f"Run: {console}/gluestudio/home?region=eu-central-1#/editor/job/brew-aggregate/runs"
    assert lines[-1].startswith(
        f"Log: {console}/cloudwatch/home?region=eu-central-1#logsV2:log-groups/log-group/$252Faws"
    )
    assert mail["MessageAttributes"]["kind"]["Value"] == "failed"


def test_failed_checks_are_told_as_such(story: Story) -> None:
    story.run("R1", "FAILED", "ChecksFailed", check=True)
    notifier.handler({}, None)
    [mail] = story.mails()
    assert mail["Subject"] == "Brewhouse: checks of aggregate failed"
    assert "gold.x: sums agree: 2 found, for example a" in mail["Message"]


def test_many_that_are_woken_at_once_tell_it_once(story: Story) -> None:
    story.run("R1", "FAILED", "no network")
    threads = [threading.Thread(target=notifier.handler, args=({}, None)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each["Subject"] for each in story.mails()] == ["Brewhouse: aggregate failed"]


def test_a_job_that_glue_ended_before_it_could_say_so_is_told_too(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = EventLog(story.lake, "R1")
    log.write(RUN, {"jobName": "breweries", "workflow": "breweries", "state": "RUNNING"})
    log.write(JOB, {"jobName": "aggregate", "state": "RUNNING"})
    run = _ended(story, monkeypatch, "FAILED", attempt=1)
    logs = story.cloud.client("logs")
    place = {"logGroupName": "/aws-glue/brew/error", "logStreamName": run["Id"]}
    logs.create_log_stream(**place)
    said = [{"timestamp": int(time.time() * 1000), "message": "java.lang.OutOfMemoryError: Java heap space"}]
    logs.put_log_events(**place, logEvents=said)
    assert story.look() == ["Brewhouse: aggregate failed"]
    assert story.look() == []
    [report] = run_reports(read_events(story.lake))
    assert (report.run, report.state) == ("R1", "FAILED")
    assert report.error.splitlines() == [
        "AWS Glue ended the job aggregate as FAILED: Command failed with exit code 137",
        "java.lang.OutOfMemoryError: Java heap space",
    ]
    story.run("R2")
    assert story.look() == ["Brewhouse: the breweries workflow is well again"]


@pytest.mark.parametrize(("state", "told"), [("TIMEOUT", True), ("ERROR", True), ("STOPPED", False)])
def test_a_job_that_never_began_to_speak_is_told_by_what_glue_says(
    story: Story, monkeypatch: pytest.MonkeyPatch, state: str, told: bool
) -> None:
    run = _ended(story, monkeypatch, state)
    assert story.look() == ["Brewhouse: aggregate failed"] * told
    [report] = run_reports(read_events(story.lake))
    assert (report.run, report.state) == (run["Id"], "STOPPED" if state == "STOPPED" else "FAILED")


def test_what_glue_will_try_again_is_not_told_yet(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    _ended(story, monkeypatch, "FAILED", attempt=0)
    assert story.look() == []
    _ended(story, monkeypatch, "FAILED", attempt=1)
    assert story.look() == ["Brewhouse: aggregate failed"]


def test_a_failure_that_the_job_told_itself_is_told_in_its_words(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    story.run("R1", "FAILED", "no network")
    _ended(story, monkeypatch, "FAILED", attempt=1)
    notifier.handler({}, None)
    [mail] = story.mails()
    assert "no network" in mail["Message"]
    assert "AWS Glue ended" not in mail["Message"]


def _ended(story: Story, monkeypatch: pytest.MonkeyPatch, state: str, attempt: int = 1) -> dict[str, Any]:
    """Have Glue say that a run of aggregate ended badly; in the emulator, whatever runs has succeeded."""
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
    glue = clients.client("glue")
    real = glue.get_job_runs

    def said(**given: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever boto3 takes
        runs = [run] if given["JobName"] == "brew-aggregate" else real(**given)["JobRuns"]
        return {"JobRuns": runs}

    monkeypatch.setattr(glue, "get_job_runs", said)
    del story
    return run


def test_a_success_is_measured_in_hours(story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    notifier.handler({}, None)
    assert json.loads(capsys.readouterr().out) == {"what": "no success yet"}
    story.run("R1")
    notifier.handler({}, None)
    line = json.loads(capsys.readouterr().out)
    assert 0 <= line["HoursSinceSuccess"] < 1
    assert line["Stack"] == "brew"
    [metrics] = line["_aws"]["CloudWatchMetrics"]
    alarm = story.cloud.client("cloudwatch").describe_alarms(AlarmNames=["brew-no-success"])["MetricAlarms"][0]
    assert (alarm["Namespace"], alarm["MetricName"]) == (metrics["Namespace"], metrics["Metrics"][0]["Name"])
    assert alarm["Dimensions"] == [{"Name": metrics["Dimensions"][0][0], "Value": line["Stack"]}]
    assert alarm["TreatMissingData"] == "breaching"


def test_the_deployed_function_tells_under_its_role(story: Story) -> None:
    story.run("R1", "FAILED", "no network")
    done = story.cloud.client("lambda").invoke(FunctionName="brew-notifier", Payload=b"{}")
    answer = json.loads(done["Payload"].read())
    assert answer == {"sent": ["Brewhouse: aggregate failed"]}
    assert [each["Subject"] for each in story.mails()] == answer["sent"]


@pytest.mark.parametrize(
    ("run", "cost"),
    [
        ({"ExecutionTime": 10, "MaxCapacity": 2.0}, 2 * 60 / 3600 * 0.44),
        ({"ExecutionTime": 3600, "MaxCapacity": 2.0}, 0.88),
        ({"ExecutionTime": 3600, "MaxCapacity": 2.0, "DPUSeconds": 3600.0}, 0.44),
        ({}, 0.0),
    ],
)
def test_a_job_is_billed_for_a_minute_at_the_least(run: dict[str, Any], cost: float) -> None:
    assert run_facts(run)["costUsd"] == pytest.approx(cost, abs=1e-6)


def test_a_lease_is_one_s_until_it_ends_or_expires(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    monkeypatch.setattr(leases, "_PAUSE_S", 0.01)
    s3 = cloud.client("s3")

    def take(ttl_s: float = 60) -> Any:  # noqa: ANN401 - a context manager
        return lease(s3, cloud.bucket, "lake/alerts.lock", ttl_s, timeout_s=0)

    with take(), pytest.raises(LeaseTimeoutError), take():
        pass
    with take(), take(ttl_s=-1):  # the first one has died
        pass
    with take():
        pass


def test_a_lease_outlasts_the_function_that_holds_it(cloud: Any) -> None:  # noqa: ANN401 - a Cloud
    found = cloud.client("lambda").get_function_configuration(FunctionName="brew-notifier")
    assert found["Timeout"] < notifier._LEASE_S


def test_verify_sees_what_has_arrived_and_what_was_refused(cloud: Any) -> None:  # noqa: ANN401 - a Cloud
    stack = get_stack(cloud.account, "brew")

    def seen() -> dict[str, bool | None]:
        return {check.name: check.passed for check in runtime_checks(cloud.account, stack)}

    assert seen()["events of Glue arrive in the lake"] is None
    assert seen()["brew-dead-letters is empty"] is True
    now = datetime.now(UTC)
    event = EventEnvelope(id=id_at(now, b""), detail_type=JOB, time=now.isoformat(), detail={}, source="aws.glue")
    LakeEvents(cloud.client("s3"), cloud.bucket).put(event)
    cloud.client("sqs").send_message(QueueUrl=cloud.dead_letters, MessageBody="no event")
    cloud.client("cloudwatch").set_alarm_state(AlarmName="brew-dead-letters", StateValue="ALARM", StateReason="tried")
    assert seen()["events of Glue arrive in the lake"] is True
    assert seen()["brew-dead-letters is empty"] is False
    assert seen()["alarm brew-dead-letters does not fire"] is False


def test_an_archive_is_read_in_order_and_each_event_once(cloud: Any) -> None:  # noqa: ANN401 - a Cloud
    lake = Lake.at(f"s3://{cloud.bucket}/lake")
    log = EventLog(lake, "R1")
    made = [log.write(JOB, {"jobName": f"j{n}"}) for n in range(5)]
    s3 = cloud.client("s3")
    day = f"lake/events/date={made[0].time[:10]}"
    lines = b"\n".join(
        s3.get_object(Bucket=cloud.bucket, Key=f"{day}/{made[n].id}.json")["Body"].read() for n in (0, 3)
    )
    s3.put_object(Bucket=cloud.bucket, Key=f"{day}/events.abc.json", Body=lines + b"\n{no event\n[1]\n")
    archive = LakeEvents(s3, cloud.bucket)
    since = datetime.fromisoformat(made[0].time).date()
    assert [event.id for event in archive.read(since)] == [event.id for event in made]
    assert archive.read(since + timedelta(days=1)) == []
