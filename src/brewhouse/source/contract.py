"""The Open Brewery DB API's contract: fields, types of brewery, and what an answer must look like.

From the service's public documentation, https://www.openbrewerydb.org/documentation. Earlier releases and clones speak
dialects of it; they are understood, and each deviation is named.
"""

from __future__ import annotations

from typing import Any

import msgspec

FIELDS = (
    "id", "name", "brewery_type", "address_1", "address_2", "address_3", "city", "state_province", "postal_code",
    "country", "longitude", "latitude", "phone", "website_url", "state", "street",
)  # fmt: skip
COORDINATES = ("longitude", "latitude")
BREWERY_TYPES = frozenset(
    {
        "bar", "beergarden", "brewpub", "cidery", "closed", "contract", "large", "location", "micro", "nano",
        "planning", "proprietor", "regional", "taproom", "unknown",
    }
)  # fmt: skip
GROUPS = ("by_type", "by_country", "by_state")


class UnexpectedAnswerError(Exception):
    """An answer with status 200 that is not what the contract says; it may be better the next time."""


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """What the source says of the whole: `GET /breweries/meta`.

    Attributes:
        total: Number of breweries.
        by_type: Number by brewery type; None where the dialect has no groups.
        by_country: Number by country, without those that have none.
        by_state: Number by state, across countries.
    """

    total: int
    by_type: dict[str, int] | None = None
    by_country: dict[str, int] | None = None
    by_state: dict[str, int] | None = None


def parse_meta(body: bytes) -> tuple[Meta, list[str]]:
    """Read an answer of `/breweries/meta`.

    Args:
        body: JSON, numbers as numbers or as text, groups or none.

    Returns:
        The meta, and the names of its deviations from today's contract.

    Raises:
        UnexpectedAnswerError: It is no such answer.

    Example:
        >>> parse_meta(b'{"total": "5"}')
        (Meta(total=5, by_type=None, by_country=None, by_state=None), ['meta_numbers_as_text', 'meta_without_groups'])
    """
    try:
        meta = msgspec.json.decode(body, type=Meta, strict=False)
        raw = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise UnexpectedAnswerError(f"no meta object: {error}; {body[:200]!r}") from error
    deviations = ["meta_numbers_as_text"] if isinstance(raw["total"], str) else []
    if meta.by_type is None:
        deviations.append("meta_without_groups")
    return meta, deviations


def parse_page(body: bytes) -> tuple[list[bytes], list[dict[str, Any]]]:
    """Read an answer of `/breweries`.

    Args:
        body: A JSON array of objects.

    Returns:
        Each record's bytes as they were sent, and each record decoded.

    Raises:
        UnexpectedAnswerError: It is not a JSON array of objects.

    Example:
        >>> parse_page(b'[ {"id" : "a"} ]')
        ([b'{"id" : "a"}'], [{'id': 'a'}])
    """
    try:
        raws = msgspec.json.decode(body, type=list[msgspec.Raw])
        records = msgspec.json.decode(body, type=list[dict[str, Any]])
    except msgspec.DecodeError as error:
        raise UnexpectedAnswerError(f"not a JSON array of objects: {error}; {body[:200]!r}") from error
    return [bytes(raw) for raw in raws], records
