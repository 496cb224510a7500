"""Map errors of AWS, its emulators and the disk to user-facing messages.

Objects are requested by obstore, tables by boto3 or PyIceberg, and DuckDB wraps what it catches: the text of the
response is what all of these errors have in common.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import SplitResult, urlsplit

from brewhouse.errors import BrewhouseError

_REQUEST = re.compile(r"Error performing (GET|HEAD|PUT|POST|DELETE) (\S+)")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"status code: (\d+)")
_DENIED = re.compile(r"not authorized to perform: (\S+)(?: on resource: (\S+))?")
_ACTIONS = {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "PUT": "s3:PutObject"}
_WRONG_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_CREDENTIALS = {"UnrecognizedClientException", "InvalidClientTokenId", "ExpiredTokenException", "ExpiredToken"}
_CREDENTIALS_HINT = "Check AWS_PROFILE, log in with `aws sso login`, or renew the access keys."
_ENDPOINT_HINT = "Check the network, AWS_REGION and AWS_ENDPOINT_URL."
_NO_SPACE = (os.strerror(errno.ENOSPC), "database or disk is full")  # the messages of the system and of SQLite


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise errors of AWS and of a full disk as `BrewhouseError` with a hint."""
    try:
        yield
    except Exception as error:
        if known := translate_error(error):
            raise known from error
        raise


def translate_error(error: BaseException) -> BrewhouseError | None:
    """Translate an error of AWS or of a full disk, or one that it caused; None for any other.

    Example:
        >>> print(translate_error(OSError(
        ...     "Error performing PUT https://s3.eu-west-1.amazonaws.com/b/lake/x in 2ms - "
        ...     "Server returned non-2xx status code: 403 Forbidden: <Code>AccessDenied</Code>")))
        AWS denies s3:PutObject on arn:aws:s3:::b/lake/x. Allow it in a policy of the user or role that runs this.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, BrewhouseError):
            return None
        if known := _translate_s3(str(cause)) or _translate_service(cause) or _translate_disk(str(cause)):
            return known
        cause = cause.__cause__ or cause.__context__
    return None


def _translate_s3(text: str) -> BrewhouseError | None:
    """Translate an error of obstore by its request, HTTP status and S3 error code."""
    if not (requests := _REQUEST.findall(text)):
        return None
    method, url = requests[-1]
    code, status = _CODE.search(text), _STATUS.search(text)
    return _translate_response(method, urlsplit(url), int(status[1]) if status else 0, code[1] if code else "")


def _translate_response(method: str, url: SplitResult, number: int, code: str) -> BrewhouseError | None:
    """Translate a response of S3: HTTP status, 0 for none, and error code."""
    bucket, _, key = url.path.strip("/").partition("/")
    if code == "NoSuchBucket":
        return BrewhouseError(
            f"Bucket {bucket} does not exist.", hint=f"Create it with `aws s3 mb s3://{bucket}`, or check the spelling."
        )
    if code in _WRONG_REGION or number in (301, 307):
        return BrewhouseError(
            f"Bucket {bucket} is in another region.",
            hint=f"Set AWS_REGION to the region that `aws s3api get-bucket-location --bucket {bucket}` prints.",
        )
    if number == 403 and code in ("AccessDenied", ""):
        return _denied(*_action_and_resource(method, url, bucket, key))
    if number in (400, 401, 403):
        return _rejected(code or number)
    if number == 0:
        return BrewhouseError(f"{url.scheme}://{url.netloc} does not respond.", hint=_ENDPOINT_HINT)
    return None


def _action_and_resource(method: str, url: SplitResult, bucket: str, key: str) -> tuple[str, str]:
    if "list-type" in url.query:
        return "s3:ListBucket", f"arn:aws:s3:::{bucket}"
    action = "s3:DeleteObject" if "delete" in url.query else _ACTIONS.get(method, f"s3:{method.capitalize()}Object")
    return action, f"arn:aws:s3:::{bucket}/{key or '*'}"


def _translate_service(error: BaseException) -> BrewhouseError | None:
    """Translate an error of boto3 or of PyIceberg's REST catalog by its class, without importing either."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if "ClientError" in names:
        return _translate_client_error(error)
    if "NoRegionError" in names:
        return BrewhouseError("No AWS region is configured.", hint="Set AWS_REGION, or `region` in ~/.aws/config.")
    if "EndpointConnectionError" in names or "ConnectTimeoutError" in names:
        return BrewhouseError(f"AWS does not respond: {error}", hint=_ENDPOINT_HINT)
    if "BotoCoreError" in names:
        return BrewhouseError(f"Request to AWS failed: {error}.", hint=_CREDENTIALS_HINT)
    if names & {"ForbiddenError", "UnauthorizedError"}:
        return BrewhouseError(
            f"The Iceberg REST catalog denies access: {error}.",
            hint="Set its credentials in PyIceberg's configuration of the catalog `brewhouse`.",
        )
    return None


def _translate_client_error(error: BaseException) -> BrewhouseError | None:
    response = getattr(error, "response", {}).get("Error", {})
    code, message = str(response.get("Code", "")), str(response.get("Message", ""))
    if code.startswith(("AccessDenied", "UnauthorizedOperation")):
        named = _DENIED.search(message)
        action = named[1] if named else str(getattr(error, "operation_name", "the request"))
        return _denied(action, (named[2] if named else "") or "the Glue Data Catalog")
    return _rejected(message or code) if code in _CREDENTIALS else None


def _translate_disk(text: str) -> BrewhouseError | None:
    """Translate a full disk by the line that names it: obstore adds many lines for debugging."""
    for line in text.splitlines():
        if any(message in line for message in _NO_SPACE):
            return BrewhouseError(f"The disk is full: {line.strip()}.", hint="Free disk space, then run again.")
    return None


def _denied(action: str, resource: str) -> BrewhouseError:
    return BrewhouseError(
        f"AWS denies {action} on {resource}.", hint="Allow it in a policy of the user or role that runs this."
    )


def _rejected(reason: object) -> BrewhouseError:
    return BrewhouseError(f"AWS rejects the credentials: {reason}.", hint=_CREDENTIALS_HINT)
