"""The key policy admits each service as AWS documents it, and the policy of a key is compared with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from brewhouse.aws.key_policy import key_policy, missing_permissions
from brewhouse.aws.session import Account

ACCOUNT = Account("123456789012", "eu-central-1", "arn:aws:iam::123456789012:user/ann", boto3.Session("k", "s"))
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
