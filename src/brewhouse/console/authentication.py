"""Who may come in when the console listens beyond this machine: one password, and a signed cookie after it."""

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
_ATTEMPTS = 5
_WITHIN_S = 60.0
_REMEMBERED = 10_000  # addresses


class LoginThrottle:
    """How often an address may be wrong: five times a minute.

    Addresses of version 6 count by their network of 64 bits, of which one machine has all.
    """

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, address: str) -> float:
        """Tell how many seconds an address must wait before it may try again; 0 for none."""
        with self._lock:
            recent = self._recent(_network(address))
            return max(0.0, _WITHIN_S - (time.monotonic() - recent[0])) if len(recent) >= _ATTEMPTS else 0.0

    def wrong(self, address: str) -> None:
        """Remember that an address was wrong."""
        with self._lock:
            network = _network(address)
            self._wrong[network] = [*self._recent(network), time.monotonic()]
            self._wrong.move_to_end(network)
            while len(self._wrong) > _REMEMBERED:
                self._wrong.popitem(last=False)

    def _recent(self, network: str) -> list[float]:
        since = time.monotonic() - _WITHIN_S
        return [moment for moment in self._wrong.get(network, []) if moment > since]


class Authenticator:
    """Lets in who knows the password; sessions end after 12 hours, and with the process.

    Args:
        password: What they must know.
    """

    def __init__(self, password: Secret) -> None:
        self._password = password.reveal().encode()
        self._serializer = URLSafeTimedSerializer(secrets.token_bytes(32), salt="session")
        self.throttle = LoginThrottle()

    def opens_to(self, offered: str, address: str) -> bool:
        """Compare in constant time what somebody offers with the password, and remember when it is wrong.

        Args:
            offered: What they typed.
            address: Where they are.
        """
        if self.throttle.wait_s(address) > 0:
            return False
        right = hmac.compare_digest(offered.encode(), self._password)
        if not right:
            self.throttle.wrong(address)
        return right

    def session(self) -> str:
        """Give the value of a new session's cookie."""
        return self._serializer.dumps(secrets.token_urlsafe(8))

    def knows(self, cookie: str | None) -> bool:
        """Say whether a cookie is one of ours and not too old."""
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
