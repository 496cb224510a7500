"""The key policy that the stack needs if a KMS key of the account encrypts everything stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from brewhouse.aws.session import Account

_USE = ["kms:Decrypt", "kms:GenerateDataKey"]
_SOURCES = {"aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid"}  # EventBridge sends none of them to KMS
_TRAIL = "cloudtrail.amazonaws.com"


def key_policy(account: Account, stack: str) -> dict[str, Any]:
    """Return the key policy that a stack needs: the account's IAM policies, and the services without a role of it.

    https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    https://docs.aws.amazon.com/athena/latest/ug/managed-results.html
    """
    partition = account.caller.split(":")[1]
    here = f"{account.region}:{account.number}"

    def arn(service: str, name: str) -> str:
        return f"arn:{partition}:{service}:{here}:{name}"

    def of(source: str) -> dict[str, Any]:
        return {"StringEquals": {"aws:SourceAccount": account.number}, "ArnLike": {"aws:SourceArn": source}}

    workgroup = arn("athena", f"workgroup/{stack}")
    logs = [arn("logs", f"log-group:/aws-glue/{stack}/*"), arn("logs", f"log-group:/aws/lambda/{stack}-*")]
    athena = of(workgroup)
    athena["ArnLike"]["kms:EncryptionContext:aws:athena:arn"] = workgroup
    statements = [
        ("IamPolicies", {"AWS": f"arn:{partition}:iam::{account.number}:root"}, ["kms:*"], None),
        (
            "Logs",
            {"Service": f"logs.{account.region}.amazonaws.com"},
            ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
            {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": logs}},
        ),
        ("EventsWithoutCondition", {"Service": "events.amazonaws.com"}, _USE, None),
        ("Topic", {"Service": "sns.amazonaws.com"}, _USE, of(arn("sns", f"{stack}-events"))),
        ("Alarms", {"Service": "cloudwatch.amazonaws.com"}, _USE, of(arn("cloudwatch", f"alarm:{stack}-*"))),
        ("QueryResults", {"Service": "encryption.athena.amazonaws.com"}, [*_USE, "kms:DescribeKey"], athena),
        (
            "Trail",
            {"Service": _TRAIL},
            ["kms:GenerateDataKey*", "kms:DescribeKey"],
            of(arn("cloudtrail", f"trail/{stack}")),
        ),
    ]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": sid,
                "Effect": "Allow",
                "Principal": principal,
                "Action": actions,
                "Resource": "*",
                **({"Condition": condition} if condition else {}),
            }
            for sid, principal, actions, condition in statements
        ],
    }


def missing_permissions(policy: Mapping[str, Any], needed: Mapping[str, Any], *, has_trail: bool) -> Iterator[str]:
    """Yield what a key's policy lacks of the needed one: principal and actions.

    A condition counts as met, except on the source of EventBridge, for which AWS does not support it.
    """
    for statement in needed["Statement"]:
        [principal] = statement["Principal"].values()
        if principal == _TRAIL and not has_trail:
            continue
        allowed = [each for each in _list(policy["Statement"]) if _allows(each, principal)]
        missing = [
            action
            for action in statement["Action"]
            if not any(fnmatchcase(action, pattern) for each in allowed for pattern in _list(each.get("Action", [])))
        ]
        if missing:
            plain = ", without a condition on its source" if principal.startswith("events.") else ""
            yield f"{', '.join(missing)} for {principal}{plain}"


def _allows(statement: Mapping[str, Any], principal: str) -> bool:
    """Return whether a statement allows a principal something."""
    given = statement.get("Principal", {})
    named = {each for kind in given.values() for each in _list(kind)} if isinstance(given, dict) else {given}
    if principal.endswith(":root"):
        named |= {f"{principal.rpartition('::')[0]}::{number}:root" for number in named if number.isdecimal()}
    conditions = {key.lower() for test in statement.get("Condition", {}).values() for key in test}
    if principal.startswith("events.") and conditions & _SOURCES:
        return False
    return statement["Effect"] == "Allow" and bool(named & {principal, "*"})


def _list(value: Any) -> list[Any]:  # noqa: ANN401 - a policy has one value or a list of them
    return value if isinstance(value, list) else [value]
