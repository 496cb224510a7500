"""Queues, alarms, subscribers and archived events of a deployed stack are reported."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.aws.cloud import STACK

from brewhouse.aws.functions.lake_events import LakeEvents
from brewhouse.aws.monitoring import alarms, monitoring_checks, queue_depths, runtime_checks, subscribers
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import Stack, get_stack
from brewhouse.events.envelope import JOB, Event
from brewhouse.ids import id_at

DEAD_LETTERS = f"{STACK}-dead-letters"


@pytest.fixture
def stack(deployed: Account) -> Stack:
    return get_stack(deployed, STACK)


def put_event(account: Account, stack: Stack, age: timedelta, source: str) -> None:
    moment = datetime.now(UTC) - age
    event = Event(id=id_at(moment, source.encode()), detail_type=JOB, time=moment.isoformat(), detail={}, source=source)
    LakeEvents(account.client("s3"), stack.parameters["BucketName"]).put(event)


def runtime(account: Account, stack: Stack) -> dict[str, tuple[bool | None, str]]:
    return {check.name: (check.passed, check.detail) for check in runtime_checks(account, stack)}


def test_recent_events_of_glue_are_counted(deployed: Account, stack: Stack) -> None:
    for days, source, count in ((3, "aws.glue", 0), (0, "brewhouse", 0), (0, "aws.glue", 1), (1, "aws.glue", 2)):
        put_event(deployed, stack, timedelta(days=days), source)
        expected = (True if count else None, f"{count} in the last two days")
        assert runtime(deployed, stack)["events of Glue arrive in the lake"] == expected


def test_dead_letters_and_firing_alarms_fail(deployed: Account, stack: Stack) -> None:
    assert runtime(deployed, stack)[f"{DEAD_LETTERS} is empty"] == (True, "0 messages")
    deployed.client("sqs").send_message(QueueUrl=stack.outputs["DeadLetterQueue"], MessageBody="no event")
    cloudwatch = deployed.client("cloudwatch")
    for name, state in (("dead-letters", "ALARM"), ("no-success", "OK"), ("archiver-errors", "INSUFFICIENT_DATA")):
        cloudwatch.set_alarm_state(AlarmName=f"{STACK}-{name}", StateValue=state, StateReason=f"because of {name}")
    found = runtime(deployed, stack)
    assert found[f"{DEAD_LETTERS} is empty"] == (False, "1 messages; a message without an error code")
    assert found[f"alarm {STACK}-dead-letters does not fire"] == (False, "because of dead-letters")
    assert found[f"alarm {STACK}-no-success does not fire"] == (True, "because of no-success")
    assert found[f"alarm {STACK}-archiver-errors does not fire"][0] is None
    assert [row["state"] for row in alarms(deployed, stack) if row["alarm"] == f"{STACK}-dead-letters"] == ["alarm"]


def test_messages_in_flight_are_counted(deployed: Account, stack: Stack) -> None:
    sqs, url = deployed.client("sqs"), stack.outputs["DeadLetterQueue"]
    sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": str(n), "MessageBody": "x"} for n in range(3)])
    sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1)
    assert queue_depths(deployed, stack) == [
        {"queue": f"{STACK}-events", "messages": 0},
        {"queue": DEAD_LETTERS, "messages": 3},
    ]


def test_subscribers_are_checked_for_confirmation(deployed: Account, stack: Stack) -> None:
    def receivers() -> dict[str, bool | None]:
        return {check.name: check.passed for check in monitoring_checks(deployed, stack) if "alerts" in check.name}

    assert receivers() == {"alerts have a subscriber": None}
    sqs = deployed.client("sqs")
    queue = sqs.create_queue(QueueName="inbox")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    deployed.client("sns").subscribe(TopicArn=stack.outputs["AlertTopic"], Protocol="sqs", Endpoint=arn)
    assert receivers() == {f"{arn} receives alerts": True}
    assert [(each["protocol"], each["confirmed"]) for each in subscribers(deployed, stack)] == [("sqs", True)]


def test_a_disabled_mapping_fails(deployed: Account, stack: Stack) -> None:
    functions = deployed.client("lambda")
    [mapping] = functions.list_event_source_mappings(FunctionName=f"{STACK}-archiver")["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    failed = [check.name for check in monitoring_checks(deployed, stack) if check.passed is False]
    assert failed == ["the archiver reads the event queue"]


def test_no_event_of_glue_after_a_run_is_a_failure(
    deployed: Account, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed.client("glue").start_job_run(JobName=f"{STACK}-extract")
    name = "events of Glue arrive in the lake"
    assert runtime(deployed, stack)[name][0] is None, "it may still arrive"
    monkeypatch.setattr("brewhouse.aws.monitoring._EVENT_DELAY", timedelta(minutes=-1))
    assert runtime(deployed, stack)[name] == (False, "0 in the last two days")
    put_event(deployed, stack, timedelta(0), "aws.glue")
    assert runtime(deployed, stack)[name] == (True, "1 in the last two days")


def test_the_last_run_of_each_job_has_a_stream_in_both_log_groups(deployed: Account, stack: Stack) -> None:
    groups = {name: f"log group /aws-glue/{STACK}/{name} has the last runs" for name in ("output", "error")}
    run = deployed.client("glue").start_job_run(JobName=f"{STACK}-extract")["JobRunId"]
    deployed.client("logs").create_log_stream(logGroupName=f"/aws-glue/{STACK}/output", logStreamName=run)
    found = runtime(deployed, stack)
    assert found[groups["output"]] == (True, "of 1 jobs")
    assert found[groups["error"]] == (False, f"missing: {run}")


def test_failed_invocations_and_dead_letters_are_reported_for_their_rule(deployed: Account, stack: Stack) -> None:
    rules = deployed.client("events").list_rules()["Rules"]
    job, crawler = (
        next(each for each in rules if each["Name"].startswith(f"{STACK}-{n}")) for n in ("JobRule", "Craw")
    )
    deployed.client("cloudwatch").put_metric_data(
        Namespace="AWS/Events",
        MetricData=[
            {"MetricName": name, "Value": value, "Dimensions": [{"Name": "RuleName", "Value": job["Name"]}]}
            for name, value in (("FailedInvocations", 3), ("InvocationsSentToDlq", 2))
        ],
    )
    facts = {"RULE_ARN": crawler["Arn"], "ERROR_CODE": "NO_PERMISSIONS", "ERROR_MESSAGE": "not allowed"}
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in facts.items()}
    sqs, url = deployed.client("sqs"), stack.outputs["DeadLetterQueue"]
    sqs.send_message(QueueUrl=url, MessageBody="an event", MessageAttributes=attributes)
    sqs.send_message(
        QueueUrl=url,
        MessageBody="no event",
        MessageAttributes={"reason": {"DataType": "String", "StringValue": "not valid JSON"}},
    )
    found = runtime(deployed, stack)
    assert found[f"rule {job['Name']} reaches its targets"] == (False, "3 FailedInvocations; 2 InvocationsSentToDlq")
    assert found[f"rule {crawler['Name']} reaches its targets"] == (False, "NO_PERMISSIONS: not allowed")
    others = [passed for name, (passed, _) in found.items() if name.startswith("rule ")]
    assert others.count(True) == len(others) - 2 == 4
    letters = (False, "2 messages; NO_PERMISSIONS: not allowed; not valid JSON")
    assert found[f"{DEAD_LETTERS} is empty"] == letters
    assert runtime(deployed, stack)[f"{DEAD_LETTERS} is empty"] == letters, "the messages stay"
