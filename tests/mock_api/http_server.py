"""A minimal HTTP/1.1 server on a local socket, in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

import msgspec

from brewhouse.errors import BrewhouseError

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "127.0.0.1"
MAX_HEAD_BYTES = 65_536
_LINGER_0 = struct.pack("ii", 1, 0)


class Request(msgspec.Struct, frozen=True):
    """A request; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    client: str

    @property
    def params(self) -> dict[str, str]:
        """The parameters, decoded; of one given twice the last counts, as PHP has it."""
        return dict(parse_qsl(self.query, keep_blank_values=True))


class Response(msgspec.Struct):
    """A response and how it fails.

    Args:
        status: The HTTP status.
        body: The whole body.
        headers: Headers in addition to `Content-Length`, `Date` and `Connection`.
        delay_s: How long to wait before sending.
        reset: Reset the connection and send nothing.
        truncated: Send half of the body and close the connection.
    """

    status: int
    body: bytes
    headers: list[tuple[str, str]]
    delay_s: float = 0.0
    reset: bool = False
    truncated: bool = False


class Server:
    """Listen on 127.0.0.1 and pass each request to a function, one at a time.

    Args:
        answer: Turns a request into an answer; called in the server's thread.
        port: 0 selects a free port.
    """

    def __init__(self, answer: Callable[[Request], Response], port: int = 0) -> None:
        self.port = port
        self._answer = answer
        self._ready = threading.Event()
        self._problem: OSError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="mock-api", daemon=True)

    def start(self) -> None:
        """Listen, and return once connections are accepted.

        Raises:
            BrewhouseError: The port is in use.
        """
        self._thread.start()
        self._ready.wait()
        if self._problem is not None:
            self._thread.join()
            raise BrewhouseError(
                f"The mock API cannot listen on {HOST}:{self.port}: {self._problem.strerror}.",
                hint="Choose another port, or 0 for a free one.",
            ) from self._problem

    def stop(self) -> None:
        """Close the port and all connections, and return when that is done."""
        if self._loop is not None and self._stopping is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        connections: set[_Connection] = set()
        try:
            server = await self._loop.create_server(lambda: _Connection(self._answer, connections), HOST, self.port)
        except OSError as error:
            self._problem = error
            self._ready.set()
            return
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopping.wait()
        server.close()
        for connection in list(connections):
            connection.transport.abort()
        await asyncio.sleep(0)
        await server.wait_closed()


class _Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, answer: Callable[[Request], Response], connections: set[_Connection]) -> None:
        self._answer = answer
        self._connections = connections
        self._received = bytearray()
        self._waiting = False
        self._full = False
        self._client = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._client = transport.get_extra_info("peername")[0]
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._connections.discard(self)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._process()

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._process()

    def _process(self) -> None:
        while not (self._waiting or self._full or self.transport.is_closing()):
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                if len(self._received) > MAX_HEAD_BYTES:
                    self._refuse(431)
                return
            head = self._received[:end].decode("latin-1")
            request, keep, body_bytes = _parse_head(head, self._client)
            if request is None:
                self._refuse(400)
                return
            if len(self._received) < end + 4 + body_bytes:
                return
            del self._received[: end + 4 + body_bytes]
            self._handle(request, keep=keep)

    def _handle(self, request: Request, *, keep: bool) -> None:
        answer = self._answer(request)
        if answer.delay_s:
            self._waiting = True
            loop = asyncio.get_running_loop()
            loop.call_later(answer.delay_s, lambda: self._send_late(answer, request, keep=keep))
        else:
            self._send(answer, request, keep=keep)

    def _send_late(self, answer: Response, request: Request, *, keep: bool) -> None:
        self._waiting = False
        if not self.transport.is_closing():
            self._send(answer, request, keep=keep)
            self._process()

    def _send(self, answer: Response, request: Request, *, keep: bool) -> None:
        if answer.reset:
            connection = self.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
            self.transport.abort()
            return
        body = answer.body[: len(answer.body) // 2] if answer.truncated else answer.body
        if request.method == "HEAD" or answer.status == 304:
            body = b""
        self.transport.write(_head(answer, keep=keep) + body)
        if not keep or answer.truncated:
            self.transport.close()

    def _refuse(self, status: int) -> None:
        self.transport.write(_head(Response(status, b"", []), keep=False))
        self.transport.close()


def _head(answer: Response, *, keep: bool) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {_phrase(answer.status)}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    lines += [
        f"Content-Length: {len(answer.body)}",
        f"Connection: {'keep-alive' if keep else 'close'}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode("latin-1")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _parse_head(head: str, client: str) -> tuple[Request | None, bool, int]:
    """Return the request, whether its connection stays open, and the length of its body in bytes."""
    first, *lines = head.split("\r\n")
    words = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = headers.get("content-length", "0")
    if len(words) != 3 or "host" not in headers or "transfer-encoding" in headers or not length.isdecimal():
        return None, False, 0
    method, target, version = words
    path, _, query = target.partition("?")
    keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    return Request(method, unquote(path), query, headers, client), keep, int(length)
