"""The key policy that the stack needs if a KMS key of the account encrypts everything stored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from importlib.resources import files
from string import Template
from typing import Any

from brewhouse.aws.session import Account

_SOURCES = {"aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid"}  # EventBridge sends none of them to KMS
_TRAIL = "cloudtrail.amazonaws.com"


def key_policy(account: Account, stack: str) -> dict[str, Any]:
    """Return the key policy that a stack needs: the account's IAM policies, and the services without a role of it.

    https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    https://docs.aws.amazon.com/athena/latest/ug/managed-results.html
    """
    names = {"partition": account.caller.split(":")[1], "region": account.region, "account": account.number}
    template = Template(files(__package__).joinpath("key_policy.json").read_text("utf-8"))
    policy: dict[str, Any] = json.loads(template.substitute(names, stack=stack))
    return policy


def missing_permissions(policy: Mapping[str, Any], needed: Mapping[str, Any], *, has_trail: bool) -> Iterator[str]:
    """Yield what a key's policy lacks of the needed one: principal and actions.

    A condition counts as met, except on the source of EventBridge, for which AWS does not support it.
    """
    for statement in needed["Statement"]:
        [principal] = statement["Principal"].values()
        if principal == _TRAIL and not has_trail:
            continue
        allowed = [each for each in as_list(policy["Statement"]) if _allows(each, principal)]
        missing = [
            action
            for action in statement["Action"]
            if not any(fnmatchcase(action, pattern) for each in allowed for pattern in as_list(each.get("Action", [])))
        ]
        if missing:
            plain = ", without a condition on its source" if principal.startswith("events.") else ""
            yield f"{', '.join(missing)} for {principal}{plain}"


def _allows(statement: Mapping[str, Any], principal: str) -> bool:
    """Return whether a statement allows a principal something."""
    given = statement.get("Principal", {})
    named = {each for kind in given.values() for each in as_list(kind)} if isinstance(given, dict) else {given}
    if principal.endswith(":root"):
        named |= {f"{principal.rpartition('::')[0]}::{number}:root" for number in named if number.isdecimal()}
    conditions = {key.lower() for test in statement.get("Condition", {}).values() for key in test}
    if principal.startswith("events.") and conditions & _SOURCES:
        return False
    return statement["Effect"] == "Allow" and bool(named & {principal, "*"})


def as_list(value: Any) -> list[Any]:  # noqa: ANN401 - a value of a policy
    """Return a value of a policy, which may be one or a list, as a list."""
    return value if isinstance(value, list) else [value]
