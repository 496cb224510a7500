"""What cfn-lint does not find in a template: checks of our own, made by the tests and before every change set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from brewhouse.aws.event_checks import event_problems

Resources = Mapping[str, Mapping[str, Any]]

GLUE_PYTHON = {"5.1": "3.11", "6.0": "3.13"}
"""The Python of each Glue version the stack may use; https://docs.aws.amazon.com/glue/latest/dg/release-notes.html."""

_WORDS = {"month": "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC", "weekday": "SUN|MON|TUE|WED|THU|FRI|SAT"}
_CRON_LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (1, 7), (1970, 2199))


def problems(template: Mapping[str, Any], parameters: Mapping[str, str]) -> list[str]:
    """Find what would be accepted and not work.

    Args:
        template: Parsed, see `template.parse`.
        parameters: Values that differ from the defaults.

    Returns:
        One sentence a problem, empty when there is none.
    """
    known = {name: str(facts.get("Default", "")) for name, facts in template["Parameters"].items()}
    resources: Resources = template["Resources"]
    values = {**known, **parameters}
    return [
        *_jobs(resources, values, template["Parameters"]),
        *_triggers(resources, values),
        *_databases(resources),
        *_stars(resources),
        *event_problems(resources),
    ]


def cron_problem(expression: str) -> str:
    """Say what is wrong with a schedule of Glue or EventBridge; empty when nothing is.

    Six fields, UTC: minutes, hours, day of month, month, day of week, year; one of the two days is `?`.
    https://docs.aws.amazon.com/glue/latest/dg/monitor-data-warehouse-schedule.html

    Example:
        >>> cron_problem("cron(0 6 * * ? *)")
        ''
        >>> cron_problem("cron(0 6 * * * *)")
        'of day of month and day of week exactly one must be ?'
    """
    match = re.fullmatch(r"cron\((.*)\)", expression)
    fields = match[1].split(" ") if match else []
    if len(fields) != len(_CRON_LIMITS):
        return "it must be cron() with six fields, UTC"
    if (fields[2] == "?") == (fields[4] == "?"):
        return "of day of month and day of week exactly one must be ?"
    for place, (field, limits) in enumerate(zip(fields, _CRON_LIMITS, strict=True)):
        if not _is_cron_field(field, place, *limits):
            return f"{field} can be no {('minute', 'hour', 'day of month', 'month', 'day of week', 'year')[place]}"
    return ""


def _is_cron_field(field: str, place: int, low: int, high: int) -> bool:
    if field == "*" or (field == "?" and place in {2, 4}):
        return True
    if place == 2 and re.fullmatch(r"L|L?W|\d{1,2}W", field):
        return True
    if place == 4 and re.fullmatch(r"[1-7]?L|[1-7]#[1-5]", field):
        return True
    words = _WORDS.get({3: "month", 4: "weekday"}.get(place, ""), "(?!)")
    one = rf"(?:{words}|\d+)"
    if not re.fullmatch(rf"(?:\*|{one}(?:-{one})?)(?:/\d+)?(?:,{one}(?:-{one})?)*", field):
        return False
    return all(low <= int(number) <= high for number in re.findall(r"(?<!/)\b\d+", field))


def _jobs(resources: Resources, values: Mapping[str, str], parameters: Mapping[str, Any]) -> Iterator[str]:
    for name, job in _of_type(resources, "AWS::Glue::Job"):
        version = _value(job.get("GlueVersion"), values)
        if version not in GLUE_PYTHON:
            yield f"{name}: Glue version {version} is none of {', '.join(GLUE_PYTHON)}."
        workers = _value(job.get("NumberOfWorkers"), values)
        if not workers.isdecimal() or int(workers) < 2:
            yield f"{name}: {workers or 'no'} workers; Glue starts a Spark job with 2 at the least."
        if not _value(job.get("Timeout"), values):
            yield f"{name}: has no timeout; Glue's default is 8 hours."
        retries, told = str(job.get("MaxRetries", 0)), str(job.get("DefaultArguments", {}).get("--retries", 0))
        if retries != told:
            yield f"{name}: is retried {retries} times, but told that it is {told} times."
    allowed = set(parameters.get("GlueVersion", {}).get("AllowedValues", GLUE_PYTHON))
    if allowed != set(GLUE_PYTHON):
        yield f"Parameter GlueVersion allows {sorted(allowed)}, but known are {sorted(GLUE_PYTHON)}."


