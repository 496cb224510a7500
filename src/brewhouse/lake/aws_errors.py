"""Errors of AWS as user-facing messages, by their codes: the denied permission, the wrong clock, the missing bucket.

A status has many meanings, such as 400 those of an expired token and of a slow upload. Classes of boto3 are compared by
name, so that boto3 is not imported where nothing uses it.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

import msgspec

from brewhouse.errors import BrewhouseError, UsageError

ENDPOINT_HINT = "Check the network, AWS_REGION and AWS_ENDPOINT_URL."
_CLOCK_REASONS = ("Signature expired", "Signature not yet current")
_NOT_AUTHORIZED = re.compile(
    r"(?:(?P<principal>arn:\S+) is )?not authorized to perform: (?P<action>[\w*:-]+)"
    r"(?: on resource: \"?(?P<resource>[^\s\"]+))?"
)


class Meaning(msgspec.Struct, frozen=True):
    """What some codes of AWS stand for; the same request may not meet a transient error again."""

    what: str
    hint: str
    codes: str = ""
    is_transient: bool = False


@cache
def meanings() -> dict[str, Meaning]:
    """Load `aws_errors.toml`, by its names and by the codes."""
    table = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
    named = msgspec.convert(table, dict[str, Meaning])
    return named | {code: meaning for meaning in named.values() for code in meaning.codes.split()}


def access_denied(action: str, resource: str = "", principal: str = "") -> BrewhouseError:
    """Return the error of a missing permission; the resource and the user or role are empty if unknown."""
    target = f" on {resource}" if resource else ""
    return BrewhouseError(
        f"AWS denies {action}{target}.", hint=f"Allow it for {principal or 'the user or role that runs this'}."
    )


def meaning_of(code: str, reason: str = "", bucket: str = "") -> BrewhouseError | None:
    """Return the error that a code of AWS stands for; None for an unknown one.

    Example:
        >>> print(meaning_of("RequestTimeTooSkewed").hint)
        Set the clock, for example with `timedatectl set-ntp true`.
    """
    known = meanings().get("key" if code.startswith(("KMS", "GlueEncryption")) else code)
    if any(text in reason for text in _CLOCK_REASONS):
        known = meanings()["clock"]
    if known is None:
        return None
    what, hint = (text.format(bucket=bucket or "of the request") for text in (known.what, known.hint))
    detail = "" if what != known.what else f": {reason.rstrip('.') or code}"
    return BrewhouseError(f"{what}{detail}.", hint=hint)


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
        return BrewhouseError(f"AWS cannot be used: {str(error).rstrip('.')}.", hint=meanings()["credentials"].hint)
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
    return meaning_of(code, message)
