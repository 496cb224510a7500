"""Checks of the template that cfn-lint does not make: what CloudFormation would accept, and would not work.

They read the resolved template, once per set of parameters that decides its conditions differently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.aws.resolved_template import STACK, VARIANTS, arn_of, resolve

from brewhouse.aws.package import GLUE_PYTHON
from brewhouse.aws.template import schedule_problem

Resources = Mapping[str, Mapping[str, Any]]

_VISIBILITY_FACTOR = 6  # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
_DAY_S, _WEEK_S, _HOUR_S = 86_400, 604_800, 3_600
_WITHOUT_RESOURCE = {"cloudwatch:PutMetricData"}  # actions that the service allows on everything or nothing
_HOLD_DATA = {"AWS::S3::Bucket", "AWS::Glue::Database", "AWS::SQS::Queue"}


def problems(template: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each problem of a parsed template."""
    checks = (
        *(_jobs, _triggers, _trigger_order, _data, _wildcards, _rules, _permissions, _topics, _dead_letters),
        *(_function_failures, _mappings, _functions, _tls, _alarms),
    )
    variants = [resolve(template, parameters) for parameters in VARIANTS.values()]
    found = [problem for resources in variants for check in checks for problem in check(resources)]
    return [*_parameters(template["Parameters"]), *dict.fromkeys(found)]


def _parameters(parameters: Mapping[str, Any]) -> Iterator[str]:
    allowed = set(parameters.get("GlueVersion", {}).get("AllowedValues", GLUE_PYTHON))
    if allowed != set(GLUE_PYTHON):
        yield f"Parameter GlueVersion allows {sorted(allowed)}, but {sorted(GLUE_PYTHON)} are supported."


def _jobs(resources: Resources) -> Iterator[str]:
    for name, job in _of_type(resources, "AWS::Glue::Job"):
        version = job.get("GlueVersion")
        if version not in GLUE_PYTHON:
            yield f"{name}: Glue version {version} is not one of {', '.join(GLUE_PYTHON)}."
        workers = int(job.get("NumberOfWorkers", 0))
        if workers < 2:
            yield f"{name}: {workers or 'no'} workers; a Spark job of Glue needs at least 2."
        if not job.get("Timeout"):
            yield f"{name}: has no timeout; Glue's default is 8 hours."
        retries, argument = str(job.get("MaxRetries", 0)), str(job.get("DefaultArguments", {}).get("--retries", 0))
        if retries != argument:
            yield f"{name}: MaxRetries is {retries}, but the argument --retries is {argument}."


def _triggers(resources: Resources) -> Iterator[str]:
    starts: dict[str, list[str]] = {}
    for name, trigger in _of_type(resources, "AWS::Glue::Trigger"):
        if trigger.get("StartOnCreation") is not True:
            yield f"{name}: lacks StartOnCreation; it would never fire."
        if trigger["Type"] == "SCHEDULED":
            schedule = str(trigger.get("Schedule"))
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


def _trigger_order(resources: Resources) -> Iterator[str]:
    """CloudFormation must change the triggers of a workflow in a row: Glue rejects two changes at once.

    https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/2103
    """

    def before(name: str) -> set[str]:
        given = resources.get(name, {}).get("DependsOn", [])
        direct = {given} if isinstance(given, str) else set(given)
        return direct.union(*(before(each) for each in direct))

    workflows: dict[str, set[str]] = {}
    for name, trigger in _of_type(resources, "AWS::Glue::Trigger"):
        if "WorkflowName" in trigger:
            workflows.setdefault(str(trigger["WorkflowName"]), set()).add(name)
    for workflow, names in workflows.items():
        ranks = [len(before(name) & names) for name in names]
        if sorted(ranks) != list(range(len(names))):
            yield f"{workflow}: CloudFormation changes some of its triggers at once: {', '.join(sorted(names))}."


