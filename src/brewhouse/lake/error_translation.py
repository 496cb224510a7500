"""What AWS and its emulators answer when something is not there or not allowed, and a full disk, in words.

Objects are asked for by obstore, tables by boto3 or PyIceberg, and DuckDB wraps what it meets into an error of its own:
the text of the answer is what all of them have in common.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import SplitResult, urlsplit

from brewhouse.errors import BrewhouseError
from brewhouse.lake.aws_errors import ENDPOINT_HINT, access_denied, rejected_credentials, translate_boto3_error

_REQUEST = re.compile(r"Error performing (GET|HEAD|PUT|POST|DELETE) (\S+)")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"status code: (\d+)")
_ACTIONS = {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "PUT": "s3:PutObject"}
_ELSEWHERE = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_REGION_HINT = "Set AWS_REGION to the bucket's region, which `aws s3api get-bucket-location` tells."
_NO_SPACE = (os.strerror(errno.ENOSPC), "database or disk is full")  # the system's words, and SQLite's


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise what AWS or a full disk answers inside as a `BrewhouseError` that says what to do."""
    try:
        yield
    except Exception as error:
        if known := translate_error(error):
            raise known from error
        raise


def translate_error(error: BaseException) -> BrewhouseError | None:
    """Put an answer of AWS, or that a disk is full, into words; None for an error of another kind.

    Args:
        error: What a library raised; what it was caused by is looked at too.

    Example:
        >>> print(translate_error(OSError(
        ...     "Error performing PUT https://s3.eu-west-1.amazonaws.com/b/lake/x in 2ms - "
        ...     "Server returned non-2xx status code: 403 Forbidden: <Code>AccessDenied</Code>")))
        AWS denies s3:PutObject on arn:aws:s3:::b/lake/x. Allow it for the user or role that runs this.
    """
    looked_at: BaseException | None = error
    while looked_at is not None:
        if isinstance(looked_at, BrewhouseError):
            return None
        if known := _of_s3(str(looked_at)) or _of_a_service(looked_at) or _of_a_disk(str(looked_at)):
            return known
        looked_at = looked_at.__cause__ or looked_at.__context__
    return None


def _of_s3(text: str) -> BrewhouseError | None:
    requests = _REQUEST.findall(text)
    if not requests:
        return None
    method, url = requests[-1]
    code, status = _CODE.search(text), _STATUS.search(text)
    return _answered(method, urlsplit(url), int(status[1]) if status else 0, code[1] if code else "")


def _answered(method: str, place: SplitResult, number: int, said: str) -> BrewhouseError | None:
    """Put S3's answer into words: its HTTP status, 0 for none, and its code."""
    bucket, _, key = place.path.strip("/").partition("/")
    if said == "NoSuchBucket":
        return BrewhouseError(
            f"There is no bucket {bucket}.", hint=f"Make it with `aws s3 mb s3://{bucket}`, or look at its spelling."
        )
    if said in _ELSEWHERE or number in (301, 307):
        return BrewhouseError(f"The bucket {bucket} is in another region.", hint=_REGION_HINT)
    if number == 403 and said in ("AccessDenied", ""):
        return access_denied(*_asked_for(method, place.query, bucket, key))
    if number in (400, 401, 403):
        return rejected_credentials(said or number)
    if number == 0:
        return BrewhouseError(f"{place.scheme}://{place.netloc} does not answer.", hint=ENDPOINT_HINT)
    return None


def _asked_for(method: str, query: str, bucket: str, key: str) -> tuple[str, str]:
    if "list-type" in query:
        return "s3:ListBucket", f"arn:aws:s3:::{bucket}"
    action = "s3:DeleteObject" if "delete" in query else _ACTIONS.get(method, f"s3:{method.capitalize()}Object")
    return action, f"arn:aws:s3:::{bucket}/{key or '*'}"


def _of_a_service(error: BaseException) -> BrewhouseError | None:
    """Put what boto3 and PyIceberg's REST catalog raise into words, by the names of their errors."""
    if known := translate_boto3_error(error, "the Glue Data Catalog"):
        return known
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"ForbiddenError", "UnauthorizedError"}:
        return BrewhouseError(
            f"The Iceberg REST catalog denies it: {error}.",
            hint="Give PyIceberg's configuration of the catalog `brewhouse` what it asks for.",
        )
    return None


def _of_a_disk(text: str) -> BrewhouseError | None:
    """Find the line that says so: obstore adds many for who debugs it."""
    for line in text.splitlines():
        if any(words in line for words in _NO_SPACE):
            return BrewhouseError(f"A disk is full: {line.strip()}.", hint="Make room there, then run again.")
    return None
