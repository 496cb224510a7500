"""Change sets are planned, executed or discarded; the cause of a failure is named."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from brewhouse.aws import stacks
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import (
    Stack,
    create_change_set,
    delete_stack,
    discard_change_set,
    execute_change_set,
    find_stack,
    get_stack,
)
from brewhouse.errors import BrewhouseError

NAME = "small"
ARN = "arn:aws:cloudformation:eu-central-1:1:stack/small/1"


def small(*queues: str) -> str:
    """Return a template of queues."""
    resources = {
        queue: {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": queue, "VisibilityTimeout": {"Ref": "Seconds"}}}
        for queue in queues
    }
    seconds = {"Type": "Number", "Default": 30, "MaxValue": 60}
    return json.dumps({"Parameters": {"Seconds": seconds}, "Resources": resources})


def change(account: Account, template: str, parameters: Mapping[str, str] | None = None) -> list[str]:
    """Create and execute a change set; return the changed resources with their actions."""
    found = create_change_set(account, NAME, template, parameters or {}, find_stack(account, NAME))
    if found is None:
        return []
    for _ in execute_change_set(account, found):
        pass
    return [f"{each['action']} {each['resource']}" for each in found.changes]


def test_a_stack_is_created_updated_and_deleted(account: Account) -> None:
    assert find_stack(account, NAME) is None
    assert change(account, small("One", "Two"), {"Seconds": "40"}) == ["add One", "add Two"]
    assert change(account, small("One", "Two")) == []
    assert get_stack(account, NAME).parameters == {"Seconds": "40"}, "a parameter that is not given is kept"
    assert sorted(change(account, small("One", "Three"))) == ["add Three", "remove Two"]
    stack = get_stack(account, NAME)
    events = list(delete_stack(account, stack))
    assert {event["LogicalResourceId"] for event in events if event["ResourceStatus"] == "DELETE_COMPLETE"} >= {
        "One",
        "Three",
    }
    assert find_stack(account, NAME) is None


def test_a_parameter_that_the_template_no_longer_has_is_dropped(account: Account) -> None:
    earlier = json.loads(small("One"))
    earlier["Parameters"]["AdminEmail"] = {"Type": "String", "Default": ""}
    change(account, json.dumps(earlier), {"Seconds": "40", "AdminEmail": "ann@example.org"})
    assert change(account, small("One", "Two")) == ["add Two"]
    assert get_stack(account, NAME).parameters == {"Seconds": "40"}


def test_no_value_of_a_dropped_parameter_is_sent(answers: tuple[Account, Stubber]) -> None:
    """The emulator accepts it, CloudFormation answers "Parameters: [AdminEmail] do not exist in the template"."""
    account, stub = answers
    before = Stack(ARN, NAME, "UPDATE_COMPLETE", {"Seconds": "40", "AdminEmail": "ann@example.org"}, {})
    kept = {"ParameterKey": "Seconds", "UsePreviousValue": True}
    asked = {"StackName": NAME, "ChangeSetType": "UPDATE", "TemplateURL": "https://bucket/stack.json"}
    same = dict.fromkeys(("ChangeSetName", "Capabilities", "Tags"), ANY)
    answer = {"Id": "arn:change-set", "StackId": ARN}
    stub.add_response("create_change_set", answer, {**asked, **same, "Parameters": [kept]})
    stub.add_response("describe_change_set", {"Status": "FAILED", "StatusReason": "didn't contain changes"})
    stub.add_response("delete_change_set", {})
    assert create_change_set(account, NAME, small("One"), {}, before, "https://bucket/stack.json") is None


def test_a_discarded_change_set_of_a_new_stack_leaves_no_stack(account: Account) -> None:
    found = create_change_set(account, NAME, small("One"), {}, None)
    assert found
    assert found.creates
    discard_change_set(account, found)
    assert find_stack(account, NAME) is None


def test_a_discarded_change_set_of_a_stack_leaves_the_stack(account: Account) -> None:
    change(account, small("One"))
    before = get_stack(account, NAME)
    found = create_change_set(account, NAME, small("One", "Two"), {}, before)
    assert found
    assert not found.creates
    discard_change_set(account, found)
    assert get_stack(account, NAME) == before


def test_a_missing_stack_is_an_error_with_the_next_step(account: Account) -> None:
    with pytest.raises(BrewhouseError, match=r"has no stack small in eu-central-1\. Create it: `brewhouse aws deploy`"):
        get_stack(account, NAME)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Account, Stubber]]:
    """An account whose CloudFormation answers as recorded."""
    monkeypatch.setattr(stacks, "POLL_S", 0)
    account = Account("1", "eu-central-1", "arn", boto3.Session("key", "secret", region_name="eu-central-1"))
    with Stubber(account.client("cloudformation")) as stub:
        yield account, stub
        stub.assert_no_pending_responses()


def add_failed_change_set(stub: Stubber, reason: str) -> None:
    stub.add_response("create_change_set", {"Id": "arn:change-set", "StackId": ARN})
    for status in ("CREATE_PENDING", "CREATE_IN_PROGRESS", "FAILED"):
        stub.add_response("describe_change_set", {"Status": status, "StatusReason": reason})
    stub.add_response("delete_change_set", {})


@pytest.mark.parametrize(
    "reason",
    [
        "The submitted information didn't contain changes. Submit different information to create a change set.",
        "No updates are to be performed.",
    ],
)
def test_a_change_set_without_changes_is_deleted(answers: tuple[Account, Stubber], reason: str) -> None:
    account, stub = answers
    add_failed_change_set(stub, reason)
    assert create_change_set(account, NAME, "{}", {}, None) is None


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("Parameter Seconds is too large", "rejected the change: Parameter Seconds is too large"),
        (
            "User: arn:aws:iam::1:user/ann is not authorized to perform: iam:GetRole on resource: role R",
            "rejected the change: AWS denies iam:GetRole on role.",
        ),
    ],
)
def test_a_rejected_change_set_is_deleted_and_has_its_reason(
    answers: tuple[Account, Stubber], reason: str, message: str
) -> None:
    account, stub = answers
    add_failed_change_set(stub, reason)
    with pytest.raises(BrewhouseError) as rejected:
        create_change_set(account, NAME, "{}", {}, None)
    assert message in str(rejected.value)


def event(number: int, name: str, status: str, reason: str = "") -> dict[str, Any]:
    return {
        "StackId": ARN,
        "EventId": str(number),
        "StackName": NAME,
        "LogicalResourceId": name,
        "Timestamp": datetime(2026, 8, 2, 6, 0, number, tzinfo=UTC),
        "ResourceStatus": status,
        "ResourceStatusReason": reason,
    }


def add_progress(stub: Stubber, status: str, *events: dict[str, Any]) -> None:
    """Let CloudFormation report a status of the stack, and its events so far."""
    stack = {"StackId": ARN, "StackName": NAME, "StackStatus": status, "CreationTime": datetime(2026, 8, 2, tzinfo=UTC)}
    stub.add_response("describe_stacks", {"Stacks": [stack]})
    stub.add_response("describe_stack_events", {"StackEvents": list(reversed(events))})


def test_each_event_is_reported_once_and_a_failure_names_its_causes(answers: tuple[Account, Stubber]) -> None:
    account, stub = answers
    first = event(1, "One", "DELETE_IN_PROGRESS")
    failed = event(2, "One", "DELETE_FAILED", "the bucket is not empty")
    cancelled = event(3, "Two", "DELETE_FAILED", "Resource deletion cancelled")
    stub.add_response("describe_stack_events", {"StackEvents": [event(0, NAME, "CREATE_COMPLETE")]})
    stub.add_response("delete_stack", {})
    add_progress(stub, "DELETE_IN_PROGRESS", event(0, NAME, "CREATE_COMPLETE"), first)
    add_progress(stub, "DELETE_FAILED", event(0, NAME, "CREATE_COMPLETE"), first, failed, cancelled)
    reported: list[str] = []
    with pytest.raises(BrewhouseError) as error:
        reported.extend(each["EventId"] for each in delete_stack(account, Stack(ARN, NAME, "CREATE_COMPLETE", {}, {})))
    assert reported == ["1", "2", "3"]
    assert error.value.what == "The stack ended as DELETE_FAILED. One: the bucket is not empty."


def test_a_failure_without_a_reason_says_so(answers: tuple[Account, Stubber]) -> None:
    account, stub = answers
    stub.add_response("describe_stack_events", {"StackEvents": []})
    stub.add_response("delete_stack", {})
    add_progress(stub, "DELETE_FAILED")
    with pytest.raises(BrewhouseError, match="CloudFormation gave no reason"):
        list(delete_stack(account, Stack(ARN, NAME, "CREATE_COMPLETE", {}, {})))
