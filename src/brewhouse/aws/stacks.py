"""CloudFormation: a stack's state, change sets, and events as they come."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from brewhouse.aws.session import Account, is_missing, missing_permission
from brewhouse.errors import BrewhouseError

POLL_S = 2.0
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")
_CANCELLED = "cancelled"  # said of a resource that was given up because another one failed


@dataclass(frozen=True)
class Stack:
    """A stack as it is.

    Attributes:
        arn: Its id; stays valid after deletion.
        name: What it is called.
        status: As `UPDATE_COMPLETE`.
        parameters: Their values.
        outputs: Their values.
    """

    arn: str
    name: str
    status: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]

    @property
    def is_working(self) -> bool:
        """Whether CloudFormation is at it."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"


@dataclass(frozen=True)
class ResourceChange:
    """What a change set does to one resource.

    Attributes:
        action: Add, Modify, Remove.
        name: In the template.
        kind: Type of the resource.
        replacement: `True`, `False`, `Conditional`, or empty.
        why: Names of the properties that change.
    """

    action: str
    name: str
    kind: str
    replacement: str
    why: str


@dataclass(frozen=True)
class ChangeSet:
    """A change set that waits to be executed.

    Attributes:
        arn: Its id.
        stack_arn: The stack's id.
        creates: Whether it makes the stack.
        changes: What it does.
    """

    arn: str
    stack_arn: str
    creates: bool
    changes: tuple[ResourceChange, ...]


@dataclass(frozen=True)
class StackEvent:
    """One thing that happened to a resource of a stack."""

    id: str
    time: datetime
    name: str
    kind: str
    status: str
    reason: str


def find_stack(account: Account, name: str) -> Stack | None:
    """Find a stack by its name or id; one that was never made or is deleted does not count, unless asked for by id."""
    from botocore.exceptions import ClientError

    try:
        found = account.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    return Stack(
        arn=found["StackId"],
        name=found["StackName"],
        status=found["StackStatus"],
        parameters={p["ParameterKey"]: p.get("ParameterValue", "") for p in found.get("Parameters", [])},
        outputs={o["OutputKey"]: o["OutputValue"] for o in found.get("Outputs", [])},
    )


def the_stack(account: Account, name: str) -> Stack:
    """Find a stack that must be there.

    Raises:
        BrewhouseError: There is none of this name in this account and region.
    """
    if found := find_stack(account, name):
        return found
    raise BrewhouseError(
        f"Account {account.number} has no stack {name} in {account.region}.", hint="`brewhouse aws deploy` makes it."
    )


def make_change_set(
    account: Account, name: str, template: str, parameters: Mapping[str, str], before: Stack | None
) -> ChangeSet | None:
    """Have CloudFormation work out what would change.

    Args:
        account: Where.
        name: Of the stack.
        template: Its text, or the URL of the object in a bucket that has it.
        parameters: Those to set; what is left out keeps the value it has, or its default.
        before: The stack as it is, if it is.

    Returns:
        The change set; None when nothing would change.

    Raises:
        BrewhouseError: CloudFormation cannot make one; says why.
    """
    creates = before is None or before.status == "REVIEW_IN_PROGRESS"
    client = account.client("cloudformation")
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
    kept = set() if before is None or creates else set(before.parameters) - set(parameters)
    made = client.create_change_set(
        StackName=name,
        ChangeSetName=f"brewhouse-{uuid.uuid4()}",
        ChangeSetType="CREATE" if creates else "UPDATE",
        **{"TemplateURL" if template.startswith("http") else "TemplateBody": template},
        Parameters=[*given, *({"ParameterKey": key, "UsePreviousValue": True} for key in sorted(kept))],
        Capabilities=["CAPABILITY_IAM"],
        Tags=[{"Key": "application", "Value": "brewhouse"}],
    )
    while True:
        found = client.describe_change_set(ChangeSetName=made["Id"], StackName=made["StackId"])
        if found["Status"] not in {"CREATE_PENDING", "CREATE_IN_PROGRESS"}:
            break
        time.sleep(POLL_S)
    if found["Status"] == "CREATE_COMPLETE":
        pages = client.get_paginator("describe_change_set").paginate(
            ChangeSetName=made["Id"], StackName=made["StackId"]
        )
        changes = tuple(_change(each["ResourceChange"]) for page in pages for each in page["Changes"])
        return ChangeSet(made["Id"], made["StackId"], creates, changes)
    client.delete_change_set(ChangeSetName=made["Id"], StackName=made["StackId"])
    reason = found.get("StatusReason", "")
    if any(words in reason for words in _NO_CHANGES):
        return None
    raise BrewhouseError(f"CloudFormation cannot plan the change: {missing_permission(reason) or reason}")


