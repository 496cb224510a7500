"""Checks of the template that cfn-lint does not make: what CloudFormation would accept, and would not work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from brewhouse.aws.glue_schedule import schedule_problem
from brewhouse.aws.package import GLUE_PYTHON

Resources = Mapping[str, Mapping[str, Any]]

_VISIBILITY_FACTOR = 6  # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
_DAY_S, _WEEK_S, _HOUR_S = 86_400, 604_800, 3_600
_WITHOUT_RESOURCE = {"cloudwatch:PutMetricData"}  # actions that the service allows on everything or nothing


def problems(template: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each problem of a parsed template with its default parameters."""
    resources: Resources = template["Resources"]
    defaults = {name: str(facts.get("Default", "")) for name, facts in template["Parameters"].items()}
    checks = (_data, _wildcards, _rules, _mappings, _functions, _tls, _alarms)
    return [
        *_jobs(resources, defaults, template["Parameters"]),
        *_triggers(resources, defaults),
        *(problem for check in checks for problem in check(resources)),
    ]


def _jobs(resources: Resources, values: Mapping[str, str], parameters: Mapping[str, Any]) -> Iterator[str]:
    for name, job in _of_type(resources, "AWS::Glue::Job"):
        version = _value(job.get("GlueVersion"), values)
        if version not in GLUE_PYTHON:
            yield f"{name}: Glue version {version} is not one of {', '.join(GLUE_PYTHON)}."
        workers = _value(job.get("NumberOfWorkers"), values)
        if not workers.isdecimal() or int(workers) < 2:
            yield f"{name}: {workers or 'no'} workers; a Spark job of Glue needs at least 2."
        if not _value(job.get("Timeout"), values):
            yield f"{name}: has no timeout; Glue's default is 8 hours."
        retries, argument = str(job.get("MaxRetries", 0)), str(job.get("DefaultArguments", {}).get("--retries", 0))
        if retries != argument:
            yield f"{name}: MaxRetries is {retries}, but the argument --retries is {argument}."
    allowed = set(parameters.get("GlueVersion", {}).get("AllowedValues", GLUE_PYTHON))
    if allowed != set(GLUE_PYTHON):
        yield f"Parameter GlueVersion allows {sorted(allowed)}, but {sorted(GLUE_PYTHON)} are supported."


def _triggers(resources: Resources, values: Mapping[str, str]) -> Iterator[str]:
    starts: dict[str, list[str]] = {}
    for name, trigger in _of_type(resources, "AWS::Glue::Trigger"):
        if trigger.get("StartOnCreation") is not True:
            yield f"{name}: lacks StartOnCreation; it would never fire."
        if trigger["Type"] == "SCHEDULED":
            schedule = _value(trigger.get("Schedule"), values)
            if problem := schedule_problem(schedule):
                yield f"{name}: invalid schedule {schedule}: {problem}."
            if "WorkflowName" in trigger:
                starts.setdefault(str(trigger["WorkflowName"]), []).append(name)
        conditions = trigger.get("Predicate", {}).get("Conditions", [])
        if trigger["Type"] == "CONDITIONAL":
            yield from _conditions(name, conditions)
        for step in (*conditions, *trigger["Actions"]):
            yield from _references(name, step, resources)
    for workflow, names in starts.items():
        if len(names) > 1:
            yield f"{workflow}: a workflow has one start, not {len(names)}: {', '.join(names)}."


