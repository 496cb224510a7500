"""Sign-in and sign-out, for a console with a password."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from brewhouse.console.authentication import COOKIE, SESSION_S, Authenticator
from brewhouse.console.security import client_of
from brewhouse.console.web import HTML, ConsoleDep, error_response, page, translator_of

router = APIRouter()


@router.get("/login", **HTML)
def show(request: Request, console: ConsoleDep, token: str = "", next: str = "/") -> Response:  # noqa: A002 - public parameter
    """Show the form, or sign in with the link that `brewhouse serve` printed."""
    if console.authenticator is None:
        return RedirectResponse("/", 303)
    if token:
        return _sign_in(request, console.authenticator, token, next)
    return page(request, "login.html", next=next, is_wrong=False)


@router.post("/login", **HTML)
def sign_in(
    request: Request,
    console: ConsoleDep,
    password: Annotated[str, Form(max_length=1000)],
    next: Annotated[str, Form(max_length=4000)] = "/",  # noqa: A002 - public parameter
) -> Response:
    """Check the password and start a session."""
    authenticator = console.authenticator
    return _sign_in(request, authenticator, password, next) if authenticator else RedirectResponse("/", 303)


@router.post("/logout", **HTML)
def sign_out(request: Request, console: ConsoleDep) -> Response:
    """End the session and delete its cookie."""
    if console.authenticator is not None:
        console.authenticator.end_session(request.cookies.get(COOKIE))
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE, httponly=True, samesite="lax")
    return response


def _sign_in(request: Request, authenticator: Authenticator, password: str, target: str) -> Response:
    if (wait_s := authenticator.throttle.wait_s(client_of(request))) > 0:
        seconds = int(wait_s) + 1
        hint = translator_of(request)("Try again in {seconds} seconds.", seconds=seconds)
        response = error_response(request, 429, "Too many wrong passwords from your address.", hint)
        response.headers["Retry-After"] = str(seconds)
        return response
    if not authenticator.check_password(password, client_of(request)):
        return page(request, "login.html", status=403, next=target, is_wrong=True)
    response = RedirectResponse(_local_path(target), 303)
    session, is_https = authenticator.new_session(), request.url.scheme == "https"
    response.set_cookie(COOKIE, session, max_age=SESSION_S, httponly=True, samesite="lax", secure=is_https)
    return response


def _local_path(target: str) -> str:
    r"""Return a path of this site; anything that a browser may resolve to another site becomes the first page.

    Example:
        >>> _local_path("/tables?at=1"), _local_path("//evil.example"), _local_path("/\\evil.example")
        ('/tables?at=1', '/', '/')
    """
    is_local = target.startswith("/") and not target.startswith("//") and "\\" not in target
    return target if is_local and target.isprintable() else "/"
