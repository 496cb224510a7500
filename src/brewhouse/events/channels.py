"""Channels: messages through Apprise, heartbeats over HTTP. URLs hold secrets, so they are never printed in full."""

from __future__ import annotations

import hashlib
import logging
import re
from base64 import b64encode
from urllib.parse import unquote, urlsplit

from brewhouse.errors import BrewhouseError, install_command

TIMEOUT_S = 10.0
_SECRET_CHARACTERS = 4


_SENT_BEFORE = re.compile(r"read (operation )?timed out|connection aborted", re.IGNORECASE)
_SCHEME_AND_HOST = re.compile(r"(?:json|xml|form|mailto)s?://(?:[^/?#]*@)?[^/?#]*|[^:]*", re.IGNORECASE)


class DeliveryFailed(BrewhouseError):  # noqa: N818 - read aloud in `except DeliveryFailed`
    """A message or heartbeat was not delivered, or perhaps was: `is_unconfirmed` if only the response is missing."""

    def __init__(self, what: str, hint: str = "", *, is_unconfirmed: bool = False) -> None:
        super().__init__(what, hint)
        self.is_unconfirmed = is_unconfirmed


def send(url: str, subject: str, body: str) -> None:
    """Send a plain-text message to an Apprise URL, see https://github.com/caronc/apprise/wiki.

    Raises:
        DeliveryFailed: The receiver refused it, Apprise is not installed, or it does not know this kind of URL.
    """
    try:
        import apprise
    except ImportError as error:
        raise DeliveryFailed(
            "Messages need Apprise, which is not installed.", hint=f"Run `{install_command('alerts')}`."
        ) from error

    receiver = apprise.Apprise()
    with apprise.LogCapture(level=logging.DEBUG, fmt="%(levelname)s %(message)s") as log:  # type: ignore[no-untyped-call]
        is_sent = receiver.add(url) and receiver.notify(body=body, title=subject, body_format=apprise.NotifyFormat.TEXT)
        lines = [line.partition(" ") for line in log.getvalue().splitlines()]
    if not is_sent:
        shown = " ".join(text for level, _, text in lines if level in ("WARNING", "ERROR", "CRITICAL"))
        raise DeliveryFailed(
            f"Failed to send a message to {masked(url)}: {hidden(shown, url) or 'no reason given'}.",
            is_unconfirmed=any(level == "DEBUG" and _SENT_BEFORE.search(text) for level, _, text in lines),
        )


def send_heartbeat(url: str, suffix: str, text: str = "") -> None:
    """Call a heartbeat URL, as Healthchecks and similar services expect it.

    Args:
        suffix: Appended to the path: `/start`, `/fail`, or nothing for a success.
        text: Shown by the service next to the heartbeat.

    Raises:
        DeliveryFailed: The URL is invalid or the service did not accept the heartbeat.
    """
    import http.client
    import urllib.error
    import urllib.request

    try:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise DeliveryFailed(f"Invalid heartbeat URL {masked(url)}: it must start with http:// or https://.")
        login, at, host = parts.netloc.rpartition("@")
        target = parts._replace(netloc=host, path=parts.path.rstrip("/") + suffix).geturl()
        request = urllib.request.Request(target, data=text.encode(), headers={"User-Agent": "brewhouse"})  # noqa: S310
        if at:
            request.add_unredirected_header("Authorization", f"Basic {b64encode(unquote(login).encode()).decode()}")
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310 - the scheme is checked above
            pass
    except (OSError, ValueError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # the response
        raise DeliveryFailed(f"Failed to send a heartbeat to {masked(url)}: {hidden(str(error), url)}.") from None


def masked(url: str) -> str:
    """Reduce a URL to its scheme: secrets may be anywhere in it, even in place of the host.

    Example:
        >>> masked("mailto://me:secret@example.com")
        'mailto://…'
    """
    scheme, separator, _ = url.partition("://")
    return f"{scheme}://…" if separator else "…"


def hidden(text: str, url: str) -> str:
    """Remove from a text every part of a URL that may be a secret.

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


def same_receiver(url: str) -> str:
    """Normalize a URL for comparison: the case of scheme and host, percent-encoding and a final slash do not count.

    The host of other services may be a token, whose case counts.

    Example:
        >>> same_receiver("JSON://me:Pw@Example.com/Hook/") == same_receiver("json://me:Pw@example.com/Hook")
        True
    """
    url = url.strip().rstrip("/")
    start = _SCHEME_AND_HOST.match(url)
    login, at, host = (start[0] if start else "").rpartition("@")
    scheme, separator, user = login.partition("://")
    head = f"{scheme.lower()}{separator}{user}{at}{host.lower()}"
    return unquote(head + url[len(head) :])


def receiver_id(url: str) -> str:
    """Identify a receiver without revealing its URL."""
    return hashlib.sha256(url.encode()).hexdigest()[:12]
