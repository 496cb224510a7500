"""What the source reports about itself, and its deviations from the contract.

Shared by the API client, which reads it, and the lake, which stores it in manifests; neither imports the other.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""A number of breweries, however many a source claims."""

_UUID = re.compile(
    r"(?:urn:uuid:|\{)?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})\}?", re.IGNORECASE
)


def canonical_id(text: object) -> str | None:
    """Return the UUID that an id spells, in lower case with dashes; None if it is not a UUID.

    Example:
        >>> [canonical_id(text) for text in (" {CD613E30-D8F1-4ADF-81B7-584A2265B1F5}", "ales-york", 5)]
        ['cd613e30-d8f1-4adf-81b7-584a2265b1f5', None, None]
    """
    match = _UUID.fullmatch(text.strip()) if isinstance(text, str) else None
    return "-".join(match.groups()).lower() if match else None


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """The source's own counts, from `GET /breweries/meta`; a group is None when the source does not count it.

    Attributes:
        by_state: By `state_province`, across countries.
    """

    total: Count
    by_type: dict[str, Count] | None = None
    by_country: dict[str, Count] | None = None
    by_state: dict[str, Count] | None = None


class SchemaDrift(msgspec.Struct, frozen=True):
    """A deviation of the source from its contract: its kind, such as `unknown_field`, what deviates, and how often."""

    name: str
    detail: str
    count: int
    example: str
