"""A local HTTP server with the part of the Open Brewery DB API that the workflow needs: pages, counts, one brewery."""

from __future__ import annotations

import asyncio
import math
import os
import re
import socket
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import parse_qsl

import msgspec

from brewhouse.errors import BrewhouseError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiohttp import web

HOST = "127.0.0.1"
ROOT = "/v1/breweries"
LIMIT_PER_MINUTE = 120
DEFAULT_PER_PAGE, MAX_PER_PAGE = 50, 200
_GROUPS = {"by_state": "state_province", "by_country": "country", "by_type": "brewery_type"}
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})")
_CACHED = {"Cache-Control": "public, max-age=300"}
_encode = msgspec.json.Encoder(decimal_format="number").encode


class _Reply(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str]


class DemoApiServer:
    """Serve breweries on 127.0.0.1 from a background thread, ordered by id.

    Filters and other orders of the API are rejected with status 422, so that no client mistakes them for applied.

    Args:
        records: Breweries, with or without an id.
        port: 0 selects a free port.
        throttle: Allow each client 120 requests per minute.

    Example:
        >>> from urllib.request import urlopen
        >>> from brewhouse.mock_api.dataset import generate
        >>> with DemoApiServer(generate(3)) as server, urlopen(f"{server.url}/breweries?per_page=2") as response:
        ...     print(len(msgspec.json.decode(response.read())), response.headers["X-RateLimit-Remaining"])
        2 119
    """

    def __init__(self, records: Iterable[Mapping[str, object]], *, port: int = 0, throttle: bool = True) -> None:
        groups: dict[str, Counter[str]] = {group: Counter() for group in _GROUPS}
        encoded: list[tuple[str, bytes]] = []
        for record in records:
            encoded.append((str(record.get("id") or "\U0010ffff"), _encode(record)))
            for group, field in _GROUPS.items():
                if (value := record.get(field)) is not None:
                    groups[group][str(value)] += 1
        encoded.sort(key=lambda pair: pair[0])
        self._by_id = dict(encoded)
        self._bodies = [body for _, body in encoded]
        self._meta = {"total": len(encoded), **groups}
        self._port = port
        self._throttle = _Throttle() if throttle else None
        self._running: tuple[threading.Thread, asyncio.AbstractEventLoop] | None = None
        self._stopping = asyncio.Event()

    def __len__(self) -> int:
        return len(self._bodies)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The base URL of the API."""
        return f"http://{HOST}:{self._port}/v1"

    def start(self) -> None:
        """Bind the port and accept connections.

        Raises:
            BrewhouseError: The port is in use or not permitted.
        """
        try:
            listening = socket.create_server((HOST, self._port))
        except OSError as error:
            raise BrewhouseError(
                f"The mock API cannot listen on {HOST}:{self._port}: {os.strerror(error.errno or 0)}.",
                hint="Choose another port with --port; 0 selects a free one.",
            ) from error
        self._port = listening.getsockname()[1]
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_until_complete, args=(self._serve(listening),), daemon=True)
        thread.start()
        self._running = thread, loop

    def stop(self) -> None:
        """Close the port and all connections."""
        if self._running:
            thread, loop = self._running
            loop.call_soon_threadsafe(self._stopping.set)
            thread.join()
            loop.close()
            self._running = None

    async def _serve(self, listening: socket.socket) -> None:
        from aiohttp import web  # connections wait in the socket's backlog meanwhile

        runner = web.ServerRunner(web.Server(self._respond, access_log=None), shutdown_timeout=1)
        await runner.setup()
        await web.SockSite(runner, listening).start()
        await self._stopping.wait()
        await runner.cleanup()

    async def _respond(self, request: web.BaseRequest) -> web.Response:
        from aiohttp import web

        quota = self._throttle.admit(request.remote or "") if self._throttle else {}
        if "Retry-After" in quota:
            reply = _failed(429, "Too Many Attempts.")
        else:
            reply = self._reply(request.method, request.path, request.rel_url.raw_query_string)
        headers = {"Content-Type": "application/json", **reply.headers, **quota}
        return web.Response(status=reply.status, body=reply.body, headers=headers)

    def _reply(self, method: str, path: str, query: str) -> _Reply:
        parent, _, name = path.rpartition("/")
        if path != ROOT and (parent != ROOT or not name):
            return _failed(404, f"The route {path.lstrip('/')} could not be found.")
        if method not in ("GET", "HEAD"):
            reply = _failed(405, f"The {method} method is not supported for this route.")
            return reply._replace(headers={**reply.headers, "Allow": "GET, HEAD"})
        if path == ROOT or name == "meta":
            return self._list_or_meta(name, query)
        if name not in self._by_id:
            return _failed(404, f"No query results for model [App\\Models\\Brewery] {name}")
        return _Reply(200, self._by_id[name], _CACHED)

    def _list_or_meta(self, name: str, query: str) -> _Reply:
        params = {key: value.strip() for key, value in parse_qsl(query, keep_blank_values=True)}
        errors = _errors(params)
        if errors:
            first, *more = errors.values()
            summary = f"{first} (and {len(more)} more error{'s' if len(more) > 1 else ''})" if more else first
            return _failed(422, summary, errors={key: [message] for key, message in errors.items()})
        page, per_page = int(params.get("page", 1)), int(params.get("per_page", DEFAULT_PER_PAGE))
        if name == "meta":
            return _Reply(200, _encode({**self._meta, "page": page, "per_page": per_page}), _CACHED)
        return _Reply(200, b"[%b]" % b",".join(self._bodies[(page - 1) * per_page : page * per_page]), _CACHED)


class _Throttle:
    """Count the requests of each client in fixed windows of a minute; rejected requests do not count."""

    def __init__(self) -> None:
        self._windows: dict[str, tuple[float, int]] = {}

    def admit(self, client: str) -> dict[str, str]:
        """Count a request and return its rate-limit headers; `Retry-After` is among them if it is rejected."""
        now = time.time()
        end, used = self._windows.get(client, (0.0, 0))
        if now >= end:
            end, used = now + 60, 0
        self._windows[client] = end, min(used + 1, LIMIT_PER_MINUTE)
        remaining = max(LIMIT_PER_MINUTE - used - 1, 0)
        headers = {"X-RateLimit-Limit": str(LIMIT_PER_MINUTE), "X-RateLimit-Remaining": str(remaining)}
        if used < LIMIT_PER_MINUTE:
            return headers
        return {**headers, "Retry-After": str(math.ceil(end - now)), "X-RateLimit-Reset": str(math.ceil(end))}


def _failed(status: int, message: str, **details: object) -> _Reply:
    return _Reply(status, _encode({"message": message, **details}), {"Cache-Control": "no-cache, private"})


def _errors(params: Mapping[str, str]) -> dict[str, str]:
    """Validate parameters; unknown ones are ignored, as the API does."""
    errors = {}
    for key, maximum in (("per_page", MAX_PER_PAGE), ("page", None)):
        message = _integer_error(params[key], maximum) if key in params else None
        if message:
            errors[key] = f"The {key.replace('_', ' ')} field {message}."
    if params.get("sort", "id") not in ("id", "id:asc"):
        errors["sort"] = "The mock API sorts by id:asc only."
    for key in params:
        if key.startswith("by_") or key == "exclude_types":
            errors[key] = f"The mock API does not support the parameter {key}."
    return errors


def _integer_error(text: str, maximum: int | None) -> str | None:
    if not text:
        return "is required"
    if not _INTEGER.fullmatch(text):
        return "must be an integer"
    if int(text) < 1:
        return "must be at least 1"
    return f"must not be greater than {maximum}" if maximum and int(text) > maximum else None
