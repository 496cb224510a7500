"""Signing in, where the console listens beyond this machine."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from brewhouse.console.authentication import COOKIE, SESSION_S
from brewhouse.console.security import client_of
from brewhouse.console.web import HTML, ConsoleHere, page, problem, words_of

router = APIRouter()


@router.get("/login", **HTML)
def show(request: Request, console: ConsoleHere, token: str = "", next: str = "/") -> Response:  # noqa: A002 - its name in addresses
    """Ask for the password, or take it from the link that `brewhouse serve` printed."""
    if console.door is None:
        return RedirectResponse("/", 303)
    if token:
        return _enter(request, console, token, next)
    return page(request, "login.html", next=next, wrong=False)


@router.post("/login", **HTML)
def enter(
    request: Request,
    console: ConsoleHere,
    password: Annotated[str, Form(max_length=1000)],
    next: Annotated[str, Form(max_length=4000)] = "/",  # noqa: A002 - its name in the form
) -> Response:
    """Compare the password and begin a session."""
    return RedirectResponse("/", 303) if console.door is None else _enter(request, console, password, next)


@router.post("/logout", **HTML)
def leave() -> Response:
    """Forget the session."""
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE, httponly=True, samesite="lax")
    return response


def _enter(request: Request, console: ConsoleHere, offered: str, wanted: str) -> Response:
    assert console.door is not None
    wait_s = console.door.throttle.wait_s(client_of(request))
    if wait_s > 0:
        words = words_of(request)
        response = problem(
            request,
            429,
            words("Too many wrong passwords came from your address."),
            words("Try again in {seconds} seconds.", seconds=int(wait_s) + 1),
        )
        response.headers["Retry-After"] = str(int(wait_s) + 1)
        return response
    if not console.door.opens_to(offered, client_of(request)):
        return page(request, "login.html", status=403, next=wanted, wrong=True)
    response = RedirectResponse(_here(wanted), 303)
    response.set_cookie(
        COOKIE,
        console.door.session(),
        max_age=SESSION_S,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


def _here(wanted: str) -> str:
    r"""Give an address of this site; what a browser could read as another site's becomes the first page.

    Example:
        >>> _here("/tables?at=1"), _here("//evil.example"), _here("/\\evil.example"), _here("https://evil.example")
        ('/tables?at=1', '/', '/', '/')
    """
    is_path = wanted.startswith("/") and not wanted.startswith("//") and "\\" not in wanted
    return wanted if is_path and wanted.isprintable() else "/"
