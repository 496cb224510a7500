"""The endpoints of the API, with throttle, dialect and faults."""

from __future__ import annotations

import random
from hashlib import blake2b
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from tests.mock_api import responses
from tests.mock_api.fault_injection import FaultInjector
from tests.mock_api.faults import shifted
from tests.mock_api.php_json import dumps
from tests.mock_api.query import PER_PAGE_MAX_ROWS, Filters, Query, integer_message, parse_query
from tests.mock_api.search import Counts, Search, found_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.mock_api.faults import Fault, Faults
    from tests.mock_api.http_server import Request, Response
    from tests.mock_api.mutable_dataset import Dataset
    from tests.mock_api.throttle import Throttle

ROOT = "/v1/breweries"
RANDOM_MAX_ROWS = 50
AUTOCOMPLETE_ROWS = 15
_ENDPOINTS = ("meta", "random", "search", "autocomplete")
_GROUP_COLUMNS = {"by_state": "state_province", "by_country": "country", "by_type": "brewery_type"}


class Service:
    """Response requests from a dataset.

    Args:
        throttle: Rate limit; `None` disables it and its headers.
        seed: Seed of the unstable orders.
    """

    def __init__(self, dataset: Dataset, throttle: Throttle | None = None, seed: int = 1) -> None:
        self._dataset = dataset
        self._throttle = throttle
        self._queries = Search()
        self._chance = random.Random(seed)
        self._faults = FaultInjector()
        self._handlers: dict[str, Callable[[Request, dict[str, str]], Response]] = {
            "list": self._list,
            "meta": self._meta,
            "random": self._random,
            "search": self._search,
            "autocomplete": self._autocomplete,
        }

    def inject(self, faults: Faults) -> None:
        """Replace the injected faults and reset their counters."""
        self._faults = FaultInjector(faults)

    def answer(self, request: Request) -> Response:
        """Response a request, applying throttle and faults."""
        admission = self._throttle.admit(request.client) if self._throttle else None
        if admission and not admission.admitted:
            answer = responses.too_many(request)
        else:
            answer = self._answer_admitted(request)
        if admission:
            answer.headers.extend(admission.headers)
        return answer

    def _answer_admitted(self, request: Request) -> Response:
        params = dict(parse_qsl(request.query, keep_blank_values=True)) if request.query else {}
        endpoint, brewery_id = route(request.path)
        struck = self._faults.answers(endpoint, _page(params)) if self._faults.faults else ()
        answer = next((faulty for fault in struck if (faulty := responses.faulty(request, fault))), None)
        if answer is None:
            answer = self._answer_correctly(request, endpoint, brewery_id, params)
        for fault in struck:
            answer.delay_s += fault.slow_s or 0.0
            answer.reset = answer.reset or fault.reset
            answer.truncated = answer.truncated or fault.truncated
        return answer

    def _answer_correctly(self, request: Request, endpoint: str, brewery_id: str, params: dict[str, str]) -> Response:
        if endpoint == "unknown":
            return responses.error(request, 404, f"The route {request.path.lstrip('/')} could not be found.")
        if request.method not in ("GET", "HEAD"):
            answer = responses.error(request, 405, f"The {request.method} method is not supported for this route.")
            answer.headers.append(("Allow", "GET, HEAD"))
            return answer
        if endpoint == "home":
            return responses.json_answer(dumps({"name": "Open Brewery DB API", "documentation": "/docs"}))
        handler = self._handlers.get(endpoint)
        answer = handler(request, params) if handler else self._one(request, brewery_id)
        if self._dataset.dialect.is_previous and answer.status == 200:
            _tag(request, answer)
        return answer

    def _list(self, request: Request, params: dict[str, str]) -> Response:
        page = _page(params)
        query = parse_query(params, cap_rows=self._cap_rows("list", page))
        if not isinstance(query, Query):
            return responses.invalid(request, query, self._dataset.dialect)
        store = self._dataset.store
        rows = self._queries.window(store, query, self._chance)
        answer = self._records(request, rows, public=True)
        if answer.status == 200:
            for fault in self._faults.shifts(query.page):
                self._dataset.shift(fault)
        return answer

    def _meta(self, request: Request, params: dict[str, str]) -> Response:
        query = parse_query(params, cap_rows=self._cap_rows("meta", None))
        if not isinstance(query, Query):
            return responses.invalid(request, query, self._dataset.dialect)
        counts = self._queries.counts(self._dataset.store_for_meta(), query.filters)
        for fault in self._faults.wrong_meta():
            counts = faulty_counts(counts, fault)
        return responses.meta_answer(counts, query, self._dataset.dialect)

    def _one(self, request: Request, brewery_id: str) -> Response:
        row = self._dataset.store.find(brewery_id)
        if row is None:
            message = f"No query results for model [App\\Models\\Brewery] {brewery_id}"
            return responses.error(request, 404, message)
        answer = self._records(request, [row], public=True)
        answer.body = answer.body[1:-1] if answer.status == 200 else answer.body
        return answer

    def _random(self, request: Request, params: dict[str, str]) -> Response:
        size = params.get("size", "1").strip()
        problem = integer_message("size", size, RANDOM_MAX_ROWS)
        if problem:
            return responses.invalid(request, {"size": [problem]}, self._dataset.dialect)
        served = self._dataset.store.rows
        return self._records(request, self._chance.sample(served, min(int(size), len(served))))

    def _search(self, request: Request, params: dict[str, str]) -> Response:
        query = parse_query(params, cap_rows=self._cap_rows("search", None))
        text = params.get("query", "").strip()
        errors = query if not isinstance(query, Query) else {}
        if not text:
            errors = {"query": ["The query field is required."], **errors}
        if errors or not isinstance(query, Query):
            return responses.invalid(request, errors, self._dataset.dialect)
        start = (query.page - 1) * query.per_page
        return self._records(request, found_rows(self._dataset.store, text)[start : start + query.per_page])

    def _autocomplete(self, request: Request, params: dict[str, str]) -> Response:
        text = params.get("query", "").strip()
        if not text:
            errors = {"query": ["The query field is required."]}
            return responses.invalid(request, errors, self._dataset.dialect)
        store, names = self._dataset.store, self._dataset.store.column("name")
        query = Query(filters=Filters(like=(("name", text),)), sort=(("name", False),), per_page=AUTOCOMPLETE_ROWS)
        rows = self._queries.window(store, query, self._chance)
        return responses.json_answer(dumps([{"id": store.id_of(row), "name": names[row]} for row in rows]))

    def _records(self, request: Request, rows: Iterable[int], *, public: bool = False) -> Response:
        store, poisoned = self._dataset.store, self._dataset.poisoned
        if poisoned and any(store.id_of(row) in poisoned for row in rows):
            return responses.error(request, 500)
        return responses.records_answer(store.bytes_of(rows), public=public)

    def _cap_rows(self, endpoint: str, page: int | None) -> int | None:
        cut = self._faults.clamp_rows(endpoint, page) if self._faults.faults else None
        return PER_PAGE_MAX_ROWS if cut is None and self._dataset.dialect.is_previous else cut


