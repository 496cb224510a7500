"""The three ways in which services speak the same contract."""

from __future__ import annotations

from enum import StrEnum

FIELDS = (
    "id",
    "name",
    "brewery_type",
    "address_1",
    "address_2",
    "address_3",
    "city",
    "state_province",
    "postal_code",
    "country",
    "longitude",
    "latitude",
    "phone",
    "website_url",
    "state",
    "street",
)
"""The fields of a brewery, in the order in which the API sends them."""


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
