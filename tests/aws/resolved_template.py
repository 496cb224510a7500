"""The template as CloudFormation resolves it: conditions decided, references and substitutions evaluated."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

ACCOUNT, REGION, STACK = "123456789012", "eu-central-1", "brew"
BUCKET = f"{STACK}-{ACCOUNT}-{REGION}"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
SET_BY_DEPLOY = {
    "BucketName": BUCKET,
    "ScriptKey": "artefacts/1/glue_job.py",
    "ModulesKey": "artefacts/2/modules-python3.13.gluewheels.zip",
    "FunctionsKey": "artefacts/4/functions.zip",
}
VARIANTS: dict[str, dict[str, str]] = {
    "defaults": {},
    "everything": {
        "KmsKeyArn": KEY,
        "RecordManagementCalls": "true",
        "AlertEmail": "ann@example.org",
        "PermissionsBoundaryArn": f"arn:aws:iam::{ACCOUNT}:policy/boundary",
    },
    "a retained lake without a crawler": {"DataExists": "true", "QueuesExist": "true", "RunCrawler": "false"},
}
"""Parameters that make each condition true and false."""

_PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackName": STACK,
    "AWS::URLSuffix": "amazonaws.com",
}
_NAMES = ("Name", "BucketName", "QueueName", "TopicName", "FunctionName", "AlarmName", "LogGroupName", "TrailName")
_ARNS = {
    "AWS::S3::Bucket": "arn:aws:s3:::{name}",
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{{name}}",
    "AWS::SQS::Queue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{{name}}",
    "AWS::SNS::Topic": f"arn:aws:sns:{REGION}:{ACCOUNT}:{{name}}",
    "AWS::Events::Rule": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{{name}}",
    "AWS::Lambda::Function": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{{name}}",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{{name}}:*",
    "AWS::CloudWatch::Alarm": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{{name}}",
}
_VARIABLE = re.compile(r"\$\{([^!}][^}]*)\}")
_NO_VALUE = object()


def resolve(template: Mapping[str, Any], parameters: Mapping[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """Return the resources that a stack with these parameters has, others having their defaults."""
    return _Resolver(template, {**SET_BY_DEPLOY, **(parameters or {})}).resources()


def arn_of(name: str, resource: Mapping[str, Any]) -> str:
    """Return the ARN of a resolved resource."""
    return _ARNS[resource["Type"]].format(name=name_of(name, resource))


def name_of(name: str, resource: Mapping[str, Any]) -> str:
    """Return the physical name of a resolved resource; without one, CloudFormation derives it from the logical name."""
    properties = resource.get("Properties", {})
    properties = properties.get("DatabaseInput", properties)
    return str(next((properties[key] for key in _NAMES if key in properties), f"{STACK}-{name}"))


class _Resolver:
    def __init__(self, template: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
        self._template = template
        self._values: dict[str, object] = dict(_PSEUDO)
        for name, facts in template["Parameters"].items():
            self._values[name] = str(parameters[name] if name in parameters else facts["Default"])  # numbers too

    def resources(self) -> dict[str, dict[str, Any]]:
        return {name: self._value(facts) for name, facts in self._template["Resources"].items() if self._exists(facts)}

    def _exists(self, resource: Mapping[str, Any]) -> bool:
        return "Condition" not in resource or self._holds({"Condition": resource["Condition"]})

    def _holds(self, condition: Mapping[str, Any]) -> bool:
        [(kind, given)] = condition.items()
        if kind == "Condition":
            return self._holds(self._template["Conditions"][given])
        if kind == "Fn::Not":
            return not self._holds(given[0])
        assert kind == "Fn::Equals", f"{kind} is not supported"
        first, second = (str(self._value(each)) for each in given)
        return first == second

    def _value(self, node: Any) -> Any:  # noqa: ANN401 - any part of a template
        if isinstance(node, list):
            return [value for each in node if (value := self._value(each)) is not _NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            [(kind, given)] = node.items()
            if kind in self._functions:
                return self._functions[kind](self, given)
        return {key: value for key, each in node.items() if (value := self._value(each)) is not _NO_VALUE}

    def _ref(self, name: str) -> object:
        if name == "AWS::NoValue":
            return _NO_VALUE
        if name in self._values:
            return self._values[name]
        resource = self._resource(name)
        if resource["Type"] == "AWS::SNS::Topic":
            return arn_of(name, resource)
        if resource["Type"] == "AWS::SQS::Queue":
            return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name_of(name, resource)}"
        return name_of(name, resource)

    def _attribute(self, given: list[str]) -> str:
        name, attribute = given
        assert attribute == "Arn", f"{attribute} is not supported"
        return arn_of(name, self._resource(name))

    def _substitute(self, text: str) -> str:
        def value(match: re.Match[str]) -> str:
            name, _, attribute = match[1].partition(".")
            return str(self._attribute([name, attribute]) if attribute else self._ref(name))

        return _VARIABLE.sub(value, text).replace("${!", "${")

    def _choose(self, given: list[Any]) -> Any:  # noqa: ANN401
        name, then, otherwise = given
        return self._value(then if self._holds({"Condition": name}) else otherwise)

    def _resource(self, name: str) -> dict[str, Any]:
        """Return a resource with its names resolved, since other properties may refer back."""
        resource = self._template["Resources"][name]
        assert self._exists(resource), f"a reference to {name}, which does not exist under these parameters"
        properties = resource.get("Properties", {})
        names = {key: self._value(properties[key]) for key in (*_NAMES, "DatabaseInput") if key in properties}
        return {"Type": resource["Type"], "Properties": names}

    _functions: Mapping[str, Callable[[_Resolver, Any], Any]] = {
        "Ref": _ref,
        "Fn::GetAtt": _attribute,
        "Fn::Sub": _substitute,
        "Fn::If": _choose,
    }
