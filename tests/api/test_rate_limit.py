"""The rate limit: no request that the source would reject, and as few waits as its headers allow."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.mock_api.server import MockApiServer

from brewhouse.api.client import Client
from brewhouse.api.rate_limit import RateLimit, retry_after_s
from brewhouse.api.source_errors import PermanentSourceError, SourceUnavailable
from brewhouse.mock_api.dataset import generate
from brewhouse.settings import SecretUrl, Settings

WINDOW_S = 0.15


async def fetch_many(client: Client, count: int, workers: int) -> None:
    pages = iter(range(1, count + 1))

    async def work() -> None:
        for page in pages:
            await client.page(page, 1)

    async with client:
        await asyncio.gather(*(work() for _ in range(workers)))


def client_of(api: MockApiServer, max_attempts: int = 6) -> Client:
    quick = Settings(
        source_url=SecretUrl(api.url), retry_initial_wait_s=0.001, retry_wait_max_s=0.002, max_attempts=max_attempts
    )
    return Client(quick, WINDOW_S)


def remaining(count: object) -> dict[str, str]:
    return {"X-RateLimit-Remaining": str(count)}


async def is_blocked(limit: RateLimit) -> bool:
    """Try to acquire the limit; leave no waiting request behind."""
    request = asyncio.create_task(limit.acquire())
    for _ in range(20):
        await asyncio.sleep(0)
    if request.done():
        return False
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    return True


# Against a server that counts


@pytest.mark.parametrize(("limit", "workers"), [(1, 3), (3, 4), (7, 2), (10, 16)])
def test_a_server_that_counts_rejects_no_request(limit: int, workers: int) -> None:
    count = limit * 3 + 1 if limit > 1 else 3
    with MockApiServer(generate(40), throttle=True, limit_per_minute=limit, window_s=WINDOW_S) as api:
        asyncio.run(fetch_many(client_of(api), count, workers))
        assert [served.status for served in api.requests] == [200] * count


@settings(max_examples=8)
@given(limit=st.integers(2, 12), workers=st.integers(1, 12), count=st.integers(1, 25))
def test_no_request_is_rejected_whatever_the_limit_and_the_concurrency(limit: int, workers: int, count: int) -> None:
    with MockApiServer(generate(30), throttle=True, limit_per_minute=limit, window_s=WINDOW_S) as api:
        asyncio.run(fetch_many(client_of(api), count, workers))
        assert {served.status for served in api.requests} == {200}


def test_the_quota_that_an_earlier_run_used_is_respected() -> None:
    with MockApiServer(generate(40), throttle=True, limit_per_minute=6, window_s=WINDOW_S) as api:
        asyncio.run(fetch_many(client_of(api), 5, 1))
        asyncio.run(fetch_many(client_of(api), 8, 4))
        assert {served.status for served in api.requests} == {200}


def test_lost_responses_count_against_the_quota() -> None:
    faults = ("reset,every=3",)
    with MockApiServer(generate(40), throttle=True, limit_per_minute=5, window_s=WINDOW_S, faults=faults) as api:
        asyncio.run(fetch_many(client_of(api), 10, 4))
        assert {served.status for served in api.requests} == {200, 0}


def test_a_429_is_waited_out_and_is_not_a_failed_attempt() -> None:
    with MockApiServer(generate(3), faults=["status=429,retry_after_s=0,times=5"]) as api:
        asyncio.run(fetch_many(client_of(api, max_attempts=1), 1, 1))
        assert [served.status for served in api.requests] == [429] * 5 + [200]


def test_a_server_error_after_a_429_is_a_failed_attempt() -> None:
    faults = ["status=429,retry_after_s=0,times=1", "status=500"]
    with MockApiServer(generate(3), faults=faults) as api:
        with pytest.raises(SourceUnavailable, match=r"after 2 attempt\(s\): status 500"):
            asyncio.run(fetch_many(client_of(api, max_attempts=2), 1, 1))
        assert [served.status for served in api.requests] == [429, 500, 500]


def test_endless_429_responses_are_a_permanent_error() -> None:
    with MockApiServer(generate(3), faults=["status=429,retry_after_s=0"]) as api:
        with pytest.raises(PermanentSourceError, match=r"rate-limited \(status 429\).*after 19 waits.*another client"):
            asyncio.run(fetch_many(client_of(api), 1, 1))
        assert len(api.requests) == 20


def test_a_wait_that_is_too_long_for_a_run_is_a_permanent_error() -> None:
    with MockApiServer(generate(3), faults=["status=429,retry_after_s=3600"]) as api:
        with pytest.raises(PermanentSourceError, match=r"asks to wait 3600 s.*Run again later"):
            asyncio.run(fetch_many(client_of(api), 1, 1))
        assert len(api.requests) == 1


# Retry-After


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7), (" 7 ", 7), ("0", 0), ("100000", 100_000), ("", 1), ("soon", 1), ("-5", 1), ("1.5", 1),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("Wednesday, 21-Oct-15 07:28:00 GMT", 0),
        ("9" * 5_000, 10**18), ("Wed, 21 Oct 2015 07:28:00 +99999999999999999999", 1),
        ("Wed, 21 Oct 2015 07:28:00 +9999999999", 1), ("Wed, 21 Oct 0001 00:00:00 +2359", 0),
        ("Wed, 21 Oct 99999999999 07:28:00 GMT", 1),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0), ("Wed, 99 Oct 2015 07:28:00 GMT", 1),
    ],
)  # fmt: skip
def test_retry_after_is_a_number_of_seconds_or_a_date(text: str, seconds: float) -> None:
    assert retry_after_s({"Retry-After": text}) == seconds


def test_the_waits_for_a_request_are_limited_in_total() -> None:
    with (
        MockApiServer(
            generate(3), faults=["status=429,retry_after_s=0,times=1", "status=429,retry_after_s=901"]
        ) as api,
        pytest.raises(PermanentSourceError, match=r"asks to wait 901 s after 1 waits"),
    ):
        asyncio.run(fetch_many(client_of(api), 1, 1))


def test_without_retry_after_the_wait_is_a_second() -> None:
    assert retry_after_s({}) == 1


@pytest.mark.parametrize("zone", ["GMT", "-0000", "+0000"])
def test_a_date_in_the_future_is_waited_for(zone: str) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True).replace("GMT", zone)
    assert 3590 < retry_after_s({"Retry-After": date}) <= 3600


# Decisions


def test_without_a_reported_limit_requests_are_not_delayed() -> None:
    async def run() -> bool:
        limit = RateLimit()
        await limit.acquire()
        limit.release({})
        for _ in range(5):
            await limit.acquire()
        return await is_blocked(limit)

    assert not asyncio.run(run())


@pytest.mark.parametrize("text", ["9" * 5_000, "1" + "0" * 30])
def test_a_huge_quota_is_a_quota(text: str) -> None:
    async def run() -> bool:
        limit = RateLimit()
        await limit.acquire()
        limit.release(remaining(text))
        return await is_blocked(limit)

    assert not asyncio.run(run())


def test_each_wait_for_the_next_window_is_logged_and_too_many_without_a_quota_are_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run() -> None:
        limit = RateLimit(window_s=0.001)
        for _ in range(100):
            await limit.acquire()
            limit.release(remaining(0))

    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(PermanentSourceError, match=r"one request in each of the last 15 windows of 0\.001 s.*Run again"),
    ):
        asyncio.run(run())
    assert [record.getMessage() for record in caplog.records] == [
        "the source's rate limit is used up; waiting 0 s"
    ] * 14


def test_windows_without_a_quota_count_only_in_a_row() -> None:
    async def run() -> None:
        limit = RateLimit(window_s=0.001)
        for number in range(40):
            await limit.acquire()
            limit.release(remaining(number % 10 == 9))

    asyncio.run(run())


@pytest.mark.parametrize("text", ["", "many", "-1", "1.5", "\u00b2"])
def test_an_invalid_quota_is_not_a_limit(text: str) -> None:
    async def run() -> bool:
        limit = RateLimit()
        await limit.acquire()
        limit.release(remaining(text))
        return await is_blocked(limit)

    assert not asyncio.run(run())


def test_requests_are_sent_one_at_a_time_until_the_quota_is_known() -> None:
    async def run() -> tuple[bool, bool]:
        limit = RateLimit()
        await limit.acquire()
        before = await is_blocked(limit)
        limit.release(remaining(1))
        return before, await is_blocked(limit)

    assert asyncio.run(run()) == (True, False)


def test_a_lost_response_reveals_no_quota_and_lets_the_next_request_find_out() -> None:
    async def run() -> tuple[bool, bool]:
        limit = RateLimit()
        await limit.acquire()
        limit.release(None)
        await limit.acquire()
        before = await is_blocked(limit)
        limit.release(remaining(3))
        return before, await is_blocked(limit)

    assert asyncio.run(run()) == (True, False)


def test_a_used_up_quota_blocks_until_the_window_ends() -> None:
    async def run() -> bool:
        limit = RateLimit(window_s=0.05)
        await limit.acquire()
        limit.release(remaining(0))
        before = await is_blocked(limit)
        await asyncio.wait_for(limit.acquire(), 5)
        return before

    assert asyncio.run(run())


def test_a_pause_holds_all_requests_and_forgets_the_quota() -> None:
    async def run() -> tuple[bool, bool]:
        limit = RateLimit()
        await limit.acquire()
        limit.release(remaining(50))
        limit.pause(0.05)
        during = await is_blocked(limit)
        await asyncio.wait_for(limit.acquire(), 5)
        return during, await is_blocked(limit)

    assert asyncio.run(run()) == (True, True), "the quota is unknown until a response arrives"


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    async def run() -> bool:
        limit = RateLimit()
        limit.pause(60)
        limit.pause(0)
        return await is_blocked(limit)

    assert asyncio.run(run())


def admitted_at_once(quotas: list[str], in_flight: int) -> int:
    """Release requests while others are in flight, and count how many more are admitted."""

    async def run() -> int:
        limit = RateLimit()
        await limit.acquire()
        limit.release(remaining(50))
        for _ in range(in_flight + len(quotas)):
            await limit.acquire()
        for quota in quotas:
            limit.release(remaining(quota))
        admitted = 0
        while not await is_blocked(limit):
            admitted += 1
        return admitted

    return asyncio.run(run())


def test_requests_in_flight_are_subtracted_from_the_quota() -> None:
    assert admitted_at_once(["10"], in_flight=4) == 6


def test_the_smallest_quota_of_responses_out_of_order_counts() -> None:
    assert admitted_at_once(["9", "10"], in_flight=0) == 8  # the second was in flight when the first arrived


def test_a_quota_smaller_than_the_requests_in_flight_admits_none() -> None:
    assert admitted_at_once(["2"], in_flight=5) == 0
