"""The monitoring part of the stack: functions, queues, alarms, and the subscribers of its alerts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from brewhouse.aws.deploy import DeploymentCheck, resources
from brewhouse.aws.functions.lake_events import LakeEvents
from brewhouse.aws.glue_workflow import last_job_runs
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import Stack

_RECENT = timedelta(days=2)
_EVENT_DELAY = timedelta(minutes=10)  # an event of Glue that has not arrived by then is lost
_RULE_METRICS = ("FailedInvocations", "InvocationsSentToDlq", "InvocationsFailedToBeSentToDlq")


def alarms(account: Account, stack: Stack) -> list[dict[str, Any]]:
    """Return the state of each alarm of a stack, sorted by name."""
    names = list(resources(account, stack.name, "AWS::CloudWatch::Alarm").values())
    found = account.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"] if names else []
    return [
        {"alarm": each["AlarmName"], "state": each["StateValue"].lower(), "why": each.get("StateReason", "")}
        for each in found
    ]


def queue_depths(account: Account, stack: Stack) -> list[dict[str, Any]]:
    """Count the messages in each queue of a stack."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    ask = partial(account.client("sqs").get_queue_attributes, AttributeNames=names)
    counts = {stack.outputs[name]: ask(QueueUrl=stack.outputs[name]) for name in ("EventQueue", "DeadLetterQueue")}
    return [
        {"queue": url.rsplit("/", 1)[-1], "messages": sum(map(int, found["Attributes"].values()))}
        for url, found in counts.items()
    ]


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
    for name in resources(account, stack.name, "AWS::Lambda::Function").values():
        state = functions.get_function_configuration(FunctionName=name).get("State", "Active")
        yield DeploymentCheck(f"function {name} is active", state == "Active", state.lower())
    for mapping in resources(account, stack.name, "AWS::Lambda::EventSourceMapping").values():
        state = functions.get_event_source_mapping(UUID=mapping)["State"]
        yield DeploymentCheck("the archiver reads the event queue", state in {"Enabled", "Enabling"}, state.lower())
    receivers = subscribers(account, stack)
    for each in receivers:
        detail = "confirmed" if each["confirmed"] else "the confirmation mail is not answered"
        yield DeploymentCheck(f"{each['to']} receives alerts", True if each["confirmed"] else None, detail)
    if not receivers:
        yield DeploymentCheck("alerts have a subscriber", None, "none; set --parameter AlertEmail=you@example.org")


def runtime_checks(account: Account, stack: Stack) -> Iterator[DeploymentCheck]:
    """Check what only a real account can show: events and logs arrive, none is rejected, no alarm fires."""
    now = datetime.now(UTC)
    events = LakeEvents(account.client("s3"), stack.parameters["BucketName"]).read((now - _RECENT).date())
    count = sum(event.source == "aws.glue" for event in events)
    ended = [step for step in last_job_runs(account, stack.name) if step.ended]
    is_due = any(step.ended and now - _RECENT < step.ended < now - _EVENT_DELAY for step in ended)
    passed = True if count else (False if is_due else None)  # a job ended, so there was an event
    yield DeploymentCheck("events of Glue arrive in the lake", passed, f"{count} in the last two days")
    for name in ("output", "error"):
        group = f"/aws-glue/{stack.name}/{name}"
        streams = partial(account.client("logs").describe_log_streams, logGroupName=group)
        missing = [step.run for step in ended if not streams(logStreamNamePrefix=step.run)["logStreams"]]
        detail = f"missing: {', '.join(missing)}" if missing else f"of {len(ended)} jobs"
        yield DeploymentCheck(f"log group {group} has the last runs", not missing if ended else None, detail)
    letters = _dead_letters(account, stack)
    for rule in resources(account, stack.name, "AWS::Events::Rule").values():
        counts = {metric: _sum(account, metric, rule, now) for metric in _RULE_METRICS}
        reasons = sorted({reason for source, reason in letters if source.endswith(f"/{rule}")})
        found = [*(f"{count} {metric}" for metric, count in counts.items() if count), *reasons]
        yield DeploymentCheck(f"rule {rule} reaches its targets", not found, "; ".join(found))
    depth = queue_depths(account, stack)[-1]
    detail = "; ".join([f"{depth['messages']} messages", *sorted({reason for _, reason in letters})])
    yield DeploymentCheck(f"{depth['queue']} is empty", depth["messages"] == 0, detail)
    for alarm in alarms(account, stack):
        passed = {"ok": True, "alarm": False}.get(alarm["state"])
        yield DeploymentCheck(f"alarm {alarm['alarm']} does not fire", passed, alarm["why"])


def _sum(account: Account, metric: str, rule: str, now: datetime) -> int:
    """Return the sum of a metric of a rule over the last two days."""
    found = account.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Events",
        MetricName=metric,
        Dimensions=[{"Name": "RuleName", "Value": rule}],
        StartTime=now - _RECENT,
        EndTime=now,
        Period=3600,
        Statistics=["Sum"],
    )
    return int(sum(each["Sum"] for each in found["Datapoints"]))


def _dead_letters(account: Account, stack: Stack) -> list[tuple[str, str]]:
    """Return the ARN of the rule, if any, and the reason of up to ten messages of the dead-letter queue."""
    found = account.client("sqs").receive_message(
        QueueUrl=stack.outputs["DeadLetterQueue"],
        MaxNumberOfMessages=10,
        VisibilityTimeout=0,
        MessageAttributeNames=["All"],
    )
    letters = []
    for message in found.get("Messages", []):
        facts = {name: each.get("StringValue", "") for name, each in message.get("MessageAttributes", {}).items()}
        reason = ": ".join(facts[name] for name in ("ERROR_CODE", "ERROR_MESSAGE", "reason") if name in facts)
        letters.append((facts.get("RULE_ARN", ""), reason or "a message without an error code"))
    return letters
