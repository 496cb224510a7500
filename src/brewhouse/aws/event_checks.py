"""Checks of our own of the way of events: what would be deployed, and lose events or alerts without a word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Resources = Mapping[str, Mapping[str, Any]]

_VISIBILITY_TIMES = 6  # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
_DAY_S, _WEEK_S, _HOUR_S = 86_400, 604_800, 3_600


def event_problems(resources: Resources) -> Iterator[str]:
    """Find what would keep events from arriving, or people from being told.

    Args:
        resources: Of a template.
    """
    yield from _rules(resources)
    yield from _mappings(resources)
    yield from _functions(resources)
    yield from _policies(resources)
    yield from _alarms(resources)


def _rules(resources: Resources) -> Iterator[str]:
    """Each rule must be let in by what it sends to, and nobody else; what cannot be sent must go somewhere."""
    senders: dict[str, set[str]] = {}
    for name, rule in _of_type(resources, "AWS::Events::Rule"):
        for target in rule["Targets"]:
            if "DeadLetterConfig" not in target:
                yield f"{name}: what its target does not take would be lost."
            senders.setdefault(_named(target["Arn"]), set()).add(name)
    for target_name, rules in senders.items():
        allowed = _allowed(resources, target_name)
        for rule_name in rules - allowed:
            yield f"{rule_name}: {target_name} does not let it in."
        for rule_name in allowed - rules:
            yield f"{target_name}: lets {rule_name} in, which sends nothing there."


def _allowed(resources: Resources, target: str) -> set[str]:
    """Find the rules that a topic or function lets in."""
    found = {
        _named(permission["SourceArn"])
        for _, permission in _of_type(resources, "AWS::Lambda::Permission")
        if _named(permission["FunctionName"]) == target and permission["Principal"] == "events.amazonaws.com"
    }
    for _, policy in _of_type(resources, "AWS::SNS::TopicPolicy"):
        for statement in policy["PolicyDocument"]["Statement"]:
            if (
                statement["Effect"] == "Allow"
                and _named(statement["Resource"]) == target
                and statement["Principal"] == {"Service": "events.amazonaws.com"}
            ):
                found |= {_named(arn) for arn in statement["Condition"]["ArnEquals"]["aws:SourceArn"]}
    return found


def _mappings(resources: Resources) -> Iterator[str]:
    for name, mapping in _of_type(resources, "AWS::Lambda::EventSourceMapping"):
        queue = resources[_named(mapping["EventSourceArn"])]["Properties"]
        function = resources[_named(mapping["FunctionName"])]["Properties"]
        if "ReportBatchItemFailures" not in mapping.get("FunctionResponseTypes", []):
            yield f"{name}: one message that fails would bring its whole batch back."
        if "RedrivePolicy" not in queue:
            yield f"{name}: its queue has no dead-letter queue."
        if int(queue.get("VisibilityTimeout", 30)) < _VISIBILITY_TIMES * int(function["Timeout"]):
            yield f"{name}: its queue shows a message again before the function can be done; six time-outs are right."


def _functions(resources: Resources) -> Iterator[str]:
    kept = {
        str(group.get("LogGroupName"))
        for _, group in _of_type(resources, "AWS::Logs::LogGroup")
        if "RetentionInDays" in group
    }
    for name, function in _of_type(resources, "AWS::Lambda::Function"):
        group = {"Fn::Sub": f"/aws/lambda/{function['FunctionName']['Fn::Sub']}"}
        if str(group) not in kept:
            yield f"{name}: has no log group of its own; what it says would be kept for ever."


def _policies(resources: Resources) -> Iterator[str]:
    """Each topic and queue must have a policy that lets only TLS in."""
    closed = {
        _named(statement["Resource"])
        for kind in ("AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy")
        for _, policy in _of_type(resources, kind)
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny" and "aws:SecureTransport" in str(statement.get("Condition"))
    }
    for kind in ("AWS::SNS::Topic", "AWS::SQS::Queue"):
        for name, _ in _of_type(resources, kind):
            if name not in closed:
                yield f"{name}: takes messages that were not sent by TLS."


def _alarms(resources: Resources) -> Iterator[str]:
    """CloudWatch refuses an alarm that looks back too far, but only when it is made."""
    for name, alarm in _of_type(resources, "AWS::CloudWatch::Alarm"):
        if not alarm.get("AlarmActions"):
            yield f"{name}: tells nobody."
        looks_back_s = int(alarm["Period"]) * int(alarm["EvaluationPeriods"])
        if looks_back_s > (_WEEK_S if int(alarm["Period"]) >= _HOUR_S else _DAY_S):
            yield f"{name}: looks back {looks_back_s} s; a day is the most, and a week with periods of an hour."


def _of_type(resources: Resources, kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, facts in resources.items():
        if facts["Type"] == kind:
            yield name, facts["Properties"]


def _named(reference: object) -> str:
    """Tell the resource a reference names; an empty text for what is none."""
    if isinstance(reference, dict):
        attribute = reference.get("Fn::GetAtt")
        return str(attribute[0] if attribute else reference.get("Ref", ""))
    return ""
