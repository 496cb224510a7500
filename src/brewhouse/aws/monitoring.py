"""The monitoring part of the stack: functions, queues, alarms, and the subscribers of its alerts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from brewhouse.aws.deploy import DeploymentCheck, resources
from brewhouse.aws.functions.lake_events import LakeEvents
from brewhouse.aws.glue_workflow import last_job_runs
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import Stack

_RECENT = timedelta(days=2)
_EVENT_DELAY = timedelta(minutes=10)  # an event of Glue that has not arrived by then is lost
_RULE_METRICS = ("FailedInvocations", "InvocationsSentToDlq", "InvocationsFailedToBeSentToDlq")


def alarms(account: Account, stack: Stack) -> list[dict[str, str]]:
    """Return the state of each alarm of a stack, sorted by name."""
    names = list(resources(account, stack.name, "AWS::CloudWatch::Alarm").values())
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
    since = datetime.now(UTC) - _RECENT
    events = LakeEvents(account.client("s3"), stack.parameters["BucketName"]).read(since.date())
    count = sum(event.source == "aws.glue" for event in events)
    steps = last_job_runs(account, stack.name)
    ends = [step.ended for step in steps if step.ended and since < step.ended < datetime.now(UTC) - _EVENT_DELAY]
    passed = True if count else (False if ends else None)  # a job ended, so there was an event
    yield DeploymentCheck("events of Glue arrive in the lake", passed, f"{count} in the last two days")
    yield from _log_checks(account, stack, [step.run for step in steps if step.ended])
    letters = _dead_letters(account, stack)
    yield from _rule_checks(account, stack, letters)
    depth = queue_depths(account, stack)[-1]
    detail = "; ".join([f"{depth['messages']} messages", *sorted({reason for _, reason in letters})])
    yield DeploymentCheck(f"{depth['queue']} is empty", depth["messages"] == 0, detail)
    for alarm in alarms(account, stack):
        passed = {"ok": True, "alarm": False}.get(alarm["state"])
        yield DeploymentCheck(f"alarm {alarm['alarm']} does not fire", passed, alarm["why"])


def _log_checks(account: Account, stack: Stack, runs: list[str]) -> Iterator[DeploymentCheck]:
    """Check that the last run of each job has a stream in both log groups."""
    client = account.client("logs")
    for group in (f"/aws-glue/{stack.name}/output", f"/aws-glue/{stack.name}/error"):
        lacking = [
            run
            for run in runs
            if not client.describe_log_streams(logGroupName=group, logStreamNamePrefix=run)["logStreams"]
        ]
        detail = f"missing: {', '.join(lacking)}" if lacking else f"of {len(runs)} jobs"
        yield DeploymentCheck(f"log group {group} has the last runs", not lacking if runs else None, detail)


def _rule_checks(account: Account, stack: Stack, letters: list[tuple[str, str]]) -> Iterator[DeploymentCheck]:
    """Check that no rule failed to reach its target in the last two days."""
    now = datetime.now(UTC)
    for rule in resources(account, stack.name, "AWS::Events::Rule").values():
        dimensions = [{"Name": "RuleName", "Value": rule}]
        queries = [
            {
                "Id": metric[0].lower() + metric[1:],
                "MetricStat": {
                    "Metric": {"Namespace": "AWS/Events", "MetricName": metric, "Dimensions": dimensions},
                    "Period": 3600,
                    "Stat": "Sum",
                },
            }
            for metric in _RULE_METRICS
        ]
        found = account.client("cloudwatch").get_metric_data(
            MetricDataQueries=queries, StartTime=now - _RECENT, EndTime=now
        )["MetricDataResults"]
        counts = {each["Id"]: int(sum(each["Values"])) for each in found if sum(each["Values"])}
        reasons = sorted({reason for source, reason in letters if source.endswith(f"/{rule}")})
        detail = "; ".join([*(f"{count} {name}" for name, count in counts.items()), *reasons])
        yield DeploymentCheck(f"rule {rule} reaches its targets", not counts and not reasons, detail)


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
