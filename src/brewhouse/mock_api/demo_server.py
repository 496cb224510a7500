"""A local HTTP server with the part of the Open Brewery DB API that the workflow needs: pages and counts."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Literal, Self

import msgspec

from brewhouse.api.contract import GROUPS
from brewhouse.errors import BrewhouseError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiohttp import web

HOST = "127.0.0.1"
ROOT = "/v1/breweries"
_encode = msgspec.json.Encoder(decimal_format="number").encode


class _Parameters(msgspec.Struct, forbid_unknown_fields=True):
    """The supported parameters; others, as filters, are rejected, so that no client mistakes them for applied."""

    page: Annotated[int, msgspec.Meta(ge=1)] = 1
    per_page: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50
    sort: Literal["id", "id:asc"] = "id:asc"


class DemoApiServer:
    """Serve breweries on 127.0.0.1 from a background thread, ordered by id.

    Example:
        >>> from urllib.request import urlopen
        >>> from brewhouse.mock_api.dataset import generate
        >>> with DemoApiServer(generate(3)) as server, urlopen(f"{server.url}/breweries?per_page=2") as response:
        ...     print(len(msgspec.json.decode(response.read())))
        2
    """

    def __init__(self, records: Iterable[Mapping[str, object]], *, port: int = 0) -> None:
        groups: dict[str, Counter[str]] = {group: Counter() for group in GROUPS}
        encoded: list[tuple[str, bytes]] = []
        for record in records:
            encoded.append((str(record.get("id") or "\U0010ffff"), _encode(record)))
            for group, field in GROUPS.items():
                if (value := record.get(field)) is not None:
                    groups[group][str(value)] += 1
        encoded.sort(key=lambda pair: pair[0])
        self._bodies = [body for _, body in encoded]
        self._meta = {"total": len(encoded), **groups}
        self._port = port
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

        status, body = self._reply(request.path, dict(request.query))
        return web.Response(status=status, body=body, content_type="application/json")

    def _reply(self, path: str, query: dict[str, str]) -> tuple[int, bytes]:
        """Return the status and the body of a response."""
        if path not in (ROOT, f"{ROOT}/meta"):
            return 404, _encode({"message": f"The route {path.lstrip('/')} could not be found."})
        try:
            parameters = msgspec.convert(query, _Parameters, strict=False)
        except msgspec.ValidationError as error:
            return 422, _encode({"message": f"The mock API does not support this: {error}."})
        if path != ROOT:
            return 200, _encode(self._meta)
        start = (parameters.page - 1) * parameters.per_page
        return 200, b"[%b]" % b",".join(self._bodies[start : start + parameters.per_page])
