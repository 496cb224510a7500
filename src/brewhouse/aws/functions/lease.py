"""A lease: an object in a bucket that one process holds until it deletes it, or until it expires."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

_PAUSE_S = 1.0
_CONFLICTS = (404, 409, 412)  # held by another process, or acquired or released by one at the same moment


class LeaseTimeoutError(Exception):
    """Another process held the lease for longer than the caller waits."""


@contextmanager
def lease(client: Any, bucket: str, key: str, ttl_s: float, timeout_s: float) -> Iterator[None]:  # noqa: ANN401 - boto3
    """Hold a lease while the block runs.

    Args:
        ttl_s: Age at which a lease expires; longer than its holder can live.
        timeout_s: How long to wait for another holder.

    Raises:
        LeaseTimeoutError: Another process did not release it in time.
    """
    deadline, holder = time.monotonic() + timeout_s, str(uuid.uuid4())
    while not (tag := _acquire(client, bucket, key, ttl_s, holder)):
        if time.monotonic() >= deadline:
            raise LeaseTimeoutError(f"another process holds {key}")
        time.sleep(_PAUSE_S)
    try:
        yield
    finally:
        try:
            client.delete_object(Bucket=bucket, Key=key, IfMatch=tag)
        except client.exceptions.ClientError as error:
            if _status(error) not in _CONFLICTS:  # expired, and acquired by another process
                raise


def _acquire(client: Any, bucket: str, key: str, ttl_s: float, holder: str) -> str:  # noqa: ANN401 - boto3
    """Acquire the lease if it is free or expired, and return its tag; an empty text if it is held."""
    if tag := _put(client, bucket, key, holder, IfNoneMatch="*"):
        return tag
    try:
        found = client.head_object(Bucket=bucket, Key=key)
    except client.exceptions.ClientError as error:
        if _status(error) != 404:
            raise
        return ""
    if found["Metadata"].get("holder") == holder:  # the put succeeded, but its response was lost
        return str(found["ETag"])
    if found["LastModified"] > datetime.now(UTC) - timedelta(seconds=ttl_s):
        return ""
    return _put(client, bucket, key, holder, IfMatch=found["ETag"])


def _put(client: Any, bucket: str, key: str, holder: str, **condition: str) -> str:  # noqa: ANN401 - boto3
    """Write the object under a condition, and return its tag; an empty text if the condition does not hold."""
    body = datetime.now(UTC).isoformat().encode()
    try:
        made = client.put_object(Bucket=bucket, Key=key, Body=body, Metadata={"holder": holder}, **condition)
    except client.exceptions.ClientError as error:
        if _status(error) in _CONFLICTS:
            return ""
        raise
    return str(made["ETag"])


def _status(error: Any) -> int:  # noqa: ANN401 - botocore's ClientError
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
