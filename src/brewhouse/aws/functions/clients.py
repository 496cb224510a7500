"""Clients of AWS services for the functions, created once per process."""

from __future__ import annotations

import os
from collections.abc import Callable, Container
from functools import cache
from threading import Lock
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

CONNECTIONS = 16  # how many requests of a client may run at once
_RETRIES = {"mode": "standard", "max_attempts": 3}
_CONFIG = Config(connect_timeout=3, read_timeout=10, retries=_RETRIES, max_pool_connections=CONNECTIONS)
_lock = Lock()  # boto3's default session is not thread-safe


def client(service: str) -> Any:  # noqa: ANN401 - boto3 creates its client classes at run time
    """Return the client of a service; safe to call from several threads."""
    with _lock:
        return _create(service)


@cache
def _create(service: str) -> Any:  # noqa: ANN401
    return boto3.client(service, config=_CONFIG, region_name=os.environ["AWS_REGION"])


def unless(statuses: Container[int], operation: Callable[..., Any], **arguments: Any) -> Any:  # noqa: ANN401
    """Call an operation of a client; return None if it is refused with one of these HTTP statuses."""
    try:
        return operation(**arguments)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] in statuses:
            return None
        raise
