"""API versions: the current release, the previous one and a clone."""

from __future__ import annotations

from enum import StrEnum

from brewhouse.api.contract import FIELDS


class Dialect(StrEnum):
    """The release that the mock API implements.

    Example:
        >>> Dialect("clone").left_out, Dialect("current").left_out
        (('state', 'street'), ())
    """

    CURRENT = "current"
    """The release of August 2026."""
    PREVIOUS = "previous"
    """The previous release: numbers as text, /meta without groups, `per_page` capped silently, ETags."""
    CLONE = "clone"
    """A third-party clone: no deprecated fields, and /meta returns the total only."""

    @property
    def left_out(self) -> tuple[str, ...]:
        """Fields of a brewery that it omits."""
        return FIELDS[-2:] if self is Dialect.CLONE else ()

    @property
    def is_previous(self) -> bool:
        """Whether this is the release before the current one."""
        return self is Dialect.PREVIOUS
