"""Errors of requests to the source; the type decides whether a request is retried."""

from __future__ import annotations

from brewhouse.errors import BrewhouseError


class SourceError(BrewhouseError):
    """A request to the source failed; `status` is the HTTP status of the (last) server error, else None."""

    def __init__(self, what: str, hint: str = "", status: int | None = None) -> None:
        super().__init__(what, hint)
        self.status = status


class TransientSourceError(SourceError):
    """A failure that may not recur, such as a lost connection: the request is retried."""


class BadResponseError(TransientSourceError):
    """The source responded with a server error, with an invalid body, or too late."""


class PermanentSourceError(SourceError):
    """A failure that a retry would repeat."""


class SourceUnavailable(PermanentSourceError):  # noqa: N818 - the state of the source, not of a call
    """Every attempt at a request failed."""


class UnusableResponseError(SourceUnavailable):
    """Every attempt ended in a bad response: a row of the page may cause it, and a smaller page may succeed."""
