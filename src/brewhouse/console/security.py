"""Request checks and security headers: `Host`, cross-site requests, sessions, Content-Security-Policy.

A page of another site can make a browser send requests here, but it cannot forge `Host` (so DNS rebinding fails), nor
`Origin` and `Sec-Fetch-Site`, which browsers set.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from fastapi import HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from brewhouse.console.authentication import COOKIE, Authenticator
from brewhouse.console.web import API, _, choose_preferences, console_of, error_response, link
from brewhouse.errors import UsageError
from brewhouse.settings import Secret

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_OPEN = frozenset({"/login", "/healthz"})
"""Paths that need no password."""
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_STATIC = "/static/"
_MAX_BODY_BYTES = 2_000_000  # of a request; the longest query is 100,000 characters, percent-encoded


def is_loopback(host: str) -> bool:
    """Check whether only this machine can reach a listening address.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def password_for(host: str, configured: Secret | None) -> tuple[Secret | None, bool]:
    """Return the console password, None if it needs none, and whether it was generated and has to be shown.

    Raises:
        UsageError: The configured password is empty.
    """
    if configured is not None:
        if not configured.reveal():
            raise UsageError("The console password is empty.", hint="Set `console.password`, or remove the setting.")
        return configured, False
    return (None, False) if is_loopback(host) else (Secret(secrets.token_urlsafe(24)), True)


def address_of(host: str, port: int) -> str:
    """Return the URL to open in a browser.

    Example:
        >>> address_of("127.0.0.1", 8040), address_of("::1", 80)
        ('http://127.0.0.1:8040', 'http://[::1]:80')
    """
    name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)  # noqa: S104 - a comparison
    return f"http://{f'[{name}]' if ':' in name else name}:{port}"


class AllowedHosts:
    """Host names that the console accepts: those of its listening address, and more, such as a reverse proxy's."""

    def __init__(self, host: str, more: Iterable[str] = ()) -> None:
        self._is_public = not is_loopback(host)
        self._names = _LOOPBACK | {host.lower(), *(name.lower() for name in more)}
        if self._is_public:
            self._names |= {socket.gethostname().lower(), f"{socket.gethostname()}.local".lower()}

    def allows(self, host: str) -> bool:
        """Check the `Host` of a request; a console that other machines can reach accepts any IP address.

        DNS rebinding needs a name: a browser that shows an IP address is connected to that address.
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return self._is_public or address.is_loopback


class SecurityMiddleware:
    """Outermost middleware: rejects requests that fail a check, and adds security headers to every response."""

    def __init__(
        self, app: ASGIApp, allowed_hosts: AllowedHosts, on_error: Callable[[Request, Exception], Response]
    ) -> None:
        self._app = app
        self._allowed_hosts = allowed_hosts
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        has_started = False
        is_head = scope["method"] == "HEAD"
        if is_head:  # answered as GET, without the body
            scope = {**scope, "method": "GET"}

        async def send_with_headers(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if not scope["path"].startswith(_STATIC):
                    headers.setdefault("Cache-Control", "no-store")
            elif is_head:
                message = {**message, "body": b""}
            await send(message)

        request = Request(scope, receive)
        try:
            answer = self._rejection(request) or choose_preferences(request) or self._app
            await answer(scope, _bounded(receive), send_with_headers)
        except Exception as error:
            if has_started:
                raise
            await self._on_error(request, error)(scope, receive, send_with_headers)

    def _rejection(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if not self._allowed_hosts.allows(host):
            hint = _("Open the address that `brewhouse serve` printed, or add the name to `console.allowed_hosts`.")
            return error_response(request, 421, "The console does not accept this host name.", hint, signed_in=False)
        if request.method not in _SAFE_METHODS and not _is_same_site(request, host):
            hint = _("Open the console itself and try again there.")
            return error_response(request, 403, "Cross-site request rejected.", hint, signed_in=False)
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > _MAX_BODY_BYTES:
            return error_response(request, 413, _("The request is too large."), signed_in=False)
        authenticator = console_of(request).authenticator
        is_open = request.url.path in _OPEN or request.url.path.startswith(_STATIC)
        if authenticator and not is_open and not is_signed_in(request, authenticator):
            return _require_login(request)
        return None


def _bounded(receive: Receive) -> Receive:
    """Fail to receive a body without a declared length once it is too large."""
    received = 0

    async def receive_bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > _MAX_BODY_BYTES:
            raise HTTPException(413, "The request is too large.")
        return message

    return receive_bounded


def client_of(request: Request) -> str:
    """Return the client address of a request."""
    return request.client.host if request.client else ""


def _is_same_site(request: Request, host: str) -> bool:
    """Check the origin that a browser states; other programs state none and pass."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return False
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == host.lower()


def is_signed_in(request: Request, authenticator: Authenticator) -> bool:
    """Check the session of a request, or its bearer token, which is the password."""
    if authenticator.is_valid_session(request.cookies.get(COOKIE)):
        return True
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    password = token.encode("latin-1").decode("utf-8", "replace")  # headers are decoded as Latin-1
    return scheme.lower() == "bearer" and authenticator.check_password(password, client_of(request))


def _require_login(request: Request) -> Response:
    if request.url.path.startswith(API):
        return error_response(request, 401, "Not signed in.", "Send the header `Authorization: Bearer <password>`.")
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"HX-Redirect": "/login"})
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(link("/login", {"next": target if request.method == "GET" else "/"}), 303)
