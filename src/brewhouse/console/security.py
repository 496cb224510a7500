"""What keeps strangers out: names the console answers to, where a request comes from, who is signed in, and headers.

A page of another site can make a browser send requests here. It cannot choose the `Host` its own name resolved to
(DNS rebinding), nor `Origin` and `Sec-Fetch-Site`, which browsers add; so these are what is looked at.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from brewhouse.console.authentication import COOKIE, Authenticator
from brewhouse.console.web import API, console_of, link, problem
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
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_STATIC = "/static/"


def is_loopback(host: str) -> bool:
    """Say whether an address to listen on can only be reached from this machine.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def password_for(host: str, given: Secret | None) -> tuple[Secret | None, bool]:
    """Choose what who wants in must know.

    Args:
        host: The address to listen on.
        given: What the settings say.

    Returns:
        The password, None for no door, and whether it was made here and has to be told.

    Raises:
        UsageError: The one given is empty.
    """
    if given is not None:
        if not given.reveal():
            raise UsageError("The console's password is empty.", hint="Give it a text, or leave it out.")
        return given, False
    return (None, False) if is_loopback(host) else (Secret(secrets.token_urlsafe(24)), True)


def address_of(host: str, port: int) -> str:
    """Give the address to open in a browser.

    Example:
        >>> address_of("127.0.0.1", 8040), address_of("::1", 80)
        ('http://127.0.0.1:8040', 'http://[::1]:80')
    """
    name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)  # noqa: S104 - it is compared with
    return f"http://{f'[{name}]' if ':' in name else name}:{port}"


class AllowedHosts:
    """The names under which the console answers.

    Args:
        host: The address it listens on.
        more: Further names, as a proxy in front has.
    """

    def __init__(self, host: str, more: Iterable[str] = ()) -> None:
        self._anywhere = not is_loopback(host)
        self._known = _LOOPBACK | {host.lower(), *(name.lower() for name in more)}
        if self._anywhere:
            self._known |= {socket.gethostname().lower(), f"{socket.gethostname()}.local".lower()}

    def knows(self, host: str) -> bool:
        """Say whether a request's `Host` is one of them; beyond this machine, any address in numbers is.

        No name can be made to resolve to an address in numbers: what a browser shows there is where it went.
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._known:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return self._anywhere or address.is_loopback


class SecurityMiddleware:
    """Middleware around everything: refuses what must not come in, and adds the headers to what goes out.

    Args:
        app: What is inside.
        names: Under which it answers.
        failed: What is answered when something inside fails.
    """

    def __init__(self, app: ASGIApp, names: AllowedHosts, failed: Callable[[Request, Exception], Response]) -> None:
        self._app = app
        self._names = names
        self._failed = failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have the application do it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        is_answered = False

        async def send_with_headers(message: Message) -> None:
            nonlocal is_answered
            if message["type"] == "http.response.start":
                is_answered = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if not scope["path"].startswith(_STATIC):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        request = Request(scope, receive)
        refusal = self._refusal(request)
        try:
            await (refusal or self._app)(scope, receive, send_with_headers)
        except Exception as error:
            if is_answered:
                raise
            await self._failed(request, error)(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if not self._names.knows(host):
            return problem(
                request,
                421,
                "This console does not answer to the name it was called by.",
                "Open it by the address that `brewhouse serve` printed, or allow the name in `console.allowed_hosts`.",
                inside=False,
            )
        if request.method not in _READS and not _is_same_site(request, host):
            what = "This request comes from another site."
            return problem(request, 403, what, "Use the console's own pages.", inside=False)
        door = console_of(request).door
        is_open = request.url.path == "/login" or request.url.path.startswith(_STATIC)
        if door and not is_open and not _is_signed_in(request, door):
            return _to_login(request)
        return None


def _is_same_site(request: Request, host: str) -> bool:
    """Say whether a browser's own headers name this site as where a request comes from; programs send neither."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return False
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == host.lower()


def _is_signed_in(request: Request, door: Authenticator) -> bool:
    if door.knows(request.cookies.get(COOKIE)):
        return True
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and door.opens_to(token, client_of(request))


def client_of(request: Request) -> str:
    """Name the address a request comes from."""
    return request.client.host if request.client else ""


def _to_login(request: Request) -> Response:
    if request.url.path.startswith(API):
        return problem(request, 401, "Nobody is signed in.", "Send the header `Authorization: Bearer <password>`.")
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    login = link("/login", {"next": wanted if request.method == "GET" else "/"})
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"HX-Redirect": "/login"})
    return RedirectResponse(login, 303)
