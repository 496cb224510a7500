"""What the source reports about itself, and its deviations from the contract.

Shared by the API client, which reads it, and the lake, which stores it in manifests; neither imports the other.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""A number of breweries, however many a source claims."""


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
    """A deviation of the source from its contract.

    Attributes:
        name: The kind of deviation, such as `unknown_field`.
        detail: What deviates, such as the field's name.
        count: Number of records that deviate.
        example: One of them.
    """

    name: str
    detail: str
    count: int
    example: str
