"""The three ways in which services speak the same contract."""

from __future__ import annotations

from enum import StrEnum

from brewhouse.api.contract import FIELDS


class Dialect(StrEnum):
    """Which release of the service a stand-in speaks like.

    Example:
        >>> Dialect("clone").left_out, Dialect("current").left_out
        (('state', 'street'), ())
    """

    CURRENT = "current"
    """The release of August 2026."""
    PREVIOUS = "previous"
    """The release before: numbers as text, /meta without groups, a silent cap of `per_page`, ETags."""
    CLONE = "clone"
    """A copy of the service by others: no deprecated fields, and /meta knows the total alone."""

    @property
    def left_out(self) -> tuple[str, ...]:
        """The fields of a brewery that it does not send."""
        return FIELDS[-2:] if self is Dialect.CLONE else ()

    @property
    def is_previous(self) -> bool:
        """Whether this is the release before the current one."""
        return self is Dialect.PREVIOUS
