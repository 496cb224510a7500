"""Sending: messages through Apprise, pings over HTTP. An address holds secrets, so it is never shown whole."""

from __future__ import annotations

import hashlib
import logging
import re
from urllib.parse import unquote, urlsplit

from brewhouse.errors import BrewhouseError

TIMEOUT_S = 10.0
INSTALL = "pip install 'brewhouse[alerts]'"
_SECRET_CHARACTERS = 4


class SendingFailed(BrewhouseError):  # noqa: N818 - what became of the message
    """A message or a ping could not be sent."""


def send(url: str, subject: str, body: str) -> None:
    """Send a message.

    Args:
        url: An Apprise URL, see https://github.com/caronc/apprise/wiki.
        subject: One line.
        body: Plain text.

    Raises:
        SendingFailed: It could not be sent, or Apprise is not installed, or does not know this kind of URL.
    """
    try:
        import apprise
    except ImportError as error:
        raise SendingFailed("Messages need Apprise, which is not installed.", hint=f"Install it: {INSTALL}.") from error

    receiver = apprise.Apprise()
    with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as said:  # type: ignore[no-untyped-call]
        is_sent = receiver.add(url) and receiver.notify(body=body, title=subject, body_format=apprise.NotifyFormat.TEXT)
        reason = hidden(" ".join(said.getvalue().split()), url)
    if not is_sent:
        raise SendingFailed(f"{masked(url)} did not take a message: {reason or 'it gave no reason'}.")


def ping(url: str, ending: str, text: str = "") -> None:
    """Call a dead man's switch, as Healthchecks and services like it take it.

    Args:
        url: Its address.
        ending: What is added to the address's path: `/start`, `/fail`, or nothing for a success.
        text: Kept by the service beside the ping.

    Raises:
        SendingFailed: It was not taken.
    """
    import http.client
    import urllib.request

    try:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise SendingFailed(f"The ping URL {masked(url)} is no address of the web.")
        target = parts._replace(path=parts.path.rstrip("/") + ending).geturl()
        request = urllib.request.Request(target, data=text.encode(), headers={"User-Agent": "brewhouse"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310 - the scheme is checked above
            pass
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise SendingFailed(f"{masked(url)} did not take a ping: {hidden(str(error), url)}.") from None


def masked(url: str) -> str:
    """Show of an address no more than its kind: tokens may be anywhere, in the place of the host too.

    Example:
        >>> masked("mailto://me:secret@example.com")
        'mailto://…'
    """
    scheme, separator, _ = url.partition("://")
    return f"{scheme}://…" if separator else "…"


def hidden(text: str, url: str) -> str:
    """Hide in a text whatever may be a secret of an address.

    Example:
        >>> hidden("535 user me, password secret", "mailto://me:secret@example.com")
        '535 user me, password …'
    """
    parts = {
        part for part in re.split(r"[/:@?&=,;#]+", url.partition("://")[2] or url) if len(part) >= _SECRET_CHARACTERS
    }
    for secret in sorted(parts | {unquote(part) for part in parts}, key=len, reverse=True):
        text = text.replace(secret, "…")
    return text


def receiver_id(url: str) -> str:
    """Name a receiver without telling its address."""
    return hashlib.sha256(url.encode()).hexdigest()[:12]
