"""Map errors of AWS, its emulators and the file system to user-facing messages.

Objects are requested by obstore, tables by boto3 or PyIceberg, and DuckDB wraps what it catches: the text of the
response is what all of these errors have in common.
"""

from __future__ import annotations

import errno
import html
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import SplitResult, urlsplit

from brewhouse.errors import BrewhouseError
from brewhouse.lake.aws_errors import ENDPOINT_HINT, access_denied, denial_in, meaning_of, translate_boto3_error

_REQUEST = re.compile(r"Error performing (GET|HEAD|PUT|POST|DELETE) (\S+)")
_CODE = re.compile(r"<Code>([\w.]+)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
_STATUS = re.compile(r"status code: (\d+)")
_ACTIONS = {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "PUT": "s3:PutObject"}
_WITHOUT_BODY = {301: "PermanentRedirect", 307: "TemporaryRedirect", 401: "AuthFailure", 403: "AccessDenied"}
_EXPECTED = (304, 404, 412)  # no such object, or a condition that is not met: callers handle these
_NO_SPACE = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), "database or disk is full")  # the last is SQLite's
_REFUSED = (
    *map(os.strerror, (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR)),
    *map(os.strerror, (errno.ENAMETOOLONG, errno.ELOOP)),
    *("It is not a regular file", "attempt to write a readonly database", "unable to open database file"),
)
_FILE_ERRORS = {"OSError", "BaseError", "IOException", "OperationalError"}  # of Python, obstore, DuckDB and SQLite
_ADDED = re.compile(r"^\[Errno \d+\] |^Generic LocalFileSystem error: |^IO Error: | \(os error \d+\)$")


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise errors of AWS and of the file system as `BrewhouseError` with a hint."""
    try:
        yield
    except Exception as error:
        if known := translate_error(error):
            raise known from error
        raise


def translate_error(error: BaseException) -> BrewhouseError | None:
    """Translate an error of AWS or of the file system, or one that it caused; None for any other.

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
        if known := _translate_s3(str(cause)) or _translate_service(cause) or _translate_file(cause):
            return known
        cause = cause.__cause__ or cause.__context__
    return None


def _translate_s3(text: str) -> BrewhouseError | None:
    """Translate an error of obstore by its request, S3 error code and HTTP status."""
    if not (requests := _REQUEST.findall(text)):
        return None
    method, url = requests[-1][0], urlsplit(requests[-1][1])
    if not (status := _STATUS.search(text)):
        return BrewhouseError(f"{url.scheme}://{url.netloc} does not answer.", hint=ENDPOINT_HINT)
    number, named, message = int(status[1]), _CODE.search(text), _MESSAGE.search(text)
    code, reason = named[1] if named else _WITHOUT_BODY.get(number, ""), html.unescape(message[1]) if message else ""
    bucket, _, key = url.path.strip("/").partition("/")
    action, resource = _action_and_resource(method, url, bucket, key)
    if code.startswith("AccessDenied"):
        return denial_in(reason, resource) or access_denied(action, resource)
    if known := meaning_of(code, reason, bucket):
        return known
    if number in _EXPECTED:
        return None
    why = f"{code or number}: {reason.rstrip('.')}" if reason else code or str(number)
    return BrewhouseError(
        f"S3 refuses {action} on {resource}: {why}.", hint="Check the credentials, AWS_REGION and AWS_ENDPOINT_URL."
    )


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
    if names & {"CommitStateUnknownException", "ServerError", "ServiceUnavailableError"}:
        return BrewhouseError(
            f"The Iceberg REST catalog failed: {error}.", hint="Run again: what is incomplete is undone first."
        )
    if names & {"ForbiddenError", "UnauthorizedError"}:
        what = f"The Iceberg REST catalog denies access: {error}."
        return BrewhouseError(what, hint="Set its credentials in PyIceberg's configuration of the catalog `brewhouse`.")
    return None


def _translate_file(error: BaseException) -> BrewhouseError | None:
    """Translate an error of the file system by the line that names it: obstore adds many lines for debugging."""
    lines = [_ADDED.sub("", line.strip()) for line in str(error).splitlines()]
    if full := next((line for line in lines if any(message in line for message in _NO_SPACE)), None):
        return BrewhouseError(f"The disk is full: {full}.", hint="Free disk space, then run again.")
    if many := next((line for line in lines if os.strerror(errno.EMFILE) in line), None):
        return BrewhouseError(
            f"This process may not open more files: {many}.", hint="Raise the limit: `ulimit -n 1024`."
        )
    refused = next((line for line in lines if any(message in line for message in _REFUSED)), None)
    if refused and _FILE_ERRORS & {kind.__name__ for kind in type(error).__mro__}:
        return BrewhouseError(f"A file cannot be accessed: {refused}.", hint="Check the path and its permissions.")
    if any("database is locked" in line for line in lines):  # by SQLite
        return BrewhouseError(
            "Another program has locked catalog.db, the catalog of the lake.",
            hint="End its transaction or close it, such as a SQLite browser, then run this again.",
        )
    return None


def translate_system_error(error: Exception) -> BrewhouseError | None:
    """Translate what any code may raise: errors of files, memory, encodings and DuckDB; None for errors of our own.

    Example:
        >>> print(translate_system_error(PermissionError(13, "Permission denied", "lake/x")))
        Permission denied: lake/x. Check the path and its permissions.
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, MemoryError) or "OutOfMemoryException" in kinds:
        return BrewhouseError(f"There is not enough memory. {error}".strip(), hint="Free memory, or process less data.")
    if isinstance(error, RecursionError):
        return BrewhouseError("A value is nested too deeply to be processed.", hint="Leave it out, or flatten it.")
    if isinstance(error, OSError) and error.errno is not None:
        reason = error.strerror or os.strerror(error.errno)
        where = ", ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
        return BrewhouseError(
            f"{reason}: {where}." if where else f"{reason}.", hint="Check the path and its permissions."
        )
    if isinstance(error, UnicodeError):
        return BrewhouseError(f"A text is not in the encoding it should have: {error}.", hint="Save it as UTF-8.")
    if "duckdb" in type(error).__module__:
        return BrewhouseError(f"DuckDB failed: {error}", hint="`brewhouse rebuild` rebuilds damaged tables.")
    return None
