"""The calls by which CloudFormation creates the resources of a resolved template, validated by botocore's models."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import regex  # type: ignore[import-untyped]
from botocore.model import Shape
from botocore.session import get_session
from botocore.validate import ParamValidator
from tests.aws.resolved_template import name_of

Properties: TypeAlias = Mapping[str, Any]
Call: TypeAlias = tuple[str, str, Mapping[str, Any]]
"""Service, operation and parameters."""


def shape_problems(resources: Mapping[str, Properties]) -> list[str]:
    """Return what the services would reject: names, types, lengths, ranges, patterns and enumerations."""
    session, validator = get_session(), _InputValidator()
    found = []
    for name, resource in resources.items():
        for service, operation, parameters in calls_of(name, resource):
            shape = session.get_service_model(service).operation_model(operation).input_shape
            report = validator.validate(dict(parameters), shape).generate_report()
            found += [f"{name}: {line}" for line in (*report.splitlines(), *validator.found)]
            validator.found.clear()
    return found


def calls_of(name: str, resource: Properties) -> Iterator[Call]:
    """Yield the calls that create a resource."""
    yield from _CALLS[resource["Type"]](resource["Properties"], name_of(name, resource))


class _InputValidator(ParamValidator):  # type: ignore[misc]  # botocore has no types
    """Validates all constraints of a model; botocore leaves all but the smallest values to the service."""

    VALIDATED_METADATA_ATTRS = ParamValidator.VALIDATED_METADATA_ATTRS | {"max", "enum", "pattern"}

    def __init__(self) -> None:
        self.found: list[str] = []

    def _validate(self, params: Any, shape: Shape, errors: Any, name: str) -> None:  # noqa: ANN401 - botocore
        if shape.type_name in {"integer", "long", "double"} and isinstance(params, str):
            params = int(params)  # the value of a parameter, which CloudFormation converts
        super()._validate(params, shape, errors, name)
        limits = shape.metadata
        if "max" in limits and (len(params) if hasattr(params, "__len__") else params) > limits["max"]:
            self.found.append(f"{name[1:]} is {params!r}, more than {limits['max']}")
        if "enum" in limits and params not in limits["enum"]:
            self.found.append(f"{name[1:]} is {params!r}, not one of {limits['enum']}")
        if "pattern" in limits and not regex.search(_of_python(limits["pattern"]), str(params)):
            self.found.append(f"{name[1:]} is {params!r}, unlike {limits['pattern']}")


def _of_python(pattern: str) -> str:
    """Translate a pattern of Java, which spells characters beyond the first plane as surrogates."""
    beyond = pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF")
    return rf"\A(?:{beyond})\Z"


def _as_is(service: str, operation: str, **fixed: str) -> Callable[[Properties, str], Iterator[Call]]:
    """Return a function for a type whose properties are the parameters of one call."""

    def call(properties: Properties, _: str) -> Iterator[Call]:
        yield service, operation, {**fixed, **properties}

    return call


def _bucket(properties: Properties, name: str) -> Iterator[Call]:
    given = dict(properties)
    bucket = {"Bucket": given.pop("BucketName", name)}
    yield "s3", "CreateBucket", bucket
    rules = [
        {
            "ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"],
            "BucketKeyEnabled": rule["BucketKeyEnabled"],
        }
        for rule in given.pop("BucketEncryption")["ServerSideEncryptionConfiguration"]
    ]
    yield "s3", "PutBucketEncryption", {**bucket, "ServerSideEncryptionConfiguration": {"Rules": rules}}
    lifecycle = [_lifecycle_rule(rule) for rule in given.pop("LifecycleConfiguration")["Rules"]]
    yield "s3", "PutBucketLifecycleConfiguration", {**bucket, "LifecycleConfiguration": {"Rules": lifecycle}}
    public = {**bucket, "PublicAccessBlockConfiguration": given.pop("PublicAccessBlockConfiguration")}
    yield "s3", "PutPublicAccessBlock", public
    yield "s3", "PutBucketVersioning", {**bucket, "VersioningConfiguration": given.pop("VersioningConfiguration")}
    yield "s3", "PutBucketOwnershipControls", {**bucket, **given}


def _lifecycle_rule(rule: Properties) -> Properties:
    given = dict(rule)
    days = {"Days": given.pop("ExpirationInDays")} if "ExpirationInDays" in given else {}
    marker = "ExpiredObjectDeleteMarker"
    expiration = {**days, **({marker: given.pop(marker)} if marker in given else {})}
    renamed = {"ID": given.pop("Id"), "Filter": {"Prefix": given.pop("Prefix", "")}}
    return {**given, **renamed, **({"Expiration": expiration} if expiration else {})}


def _role(properties: Properties, name: str) -> Iterator[Call]:
    given = dict(properties)
    for policy in given.pop("Policies"):
        document = json.dumps(policy["PolicyDocument"])
        yield "iam", "PutRolePolicy", {**policy, "RoleName": name, "PolicyDocument": document}
    trust = json.dumps(given.pop("AssumeRolePolicyDocument"))
    yield "iam", "CreateRole", {**given, "RoleName": name, "AssumeRolePolicyDocument": trust}


def _bucket_policy(properties: Properties, _: str) -> Iterator[Call]:
    yield "s3", "PutBucketPolicy", {"Bucket": properties["Bucket"], "Policy": json.dumps(properties["PolicyDocument"])}


def _topic_policy(properties: Properties, _: str) -> Iterator[Call]:
    for topic in properties["Topics"]:
        policy = {"AttributeName": "Policy", "AttributeValue": json.dumps(properties["PolicyDocument"])}
        yield "sns", "SetTopicAttributes", {"TopicArn": topic, **policy}


def _queue_policy(properties: Properties, _: str) -> Iterator[Call]:
    for queue in properties["Queues"]:
        policy = {"Policy": json.dumps(properties["PolicyDocument"])}
        yield "sqs", "SetQueueAttributes", {"QueueUrl": queue, "Attributes": policy}


def _queue(properties: Properties, name: str) -> Iterator[Call]:
    attributes = {key: _text(value) for key, value in properties.items() if key != "QueueName"}
    yield "sqs", "CreateQueue", {"QueueName": name, "Attributes": attributes}


def _topic(properties: Properties, name: str) -> Iterator[Call]:
    attributes = {key: _text(value) for key, value in properties.items() if key != "TopicName"}
    yield "sns", "CreateTopic", {"Name": name, "Attributes": attributes}


def _subscription(properties: Properties, _: str) -> Iterator[Call]:
    direct = ("TopicArn", "Protocol", "Endpoint")
    attributes = {key: _text(value) for key, value in properties.items() if key not in direct}
    yield "sns", "Subscribe", {**{key: properties[key] for key in direct}, "Attributes": attributes}


def _log_group(properties: Properties, name: str) -> Iterator[Call]:
    key = {"kmsKeyId": properties["KmsKeyId"]} if "KmsKeyId" in properties else {}
    yield "logs", "CreateLogGroup", {"logGroupName": name, **key}
    yield "logs", "PutRetentionPolicy", {"logGroupName": name, "retentionInDays": properties["RetentionInDays"]}


def _work_group(properties: Properties, name: str) -> Iterator[Call]:
    given = dict(properties)
    yield "athena", "DeleteWorkGroup", {"WorkGroup": name, "RecursiveDeleteOption": given.pop("RecursiveDeleteOption")}
    yield "athena", "UpdateWorkGroup", {"WorkGroup": name, "State": given.pop("State")}
    yield "athena", "CreateWorkGroup", {"Configuration": given.pop("WorkGroupConfiguration"), **given}


def _rule(properties: Properties, name: str) -> Iterator[Call]:
    given = dict(properties)
    yield "events", "PutTargets", {"Rule": name, "Targets": given.pop("Targets")}
    pattern = {"EventPattern": json.dumps(given.pop("EventPattern"))} if "EventPattern" in given else {}
    yield "events", "PutRule", {"Name": name, **given, **pattern}


def _trail(properties: Properties, name: str) -> Iterator[Call]:
    given = dict(properties)
    yield "cloudtrail", "PutEventSelectors", {"TrailName": name, "EventSelectors": given.pop("EventSelectors")}
    key = {"KmsKeyId": given.pop("KMSKeyId")} if "KMSKeyId" in given else {}
    assert given.pop("IsLogging") is True
    yield "cloudtrail", "CreateTrail", {"Name": given.pop("TrailName"), **given, **key}


def _function(properties: Properties, _: str) -> Iterator[Call]:
    given = dict(properties)
    key = {"KMSKeyArn": given.pop("KmsKeyArn")} if "KmsKeyArn" in given else {}
    yield "lambda", "CreateFunction", {**given, **key}


def _text(value: object) -> str:
    """Return an attribute of a queue or topic as its service expects it."""
    return json.dumps(value) if isinstance(value, bool | dict | list) else str(value)


_CALLS: Mapping[str, Callable[[Properties, str], Iterator[Call]]] = {
    "AWS::Athena::NamedQuery": _as_is("athena", "CreateNamedQuery"),
    "AWS::Athena::WorkGroup": _work_group,
    "AWS::CloudTrail::Trail": _trail,
    "AWS::CloudWatch::Alarm": _as_is("cloudwatch", "PutMetricAlarm"),
    "AWS::CloudWatch::Dashboard": _as_is("cloudwatch", "PutDashboard"),
    "AWS::Events::Rule": _rule,
    "AWS::Glue::Crawler": _as_is("glue", "CreateCrawler"),
    "AWS::Glue::Database": _as_is("glue", "CreateDatabase"),
    "AWS::Glue::Job": _as_is("glue", "CreateJob"),
    "AWS::Glue::Table": _as_is("glue", "CreateTable"),
    "AWS::Glue::Trigger": _as_is("glue", "CreateTrigger"),
    "AWS::Glue::Workflow": _as_is("glue", "CreateWorkflow"),
    "AWS::IAM::Role": _role,
    "AWS::Lambda::EventInvokeConfig": _as_is("lambda", "PutFunctionEventInvokeConfig"),
    "AWS::Lambda::EventSourceMapping": _as_is("lambda", "CreateEventSourceMapping"),
    "AWS::Lambda::Function": _function,
    "AWS::Lambda::Permission": _as_is("lambda", "AddPermission", StatementId="permission"),
    "AWS::Logs::LogGroup": _log_group,
    "AWS::S3::Bucket": _bucket,
    "AWS::S3::BucketPolicy": _bucket_policy,
    "AWS::SNS::Subscription": _subscription,
    "AWS::SNS::Topic": _topic,
    "AWS::SNS::TopicPolicy": _topic_policy,
    "AWS::SQS::Queue": _queue,
    "AWS::SQS::QueuePolicy": _queue_policy,
}