def drop(account: Account, change_set: ChangeSet) -> None:
    """Give a change set up; a stack that it would have made goes too."""
    client = account.client("cloudformation")
    client.delete_change_set(ChangeSetName=change_set.arn, StackName=change_set.stack_arn)
    if change_set.creates:
        client.delete_stack(StackName=change_set.stack_arn)


def execute(account: Account, change_set: ChangeSet) -> Iterator[StackEvent]:
    """Make a change, and tell every event until it is made or rolled back.

    Raises:
        BrewhouseError: It failed and was rolled back; says which resources failed, and why.
    """
    before = {event.id for event in _events(account, change_set.stack_arn)}
    account.client("cloudformation").execute_change_set(ChangeSetName=change_set.arn, StackName=change_set.stack_arn)
    yield from _follow(account, change_set.stack_arn, before, {"CREATE_COMPLETE", "UPDATE_COMPLETE"})


def delete(account: Account, stack: Stack) -> Iterator[StackEvent]:
    """Delete a stack, and tell every event until it is gone.

    Raises:
        BrewhouseError: Something could not be deleted; says what, and why.
    """
    before = {event.id for event in _events(account, stack.arn)}
    account.client("cloudformation").delete_stack(StackName=stack.arn)
    yield from _follow(account, stack.arn, before, {"DELETE_COMPLETE"})


def _follow(account: Account, arn: str, seen: set[str], good: set[str]) -> Iterator[StackEvent]:
    failed: list[StackEvent] = []
    while True:
        stack = find_stack(account, arn)  # before the events, so that none of the last ones is missed
        for event in _events(account, arn):
            if event.id not in seen:
                seen.add(event.id)
                if event.status.endswith("_FAILED") and _CANCELLED not in event.reason:
                    failed.append(event)
                yield event
        status = stack.status if stack else "DELETE_COMPLETE"
        if not status.endswith("_IN_PROGRESS"):
            break
        time.sleep(POLL_S)
    if status not in good:
        reasons = "; ".join(f"{event.name}: {missing_permission(event.reason) or event.reason}" for event in failed)
        raise BrewhouseError(
            f"The stack ended as {status}. {reasons or 'CloudFormation gave no reason'}.",
            hint="The lake is as it was. Mend the cause, and run the command again.",
        )


def _events(account: Account, arn: str) -> list[StackEvent]:
    """Read all events of a stack, oldest first."""
    from botocore.exceptions import ClientError

    pages = account.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=arn)
    try:
        found = [event for page in pages for event in page["StackEvents"]]
    except ClientError as error:
        if is_missing(error):
            return []
        raise
    return [
        StackEvent(
            id=event["EventId"],
            time=event["Timestamp"],
            name=event["LogicalResourceId"],
            kind=event.get("ResourceType", ""),
            status=event.get("ResourceStatus", ""),
            reason=event.get("ResourceStatusReason", ""),
        )
        for event in reversed(found)
    ]


def _change(change: Mapping[str, Any]) -> ResourceChange:
    why = sorted(
        {detail["Target"].get("Name") or detail["Target"]["Attribute"] for detail in change.get("Details", [])}
    )
    return ResourceChange(
        action=change["Action"],
        name=change["LogicalResourceId"],
        kind=change["ResourceType"],
        replacement=change.get("Replacement", ""),
        why=", ".join(why),
    )
