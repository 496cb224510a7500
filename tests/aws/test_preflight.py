"""Checks before a deployment, and the key policy that it needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import boto3
import pytest
from tests.aws.cloud import STACK
from tests.aws.replay import replay

from brewhouse.aws.preflight import NO_TRAIL, Preflight, key_policy, missing_permissions
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import find_stack
from brewhouse.aws.template import defaults
from brewhouse.cli.stack_changes import _check_account
from brewhouse.errors import ChecksFailed

Call = Callable[..., tuple[int, str, str]]
KEY = "arn:aws:kms:eu-central-1:123456789012:key/k"
IAM = [{"Principal": {"DataLakePrincipalIdentifier": "IAM_ALLOWED_PRINCIPALS"}, "Permissions": ["ALL"]}]
ACCOUNT = Account("123456789012", "eu-central-1", "arn:aws:iam::123456789012:user/ann", boto3.Session("k", "s"))
READY: Mapping[str, Any] = {
    "glue.GetJobs": {"Jobs": []},
    "glue.GetDatabase": ("EntityNotFoundException", "Database not found."),
    "glue.GetDataCatalogEncryptionSettings": {"DataCatalogEncryptionSettings": {}},
    "lakeformation.GetDataLakeSettings": {
        "DataLakeSettings": {"CreateDatabaseDefaultPermissions": IAM, "CreateTableDefaultPermissions": IAM}
    },
    "lambda.GetAccountSettings": {"AccountLimit": {"ConcurrentExecutions": 10, "UnreservedConcurrentExecutions": 10}},
    "service-quotas.GetServiceQuota": {"Quota": {"Value": 30.0}},
    "kms.GetKeyPolicy": {"Policy": json.dumps(key_policy(ACCOUNT, STACK))},
    "cloudtrail.DescribeTrails": {"trailList": [{"Name": "all", "TrailARN": "arn:trail"}]},
    "cloudtrail.GetTrailStatus": {"IsLogging": True},
}
"""Answers of an account where nothing is in the way."""


def checked(answers: Mapping[str, Any], **parameters: str) -> dict[str, tuple[bool | None, str]]:
    """Check an account that answers so, or with an error given as code and message."""
    account = Account(
        ACCOUNT.number, "eu-central-1", ACCOUNT.caller, boto3.Session("k", "s", region_name="eu-central-1")
    )

    replay(account, {**READY, **answers})
    whole = {**defaults(), "BucketName": "mine", "KmsKeyArn": "", **parameters}
    return {check.name: (check.passed, check.detail) for check in Preflight(account, STACK, whole).checks()}


def test_nothing_is_in_the_way_of_an_ordinary_account() -> None:
    assert {passed for passed, _ in checked({}, KmsKeyArn=KEY).values()} == {True}


@pytest.mark.parametrize(
    ("check", "answers", "parameters", "passed", "advice"),
    [
        (
            "the Glue version runs the engine",
            {},
            {"GlueVersion": "5.1"},
            False,
            "not spark with 5.1: set --parameter GlueVersion=6.0, or Engine=duckdb",
        ),
        (
            "Glue is enabled",
            {"glue.GetJobs": ("AccessDeniedException", "Account 123456789012 is denied access.")},
            {},
            False,
            "ask AWS Support to enable Glue",
        ),
        (
            "Glue is enabled",
            {"glue.GetJobs": ("AccessDeniedException", "User: arn:x is not authorized to perform: glue:GetJobs")},
            {},
            None,
            "could not be checked: AWS denies glue:GetJobs",
        ),
        (
            "no other stack owns the databases",
            {"glue.GetDatabase": {"Database": {"Name": "x", "Parameters": {"brewhouse.bucket": "theirs"}}}},
            {},
            False,
            "brewhouse_bronze belongs to theirs: set --parameter CatalogDatabase",
        ),
        (
            "no other stack owns the databases",
            {"glue.GetDatabase": {"Database": {"Name": "x"}}},
            {"CatalogDatabase": "beer"},
            False,
            "beer_bronze belongs to another application",
        ),
        (
            "no other stack owns the databases",
            {"glue.GetDatabase": {"Database": {"Name": "x", "Parameters": {"brewhouse.bucket": "mine"}}}},
            {},
            True,
            "",
        ),
        (
            "Lake Formation leaves permissions to IAM",
            {"lakeformation.GetDataLakeSettings": {"DataLakeSettings": {"CreateDatabaseDefaultPermissions": IAM}}},
            {},
            None,
            "CreateTableDefaultPermissions lacks IAM_ALLOWED_PRINCIPALS: grant",
        ),
        (
            "the jobs can decrypt the catalog",
            {
                "glue.GetDataCatalogEncryptionSettings": {
                    "DataCatalogEncryptionSettings": {
                        "EncryptionAtRest": {"CatalogEncryptionMode": "SSE-KMS", "SseAwsKmsKeyId": "arn:other"}
                    }
                }
            },
            {},
            None,
            "encrypted with arn:other: allow the stack's roles",
        ),
        (
            "Lambda can run the functions",
            {"lambda.GetAccountSettings": {"AccountLimit": {"ConcurrentExecutions": 5}}},
            {},
            False,
            "5 concurrent executions, fewer than 6: raise it",
        ),
        (
            "Glue can run the jobs",
            {},
            {"WorkerType": "G.4X", "NumberOfWorkers": "10"},
            False,
            "30 DPUs of concurrent job runs, fewer than 80: raise it",
        ),
        (
            "the policy of the KMS key admits the services",
            {"kms.GetKeyPolicy": {"Policy": '{"Statement": []}'}},
            {"KmsKeyArn": KEY},
            False,
            "encryption.athena.amazonaws.com",
        ),
        (
            "the policy of the KMS key admits the services",
            {"kms.GetKeyPolicy": ("AccessDeniedException", "no")},
            {"KmsKeyArn": KEY},
            None,
            "could not be checked: no",
        ),
        ("a CloudTrail trail records calls", {"cloudtrail.GetTrailStatus": {"IsLogging": False}}, {}, None, NO_TRAIL),
        (
            "a CloudTrail trail records calls",
            {"cloudtrail.DescribeTrails": {"trailList": []}},
            {"RecordManagementCalls": "true"},
            True,
            "the stack's own",
        ),
    ],
)
def test_an_obstacle_is_reported_with_what_to_do(
    check: str, answers: Mapping[str, Any], parameters: Mapping[str, str], passed: bool | None, advice: str
) -> None:
    result = checked(answers, **parameters)[check]
    assert result[0] is passed
    assert advice in result[1]
    assert "\n" not in result[1]


def test_a_failed_check_stops_the_deployment_before_its_change_set(account: Account, deploy: Call) -> None:
    account.client("glue").create_database(DatabaseInput={"Name": "brewhouse_gold"})
    code, out, err = deploy()
    assert code == 3
    assert "FAILED   no other stack owns the databases: brewhouse_gold belongs to another application" in out
    assert "1 checks failed" in err
    assert find_stack(account, STACK) is None
    assert account.client("s3").list_buckets()["Buckets"] == []
    assert deploy("--parameter", "CatalogDatabase=beer")[0] == 0


def test_the_key_is_checked_before_the_change_set(account: Account, deploy: Call) -> None:
    kms = account.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    code, out, _ = deploy("--parameter", f"KmsKeyArn={key}")
    assert code == 3
    assert "kms:GenerateDataKey for events.amazonaws.com, without a condition on its source" in out
    assert "brewhouse aws key-policy --stack brew" in out
    policy = json.dumps(key_policy(account, STACK))
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy)
    assert (
        f"ok       the policy of the KMS key admits the services: {key}" in deploy("--parameter", f"KmsKeyArn={key}")[1]
    )


@pytest.fixture
def answers_to_questions(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """What the user answers, by the first word of the question; without those that were asked."""
    given: dict[str, bool] = {}
    monkeypatch.setattr("typer.confirm", lambda question, **_: given.pop(question.split()[0]))
    return given


def test_deploy_offers_a_trail_to_an_account_without_one(
    account: Account, call: Call, package: Callable[..., object], answers_to_questions: dict[str, bool]
) -> None:
    answers_to_questions |= {"Create": False, "Make": False}
    arguments = ("deploy", "--stack", STACK, "--packaged", "--folder", package())
    code, out, _ = call(*arguments)
    assert code == 1
    assert f"warning  a CloudTrail trail records calls: {NO_TRAIL}" in out
    assert answers_to_questions == {}, "both were asked"
    trail, place = account.client("cloudtrail"), {"LocationConstraint": account.region}
    account.client("s3").create_bucket(Bucket="trails", CreateBucketConfiguration=place)
    made = trail.create_trail(Name="all", S3BucketName="trails")
    trail.start_logging(Name=made["TrailARN"])
    answers_to_questions |= {"Make": False}  # the other is not asked now
    code, out, _ = call(*arguments)
    assert code == 1
    assert "ok       a CloudTrail trail records calls: all" in out


def test_an_accepted_trail_is_a_parameter_and_the_key_must_admit_it(
    account: Account, answers_to_questions: dict[str, bool]
) -> None:
    answers_to_questions |= {"Create": True}
    parameters = {"BucketName": "mine"}
    _check_account(account, STACK, parameters, None, yes=False)
    assert parameters["RecordManagementCalls"] == "true"
    kms, policy = account.client("kms"), key_policy(account, STACK)
    policy["Statement"] = [each for each in policy["Statement"] if each["Sid"] != "Trail"]
    key = kms.create_key(Policy=json.dumps(policy))["KeyMetadata"]["Arn"]
    answers_to_questions |= {"Create": True}
    with pytest.raises(ChecksFailed, match="the policy of the KMS key admits the services"):
        _check_account(account, STACK, {"BucketName": "mine", "KmsKeyArn": key}, None, yes=False)


NEEDED = key_policy(ACCOUNT, "brew")
USE = ["kms:Decrypt", "kms:GenerateDataKey"]


def of(service: str) -> dict[str, Any]:
    [found] = [each for each in NEEDED["Statement"] if each["Principal"].get("Service") == service]
    assert isinstance(found, dict)
    return found


def missing(*statements: dict[str, Any], has_trail: bool = True) -> list[str]:
    policy = {"Version": "2012-10-17", "Statement": list(statements)}
    return list(missing_permissions(policy, NEEDED, has_trail=has_trail))


def allow(actions: object, condition: dict[str, Any] | None = None, **principal: object) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": principal, "Action": actions, "Resource": "*"}
    return {**statement, "Condition": condition} if condition else statement


def test_athena_is_admitted_for_the_workgroup_and_eventbridge_without_condition() -> None:
    assert "Condition" not in of("events.amazonaws.com")
    athena = of("encryption.athena.amazonaws.com")
    assert set(athena["Action"]) == {*USE, "kms:DescribeKey"}
    workgroup = "arn:aws:athena:eu-central-1:123456789012:workgroup/brew"
    assert athena["Condition"]["ArnLike"] == {
        "aws:SourceArn": workgroup,
        "kms:EncryptionContext:aws:athena:arn": workgroup,
    }
    assert athena["Condition"]["StringEquals"] == {"aws:SourceAccount": "123456789012"}


def test_the_policy_is_complete_and_one_without_a_service_is_not() -> None:
    statements = NEEDED["Statement"]
    assert missing(*statements) == []
    for lacking in statements:
        [text] = missing(*(each for each in statements if each != lacking))
        [principal] = lacking["Principal"].values()
        assert principal in text
        assert lacking["Action"][0] in text
    assert missing(*statements[:-1], has_trail=False) == []


@pytest.mark.parametrize(
    ("statement", "is_enough"),
    [
        (allow(USE, Service="events.amazonaws.com"), True),
        (allow("kms:*", Service=["sns.amazonaws.com", "events.amazonaws.com"]), True),
        (allow(["kms:Decrypt*", "kms:GenerateDataKey*"], AWS="*"), True),
        ({**allow(USE), "Principal": "*"}, True),
        (allow(USE, {"StringEquals": {"kms:ViaService": "sns"}}, Service="events.amazonaws.com"), True),
        (allow("kms:Decrypt", Service="events.amazonaws.com"), False),
        (allow(USE, {"ArnLike": {"aws:SourceArn": "arn:x"}}, Service="events.amazonaws.com"), False),
        (allow(USE, {"StringEquals": {"AWS:SourceAccount": "1"}}, Service="events.amazonaws.com"), False),
        ({**allow("kms:*", Service="events.amazonaws.com"), "Effect": "Deny"}, False),
        (allow(USE, Service="sns.amazonaws.com"), False),
    ],
)
def test_statements_that_admit_eventbridge(statement: dict[str, Any], is_enough: bool) -> None:
    others = [each for each in NEEDED["Statement"] if each != of("events.amazonaws.com")]
    found = missing(*others, statement)
    assert (found == []) is is_enough
    assert all("without a condition on its source" in each for each in found)


def test_the_account_may_be_named_by_its_number() -> None:
    others = NEEDED["Statement"][1:]
    assert missing(*others, allow("kms:*", AWS="123456789012")) == []
    assert len(missing(*others, allow("kms:*", AWS="999999999999"))) == 1


def test_the_command_prints_a_policy_that_kms_accepts(
    account: Account, call: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = call("key-policy", "--stack", "brew")
    assert (code, err) == (0, "")
    policy = json.loads(out)
    assert policy == key_policy(account, "brew")
    key = account.client("kms").create_key(Policy=json.dumps(policy))["KeyMetadata"]["KeyId"]
    stored = json.loads(account.client("kms").get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    assert list(missing_permissions(stored, policy, has_trail=True)) == []
