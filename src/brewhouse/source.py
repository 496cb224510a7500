"""What the source reports of itself, and where it deviates from its contract.

Shared by the API client, which reads it, and the lake, which keeps it in manifests; neither knows the other.
"""

from __future__ import annotations

from typing import Annotated

import msgspec


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """The source's own counts, as `GET /breweries/meta` reports them; groups are None where its dialect has none.

    Attributes:
        by_state: By `state_province`, across countries.
    """

    total: Annotated[int, msgspec.Meta(ge=0)]
    by_type: dict[str, int] | None = None
    by_country: dict[str, int] | None = None
    by_state: dict[str, int] | None = None


class SchemaDrift(msgspec.Struct, frozen=True):
    """A deviation of the source from its contract.

    Attributes:
        name: The kind of deviation, such as `unknown_field`.
        detail: What deviates, such as the field's name.
        count: How many records deviate.
        example: One of them.
    """

    name: str
    detail: str
    count: int
    example: str
