"""A lease has one holder at a time, until it is released or expires."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, closing

import pytest
from botocore.stub import Stubber
from tests.fault_proxy import FaultProxy, lost

from brewhouse.aws.functions import lease as leases
from brewhouse.aws.functions.lease import LeaseTimeoutError, lease
from brewhouse.aws.session import Account

KEY = "lake/alerts.lock"
Acquire = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def acquire(account: Account, monkeypatch: pytest.MonkeyPatch) -> Acquire:
    monkeypatch.setattr(leases, "_PAUSE_S", 0.01)
    s3 = account.client("s3")
    bucket = f"lake-{account.number}"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": account.region})

    def run(ttl_s: float = 60, timeout_s: float = 0) -> AbstractContextManager[None]:
        return lease(s3, bucket, KEY, ttl_s, timeout_s)

    return run


def holders(account: Account) -> int:
    return int(account.client("s3").list_objects_v2(Bucket=f"lake-{account.number}")["KeyCount"])


def test_a_second_holder_times_out_until_the_first_releases_it(account: Account, acquire: Acquire) -> None:
    with acquire():
        assert holders(account) == 1
        with pytest.raises(LeaseTimeoutError, match=f"another process holds {KEY}"), acquire():
            pass
    assert holders(account) == 0
    with acquire():
        pass


@pytest.mark.parametrize("status", [None, 500])
def test_a_lease_whose_response_was_lost_is_held_and_released(
    account: Account, acquire: Acquire, status: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    monkeypatch.setattr("botocore.retryhandler.delay_exponential", lambda *_, **_more: 0)
    del acquire  # which makes the bucket
    proxy = FaultProxy(os.environ["AWS_ENDPOINT_URL"])
    with closing(proxy):
        fault = proxy.fail(lost(f"PUT .*{KEY}", status=status))
        client = account.session.client("s3", endpoint_url=proxy.url)
        with lease(client, f"lake-{account.number}", KEY, ttl_s=60, timeout_s=0):
            assert holders(account) == 1
    assert len(fault.hits) == 1
    assert holders(account) == 0


def test_a_lease_is_released_when_its_block_raises(account: Account, acquire: Acquire) -> None:
    with pytest.raises(ZeroDivisionError), acquire():
        raise ZeroDivisionError
    assert holders(account) == 0


def test_an_expired_lease_is_acquired_and_its_former_holder_does_not_release_it(
    account: Account, acquire: Acquire
) -> None:
    with acquire() as first, acquire(ttl_s=-1):
        del first
    assert holders(account) == 0
    former, current = acquire(), acquire(ttl_s=-1)
    former.__enter__()
    current.__enter__()
    former.__exit__(None, None, None)
    assert holders(account) == 1, "the current holder keeps its lease"
    current.__exit__(None, None, None)
    assert holders(account) == 0


def test_a_waiting_holder_acquires_the_lease_after_its_release(acquire: Acquire) -> None:
    order: list[str] = []
    released = threading.Event()

    def wait() -> None:
        with acquire(timeout_s=30):
            assert released.is_set()
            order.append("second")

    with acquire():
        thread = threading.Thread(target=wait)
        thread.start()
        order.append("first")
        released.set()
    thread.join()
    assert order == ["first", "second"]


def test_concurrent_holders_never_overlap(acquire: Acquire) -> None:
    inside: list[int] = []
    overlaps: list[int] = []

    def work(number: int) -> None:
        with acquire(timeout_s=60):
            inside.append(number)
            overlaps.append(len(inside))
            inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == [1] * 5


@pytest.mark.parametrize("operation", ["put_object", "head_object"])
def test_a_denied_request_is_not_mistaken_for_a_held_lease(account: Account, operation: str) -> None:
    s3 = account.client("s3")
    with Stubber(s3) as stub:
        if operation == "head_object":
            stub.add_client_error("put_object", "PreconditionFailed", http_status_code=412)
        stub.add_client_error(operation, "AccessDenied", http_status_code=403)
        with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"), lease(s3, "lake", KEY, 60, 60):
            pass
