"""A lease: an object in a bucket that one process holds until it deletes it, or until it expires."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from brewhouse.aws.functions.clients import unless

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
    finally:  # unless it expired, and was acquired by another process
        unless(_CONFLICTS, client.delete_object, Bucket=bucket, Key=key, IfMatch=tag)


def _acquire(client: Any, bucket: str, key: str, ttl_s: float, holder: str) -> str:  # noqa: ANN401 - boto3
    """Acquire the lease if it is free or expired, and return its tag; an empty text if it is held."""

    def put(**condition: str) -> str:
        body = datetime.now(UTC).isoformat().encode()
        written = {"Bucket": bucket, "Key": key, "Body": body, "Metadata": {"holder": holder}}
        made = unless(_CONFLICTS, client.put_object, **written, **condition)
        return str(made["ETag"]) if made else ""

    if tag := put(IfNoneMatch="*"):
        return tag
    found = unless(_CONFLICTS, client.head_object, Bucket=bucket, Key=key)
    if found and found["Metadata"].get("holder") == holder:  # the put succeeded, but its response was lost
        return str(found["ETag"])
    is_expired = found and found["LastModified"] <= datetime.now(UTC) - timedelta(seconds=ttl_s)
    return put(IfMatch=found["ETag"]) if is_expired else ""
