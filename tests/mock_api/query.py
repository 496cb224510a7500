"""Parse request parameters into a typed `Query`, with the API's own error messages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from brewhouse.api.contract import BREWERY_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SORT_FIELDS = ("id", "name", "brewery_type", "type", "city", "state_province", "postal_code", "country")
PER_PAGE_DEFAULT_ROWS = 50
PER_PAGE_MAX_ROWS = 200
LIKE_COLUMNS = {
    "by_city": "city",
    "by_country": "country",
    "by_name": "name",
    "by_postal": "postal_code",
    "by_state": "state_province",
}
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")

Errors = dict[str, list[str]]


class Filters(msgspec.Struct, frozen=True):
    """The filters of a request.

    Args:
        like: Pairs of a column and the LIKE pattern its value must hold.
        types: The only types wanted; all when empty.
        without_types: Types left out.
        ids: The only ids wanted; all when `None`.
        near: Latitude and longitude in degrees to measure the distance from.
        radius_km: How far from `near` a brewery may be.
    """

    like: tuple[tuple[str, str], ...] = ()
    types: tuple[str, ...] = ()
    without_types: tuple[str, ...] = ()
    ids: tuple[str, ...] | None = None
    near: tuple[float, float] | None = None
    radius_km: float | None = None


NO_FILTERS = Filters()


class Query(msgspec.Struct, frozen=True):
    """A validated request: filters, order and window."""

    filters: Filters = NO_FILTERS
    sort: tuple[tuple[str, bool], ...] = ()
    page: int = 1
    per_page: int = PER_PAGE_DEFAULT_ROWS


def parse_query(params: Mapping[str, str], *, cap_rows: int | None = None) -> Query | Errors:
    """Validate the parameters of a list or of /meta.

    Args:
        params: The parameters as sent, decoded; unknown ones are ignored, as the service does.
        cap_rows: Silent cap of `per_page`; `None` rejects more than 200.

    Returns:
        The query, or the messages of each invalid parameter.

    Example:
        >>> parse_query({"page": "2", "sort": "country:desc,id"}).sort
        (('country', True), ('id', False))
        >>> parse_query({"per_page": "201"})
        {'per_page': ['The per page field must not be greater than 200.']}
    """
    clean = {key: value.strip() for key, value in params.items()}
    errors: Errors = {}
    for key in _RULES.keys() & clean.keys():
        message = _RULES[key](clean[key]) if clean[key] else f"The {_label(key)} field is required."
        if message:
            errors[key] = [message]
    per_page = clean.get("per_page", "")
    if cap_rows is None and "per_page" not in errors and per_page and int(per_page) > PER_PAGE_MAX_ROWS:
        errors["per_page"] = [f"The per page field must not be greater than {PER_PAGE_MAX_ROWS}."]
    if errors:
        return {key: errors[key] for key in _RULES if key in errors}
    rows = int(per_page or PER_PAGE_DEFAULT_ROWS)
    return Query(
        filters=_filters(clean),
        sort=_sort(clean.get("sort", "")),
        page=int(clean.get("page", "1")),
        per_page=rows if cap_rows is None else min(rows, cap_rows),
    )


def like_pattern(text: str) -> re.Pattern[str]:
    r"""Compile a LIKE pattern, matched anywhere in a value, ignoring case.

    Example:
        >>> bool(like_pattern("g_rm%y").search("West Germany")), bool(like_pattern(r"50\%").search("50x"))
        (True, False)
    """
    parts = re.findall(r"\\.|[\s\S]", text)
    wild = {"_": "[\\s\\S]", "%": "[\\s\\S]*"}
    return re.compile("".join(wild.get(part) or re.escape(part[-1]) for part in parts), re.IGNORECASE)


def message_of(errors: Errors) -> str:
    """Summarise messages as Laravel does: the first one and the number of others.

    Example:
        >>> message_of({"page": ["Bad page."], "sort": ["Bad sort."]})
        'Bad page. (and 1 more error)'
    """
    first, *more = [message for messages in errors.values() for message in messages]
    return f"{first} (and {len(more)} more error{'s' if len(more) > 1 else ''})" if more else first


def integer_message(key: str, value: str, max_value: int | None = None) -> str | None:
    """Return the error message of an integer that starts at 1, or `None`."""
    if not _INTEGER.fullmatch(value):
        return f"The {_label(key)} field must be an integer."
    if int(value) < 1:
        return f"The {_label(key)} field must be at least 1."
    if max_value is not None and int(value) > max_value:
        return f"The {_label(key)} field must not be greater than {max_value}."
    return None


def _label(key: str) -> str:
    return key.replace("_", " ")


def _integer(key: str) -> Callable[[str], str | None]:
    return lambda value: integer_message(key, value)


def _text(key: str) -> Callable[[str], str | None]:
    def check(value: str) -> str | None:
        if len(value) < 3:
            return f"The {_label(key)} field must be at least 3 characters."
        if len(value) > 255:
            return f"The {_label(key)} field must not be greater than 255 characters."
        return None

    return check


def _types(key: str) -> Callable[[str], str | None]:
    def check(value: str) -> str | None:
        strange = [name for name in _listed(value) if name not in BREWERY_TYPES]
        return f"The {key} contains invalid brewery type: {strange[0]}" if strange else None

    return check


def _check_sort(value: str) -> str | None:
    for part in value.split(","):
        field, *direction = [piece.strip() for piece in part.split(":")]
        if len(direction) > 1 or field not in SORT_FIELDS:
            return f"The sort contains an invalid sort field. Valid fields are: {', '.join(SORT_FIELDS)}."
        if direction and direction[0].lower() not in ("asc", "desc"):
            return "The sort direction must be asc or desc."
    return None


def _check_near(value: str) -> str | None:
    parts = _listed(value)
    if len(parts) != 2:
        return "The by dist must be a valid coordinate pair (latitude,longitude)."
    for name, part, limit in zip(("latitude", "longitude"), parts, (90, 180), strict=True):
        if not _NUMBER.fullmatch(part) or abs(float(part)) > limit:
            return f"The {name} in by dist must be a number between -{limit} and {limit}."
    return None


def _check_radius(value: str) -> str | None:
    if not _NUMBER.fullmatch(value):
        return "The by dist radius field must be a number."
    return None if float(value) > 0 else "The by dist radius field must be greater than 0."


def _check_unit(value: str) -> str | None:
    return None if value in ("km", "mi") else "The selected by dist unit is invalid."


_RULES: dict[str, Callable[[str], str | None]] = {
    "per_page": _integer("per_page"),
    "page": _integer("page"),
    "sort": _check_sort,
    **{key: _text(key) for key in LIKE_COLUMNS},
    "by_ids": lambda _: None,
    "by_type": _types("by_type"),
    "exclude_types": _types("exclude_types"),
    "by_dist": _check_near,
    "by_dist_radius": _check_radius,
    "by_dist_unit": _check_unit,
}


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",")) if text else ()


def _filters(params: Mapping[str, str]) -> Filters:
    near = _listed(params.get("by_dist", ""))
    radius = params.get("by_dist_radius")
    unit_km = 1.0 if params.get("by_dist_unit") == "km" else 1.609344
    return Filters(
        like=tuple((column, params[key]) for key, column in LIKE_COLUMNS.items() if key in params),
        types=_listed(params.get("by_type", "")),
        without_types=_listed(params.get("exclude_types", "")),
        ids=_listed(params["by_ids"]) if "by_ids" in params else None,
        near=(float(near[0]), float(near[1])) if near else None,
        radius_km=float(radius) * unit_km if radius and near else None,
    )


def _sort(text: str) -> tuple[tuple[str, bool], ...]:
    order = []
    for part in text.split(",") if text else ():
        field, _, direction = part.partition(":")
        column = "brewery_type" if field.strip() == "type" else field.strip()
        order.append((column, direction.strip().lower() == "desc"))
    return tuple(order)
