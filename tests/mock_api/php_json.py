r"""JSON as PHP writes it: no blanks, ``\/`` for a slash and ``\u00fc`` for characters beyond ASCII."""

from __future__ import annotations

import codecs
from decimal import Decimal
from typing import TYPE_CHECKING, cast

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

ERROR_HANDLER = "brewhouse-php-json"


def dumps(value: object) -> bytes:
    r"""Encode a value as PHP's `json_encode` does.

    Args:
        value: Any JSON value; the order of keys is kept.

    Returns:
        ASCII bytes without blanks.

    Example:
        >>> print(dumps({"name": "Bräu 🍺", "url": "http://a.example"}).decode())
        {"name":"Br\u00e4u \ud83c\udf7a","url":"http:\/\/a.example"}
    """
    text = _ENCODER.encode(value)
    if not text.isascii():
        text = text.decode().encode("ascii", ERROR_HANDLER)
    return text.replace(b"/", b"\\/")


def render(record: Mapping[str, object], *, without: tuple[str, ...] = (), coordinates_as_text: bool = False) -> bytes:
    """Encode one brewery as the API sends it.

    Args:
        record: The brewery.
        without: Fields to leave out.
        coordinates_as_text: Encode longitude and latitude as strings, as earlier releases did.

    Returns:
        One JSON object.

    Example:
        >>> render({"id": "a", "latitude": 52, "street": None}, without=("street",), coordinates_as_text=True)
        b'{"id":"a","latitude":"52"}'
    """
    if without:
        record = {field: value for field, value in record.items() if field not in without}
    if coordinates_as_text:
        record = {
            field: number_text(value) if field in ("longitude", "latitude") else value
            for field, value in record.items()
        }
    return dumps(record)


def number_text(value: object) -> object:
    """Convert a number to its JSON text; return any other value unchanged."""
    return dumps(value).decode() if isinstance(value, int | float | Decimal) else value


def _escape(error: UnicodeError) -> tuple[str, int]:
    problem = cast("UnicodeEncodeError", error)
    units = problem.object[problem.start : problem.end].encode("utf-16-be")
    escapes = "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
    return escapes, problem.end


codecs.register_error(ERROR_HANDLER, _escape)
_ENCODER = msgspec.json.Encoder(decimal_format="number")
