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
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from brewhouse.errors import BrewhouseError
from brewhouse.lake.aws_errors import ENDPOINT_HINT, access_denied, rejected_credentials, translate_boto3_error

_REQUEST = re.compile(r"Error performing (GET|HEAD|PUT|POST|DELETE) (\S+)")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"status code: (\d+)")
_ACTIONS = {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "PUT": "s3:PutObject"}
_WRONG_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
WRONG_CHECKSUM = "its content does not match its checksum"
_OF_SNAPSHOT = "Restore it from a backup, or move its folder out of bronze/ and run `brewhouse rebuild`."
_OF_TABLE = "Restore it from a backup, or make the tables again from the raw snapshots with `brewhouse rebuild`."
_KINDS = (  # pattern of the path, meaning, repair
    (r"/bronze/.*/page-[^/]*$", "a page of a raw snapshot", _OF_SNAPSHOT),
    (r"/bronze/.*\.json$", "the manifest of a raw snapshot", _OF_SNAPSHOT),
    (r"/(\w+)/(\w+)/data/[^/]*$", "a data file of table {}.{}", _OF_TABLE),
    (r"/(\w+)/(\w+)/metadata/[^/]*\.json$", "the metadata of table {}.{}", _OF_TABLE),
    (r"/(\w+)/(\w+)/metadata/[^/]*$", "a list of data files of table {}.{}", _OF_TABLE),
    (r"/catalog\.db$", "the catalog of the tables", _OF_TABLE),
    (r"/brewhouse\.duckdb$", "the views for DuckDB clients", "Delete it: the next `brewhouse run` creates it again."),
    (r"/events/[^/]*/[^/]*$", "a record of what runs did", "Restore it from a backup, or delete it."),
    (r"/run\.lock$", "the lock of the lake", "Delete it while nothing runs."),
)
_NO_SPACE = (os.strerror(errno.ENOSPC), "database or disk is full")  # the messages of the system and of SQLite


def damaged(file: Path, reason: str) -> BrewhouseError:
    """Return the error of a file of a lake that cannot be used, with its meaning and its repair.

    Example:
        >>> print(damaged(Path("/lake/catalog.db"), "it does not exist").what)
        /lake/catalog.db cannot be used: it does not exist. It is the catalog of the tables.
    """
    for pattern, meaning, repair in _KINDS:
        if match := re.search(pattern, str(file)):
            found = f"{file} cannot be used: {reason}. It is {meaning.format(*match.groups())}."
            return BrewhouseError(found, hint=repair)
    return BrewhouseError(f"{file} cannot be used: {reason}.", hint="Restore it from a backup.")


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
        AWS denies s3:PutObject on arn:aws:s3:::b/lake/x. Allow it for the user or role that runs this.
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
        return access_denied(*_action_and_resource(method, url, bucket, key))
    if number in (400, 401, 403):
        return rejected_credentials(code or number)
    if number == 0:
        return BrewhouseError(f"{url.scheme}://{url.netloc} does not answer.", hint=ENDPOINT_HINT)
    return None


def _action_and_resource(method: str, url: SplitResult, bucket: str, key: str) -> tuple[str, str]:
    if "list-type" in url.query:
        return "s3:ListBucket", f"arn:aws:s3:::{bucket}"
    action = "s3:DeleteObject" if "delete" in url.query else _ACTIONS.get(method, f"s3:{method.capitalize()}Object")
    return action, f"arn:aws:s3:::{bucket}/{key or '*'}"


def _translate_service(error: BaseException) -> BrewhouseError | None:
    """Translate an error of boto3 or of PyIceberg's REST catalog by its class, without importing either."""
    if known := translate_boto3_error(error, "the Glue Data Catalog"):
        return known
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"ForbiddenError", "UnauthorizedError"}:
        return BrewhouseError(
            f"The Iceberg REST catalog denies access: {error}.",
            hint="Set its credentials in PyIceberg's configuration of the catalog `brewhouse`.",
        )
    return None


def _translate_disk(text: str) -> BrewhouseError | None:
    """Translate a full disk by the line that names it: obstore adds many lines for debugging."""
    for line in text.splitlines():
        if any(message in line for message in _NO_SPACE):
            return BrewhouseError(f"The disk is full: {line.strip()}.", hint="Free disk space, then run again.")
    return None