def route(path: str) -> tuple[str, str]:
    """Return the endpoint of a path, and the brewery's id.

    Example:
        >>> route("/v1/breweries"), route("/v1/breweries/meta"), route("/v1/breweries/ab-1"), route("/v2")
        (('list', ''), ('meta', ''), ('one', 'ab-1'), ('unknown', ''))
    """
    if path == ROOT:
        return "list", ""
    if path in ("/", ""):
        return "home", ""
    parent, _, name = path.rpartition("/")
    if parent != ROOT or not name:
        return "unknown", ""
    return (name, "") if name in _ENDPOINTS else ("one", name)


def faulty_counts(counts: Counts, fault: Fault) -> Counts:
    """Apply a fault to the counts.

    Example:
        >>> from tests.mock_api.faults import parse_fault
        >>> faulty_counts(Counts(5, {}), parse_fault("meta_total=+3")).total
        8
    """
    if fault.meta_total:
        return Counts(shifted(counts.total, fault.meta_total), counts.groups)
    group, _, rest = (fault.meta_group or "").partition(":")
    column = _GROUP_COLUMNS[group]
    values = counts.groups[column]
    name, _, change = rest.rpartition(":") if rest else (next(iter(values), "ghost"), "", "+1")
    wrong = {**values, name: shifted(values.get(name, 0), change)}
    return Counts(counts.total, {**counts.groups, column: wrong})


def _page(params: dict[str, str]) -> int | None:
    text = params.get("page", "1")
    return int(text) if text.isdecimal() else None


def _tag(request: Request, answer: Response) -> None:
    tag = f'"{blake2b(answer.body, digest_size=16).hexdigest()}"'
    answer.headers.append(("ETag", tag))
    if request.headers.get("if-none-match") == tag:
        answer.status, answer.body = 304, b""
