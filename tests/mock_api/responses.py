"""Responses of the API: JSON, Laravel's errors, redirects and HTML pages."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.mock_api.http_server import Response
from tests.mock_api.php_json import dumps
from tests.mock_api.query import message_of

if TYPE_CHECKING:
    from tests.mock_api.dialects import Dialect
    from tests.mock_api.faults import Fault
    from tests.mock_api.http_server import Request
    from tests.mock_api.query import Errors, Query
    from tests.mock_api.search import Counts

PUBLIC = ("Cache-Control", "public, max-age=300")
PRIVATE = ("Cache-Control", "no-cache, private")
_JSON = ("Content-Type", "application/json")
_HTML = ("Content-Type", "text/html; charset=UTF-8")
_REASONS = {404: "Not Found", 405: "Method Not Allowed", 429: "Too Many Requests", 500: "Server Error"}
_BODIES = {
    "not_json": b'[{"id":"',
    "object": b'{"message":"The service is being updated."}',
    "non_object": b"[42]",
    "empty": b"",
}


def json_answer(body: bytes, *, status: int = 200, public: bool = False) -> Response:
    """Respond with encoded JSON."""
    return Response(status, body, [_JSON, PUBLIC if public else PRIVATE])


def records_answer(records: list[bytearray], *, public: bool = False) -> Response:
    """Respond with an array of encoded breweries."""
    return json_answer(b"[" + b",".join(records) + b"]", public=public)


def wants_json(request: Request) -> bool:
    """Return whether a client prefers JSON, by Laravel's rule.

    Example:
        >>> from tests.mock_api.http_server import Request
        >>> kinds = ("*/*", "application/json", "text/html, application/json;q=0.5")
        >>> [wants_json(Request("GET", "/", "", {"accept": kind}, "")) for kind in kinds]
        [False, True, False]
    """
    kinds = [part.strip().lower() for part in request.headers.get("accept", "").split(",")]
    first = max(kinds, key=_quality)
    return "/json" in first or "+json" in first


def error(request: Request, status: int, message: str = "") -> Response:
    """Respond with an error: a JSON object, or an HTML page for a client that did not ask for JSON."""
    reason = message or _REASONS.get(status, "Service Unavailable")
    if wants_json(request):
        return json_answer(dumps({"message": reason}), status=status)
    return html_page(status)


def html_page(status: int) -> Response:
    """Respond with an HTML page."""
    title = f"{status} {_REASONS.get(status, 'Open Brewery DB')}"
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return Response(status, page.encode(), [_HTML, PRIVATE])


def invalid(request: Request, errors: Errors, dialect: Dialect) -> Response:
    """Reject parameters: 422, a redirect without `Accept: application/json`, or 400 in the previous release."""
    if dialect.is_previous:
        return json_answer(dumps(errors), status=400)
    if not wants_json(request):
        host = request.headers["host"]
        answer = html_page(302)
        answer.headers.append(("Location", f"http://{host}/"))
        return answer
    return json_answer(dumps({"message": message_of(errors), "errors": errors}), status=422)


def too_many(request: Request) -> Response:
    """Reject a request over the limit."""
    return error(request, 429, "Too Many Attempts.")


def meta_answer(counts: Counts, query: Query, dialect: Dialect) -> Response:
    """Respond with the counts in the format of a dialect."""
    meta: dict[str, object] = {"total": counts.total}
    if dialect.is_previous:
        meta = {"total": str(counts.total), "page": str(query.page), "per_page": str(query.per_page)}
    elif not dialect.left_out:
        types: dict[str, int] = {}
        for name, count in counts.groups["brewery_type"].items():
            types[name.lower()] = types.get(name.lower(), 0) + count
        meta["by_state"] = counts.groups["state_province"]
        meta["by_country"] = counts.groups["country"]
        meta["by_type"] = types
        meta |= {"page": query.page, "per_page": query.per_page}
    return json_answer(dumps(meta), public=True)


def faulty(request: Request, fault: Fault) -> Response | None:
    """Respond as a fault requires, or return `None` if it does not replace the response."""
    if fault.html:
        return html_page(fault.status or 502)
    if fault.body is not None:
        return json_answer(_BODIES[fault.body])
    if fault.status is None:
        return None
    answer = error(request, fault.status)
    wait_s = 1 if fault.retry_after_s is None and fault.status == 429 else fault.retry_after_s
    if wait_s is not None:
        answer.headers.append(("Retry-After", str(wait_s)))
        if fault.status == 429:
            answer.headers.append(("X-RateLimit-Reset", str(int(time.time()) + wait_s)))
    return answer


def _quality(kind: str) -> float:
    _, _, quality = kind.partition(";q=")
    try:
        return float(quality or 1)
    except ValueError:
        return 1.0
