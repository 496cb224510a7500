"""Errors of AWS as user-facing messages, by their codes: the denied permission, the wrong clock, the missing bucket.

A status has many meanings, such as 400 those of an expired token and of a slow upload. Classes of boto3 are compared by
name, so that boto3 is not imported where nothing uses it.
"""

from __future__ import annotations

import re

from brewhouse.errors import BrewhouseError, UsageError

CREDENTIALS_HINT = "Check AWS_PROFILE, log in again with `aws sso login`, or renew the keys."
ENDPOINT_HINT = "Check the network, AWS_REGION and AWS_ENDPOINT_URL."
_CREDENTIALS = ("AWS does not accept the credentials", CREDENTIALS_HINT)
_CLOCK = (
    "The clock of this machine differs from that of AWS",
    "Set the clock, for example with `timedatectl set-ntp true`.",
)
_REGION = (
    "Bucket {bucket} is in another region",
    "Set AWS_REGION to the region that `aws s3api get-bucket-location --bucket {bucket}` prints.",
)
_NO_BUCKET = ("Bucket {bucket} does not exist", "Create it with `aws s3 mb s3://{bucket}`, or check the spelling.")
_BUSY = ("AWS is busy or limits the rate of requests", "Run again in a few minutes.")
_SLOW = ("AWS closed a connection that was too slow", "Check the network, then run again.")
_QUOTA = (
    "A quota of AWS or of the storage is exceeded",
    "Raise it, in AWS with Service Quotas, or delete what is not needed.",
)
_KEY = (
    "The KMS key of the bucket cannot be used",
    "Enable the key, and allow kms:Decrypt and kms:GenerateDataKey on it.",
)
_ACCOUNT = ("AWS does not serve this account", "Check its status and its bills in the AWS console.")
_ARCHIVED = ("The object is archived", "Restore it with `aws s3api restore-object`.")
_MEANINGS = {
    _CREDENTIALS: "ExpiredToken ExpiredTokenException TokenRefreshRequired InvalidToken InvalidAccessKeyId "
    "InvalidClientTokenId InvalidSignatureException SignatureDoesNotMatch UnrecognizedClientException "
    "IncompleteSignature MissingAuthenticationToken InvalidSecurity AuthFailure CredentialsNotSupported",
    _CLOCK: "RequestTimeTooSkewed RequestExpired RequestInTheFuture",
    _REGION: "PermanentRedirect TemporaryRedirect Redirect AuthorizationHeaderMalformed "
    "IllegalLocationConstraintException IncorrectEndpoint",
    _NO_BUCKET: "NoSuchBucket InvalidBucketName",
    _BUSY: "SlowDown SlowDownRead SlowDownWrite Throttling ThrottlingException ThrottledException RequestThrottled "
    "RequestThrottledException RequestLimitExceeded TooManyRequests TooManyRequestsException BandwidthLimitExceeded "
    "ServiceUnavailable ServiceUnavailableException InternalError InternalFailure InternalServiceException "
    "InternalServerException OperationTimeoutException OperationAborted ConditionalRequestConflict",
    _SLOW: "RequestTimeout RequestTimeoutException",
    _QUOTA: "QuotaExceeded ServiceQuotaExceededException ResourceNumberLimitExceededException LimitExceeded "
    "LimitExceededException TooManyBuckets XMinioStorageFull",
    _ACCOUNT: "AccountProblem AllAccessDisabled NotSignedUp OptInRequired",
    _ARCHIVED: "InvalidObjectState",
}
_BY_CODE = {code: meaning for meaning, codes in _MEANINGS.items() for code in codes.split()}
TRANSIENT = frozenset(code for code, meaning in _BY_CODE.items() if meaning in (_BUSY, _SLOW))
"""Codes of errors that the same request may not meet again."""
_CLOCK_REASONS = ("Signature expired", "Signature not yet current")
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


def meaning_of(code: str, reason: str = "", bucket: str = "") -> BrewhouseError | None:
    """Return the error that a code of AWS stands for; None for an unknown one.

    Args:
        reason: Message of AWS.
        bucket: Name of the bucket, if one was accessed.

    Example:
        >>> print(meaning_of("RequestTimeTooSkewed").hint)
        Set the clock, for example with `timedatectl set-ntp true`.
    """
    known = _KEY if code.startswith(("KMS", "GlueEncryption")) else _BY_CODE.get(code)
    if any(text in reason for text in _CLOCK_REASONS):
        known = _CLOCK
    if known is None:
        return None
    what, hint = (text.format(bucket=bucket or "of the request") for text in known)
    detail = "" if what != known[0] else f": {reason.rstrip('.') or code}"
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
    return meaning_of(code, message)
