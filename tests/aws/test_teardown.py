"""What a deleted stack keeps is deleted on request; `test_deploy` covers bucket and databases."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from botocore.stub import Stubber

from brewhouse.aws import teardown
from brewhouse.aws.session import Account
from brewhouse.aws.teardown import remove_queues

URLS = {f"brew-{name}": f"https://sqs.eu-central-1.amazonaws.com/1/brew-{name}" for name in ("events", "dead-letters")}


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Account, Stubber]]:
    """An account whose SQS answers as recorded."""
    monkeypatch.setattr(teardown, "POLL_S", 0)
    account = Account("1", "eu-central-1", "arn", boto3.Session("key", "secret", region_name="eu-central-1"))
    with Stubber(account.client("sqs")) as stub:
        yield account, stub
        stub.assert_no_pending_responses()


def test_a_queue_that_sqs_still_finds_after_its_deletion_is_waited_for(sqs: tuple[Account, Stubber]) -> None:
    account, stub = sqs
    for name, url in URLS.items():
        stub.add_response("get_queue_url", {"QueueUrl": url}, {"QueueName": name})
    for url in URLS.values():
        stub.add_response("delete_queue", {}, {"QueueUrl": url})
    stub.add_client_error("get_queue_url", "AWS.SimpleQueueService.NonExistentQueue")
    stub.add_response("get_queue_url", {"QueueUrl": URLS["brew-dead-letters"]})
    for _ in URLS:
        stub.add_client_error("get_queue_url", "AWS.SimpleQueueService.NonExistentQueue")
    remove_queues(account, "brew")
