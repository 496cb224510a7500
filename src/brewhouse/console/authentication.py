"""Password authentication for a console that other machines can reach: a signed session cookie, throttled attempts."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import threading
import time
from collections import OrderedDict

from itsdangerous import BadSignature, URLSafeTimedSerializer

from brewhouse.settings import Secret

COOKIE = "brewhouse_session"
SESSION_S = 12 * 3600
_MAX_ATTEMPTS = 5
_WINDOW_S = 60.0
_MAX_NETWORKS = 10_000


class LoginThrottle:
    """Limits wrong passwords to five a minute for each client address.

    IPv6 addresses are counted by /64 network, since one machine can use any address of its network.
    """

    def __init__(self) -> None:
        self._failures: OrderedDict[str, list[float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, address: str) -> float:
        """Return the seconds until an address may try again, or 0."""
        with self._lock:
            recent = self._recent(_network(address))
            return max(0.0, _WINDOW_S - (time.monotonic() - recent[0])) if len(recent) >= _MAX_ATTEMPTS else 0.0

    def record_failure(self, address: str) -> None:
        """Count a wrong password."""
        with self._lock:
            network = _network(address)
            self._failures[network] = [*self._recent(network), time.monotonic()]
            self._failures.move_to_end(network)
            while len(self._failures) > _MAX_NETWORKS:
                self._failures.popitem(last=False)

    def _recent(self, network: str) -> list[float]:
        since = time.monotonic() - _WINDOW_S
        return [failed_at for failed_at in self._failures.get(network, []) if failed_at > since]


class Authenticator:
    """Checks the console password and sessions; a session expires after 12 hours, or with the process."""

    def __init__(self, password: Secret) -> None:
        self._password = password.reveal().encode()
        self._serializer = URLSafeTimedSerializer(secrets.token_bytes(32), salt="session")
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
        """Return the cookie value of a new session."""
        return self._serializer.dumps(secrets.token_urlsafe(8))

    def is_valid_session(self, cookie: str | None) -> bool:
        """Check the signature and age of a session cookie."""
        try:
            self._serializer.loads(cookie or "", max_age=SESSION_S)
        except BadSignature:
            return False
        return True


def _network(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.version == 6 else str(ip)
