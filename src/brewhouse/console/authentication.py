"""Password authentication for a console that other machines can reach: sessions in memory, throttled attempts."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import threading
import time
from collections import OrderedDict, deque

from brewhouse.settings import Secret

COOKIE = "brewhouse_session"
SESSION_S = 12 * 3600
_MAX_ATTEMPTS = 5
_MAX_ATTEMPTS_OF_ALL = 100
_WINDOW_S = 60.0
_MAX_SESSIONS = 10_000


class LoginThrottle:
    """Limits wrong passwords to five a minute for each client address, and to a hundred for all addresses together.

    IPv6 addresses are counted by /64 network, since one machine can use any address of its network.
    """

    def __init__(self) -> None:
        self._failures: deque[tuple[str, float]] = deque(maxlen=_MAX_ATTEMPTS_OF_ALL)
        self._lock = threading.Lock()

    def wait_s(self, address: str) -> float:
        """Return the seconds until an address may try again, or 0."""
        with self._lock:
            failures = list(self._failures)
        own = [failed_at for network, failed_at in failures if network == _network(address)]
        limits = ((own, _MAX_ATTEMPTS), ([failed_at for _, failed_at in failures], _MAX_ATTEMPTS_OF_ALL))
        blocking = [times[-limit] for times, limit in limits if len(times) >= limit]
        return max(0.0, max(blocking) + _WINDOW_S - time.monotonic()) if blocking else 0.0

    def record_failure(self, address: str) -> None:
        """Count a wrong password."""
        with self._lock:
            self._failures.append((_network(address), time.monotonic()))


class Authenticator:
    """Checks the console password and sessions; a session ends by signing out, after 12 hours, or with the process."""

    def __init__(self, password: Secret) -> None:
        self._password = password.reveal().encode()
        self._sessions: OrderedDict[bytes, float] = OrderedDict()  # start by the hash of the cookie
        self._lock = threading.Lock()
        self.throttle = LoginThrottle()

    def check_password(self, password: str, address: str) -> bool:
        """Compare a password in constant time; always fails while the client address is throttled."""
        if self.throttle.wait_s(address) > 0:
            return False
        is_correct = hmac.compare_digest(password.encode(), self._password)
        if not is_correct:
            self.throttle.record_failure(address)
        return is_correct

    def new_session(self) -> str:
        """Start a session and return the value of its cookie."""
        cookie = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions[_digest(cookie)] = time.monotonic()
            while len(self._sessions) > _MAX_SESSIONS:
                self._sessions.popitem(last=False)
        return cookie

    def is_valid_session(self, cookie: str | None) -> bool:
        """Check that a cookie is of a session that has not ended."""
        with self._lock:
            started = self._sessions.get(_digest(cookie or ""))
        return started is not None and time.monotonic() - started <= SESSION_S

    def end_session(self, cookie: str | None) -> None:
        """End the session of a cookie, if there is one."""
        with self._lock:
            self._sessions.pop(_digest(cookie or ""), None)


def _digest(cookie: str) -> bytes:
    """Hash a cookie, so that the time of its lookup reveals nothing about the cookies of others."""
    return hashlib.sha256(cookie.encode()).digest()


def _network(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.version == 6 else str(ip)
