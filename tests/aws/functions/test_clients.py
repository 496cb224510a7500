"""Clients are created once per process, also by concurrent threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import boto3
import pytest

from brewhouse.aws.functions import clients


@pytest.mark.usefixtures("account")
def test_threads_that_start_together_share_one_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    clients._create.cache_clear()
    barrier = Barrier(8)

    def create(_: int) -> Any:  # noqa: ANN401 - boto3
        barrier.wait()
        return clients.client("sqs")

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(create, range(8)))
    assert len(found) == 1
    assert found.pop().meta.config.max_pool_connections == clients.CONNECTIONS
    clients._create.cache_clear()
