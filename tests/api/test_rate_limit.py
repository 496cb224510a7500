"""The throttle against a service that counts, with clocks of milliseconds."""

from __future__ import annotations

import asyncio

import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.api.client import Client, SourceUnavailable
from brewhouse.api.rate_limit import RateLimit
from brewhouse.mock_api.dataset import generate
from brewhouse.settings import Settings

WINDOW_S = 0.15


async def many(client: Client, count: int, workers: int) -> None:
    pages = iter(range(1, count + 1))

    async def work() -> None:
        for page in pages:
            await client.window(page, 1)

    async with client:
        await asyncio.gather(*(work() for _ in range(workers)))


def settings_for(stand_in: MockApiServer, max_attempts: int = 6) -> Settings:
    return Settings(
        source_url=stand_in.url, retry_initial_wait_s=0.001, retry_wait_max_s=0.002, max_attempts=max_attempts
    )


@pytest.mark.parametrize(("limit", "workers"), [(1, 3), (3, 4), (7, 2), (10, 16)])
def test_a_service_that_counts_never_refuses_a_request(limit: int, workers: int) -> None:
    count = limit * 3 + 1 if limit > 1 else 3
    with MockApiServer(generate(40), throttle=True, limit_per_minute=limit, window_s=WINDOW_S) as stand_in:
        asyncio.run(many(Client(settings_for(stand_in), WINDOW_S), count, workers))
        assert [served.status for served in stand_in.requests] == [200] * count


def test_what_an_earlier_run_used_up_is_respected() -> None:
    with MockApiServer(generate(40), throttle=True, limit_per_minute=6, window_s=WINDOW_S) as stand_in:
        asyncio.run(many(Client(settings_for(stand_in), WINDOW_S), 5, 1))
        asyncio.run(many(Client(settings_for(stand_in), WINDOW_S), 8, 4))
        assert {served.status for served in stand_in.requests} == {200}


def test_lost_answers_count_as_used_up() -> None:
    faults = ("reset,every=3",)
    with MockApiServer(generate(40), throttle=True, limit_per_minute=5, window_s=WINDOW_S, faults=faults) as stand_in:
        asyncio.run(many(Client(settings_for(stand_in), WINDOW_S), 10, 4))
        assert {served.status for served in stand_in.requests} == {200, 0}


def test_without_a_throttle_all_workers_go_at_once() -> None:
    async def in_flight() -> int:
        throttle = RateLimit()
        await throttle.admit()
        throttle.answered({})
        for _ in range(5):
            await asyncio.wait_for(throttle.admit(), 1)
        return 5

    assert asyncio.run(in_flight()) == 5


def test_the_first_request_goes_alone_until_it_is_known_what_is_left() -> None:
    async def second_waits() -> bool:
        throttle = RateLimit()
        await throttle.admit()
        second = asyncio.create_task(throttle.admit())
        await asyncio.sleep(0.01)
        waited = not second.done()
        throttle.answered({"X-RateLimit-Remaining": "1"})
        await asyncio.wait_for(second, 1)
        return waited

    assert asyncio.run(second_waits())


def test_a_refusal_is_waited_out_and_is_no_failed_try() -> None:
    with MockApiServer(generate(3), faults=["status=429,retry_after_s=0,times=5"]) as stand_in:
        asyncio.run(many(Client(settings_for(stand_in, max_attempts=1)), 1, 1))
        assert [served.status for served in stand_in.requests] == [429] * 5 + [200]


def test_refusals_without_end_are_a_failure_that_says_so() -> None:
    with (
        MockApiServer(generate(3), faults=["status=429,retry_after_s=0"]) as stand_in,
        pytest.raises(SourceUnavailable, match="429 20 times in a row"),
    ):
        asyncio.run(many(Client(settings_for(stand_in)), 1, 1))


def test_a_refusal_for_longer_than_a_run_may_wait_is_a_failure_that_says_how_long() -> None:
    with MockApiServer(generate(3), faults=["status=429,retry_after_s=3600"]) as stand_in:
        with pytest.raises(SourceUnavailable, match="asks to wait 3600 s"):
            asyncio.run(many(Client(settings_for(stand_in)), 1, 1))
        assert len(stand_in.requests) == 1


def test_all_requests_wait_when_one_is_refused() -> None:
    async def others_wait() -> bool:
        throttle = RateLimit()
        await throttle.admit()
        throttle.answered({"X-RateLimit-Remaining": "50"})
        throttle.pause(0.05)
        other = asyncio.create_task(throttle.admit())
        await asyncio.sleep(0.01)
        waited = not other.done()
        await asyncio.wait_for(other, 1)
        return waited

    assert asyncio.run(others_wait())


def admitted_at_once(remaining: list[str], in_flight: int) -> int:
    """Answer requests while others are under way, and count how many more may go."""

    async def count() -> int:
        throttle = RateLimit()
        await throttle.admit()
        throttle.answered({"X-RateLimit-Remaining": "50"})
        for _ in range(in_flight + len(remaining)):
            await throttle.admit()
        for text in remaining:
            throttle.answered({"X-RateLimit-Remaining": text})
        admitted = 0
        while throttle._wait_s() == 0:
            await throttle.admit()
            admitted += 1
        return admitted

    return asyncio.run(count())


def test_requests_under_way_are_taken_off_what_is_left() -> None:
    assert admitted_at_once(["10"], in_flight=4) == 6


def test_of_answers_out_of_order_the_smallest_counts() -> None:
    assert admitted_at_once(["9", "10"], in_flight=0) == 8  # the second was under way when the first came