def _triggers(resources: Resources, values: Mapping[str, str]) -> Iterator[str]:
    starts: dict[str, list[str]] = {}
    for name, trigger in _of_type(resources, "AWS::Glue::Trigger"):
        if trigger.get("StartOnCreation") is not True:
            yield f"{name}: is not started when it is made; it would never fire and say nothing."
        if trigger["Type"] == "SCHEDULED":
            if found := cron_problem(schedule := _value(trigger.get("Schedule"), values)):
                yield f"{name}: the schedule {schedule} cannot be used: {found}."
            if "WorkflowName" in trigger:
                starts.setdefault(str(trigger["WorkflowName"]), []).append(name)
        conditions = trigger.get("Predicate", {}).get("Conditions", [])
        if trigger["Type"] == "CONDITIONAL":
            yield from _conditions(name, conditions)
        for step in (*conditions, *trigger["Actions"]):
            yield from _refers(name, step, resources)
    for workflow, names in starts.items():
        if len(names) > 1:
            yield f"{workflow}: a workflow has one start, not {len(names)}: {', '.join(names)}."


def _conditions(trigger: str, conditions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not conditions:
        yield f"{trigger}: is conditional and has no condition."
    for condition in conditions:
        if condition.get("LogicalOperator") != "EQUALS":
            yield f"{trigger}: a condition lacks its logical operator EQUALS."


def _refers(trigger: str, step: Mapping[str, Any], resources: Resources) -> Iterator[str]:
    for key, kind in (("JobName", "AWS::Glue::Job"), ("CrawlerName", "AWS::Glue::Crawler")):
        if key in step:
            target = step[key].get("Ref") if isinstance(step[key], dict) else None
            if resources.get(target or "", {}).get("Type") != kind:
                yield f"{trigger}: {key} {step[key]} is no {kind} of this template."


def _databases(resources: Resources) -> Iterator[str]:
    for name, facts in resources.items():
        if facts["Type"] in {"AWS::S3::Bucket", "AWS::Glue::Database"} and (
            facts.get("DeletionPolicy") != "RetainExceptOnCreate" or facts.get("UpdateReplacePolicy") != "Retain"
        ):
            yield f"{name}: holds data, and would be lost with the stack."
        if facts["Type"] == "AWS::Glue::Table" and "iceberg" in str(facts["Properties"]).lower():
            yield f"{name}: is an Iceberg table; an update of the stack could set its metadata pointer back."


_NO_RESOURCES = {"cloudwatch:PutMetricData"}  # actions that the service allows on everything or nothing


def _stars(resources: Resources) -> Iterator[str]:
    for name, role in _of_type(resources, "AWS::IAM::Role"):
        for policy in role.get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                actions = statement.get("Action", [])
                actions = {actions} if isinstance(actions, str) else set(actions)
                if statement.get("Resource") == "*" and not (actions <= _NO_RESOURCES and "Condition" in statement):
                    yield f"{name}: {', '.join(sorted(actions))} on every resource."
                if any("*" in action for action in actions):
                    yield f"{name}: allows actions by a pattern: {', '.join(sorted(actions))}."


def _of_type(resources: Resources, kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, facts in resources.items():
        if facts["Type"] == kind:
            yield name, facts["Properties"]


def _value(given: object, values: Mapping[str, str]) -> str:
    """Resolve a reference to a parameter; anything else is its own text."""
    if isinstance(given, dict):
        return values.get(str(given.get("Ref")), "")
    return "" if given is None else str(given)
