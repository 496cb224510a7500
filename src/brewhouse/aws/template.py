"""The CloudFormation template: `stack.yaml` with the saved queries as named queries of Athena."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from brewhouse.errors import UsageError, suggestion
from brewhouse.query.saved_queries import SavedQuery, for_athena, saved_queries

if TYPE_CHECKING:
    import yaml

_FIRST = ("Bucket", "BucketPolicy")
_SCHEDULES = ("Schedule", "MaintenanceSchedule")
SET_BY_DEPLOY = {"BucketName", "DataExists", "QueuesExist", "ScriptKey", "ModulesKey", "FunctionsKey"}
_DAY = "[1-9]|[12][0-9]|3[01]"
_FIELDS = {  # a value of each, and what may stand there instead of values
    "minute": ("[0-5]?[0-9]", "[*]"),
    "hour": ("[01]?[0-9]|2[0-3]", "[*]"),
    "day of month": (f"0?(?:{_DAY})", rf"[*?]|L|L?W|(?:{_DAY})W"),
    "month": ("0?[1-9]|1[0-2]|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC", "[*]"),
    "day of week": ("[1-7]|SUN|MON|TUE|WED|THU|FRI|SAT", "[*?]|[1-7]?L|[1-7]#[1-5]"),
    "year": ("19[7-9][0-9]|2[01][0-9][0-9]", "[*]"),
}


@cache
def template() -> str:
    """Return the template as deployed, JSON."""
    parsed = parse(files(__package__).joinpath("stack.yaml").read_text("utf-8"))
    for query in saved_queries():
        parsed["Resources"][f"{query.name.title().replace('_', '')}Query"] = _named_query(query)
    return json.dumps(parsed, ensure_ascii=False, indent=1) + "\n"


def first_template(whole: str) -> str:
    """Return a template of the bucket alone, for the rest of the template and the functions' code are uploaded there.

    It has the same parameters as the whole template, and fits into a request.
    """
    parsed = parse(whole)
    parsed["Resources"] = {name: parsed["Resources"][name] for name in _FIRST}
    parsed["Outputs"] = {"Bucket": parsed["Outputs"]["Bucket"]}
    return json.dumps(parsed, ensure_ascii=False, separators=(",", ":"))


def defaults() -> dict[str, str]:
    """Return the default of every parameter that has one."""
    parameters = parse(template())["Parameters"]
    return {name: str(facts["Default"]) for name, facts in parameters.items() if "Default" in facts}


def check_parameters(given: Mapping[str, str], whole: str) -> None:
    """Verify that a template has these parameters, and allows their values, as far as CloudFormation and Glue would."""
    parameters = parse(whole)["Parameters"]
    settable = sorted(set(parameters) - SET_BY_DEPLOY)
    for name, value in given.items():
        if name not in settable:
            raise UsageError(f"Unknown parameter {name}.", hint=suggestion(name, settable))
        if requirement := _requirement(parameters[name], value):
            raise UsageError(f"{name} {requirement} (got {value!r}).", hint=parameters[name]["Description"])
        if name in _SCHEDULES and (problem := schedule_problem(value)):  # CloudFormation would accept it
            raise UsageError(f"Invalid {name} {value}: {problem}.", hint=parameters[name]["Description"])


def _requirement(facts: Mapping[str, Any], value: str) -> str:
    """Return what a parameter must be, if a value is not."""
    allowed = list(map(str, facts.get("AllowedValues", ())))
    if allowed and value not in allowed:
        return f"must be one of {', '.join(allowed)}"
    if "MinValue" in facts and not (
        value.isascii() and value.isdigit() and facts["MinValue"] <= int(value) <= facts["MaxValue"]
    ):
        return f"must be a whole number from {facts['MinValue']} to {facts['MaxValue']}"
    if not re.search(facts.get("AllowedPattern", ""), value):
        return str(facts.get("ConstraintDescription", f"must match {facts.get('AllowedPattern')}"))
    return ""


def parse(text: str) -> dict[str, Any]:
    """Parse a template; `!Ref x` becomes `{"Ref": "x"}`, `!Sub x` becomes `{"Fn::Sub": "x"}`, as in its JSON form.

    Example:
        >>> parse("Name: !Sub ${AWS::StackName}-lake")
        {'Name': {'Fn::Sub': '${AWS::StackName}-lake'}}
    """
    import yaml

    base: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is ten times as fast

    class Loader(base):  # type: ignore[misc]
        """A safe loader with the tags of CloudFormation."""

    Loader.add_multi_constructor("!", _intrinsic)
    parsed: dict[str, Any] = yaml.load(text, Loader)  # noqa: S506 - a SafeLoader whose tags make plain values
    return parsed


def _intrinsic(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    import yaml

    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in {"Ref", "Condition"} else f"Fn::{tag}": value}


def _named_query(query: SavedQuery) -> dict[str, Any]:
    properties = {
        "Name": query.title,
        "Description": query.question,
        "WorkGroup": {"Ref": "WorkGroup"},
        "Database": {"Fn::Sub": "${CatalogDatabase}_gold"},
        "QueryString": {"Fn::Sub": for_athena(query.sql, "${CatalogDatabase}")},
    }
    return {"Type": "AWS::Athena::NamedQuery", "Properties": properties}


def schedule_problem(expression: str) -> str:
    """Return what is invalid in a schedule, or an empty text.

    Six fields, UTC: minutes, hours, day of month, month, day of week, year; one of the two days is `?`.
    https://docs.aws.amazon.com/glue/latest/dg/monitor-data-warehouse-schedule.html

    Example:
        >>> schedule_problem("cron(0 6 * * ? *)")
        ''
        >>> schedule_problem("cron(0 6 * * * *)")
        'exactly one of day of month and day of week must be ?'
    """
    match = re.fullmatch(r"cron\((.*)\)", expression)
    fields = match[1].split(" ") if match else []
    if len(fields) != len(_FIELDS):
        return "it must be cron() with six fields, UTC"
    if (fields[2] == "?") == (fields[4] == "?"):
        return "exactly one of day of month and day of week must be ?"
    for text, (name, (value, special)) in zip(fields, _FIELDS.items(), strict=True):
        values = rf"(?:{value})(?:-(?:{value}))?"
        if not re.fullmatch(rf"{special}|(?:[*]|{values})(?:/[0-9]+)?(?:,{values})*", text):
            return f"{text} is an invalid {name}"
    return ""