def _conditions(trigger: str, conditions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not conditions:
        yield f"{trigger}: is conditional and has no condition."
    for condition in conditions:
        if condition.get("LogicalOperator") != "EQUALS":
            yield f"{trigger}: a condition lacks its logical operator EQUALS."


def _references(trigger: str, step: Mapping[str, Any], resources: Resources) -> Iterator[str]:
    for key, kind in (("JobName", "AWS::Glue::Job"), ("CrawlerName", "AWS::Glue::Crawler")):
        if key in step and step[key] not in [properties["Name"] for _, properties in _of_type(resources, kind)]:
            yield f"{trigger}: {key} {step[key]} is not an {kind} of this template."


def _data(resources: Resources) -> Iterator[str]:
    """What holds data must survive the stack, and Iceberg tables belong to the jobs."""
    for name, facts in resources.items():
        if facts["Type"] in _HOLD_DATA and (
            facts.get("DeletionPolicy") != "RetainExceptOnCreate" or facts.get("UpdateReplacePolicy") != "Retain"
        ):
            yield f"{name}: holds data, and would be lost with the stack."
        if facts["Type"] == "AWS::Glue::Table" and "iceberg" in str(facts["Properties"]).lower():
            yield f"{name}: is an Iceberg table; an update of the stack could reset its metadata pointer."


def _wildcards(resources: Resources) -> Iterator[str]:
    for name, role in _of_type(resources, "AWS::IAM::Role"):
        for statement in _statements_of(role):
            actions = _list(statement.get("Action", []))
            if statement.get("Resource") == "*" and not ({*actions} <= _WITHOUT_RESOURCE and "Condition" in statement):
                yield f"{name}: {', '.join(sorted(actions))} on every resource."
            if any("*" in action for action in actions):
                yield f"{name}: allows actions by a pattern: {', '.join(sorted(actions))}."


def _rules(resources: Resources) -> Iterator[str]:
    """Each target must admit its rules; events that cannot be delivered need a dead-letter queue."""
    for name, rule in _of_type(resources, "AWS::Events::Rule"):
        for target in rule["Targets"]:
            if "DeadLetterConfig" not in target:
                yield f"{name}: events that its target rejects would be lost."
            admitted = _permitted_rules(resources, target["Arn"]) if ":lambda:" in target["Arn"] else None
            if admitted is None:
                if not _admits(resources, target["Arn"], "events.amazonaws.com", arn_of(name, resources[name])):
                    yield f"{name}: {target['Arn']} does not allow it."
            elif arn_of(name, resources[name]) not in admitted:
                yield f"{name}: {target['Arn']} does not allow it."


def _permissions(resources: Resources) -> Iterator[str]:
    """A function must not admit rules that do not invoke it."""
    targets = {
        (target["Arn"], arn_of(name, resources[name]))
        for name, rule in _of_type(resources, "AWS::Events::Rule")
        for target in rule["Targets"]
    }
    for name, _ in _of_type(resources, "AWS::Lambda::Function"):
        arn = arn_of(name, resources[name])
        for rule_arn in _permitted_rules(resources, arn):
            if (arn, rule_arn) not in targets:
                yield f"{name}: allows {rule_arn}, which sends nothing there."


def _permitted_rules(resources: Resources, function: str) -> list[str]:
    """Return the ARNs of the rules that may invoke a function."""
    return [
        permission["SourceArn"]
        for _, permission in _of_type(resources, "AWS::Lambda::Permission")
        if permission["Principal"] == "events.amazonaws.com" and function.endswith(f":{permission['FunctionName']}")
    ]


def _topics(resources: Resources) -> Iterator[str]:
    """EventBridge does not support conditions in the policy of a topic.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
    """
    for name, policy in _of_type(resources, "AWS::SNS::TopicPolicy"):
        for statement in policy["PolicyDocument"]["Statement"]:
            if "events.amazonaws.com" in str(statement["Principal"]) and "Condition" in statement:
                yield f"{name}: EventBridge cannot publish under a condition."


def _dead_letters(resources: Resources) -> Iterator[str]:
    """Each dead-letter queue must admit what names it."""
    for name, queue, service, source in _dead_letter_senders(resources):
        if not _admits(resources, queue, service, source):
            yield f"{name}: {queue} does not admit its failures."
    queues = [(arn_of(name, resources[name]), facts) for name, facts in _of_type(resources, "AWS::SQS::Queue")]
    for arn, facts in queues:
        for other_arn, other in queues:
            allowed = other.get("RedriveAllowPolicy", {}).get("sourceQueueArns", [arn])
            if facts.get("RedrivePolicy", {}).get("deadLetterTargetArn") == other_arn and arn not in allowed:
                yield f"{arn}: {other_arn} does not admit its failures."


def _dead_letter_senders(resources: Resources) -> Iterator[tuple[str, str, str, str]]:
    """Yield each resource that names a dead-letter queue: its name, the queue, the sending service and its source."""
    for name, rule in _of_type(resources, "AWS::Events::Rule"):
        for target in rule["Targets"]:
            if "DeadLetterConfig" in target:
                source = arn_of(name, resources[name])
                yield name, target["DeadLetterConfig"]["Arn"], "events.amazonaws.com", source
    for name, subscription in _of_type(resources, "AWS::SNS::Subscription"):
        if "RedrivePolicy" in subscription:
            queue = subscription["RedrivePolicy"]["deadLetterTargetArn"]
            yield name, queue, "sns.amazonaws.com", subscription["TopicArn"]


def _function_failures(resources: Resources) -> Iterator[str]:
    """The role of a function must let it send its failed calls to their queue."""
    roles = {arn_of(name, resources[name]): role for name, role in _of_type(resources, "AWS::IAM::Role")}
    for function, queue in _failure_destinations(resources):
        statements = _statements_of(roles[function["Role"]])
        if not any("sqs:SendMessage" in s["Action"] and queue in _list(s["Resource"]) for s in statements):
            yield f"{function['FunctionName']}: its role may not send to {queue}."


def _failure_destinations(resources: Resources) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield each function with the queue of its failed asynchronous calls."""
    functions = {
        properties["FunctionName"]: properties for _, properties in _of_type(resources, "AWS::Lambda::Function")
    }
    for function in functions.values():
        if queue := function.get("DeadLetterConfig", {}).get("TargetArn"):
            yield function, queue
    for _, config in _of_type(resources, "AWS::Lambda::EventInvokeConfig"):
        if queue := config.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination"):
            yield functions[config["FunctionName"]], queue


def _admits(resources: Resources, arn: str, service: str, source: str) -> bool:
    """Return whether the policy of a topic or queue lets a service publish for a source."""
    for kind in ("AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy"):
        for _, policy in _of_type(resources, kind):
            for statement in policy["PolicyDocument"]["Statement"]:
                condition = statement.get("Condition", {}).get("ArnEquals", {}).get("aws:SourceArn")
                if (
                    (statement["Effect"], statement["Principal"]) == ("Allow", {"Service": service})
                    and arn in _list(statement["Resource"])
                    and (condition is None or source in _list(condition))
                ):
                    return True
    return False


def _mappings(resources: Resources) -> Iterator[str]:
    queues = {arn_of(name, resources[name]): queue for name, queue in _of_type(resources, "AWS::SQS::Queue")}
    functions = {function["FunctionName"]: function for _, function in _of_type(resources, "AWS::Lambda::Function")}
    for name, mapping in _of_type(resources, "AWS::Lambda::EventSourceMapping"):
        if "ReportBatchItemFailures" not in mapping.get("FunctionResponseTypes", []):
            yield f"{name}: a failed message would return its whole batch to the queue."
        if (queue := queues.get(mapping["EventSourceArn"])) is None:  # retained from an earlier stack
            continue
        if "RedrivePolicy" not in queue:
            yield f"{name}: its queue has no dead-letter queue."
        timeout_s = int(functions[mapping["FunctionName"]]["Timeout"])
        if int(queue.get("VisibilityTimeout", 30)) < _VISIBILITY_FACTOR * timeout_s:
            yield f"{name}: its queue's visibility timeout is shorter than six timeouts of the function."


def _functions(resources: Resources) -> Iterator[str]:
    groups = [g.get("LogGroupName") for _, g in _of_type(resources, "AWS::Logs::LogGroup") if "RetentionInDays" in g]
    for name, function in _of_type(resources, "AWS::Lambda::Function"):
        if f"/aws/lambda/{function['FunctionName']}" not in groups:
            yield f"{name}: has no log group with a retention; its log would never expire."


def _tls(resources: Resources) -> Iterator[str]:
    """Each topic and queue must reject requests without TLS."""
    closed = {
        statement["Resource"]
        for kind in ("AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy")
        for _, policy in _of_type(resources, kind)
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny" and "aws:SecureTransport" in str(statement.get("Condition"))
    }
    for kind in ("AWS::SNS::Topic", "AWS::SQS::Queue"):
        for name, _ in _of_type(resources, kind):
            if arn_of(name, resources[name]) not in closed:
                yield f"{name}: accepts messages without TLS."


def _alarms(resources: Resources) -> Iterator[str]:
    """CloudWatch limits the range that an alarm evaluates, but only rejects it when the alarm is created."""
    for name, alarm in _of_type(resources, "AWS::CloudWatch::Alarm"):
        if not alarm["AlarmName"].startswith(f"{STACK}-"):
            yield f"{name}: the policy of the topic of alerts does not admit {alarm['AlarmName']}."
        if not alarm.get("AlarmActions"):
            yield f"{name}: has no action."
        range_s = int(alarm["Period"]) * int(alarm["EvaluationPeriods"])
        limit_s = _WEEK_S if int(alarm["Period"]) >= _HOUR_S else _DAY_S
        if range_s > limit_s:
            yield f"{name}: evaluates {range_s} s, more than {limit_s} s."


def _statements_of(role: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [statement for policy in role.get("Policies", []) for statement in policy["PolicyDocument"]["Statement"]]


def _of_type(resources: Resources, kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, facts in resources.items():
        if facts["Type"] == kind:
            yield name, facts["Properties"]


def _list(given: str | list[str]) -> list[str]:
    return [given] if isinstance(given, str) else given
