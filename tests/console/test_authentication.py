"""Passwords and sessions: cookies that expire, and a limit on wrong passwords."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.console import authentication
from brewhouse.console.authentication import SESSION_S, Authenticator, LoginThrottle
from brewhouse.settings import Secret

PASSWORD = "correct horse"
MINUTE_S = 60


class Clock:
    """A clock that a test sets; `install` makes a module use it."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def read(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the throttle and of sessions."""
    clock = Clock()
    monkeypatch.setattr(authentication, "time", SimpleNamespace(monotonic=clock.read))
    return clock


@pytest.fixture
def authenticator() -> Authenticator:
    return Authenticator(Secret(PASSWORD))


def fail(throttle: LoginThrottle, address: str, times: int = 5) -> None:
    for _ in range(times):
        throttle.record_failure(address)


def test_only_the_password_is_accepted(authenticator: Authenticator) -> None:
    assert authenticator.check_password(PASSWORD, "192.0.2.1")
    for wrong in ("", PASSWORD.upper(), f"{PASSWORD} ", PASSWORD[:-1]):
        assert not authenticator.check_password(wrong, "192.0.2.1")


@given(st.text(min_size=1), st.text())
def test_a_password_of_any_characters_is_compared_exactly(password: str, attempt: str) -> None:
    authenticator = Authenticator(Secret(password))
    assert authenticator.check_password(password, "192.0.2.1")
    assert authenticator.check_password(attempt, "192.0.2.1") is (attempt == password)


def test_the_sixth_attempt_within_a_minute_fails_even_with_the_password(
    authenticator: Authenticator, clock: Clock
) -> None:
    for _ in range(5):
        assert not authenticator.check_password("guess", "192.0.2.1")
    assert not authenticator.check_password(PASSWORD, "192.0.2.1")
    assert authenticator.throttle.wait_s("192.0.2.1") == MINUTE_S
    clock.now_s += MINUTE_S - 1
    assert authenticator.throttle.wait_s("192.0.2.1") == 1
    assert not authenticator.check_password(PASSWORD, "192.0.2.1")
    clock.now_s += 1
    assert authenticator.check_password(PASSWORD, "192.0.2.1")


def test_attempts_while_throttled_do_not_extend_the_wait(authenticator: Authenticator, clock: Clock) -> None:
    for _ in range(5):
        authenticator.check_password("guess", "192.0.2.1")
    clock.now_s += MINUTE_S / 2
    for _ in range(100):
        authenticator.check_password("guess", "192.0.2.1")
    clock.now_s += MINUTE_S / 2
    assert authenticator.check_password(PASSWORD, "192.0.2.1")


def test_the_limit_applies_to_any_minute_not_to_a_calendar_minute(clock: Clock) -> None:
    throttle = LoginThrottle()
    for _ in range(4):
        throttle.record_failure("192.0.2.1")
        clock.now_s += 14
    throttle.record_failure("192.0.2.1")
    assert throttle.wait_s("192.0.2.1") == 4
    clock.now_s += 4
    assert throttle.wait_s("192.0.2.1") == 0
    throttle.record_failure("192.0.2.1")
    assert throttle.wait_s("192.0.2.1") == 14


@pytest.mark.parametrize(
    ("failing", "other", "is_throttled"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("testclient", "testclient", True),
        ("testclient", "", False),
    ],
)
def test_failures_are_counted_by_ipv4_address_and_by_ipv6_network(failing: str, other: str, is_throttled: bool) -> None:
    throttle = LoginThrottle()
    fail(throttle, failing)
    assert (throttle.wait_s(other) > 0) is is_throttled


def test_a_hundred_wrong_passwords_a_minute_block_all_addresses(clock: Clock) -> None:
    throttle = LoginThrottle()
    for number in range(99):
        throttle.record_failure(f"10.0.0.{number}")
        clock.now_s += 0.1
    assert throttle.wait_s("192.0.2.1") == 0
    throttle.record_failure("10.0.1.1")
    assert 0 < throttle.wait_s("192.0.2.1") <= MINUTE_S
    clock.now_s += MINUTE_S
    assert throttle.wait_s("192.0.2.1") == 0


def test_concurrent_failures_are_all_counted() -> None:
    throttle = LoginThrottle()
    start = threading.Barrier(5)

    def attempt() -> None:
        start.wait()
        throttle.record_failure("192.0.2.1")

    threads = [threading.Thread(target=attempt) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert throttle.wait_s("192.0.2.1") > 0


def test_a_session_expires_after_twelve_hours(authenticator: Authenticator, clock: Clock) -> None:
    session = authenticator.new_session()
    clock.now_s += SESSION_S
    assert authenticator.is_valid_session(session)
    clock.now_s += 1
    assert not authenticator.is_valid_session(session)


def test_every_session_has_a_value_of_its_own(authenticator: Authenticator) -> None:
    assert len({authenticator.new_session() for _ in range(100)}) == 100


@pytest.mark.parametrize("cookie", [None, "", ".", "..", "a.b.c", "é", "x" * 5000])
def test_a_malformed_cookie_is_invalid(authenticator: Authenticator, cookie: str | None) -> None:
    assert not authenticator.is_valid_session(cookie)


def test_a_session_ends_by_signing_out_and_others_go_on(authenticator: Authenticator) -> None:
    session, other = authenticator.new_session(), authenticator.new_session()
    authenticator.end_session(session)
    authenticator.end_session(None)
    assert not authenticator.is_valid_session(session)
    assert authenticator.is_valid_session(other)


def test_only_the_newest_ten_thousand_sessions_are_kept(authenticator: Authenticator) -> None:
    first, second, *_ = [authenticator.new_session() for _ in range(10_001)]
    assert not authenticator.is_valid_session(first)
    assert authenticator.is_valid_session(second)


def test_a_cookie_of_another_process_is_invalid(authenticator: Authenticator) -> None:
    assert not authenticator.is_valid_session(Authenticator(Secret(PASSWORD)).new_session())