def _conditions(trigger: str, conditions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not conditions:
        yield f"{trigger}: is conditional and has no condition."
    for condition in conditions:
        if condition.get("LogicalOperator") != "EQUALS":
            yield f"{trigger}: a condition lacks its logical operator EQUALS."


def _references(trigger: str, step: Mapping[str, Any], resources: Resources) -> Iterator[str]:
    for key, kind in (("JobName", "AWS::Glue::Job"), ("CrawlerName", "AWS::Glue::Crawler")):
        if key in step:
            target = step[key].get("Ref") if isinstance(step[key], dict) else None
            if resources.get(target or "", {}).get("Type") != kind:
                yield f"{trigger}: {key} {step[key]} is not an {kind} of this template."


def _data(resources: Resources) -> Iterator[str]:
    """What holds data must survive the stack, and Iceberg tables belong to the jobs."""
    for name, facts in resources.items():
        if facts["Type"] in {"AWS::S3::Bucket", "AWS::Glue::Database"} and (
            facts.get("DeletionPolicy") != "RetainExceptOnCreate" or facts.get("UpdateReplacePolicy") != "Retain"
        ):
            yield f"{name}: holds data, and would be lost with the stack."
        if facts["Type"] == "AWS::Glue::Table" and "iceberg" in str(facts["Properties"]).lower():
            yield f"{name}: is an Iceberg table; an update of the stack could reset its metadata pointer."


def _wildcards(resources: Resources) -> Iterator[str]:
    for name, role in _of_type(resources, "AWS::IAM::Role"):
        for policy in role.get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                actions = statement.get("Action", [])
                actions = {actions} if isinstance(actions, str) else set(actions)
                if statement.get("Resource") == "*" and not (actions <= _WITHOUT_RESOURCE and "Condition" in statement):
                    yield f"{name}: {', '.join(sorted(actions))} on every resource."
                if any("*" in action for action in actions):
                    yield f"{name}: allows actions by a pattern: {', '.join(sorted(actions))}."


def _rules(resources: Resources) -> Iterator[str]:
    """Each target must allow its rules and no others; events that cannot be delivered need a dead-letter queue."""
    sources: dict[str, set[str]] = {}
    for name, rule in _of_type(resources, "AWS::Events::Rule"):
        for target in rule["Targets"]:
            if "DeadLetterConfig" not in target:
                yield f"{name}: events that its target rejects would be lost."
            sources.setdefault(_named(target["Arn"]), set()).add(name)
    for target_name, rules in sources.items():
        allowed = _allowed(resources, target_name)
        for rule_name in rules - allowed:
            yield f"{rule_name}: {target_name} does not allow it."
        for rule_name in allowed - rules:
            yield f"{target_name}: allows {rule_name}, which sends nothing there."


def _allowed(resources: Resources, target: str) -> set[str]:
    """Return the rules that a topic or function allows."""
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
            yield f"{name}: a failed message would return its whole batch to the queue."
        if "RedrivePolicy" not in queue:
            yield f"{name}: its queue has no dead-letter queue."
        if int(queue.get("VisibilityTimeout", 30)) < _VISIBILITY_FACTOR * int(function["Timeout"]):
            yield f"{name}: its queue's visibility timeout is shorter than six timeouts of the function."


def _functions(resources: Resources) -> Iterator[str]:
    groups = {
        str(group.get("LogGroupName"))
        for _, group in _of_type(resources, "AWS::Logs::LogGroup")
        if "RetentionInDays" in group
    }
    for name, function in _of_type(resources, "AWS::Lambda::Function"):
        group = {"Fn::Sub": f"/aws/lambda/{function['FunctionName']['Fn::Sub']}"}
        if str(group) not in groups:
            yield f"{name}: has no log group with a retention; its log would never expire."


def _tls(resources: Resources) -> Iterator[str]:
    """Each topic and queue must reject requests without TLS."""
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
                yield f"{name}: accepts messages without TLS."


def _alarms(resources: Resources) -> Iterator[str]:
    """CloudWatch limits the range that an alarm evaluates, but only rejects it when the alarm is created."""
    for name, alarm in _of_type(resources, "AWS::CloudWatch::Alarm"):
        if not alarm.get("AlarmActions"):
            yield f"{name}: has no action."
        range_s = int(alarm["Period"]) * int(alarm["EvaluationPeriods"])
        limit_s = _WEEK_S if int(alarm["Period"]) >= _HOUR_S else _DAY_S
        if range_s > limit_s:
            yield f"{name}: evaluates {range_s} s, more than {limit_s} s."


def _of_type(resources: Resources, kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, facts in resources.items():
        if facts["Type"] == kind:
            yield name, facts["Properties"]


def _named(reference: object) -> str:
    """Return the resource that a reference names; an empty text if it is not a reference."""
    if isinstance(reference, dict):
        attribute = reference.get("Fn::GetAtt")
        return str(attribute[0] if attribute else reference.get("Ref", ""))
    return ""


def _value(given: object, values: Mapping[str, str]) -> str:
    """Resolve a reference to a parameter; anything else is its own text."""
    if isinstance(given, dict):
        return values.get(str(given.get("Ref")), "")
    return "" if given is None else str(given)
