"""An AWS account: its credentials, region and clients, and its errors as user-facing messages."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.lake.aws_errors import aws_action, denial_in, translate_boto3_error

if TYPE_CHECKING:
    import boto3

_NOT_FOUND = {
    "404",
    "AWS.SimpleQueueService.NonExistentQueue",
    "EntityNotFoundException",
    "NoSuchBucket",
    "NoSuchKey",
    "ResourceNotFoundException",
}


@dataclass(frozen=True)
class Account:
    """An AWS account and region, and the ARN of the user or role that makes the requests."""

    number: str
    region: str
    caller: str
    session: boto3.Session = field(repr=False)
    _clients: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3 creates its client classes at run time
        """Return the client of a service; AWS_ENDPOINT_URL applies."""
        from botocore.config import Config

        if service not in self._clients:  # creating one takes longer than most of its requests
            retries = Config(retries={"mode": "standard", "max_attempts": 5})
            self._clients[service] = self.session.client(service, config=retries)
        return self._clients[service]

    def watch(self, handler: Callable[..., None]) -> None:
        """Call a function with every response of AWS; as botocore's event `after-call`."""
        for emitter in (self.session.events, *(client.meta.events for client in self._clients.values())):
            emitter.register("after-call", handler)


def open_account() -> Account:
    """Find credentials and region as the AWS command line does, and ask AWS for the account.

    Raises:
        UsageError: Region or credentials are missing.
        BrewhouseError: AWS rejects the credentials, or does not answer.
    """
    import boto3

    with translated_aws_errors():
        session = boto3.Session(region_name=os.environ.get("AWS_REGION"))  # boto3 itself only knows AWS_DEFAULT_REGION
        if not session.region_name:
            raise UsageError("No AWS region is set.", hint="Set AWS_REGION, or a region in the profile of AWS_PROFILE.")
        caller = session.client("sts").get_caller_identity()
        return Account(caller["Account"], session.region_name, caller["Arn"], session)


@contextmanager
def translated_aws_errors(resource: str = "") -> Iterator[None]:
    """Translate errors of boto3 into user-facing ones, which name the given resource if AWS does not name it.

    Raises:
        UsageError: Region or credentials are missing.
        BrewhouseError: Any other refusal of AWS, or no answer.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        if known := translate_boto3_error(error, resource):
            raise known from error
        code, action = error.response["Error"]["Code"], aws_action(error.operation_name)
        message = error.response["Error"].get("Message", "")
        raise BrewhouseError(f"AWS refused {action}: {message} ({code}).") from error


def denial_or(reason: str) -> str:
    """Return the missing permission that a message of AWS names, or the message itself."""
    denial = denial_in(reason)
    return denial.what if denial else reason


def reason_of(error: BaseException) -> str:
    """Return why a request failed, in a phrase; names the missing permission if that is why."""
    from botocore.exceptions import ClientError

    message = error.response["Error"].get("Message") if isinstance(error, ClientError) else None
    return denial_or(message or str(error)).rstrip(" :.")


def get_or_none(operation: Callable[..., Any], **arguments: object) -> Any:  # noqa: ANN401 - an answer of boto3
    """Call an operation of a client; return None if the requested resource does not exist."""
    from botocore.exceptions import ClientError

    try:
        return operation(**arguments)
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        if code in _NOT_FOUND or (code == "ValidationError" and "does not exist" in message):
            return None
        raise
