"""One at a time: an object in the bucket that says who works, until when."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

_PAUSE_S = 1.0
_TAKEN = (409, 412)  # somebody has it, or takes it at this very moment


class BusyError(Exception):
    """Somebody else works, for longer than one waits."""


@contextmanager
def lease(client: Any, bucket: str, key: str, lasts_s: float, waits_s: float) -> Iterator[None]:  # noqa: ANN401 - boto3
    """Be the only one who works on something.

    Args:
        client: boto3's for S3.
        bucket: Where the object is.
        key: Which.
        lasts_s: How long somebody can work at the most; then it is free, whatever became of them.
        waits_s: How long to wait for somebody else.

    Raises:
        BusyError: Somebody else did not end.
    """
    until = time.monotonic() + waits_s
    while not (tag := _taken(client, bucket, key, lasts_s)):
        if time.monotonic() >= until:
            raise BusyError(f"somebody else holds {key}")
        time.sleep(_PAUSE_S)
    try:
        yield
    finally:
        try:
            client.delete_object(Bucket=bucket, Key=key, IfMatch=tag)
        except client.exceptions.ClientError as error:
            if _status(error) not in (*_TAKEN, 404):  # it had expired, and is another's
                raise


def _taken(client: Any, bucket: str, key: str, lasts_s: float) -> str:  # noqa: ANN401 - boto3
    """Take it if it is free, and give its tag; an empty text when it is not."""
    if tag := _put(client, bucket, key, IfNoneMatch="*"):
        return tag
    try:
        found = client.head_object(Bucket=bucket, Key=key)
    except client.exceptions.ClientError as error:
        if _status(error) != 404:
            raise
        return ""
    if found["LastModified"] > datetime.now(UTC) - timedelta(seconds=lasts_s):
        return ""
    return _put(client, bucket, key, IfMatch=found["ETag"])


def _put(client: Any, bucket: str, key: str, **condition: str) -> str:  # noqa: ANN401 - boto3
    """Write it under a condition, and give its tag; an empty text when the condition does not hold."""
    try:
        made = client.put_object(Bucket=bucket, Key=key, Body=datetime.now(UTC).isoformat().encode(), **condition)
    except client.exceptions.ClientError as error:
        if _status(error) in (*_TAKEN, 404):
            return ""
        raise
    return str(made["ETag"])


def _status(error: Any) -> int:  # noqa: ANN401 - botocore's ClientError
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
