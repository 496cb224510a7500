"""The monitoring part of the stack: functions, queues, alarms, and the subscribers of its alerts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from brewhouse.aws.deploy import DeploymentCheck, resources
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import Stack

_RECENT = timedelta(days=2)


def alarms(account: Account, stack: Stack) -> list[dict[str, str]]:
    """Return the state of each alarm of a stack, sorted by name."""
    names = sorted(resources(account, stack.name, "AWS::CloudWatch::Alarm"))
    found = account.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"] if names else []
    return [
        {"alarm": each["AlarmName"], "state": each["StateValue"].lower(), "why": each.get("StateReason", "")}
        for each in found
    ]


def queue_depths(account: Account, stack: Stack) -> list[dict[str, str | int]]:
    """Count the messages in each queue of a stack."""
    sqs = account.client("sqs")
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    rows: list[dict[str, str | int]] = []
    for url in (stack.outputs["EventQueue"], stack.outputs["DeadLetterQueue"]):
        counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        rows.append({"queue": url.rsplit("/", 1)[-1], "messages": sum(int(counts[name]) for name in names)})
    return rows


def subscribers(account: Account, stack: Stack) -> list[dict[str, Any]]:
    """Return the subscribers of a stack's alerts."""
    pages = account.client("sns").get_paginator("list_subscriptions_by_topic")
    return [
        {"protocol": each["Protocol"], "to": each["Endpoint"], "confirmed": each["SubscriptionArn"].startswith("arn:")}
        for page in pages.paginate(TopicArn=stack.outputs["AlertTopic"])
        for each in page["Subscriptions"]
    ]


def monitoring_checks(account: Account, stack: Stack) -> Iterator[DeploymentCheck]:
    """Check that events will be archived and alerts delivered: functions, event source mapping, subscribers."""
    functions = account.client("lambda")
    for name in sorted(resources(account, stack.name, "AWS::Lambda::Function")):
        state = functions.get_function_configuration(FunctionName=name).get("State", "Active")
        yield DeploymentCheck(f"function {name} is active", state == "Active", state.lower())
    for mapping in resources(account, stack.name, "AWS::Lambda::EventSourceMapping"):
        state = functions.get_event_source_mapping(UUID=mapping)["State"]
        yield DeploymentCheck("the archiver reads the event queue", state in {"Enabled", "Enabling"}, state.lower())
    receivers = subscribers(account, stack)
    for each in receivers:
        detail = "confirmed" if each["confirmed"] else "the confirmation mail is not answered"
        yield DeploymentCheck(f"{each['to']} receives alerts", True if each["confirmed"] else None, detail)
    if not receivers:
        yield DeploymentCheck("alerts have a subscriber", None, "none; set --parameter AlertEmail=you@example.org")


def runtime_checks(account: Account, stack: Stack) -> Iterator[DeploymentCheck]:
    """Check what only a real account can show: Glue's events arrive, none is rejected, no alarm fires."""
    since = (datetime.now(UTC) - _RECENT).date()
    s3, bucket = account.client("s3"), stack.parameters["BucketName"]
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix="lake/events/", StartAfter=f"lake/events/date={since}"
    )
    keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
    count = sum(b'"source":"aws.glue"' in s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys)
    yield DeploymentCheck("events of Glue arrive in the lake", True if count else None, f"{count} in the last two days")
    depth = queue_depths(account, stack)[-1]
    yield DeploymentCheck(f"{depth['queue']} is empty", depth["messages"] == 0, f"{depth['messages']} messages")
    for alarm in alarms(account, stack):
        passed = {"ok": True, "alarm": False}.get(alarm["state"])
        yield DeploymentCheck(f"alarm {alarm['alarm']} does not fire", passed, alarm["why"])
