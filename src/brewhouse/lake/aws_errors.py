"""Errors of boto3 as user-facing messages: the denied permission, the rejected credentials, the missing region.

Classes are compared by name, so that boto3 is not imported where nothing uses it.
"""

from __future__ import annotations

import re

from brewhouse.errors import BrewhouseError, UsageError

CREDENTIALS_HINT = "Check AWS_PROFILE, log in again with `aws sso login`, or renew the keys."
ENDPOINT_HINT = "Check the network, AWS_REGION and AWS_ENDPOINT_URL."
_REJECTED = {
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_NOT_AUTHORIZED = re.compile(
    r"(?:(?P<principal>arn:\S+) is )?not authorized to perform: (?P<action>[\w*:-]+)"
    r"(?: on resource: \"?(?P<resource>[^\s\"]+))?"
)


def access_denied(action: str, resource: str = "", principal: str = "") -> BrewhouseError:
    """Return the error of a missing permission; the resource and the user or role are empty if unknown."""
    target = f" on {resource}" if resource else ""
    return BrewhouseError(
        f"AWS denies {action}{target}.", hint=f"Allow it for {principal or 'the user or role that runs this'}."
    )


def rejected_credentials(reason: object) -> BrewhouseError:
    """Return the error of credentials that AWS does not accept."""
    return BrewhouseError(f"AWS does not accept the credentials: {reason}.", hint=CREDENTIALS_HINT)


def denial_in(message: str, resource: str = "") -> BrewhouseError | None:
    """Return the missing permission that an error or event of AWS names; None if it names none.

    Args:
        resource: Used if the message names no resource.

    Example:
        >>> print(denial_in(
        ...     "User: arn:aws:iam::1:user/ann is not authorized to perform: glue:CreateJob "
        ...     "on resource: arn:aws:glue:r:1:job/x because no identity-based policy allows the glue:CreateJob action"
        ... ))
        AWS denies glue:CreateJob on arn:aws:glue:r:1:job/x. Allow it for arn:aws:iam::1:user/ann.
    """
    match = _NOT_AUTHORIZED.search(message)
    if not match:
        return None
    named = (match["resource"] or "").rstrip(".,")
    return access_denied(match["action"].rstrip(":"), named or resource, match["principal"] or "")


def translate_boto3_error(error: BaseException, resource: str = "") -> BrewhouseError | None:
    """Translate an error of boto3; None for other errors, and for refusals that need no explanation.

    Args:
        resource: ARN or description of what was accessed, for services that do not name it.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    if "ClientError" in names:
        return _refusal(error, resource)
    if "NoRegionError" in names:
        return UsageError("No AWS region is set.", hint="Set AWS_REGION, or `region` in ~/.aws/config.")
    if names & {"NoCredentialsError", "ProfileNotFound"}:
        return UsageError(f"{str(error).rstrip('.')}.", hint="Set AWS_PROFILE, or run `aws configure`.")
    if names & {"EndpointConnectionError", "ConnectTimeoutError"}:
        return BrewhouseError(f"AWS does not answer: {error}", hint=ENDPOINT_HINT)
    if "BotoCoreError" in names:
        return BrewhouseError(f"AWS cannot be used: {str(error).rstrip('.')}.", hint=CREDENTIALS_HINT)
    return None


def aws_action(operation: str) -> str:
    """Return an operation as policies name it; S3 and SQS do not name it in their errors.

    Example:
        >>> [aws_action(operation) for operation in ("PutObject", "GetQueueAttributes", "GetDatabases")]
        ['s3:PutObject', 'sqs:GetQueueAttributes', 'GetDatabases']
    """
    if "Queue" in operation:
        return f"sqs:{operation}"
    return f"s3:{operation}" if re.search(r"Object|Bucket|Multipart", operation) else operation


def _refusal(error: BaseException, resource: str) -> BrewhouseError | None:
    answer = getattr(error, "response", {}).get("Error", {})
    code, message = str(answer.get("Code", "")), str(answer.get("Message", ""))
    if denial := denial_in(message, resource):
        return denial
    if code.startswith(("AccessDenied", "UnauthorizedOperation", "403")):
        return access_denied(aws_action(str(getattr(error, "operation_name", "the request"))), resource)
    return rejected_credentials(message.rstrip(".") or code) if code in _REJECTED else None
