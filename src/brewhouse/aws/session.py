"""Credentials, region and clients of AWS, and what its errors mean in plain words."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from brewhouse.errors import BrewhouseError, UsageError

if TYPE_CHECKING:
    import boto3

_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"}
_NO_CREDENTIALS = {"InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken", "ExpiredTokenException"}
_ALLOW = "Have it allowed, and run the command again."
_NOT_AUTHORIZED = re.compile(
    r"(?P<who>arn:\S+) is not authorized to perform: (?P<action>[\w*:-]+)(?: on resource: \"?(?P<resource>[^\s\"]+))?"
)


@dataclass(frozen=True)
class Account:
    """An AWS account and region one may use.

    Attributes:
        number: Of the account, twelve digits.
        region: As `eu-central-1`.
        caller: ARN of who is asking.
    """

    number: str
    region: str
    caller: str
    session: boto3.Session = field(repr=False)
    _clients: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3 makes its clients' classes when they are asked for
        """Give a client of a service; AWS_ENDPOINT_URL is obeyed."""
        from botocore.config import Config

        if service not in self._clients:  # making one takes longer than most of its requests
            retries = Config(retries={"mode": "standard", "max_attempts": 5})
            self._clients[service] = self.session.client(service, config=retries)
        return self._clients[service]


def open_account() -> Account:
    """Find credentials and region, as the AWS command line does, and ask AWS whose they are.

    Raises:
        UsageError: boto3, region or credentials are missing, or AWS does not know them.
    """
    try:
        import boto3
    except ImportError as error:
        raise UsageError("boto3 is not installed.", hint="Install it: pip install 'brewhouse[aws]'.") from error

    with plain_errors():
        session = boto3.Session(region_name=os.environ.get("AWS_REGION"))  # boto3 itself only knows AWS_DEFAULT_REGION
        if not session.region_name:
            raise UsageError("No AWS region is set.", hint="Set AWS_REGION, or a region in the profile of AWS_PROFILE.")
        caller = session.client("sts").get_caller_identity()
        return Account(caller["Account"], session.region_name, caller["Arn"], session)


@contextmanager
def plain_errors(resource: str = "") -> Iterator[None]:
    """Turn what boto3 raises into one paragraph; a missing permission into its action and resource.

    Args:
        resource: ARN of what is worked on, for services that do not name it themselves.

    Raises:
        UsageError: Credentials are missing or wrong.
        BrewhouseError: Anything else AWS says no to.
    """
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ProfileNotFound

    try:
        yield
    except (NoCredentialsError, ProfileNotFound) as error:
        raise UsageError(f"{error}.".replace("..", "."), hint="Set AWS_PROFILE, or run `aws configure`.") from error
    except ClientError as error:
        raise in_plain_words(error, resource) from error
    except BotoCoreError as error:
        raise BrewhouseError(f"AWS cannot be reached or asked: {error}") from error


def in_plain_words(error: Any, resource: str = "") -> BrewhouseError:  # noqa: ANN401 - botocore's ClientError
    """Say what an answer of AWS means.

    Args:
        error: A `ClientError`.
        resource: ARN of what was worked on, for services that do not name it themselves.
    """
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    if missing := missing_permission(message):
        return BrewhouseError(missing, hint=_ALLOW)
    if code in _DENIED:
        action = f"{_service(error)}:{error.operation_name}"
        on = f" on {resource}" if resource else ""
        return BrewhouseError(f"Permission is missing: {action}{on}.", hint=_ALLOW)
    if code in _NO_CREDENTIALS:
        return UsageError(f"AWS does not know these credentials: {message}", hint="Set AWS_PROFILE to others.")
    return BrewhouseError(f"AWS refused {_service(error)}:{error.operation_name}: {message} ({code}).")


def missing_permission(message: str) -> str:
    """Say which permission a message of AWS finds missing; empty if it is about something else.

    Example:
        >>> missing_permission(
        ...     "User: arn:aws:iam::1:user/ann is not authorized to perform: glue:CreateJob "
        ...     "on resource: arn:aws:glue:r:1:job/x because no identity-based policy allows the glue:CreateJob action"
        ... )
        'Permission is missing: glue:CreateJob on arn:aws:glue:r:1:job/x, for arn:aws:iam::1:user/ann.'
    """
    found = _NOT_AUTHORIZED.search(message)
    if not found:
        return ""
    on = f" on {found['resource'].rstrip('.,')}" if found["resource"] else ""
    return f"Permission is missing: {found['action'].rstrip('.,')}{on}, for {found['who']}."


def is_missing(error: Any) -> bool:  # noqa: ANN401 - botocore's ClientError
    """Say whether an answer of AWS means that the thing asked for is not there."""
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    return code in {"404", "NoSuchBucket", "NoSuchKey", "EntityNotFoundException"} or (
        code == "ValidationError" and "does not exist" in message
    )


def _service(error: Any) -> str:  # noqa: ANN401 - botocore's ClientError
    """Guess the service's prefix in policies from the operation; only S3 and SQS name no action in their messages."""
    operation = error.operation_name
    if "Queue" in operation:
        return "sqs"
    return "s3" if re.search(r"Object|Bucket|Multipart", operation) else "aws"
