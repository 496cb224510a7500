"""CloudFormation: the state of a stack, change sets, and events as they arrive."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from brewhouse.aws.session import Account, denial_or, get_or_none
from brewhouse.errors import BrewhouseError

StackEvent: TypeAlias = Mapping[str, Any]
"""A state change of one resource of a stack, as CloudFormation describes it."""
POLL_S = 2.0
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")
_CANCELLED = "cancelled"  # reason of a resource that was given up because another one failed


@dataclass(frozen=True)
class Stack:
    """A stack and its current state; its ARN stays valid after deletion."""

    arn: str
    name: str
    status: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]

    def database(self, zone: str) -> str:
        """Return the name of the Glue database of a zone."""
        return f"{self.parameters['CatalogDatabase']}_{zone}"


@dataclass(frozen=True)
class ChangeSet:
    """A change set that waits for its execution, and whether it creates the stack.

    Attributes:
        changes: What it does to each resource: action, name, type, whether it is replaced, and the changed properties.
    """

    arn: str
    stack_arn: str
    creates: bool
    changes: list[dict[str, str]]


def find_stack(account: Account, name: str) -> Stack | None:
    """Find a stack by name or id; a deleted one only by its id."""
    answer = get_or_none(account.client("cloudformation").describe_stacks, StackName=name)
    if answer is None:
        return None
    found = answer["Stacks"][0]
    return Stack(
        arn=found["StackId"],
        name=found["StackName"],
        status=found["StackStatus"],
        parameters={p["ParameterKey"]: p.get("ParameterValue", "") for p in found.get("Parameters", [])},
        outputs={o["OutputKey"]: o["OutputValue"] for o in found.get("Outputs", [])},
    )


def get_stack(account: Account, name: str) -> Stack:
    """Return a stack by name or id.

    Raises:
        BrewhouseError: It does not exist in this account and region.
    """
    if found := find_stack(account, name):
        return found
    raise BrewhouseError(
        f"Account {account.number} has no stack {name} in {account.region}.", hint="Create it: `brewhouse aws deploy`."
    )


def create_change_set(
    account: Account, name: str, template: str, parameters: Mapping[str, str], before: Stack | None, url: str = ""
) -> ChangeSet | None:
    """Create a change set from a template in JSON; None if nothing would change.

    Parameters that are not given keep their value or default; those that the template no longer has are left out.

    Args:
        url: Where CloudFormation reads the template if it does not fit into a request.

    Raises:
        BrewhouseError: CloudFormation rejects the change.
    """
    client = account.client("cloudformation")
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
    earlier = set(before.parameters) if before else set()
    kept = earlier & set(json.loads(template).get("Parameters", ())) - set(parameters)
    made = client.create_change_set(
        StackName=name,
        ChangeSetName=f"brewhouse-{uuid.uuid4()}",
        ChangeSetType="UPDATE" if before else "CREATE",
        **({"TemplateURL": url} if url else {"TemplateBody": template}),
        Parameters=[*given, *({"ParameterKey": key, "UsePreviousValue": True} for key in sorted(kept))],
        Capabilities=["CAPABILITY_IAM"],
        Tags=[{"Key": "application", "Value": "brewhouse"}],
    )
    ids = {"ChangeSetName": made["Id"], "StackName": made["StackId"]}
    while (found := client.describe_change_set(**ids))["Status"] in {"CREATE_PENDING", "CREATE_IN_PROGRESS"}:
        time.sleep(POLL_S)
    if found["Status"] == "CREATE_COMPLETE":
        pages = client.get_paginator("describe_change_set").paginate(**ids)
        changes = [_change(each["ResourceChange"]) for page in pages for each in page["Changes"]]
        return ChangeSet(made["Id"], made["StackId"], before is None, changes)
    client.delete_change_set(**ids)
    reason = found.get("StatusReason", "")
    if any(words in reason for words in _NO_CHANGES):
        return None
    raise BrewhouseError(f"CloudFormation rejected the change: {denial_or(reason)}")


def discard_change_set(account: Account, change_set: ChangeSet) -> None:
    """Delete a change set, and the stack if the change set would have created it."""
    client = account.client("cloudformation")
    client.delete_change_set(ChangeSetName=change_set.arn, StackName=change_set.stack_arn)
    if change_set.creates:
        client.delete_stack(StackName=change_set.stack_arn)


def execute_change_set(account: Account, change_set: ChangeSet) -> Iterator[StackEvent]:
    """Execute a change set, and yield its events until it is complete or rolled back.

    Raises:
        BrewhouseError: It failed and was rolled back; names the resources that failed, with the reasons.
    """
    names = {"ChangeSetName": change_set.arn, "StackName": change_set.stack_arn}
    begin = partial(account.client("cloudformation").execute_change_set, **names)
    return _follow(account, change_set.stack_arn, begin, {"CREATE_COMPLETE", "UPDATE_COMPLETE"})


def delete_stack(account: Account, stack: Stack) -> Iterator[StackEvent]:
    """Delete a stack, and yield its events until it is deleted.

    Raises:
        BrewhouseError: A resource could not be deleted; names it, with the reason.
    """
    begin = partial(account.client("cloudformation").delete_stack, StackName=stack.arn)
    return _follow(account, stack.arn, begin, {"DELETE_COMPLETE"})


def _follow(account: Account, arn: str, begin: Callable[[], object], good: set[str]) -> Iterator[StackEvent]:
    seen = {event["EventId"] for event in _events(account, arn)}
    reasons: list[str] = []
    begin()
    while True:
        stack = find_stack(account, arn)  # before the events, so that none of the last ones is missed
        for event in _events(account, arn):
            if event["EventId"] not in seen:
                seen.add(event["EventId"])
                reason = event.get("ResourceStatusReason", "")
                if event["ResourceStatus"].endswith("_FAILED") and _CANCELLED not in reason:
                    reasons.append(f"{event['LogicalResourceId']}: {denial_or(reason)}")
                yield event
        status = stack.status if stack else "DELETE_COMPLETE"
        if not status.endswith("_IN_PROGRESS"):
            break
        time.sleep(POLL_S)
    if status not in good:
        raise BrewhouseError(
            f"The stack ended as {status}. {'; '.join(reasons) or 'CloudFormation gave no reason'}.",
            hint="The lake is unchanged. Fix the cause, then run the command again.",
        )


def _events(account: Account, arn: str) -> list[StackEvent]:
    pages = account.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=arn)
    answer = get_or_none(lambda: [event for page in pages for event in page["StackEvents"]])
    return [*reversed(answer or [])]


def _change(change: Mapping[str, Any]) -> dict[str, str]:
    targets = [detail["Target"] for detail in change.get("Details", [])]
    why = ", ".join(sorted({target.get("Name") or target["Attribute"] for target in targets}))
    of = {"action": change["Action"].lower(), "resource": change["LogicalResourceId"], "type": change["ResourceType"]}
    return {**of, "replaced": change.get("Replacement", ""), "reason": why}
