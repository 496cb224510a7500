"""The parts of the stack that watch: its functions, queues and alarms, and who is told by them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from brewhouse.aws.deploy import Check, resources
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import Stack

_NEWEST = timedelta(days=2)


def alarms(account: Account, stack: Stack) -> list[dict[str, str]]:
    """Read the state of each alarm of a stack, by name."""
    names = sorted(resources(account, stack.name, "AWS::CloudWatch::Alarm"))
    found = account.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"] if names else []
    return [
        {"alarm": each["AlarmName"], "state": each["StateValue"].lower(), "why": each.get("StateReason", "")}
        for each in found
    ]


def waiting(account: Account, stack: Stack) -> list[dict[str, str | int]]:
    """Count the messages in the stack's queues."""
    sqs = account.client("sqs")
    rows: list[dict[str, str | int]] = []
    for output in ("EventQueue", "DeadLetterQueue"):
        url = stack.outputs[output]
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        rows.append({"queue": url.rsplit("/", 1)[-1], "messages": sum(int(counts[name]) for name in names)})
    return rows


def subscribers(account: Account, stack: Stack) -> list[dict[str, Any]]:
    """Read who subscribed to the alerts."""
    pages = account.client("sns").get_paginator("list_subscriptions_by_topic")
    return [
        {
            "protocol": each["Protocol"],
            "to": each["Endpoint"],
            "confirmed": each["SubscriptionArn"].startswith("arn:"),
        }
        for page in pages.paginate(TopicArn=stack.outputs["AlertTopic"])
        for each in page["Subscriptions"]
    ]


def deployed_checks(account: Account, stack: Stack) -> Iterator[Check]:
    """Look whether events will be archived and people told: functions, the queue's mapping, rules, subscribers."""
    functions = account.client("lambda")
    for name in sorted(resources(account, stack.name, "AWS::Lambda::Function")):
        state = functions.get_function_configuration(FunctionName=name).get("State", "Active")
        yield Check(f"function {name} can be called", state == "Active", state.lower())
    for mapping in resources(account, stack.name, "AWS::Lambda::EventSourceMapping"):
        state = functions.get_event_source_mapping(UUID=mapping)["State"]
        yield Check("the archiver takes events from the queue", state in {"Enabled", "Enabling"}, state.lower())
    told = subscribers(account, stack)
    for each in told:
        said = "confirmed" if each["confirmed"] else "the mail that asks for consent is not answered"
        yield Check(f"{each['to']} is told of alerts", True if each["confirmed"] else None, said)
    if not told:
        yield Check(
            "somebody is told of alerts", passed=None, detail="nobody; set --parameter AlertEmail=you@example.org"
        )


def proven_checks(account: Account, stack: Stack) -> Iterator[Check]:
    """Look at what only a real account can prove: Glue's events arrive, none is refused, alarms know their metrics."""
    day = datetime.now(UTC) - _NEWEST
    found = 0
    s3 = account.client("s3").get_paginator("list_objects_v2")
    for page in s3.paginate(
        Bucket=stack.parameters["BucketName"], Prefix="lake/events/", StartAfter=f"lake/events/date={day.date()}"
    ):
        for each in page.get("Contents", []):
            found += _is_of_glue(account, stack.parameters["BucketName"], each["Key"])
    yield Check("events of Glue arrive in the lake", True if found else None, f"{found} in the last two days")
    for queue in waiting(account, stack):
        if str(queue["queue"]).endswith("-dead-letters"):
            yield Check(f"nothing is in {queue['queue']}", queue["messages"] == 0, f"{queue['messages']} messages")
    for alarm in alarms(account, stack):
        passed = {"ok": True, "alarm": False}.get(alarm["state"])
        yield Check(f"alarm {alarm['alarm']} is quiet", passed, alarm["why"])


def _is_of_glue(account: Account, bucket: str, key: str) -> bool:
    content = account.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return b'"source":"aws.glue"' in content
